#include "net/peer_priority.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "storage/crc32c.h"

namespace swarmfs::net {
namespace {

Endpoint at(const char* address, std::uint16_t port = 6881) {
  return {asio::ip::make_address(address), port};
}

std::uint32_t crc_of(std::string_view hex) {
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoul(std::string(hex.substr(i, 2)), nullptr, 16)));
  }
  return storage::crc32c(bytes);
}

// The two examples of BEP 40.
TEST(PeerPriorityTest, GivesTheNumbersOfTheBep) {
  EXPECT_EQ(peer_priority(at("123.213.32.10"), at("98.76.54.32")), 0xec2d7224u);
  EXPECT_EQ(peer_priority(at("123.213.32.10"), at("123.213.32.234")), 0x99568189u);
}

TEST(PeerPriorityTest, LooksCloserWhereTheAddressesAreNeighbours) {
  EXPECT_EQ(peer_priority(at("10.1.255.255"), at("10.1.254.255")), crc_of("0a01fe550a01ff55"));
  EXPECT_EQ(peer_priority(at("10.1.255.255"), at("10.2.255.255")), crc_of("0a0155550a025555"));
  // Hosts of two networks: what the mask hides makes no difference.
  EXPECT_EQ(peer_priority(at("10.1.0.0"), at("10.2.0.0")),
            peer_priority(at("10.1.170.170"), at("10.2.170.170")));
}

TEST(PeerPriorityTest, MasksIpv6InTheSameWay) {
  const std::string tail7 = "5555555555555555";  // the last eight bytes
  EXPECT_EQ(peer_priority(at("2001:db8:1:ffff:ffff:ffff:ffff:ffff"),
                          at("2001:db8:2:ffff:ffff:ffff:ffff:ffff")),
            crc_of("20010db800015555" + tail7 + "20010db800025555" + tail7));
  EXPECT_EQ(peer_priority(at("2001:db8:1:ffff:ffff:ffff:ffff:ffff"),
                          at("2001:db8:1:00ff:ffff:ffff:ffff:ffff")),
            crc_of("20010db800010055" + tail7 + "20010db80001ff55" + tail7));
  EXPECT_EQ(peer_priority(at("2001:db8:1:ffff:ffff:ffff:ffff:ffff"),
                          at("2001:db8:1:ff00:ffff:ffff:ffff:ffff")),
            crc_of("20010db80001ff00" + tail7 + "20010db80001ffff" + tail7));
  EXPECT_EQ(peer_priority(at("2001:db8::1"), at("2001:db8::2")),
            crc_of("20010db800000000000000000000000120010db8000000000000000000000002"));
}

TEST(PeerPriorityTest, TellsTwoPeersOfOneHostApartByTheirPorts) {
  EXPECT_EQ(peer_priority(at("1.2.3.4", 0x1ae1), at("::ffff:1.2.3.4", 0x0050)), crc_of("00501ae1"));
}

TEST(PeerPriorityTest, IsNoneBetweenFamilies) {
  EXPECT_EQ(peer_priority(at("1.2.3.4"), at("2001:db8::1")), 0u);
}

RC_GTEST_PROP(PeerPriorityProperty, IsTheSameFromBothSides,
              (std::uint32_t a, std::uint32_t b, std::uint16_t p, std::uint16_t q)) {
  const Endpoint one(asio::ip::address_v4(a), p), two(asio::ip::address_v4(b), q);
  RC_ASSERT(peer_priority(one, two) == peer_priority(two, one));
}

}  // namespace
}  // namespace swarmfs::net
