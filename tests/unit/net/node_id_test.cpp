#include "net/node_id.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <set>
#include <string>

namespace swarmfs::net {
namespace {

NodeId id(const std::string& start) {
  return *NodeId::from_hex(start + std::string(40 - start.size(), '0'));
}

asio::ip::address ip(const char* text) {
  return asio::ip::make_address(text);
}

TEST(NodeIdTest, MeasuresDistanceByXor) {
  EXPECT_EQ(distance(id("f0"), id("0f")), id("ff"));
  EXPECT_EQ(distance(id("abcd"), id("abcd")), NodeId{});
  EXPECT_TRUE(is_closer(id("80"), id("81"), id("00")));
  EXPECT_FALSE(is_closer(id("80"), id("80"), id("80"))) << "equally close is not closer";
}

TEST(NodeIdTest, CountsTheBitsThatTwoIdsShare) {
  EXPECT_EQ(shared_bits(id("00"), id("80")), 0);
  EXPECT_EQ(shared_bits(id("00"), id("01")), 7);
  EXPECT_EQ(shared_bits(id("ff00"), id("ff80")), 8);
  EXPECT_EQ(shared_bits(id("ff"), id("ff")), kIdBits);
  EXPECT_EQ(shared_bits(id(""), id("0000000000000000000000000000000000000001")), 159);
}

RC_GTEST_PROP(NodeIdProperty, ARandomIdBesideAnotherSharesJustTheBitsAskedFor,
              (std::uint64_t seed)) {
  SecretRandom random(seed);
  const NodeId own = random_id(random);
  const int bits = *rc::gen::inRange(0, kIdBits);
  RC_ASSERT(shared_bits(own, random_id_beside(own, bits, random)) == bits);
}

// BEP 42's own examples: first 21 bits and last byte.
TEST(NodeIdTest, TiesIdsToAddressesAsTheVectorsOfBep42Say) {
  struct Vector {
    const char* ip;
    std::uint8_t rand;
    const char* id;
  };
  for (const Vector& v : {Vector{"124.31.75.21", 1, "5fbfbff10c5d6a4ec8a88e4c6ab4c28b95eee401"},
                          Vector{"21.75.31.124", 86, "5a3ce9c14e7a08645677bbd1cfe7d8f956d53256"},
                          Vector{"65.23.51.170", 22, "a5d43220bc8f112a3d426c84764f8c2a1150e616"},
                          Vector{"84.124.73.14", 65, "1b0321dd1bb1fe518101ceef99462b947a01ff41"},
                          Vector{"43.213.53.83", 90, "e56f6cbf5b7c4be0237986d5243b87aa6d51305a"}}) {
    const NodeId example = *NodeId::from_hex(v.id);
    EXPECT_TRUE(is_valid_id(example, ip(v.ip))) << v.ip;
    SecretRandom random(7);
    const NodeId ours = id_for(ip(v.ip), v.rand, random);
    EXPECT_GE(shared_bits(ours, example), 21) << v.ip;
    EXPECT_EQ(ours.bytes[19], example.bytes[19]) << v.ip;
    EXPECT_TRUE(is_valid_id(ours, ip(v.ip))) << v.ip;
  }
}

TEST(NodeIdTest, RefusesAnIdWithOneOfThe21BitsOrTheLastByteChanged) {
  const NodeId valid = *NodeId::from_hex("5fbfbff10c5d6a4ec8a88e4c6ab4c28b95eee401");
  const auto address = ip("124.31.75.21");
  for (int bit = 0; bit < 24; ++bit) {
    NodeId changed = valid;
    changed.bytes[static_cast<std::size_t>(bit / 8)] ^= std::byte{0x80} >> (bit % 8);
    EXPECT_EQ(is_valid_id(changed, address), bit >= 21) << bit;
  }
  NodeId changed = valid;
  changed.bytes[19] = std::byte{2};
  EXPECT_FALSE(is_valid_id(changed, address));
  changed.bytes[19] = std::byte{9};  // the same lowest three bits: all that is hashed
  EXPECT_TRUE(is_valid_id(changed, address));
}

TEST(NodeIdTest, HashesTheHighHalfOfAnIPv6Address) {
  SecretRandom random(7);
  const NodeId made = id_for(ip("2001:db8:85a3:1::1"), random);
  EXPECT_TRUE(is_valid_id(made, ip("2001:db8:85a3:1::1")));
  EXPECT_TRUE(is_valid_id(made, ip("2001:db8:85a3:1:ffff::2"))) << "the same /64";
  EXPECT_FALSE(is_valid_id(made, ip("2001:db8:85a3:2::1"))) << "another network";
  EXPECT_TRUE(is_valid_id(id_for(ip("8.8.8.8"), random), ip("::ffff:8.8.8.8")));
}

TEST(NodeIdTest, LetsNodesOnLocalNetworksHaveAnyId) {
  for (const char* local : {"10.0.0.1", "172.16.0.1", "192.168.7.7", "169.254.1.1", "127.0.0.1",
                            "::1", "fe80::1", "fd00::1"}) {
    EXPECT_TRUE(is_valid_id(id("ab"), ip(local))) << local;
  }
  EXPECT_FALSE(is_valid_id(id("ab"), ip("8.8.8.8")));
}

TEST(SecretRandomTest, GivesTheSameRunForTheSameSeedAndAnotherForAnother) {
  SecretRandom a(1), b(1), c(2);
  for (int i = 0; i < 10; ++i) {
    const auto value = a();
    EXPECT_EQ(value, b());
    EXPECT_NE(value, c());
  }
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 1000; ++i) {
    EXPECT_LT(a.below(10), 10U);
    EXPECT_TRUE(seen.insert(a()).second);
  }
}

}  // namespace
}  // namespace swarmfs::net
