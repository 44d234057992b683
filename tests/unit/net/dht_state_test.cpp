#include "net/dht_state.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "storage/bencode.h"

namespace swarmfs::net {
namespace {

DhtState decode(std::string_view text) {
  return decode_dht_state(std::as_bytes(std::span(text)));
}
DhtState example() {
  SecretRandom random(4);
  DhtState state{random_id(random), random_id(random), {}};
  for (std::uint32_t i = 1; i <= 5; ++i) {
    state.nodes.push_back({random_id(random), {asio::ip::address_v4(0x08000000U + i), 6881}});
  }
  state.nodes.push_back({random_id(random), {asio::ip::make_address("2001:db8::1"), 6881}});
  return state;
}

TEST(DhtStateTest, ComesBackAsItWasSaved) {
  EXPECT_EQ(decode(encode_dht_state(example())), example());
  EXPECT_EQ(decode(encode_dht_state({})), DhtState{});
}

TEST(DhtStateTest, IsNothingWhenItCannotBeRead) {
  const std::string good = encode_dht_state(example());
  std::string future = good;
  future.replace(future.find("7:versioni1e"), 12, "7:versioni2e");
  for (const std::string& text : {std::string(), std::string("x"), std::string("le"), future,
                                  good.substr(0, good.size() - 1), good + "x"}) {
    EXPECT_EQ(decode(text), DhtState{}) << text.substr(0, 20);
  }
}

TEST(DhtStateTest, DropsAnIdOfAnotherLengthAndNodesBeyondTheLimit) {
  storage::bencode::Dictionary root;
  std::string nodes;
  for (std::size_t i = 0; i < 2 * kMaxSavedNodes; ++i) nodes += std::string(26, 'n');
  root.add("version", 1).add("id", "short").add("nodes", nodes).add("nodes6", "odd");
  const DhtState state = decode(root.encode());
  EXPECT_FALSE(state.id);
  EXPECT_EQ(state.nodes.size(), kMaxSavedNodes);
}

RC_GTEST_PROP(DhtStateProperty, NoDamagedFileThrows, (const std::vector<std::uint8_t>& edits)) {
  std::string text = encode_dht_state(example());
  for (std::size_t i = 0; i + 1 < edits.size(); i += 2) {
    text[edits[i] % text.size()] = static_cast<char>(edits[i + 1]);
  }
  RC_ASSERT(decode(text).nodes.size() <= 6U);
}

}  // namespace
}  // namespace swarmfs::net
