#include "net/dht_tokens.h"

#include <gtest/gtest.h>

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;

class DhtTokensTest : public testing::Test {
 protected:
  bool accepts(const std::string& token, const char* address = "8.8.8.8") {
    return tokens.accepts(token, asio::ip::make_address(address), hash, now);
  }
  std::string make(const char* address = "8.8.8.8") {
    return tokens.make(asio::ip::make_address(address), hash, now);
  }
  SecretRandom random{3};
  NodeId hash = random_id(random);
  TimePoint now{1h};
  DhtTokens tokens{random, now};
};

TEST_F(DhtTokensTest, LastFiveMinutesAtLeastAndTenAtMost) {
  now += 4min + 59s;  // the oldest secret there can be
  const std::string token = make();
  EXPECT_TRUE(accepts(token));
  now += 5min;
  EXPECT_TRUE(accepts(token)) << "the secret before this one";
  now += 2s;
  EXPECT_FALSE(accepts(token));
  const std::string young = make();
  now += 9min + 57s;
  EXPECT_TRUE(accepts(young));
}

TEST_F(DhtTokensTest, AreForOneAddressAndOneTorrent) {
  const std::string token = make();
  EXPECT_FALSE(accepts(token, "8.8.8.9"));
  EXPECT_TRUE(accepts(make("2001:db8::1"), "2001:db8::1"));
  hash.bytes[0] ^= std::byte{1};
  EXPECT_FALSE(accepts(token));
  EXPECT_FALSE(accepts(""));
  EXPECT_FALSE(accepts(token + "x"));
}

TEST_F(DhtTokensTest, AreNotTheSameInAnotherRun) {
  DhtTokens others(random, now);
  EXPECT_NE(others.make(asio::ip::make_address("8.8.8.8"), hash, now), make());
}

TEST_F(DhtTokensTest, AreForgottenAfterALongSleep) {
  const std::string token = make();
  now += 24h;
  EXPECT_FALSE(accepts(token));
  EXPECT_TRUE(accepts(make()));
}

}  // namespace
}  // namespace swarmfs::net
