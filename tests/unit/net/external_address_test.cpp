#include "net/external_address.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace swarmfs::net {
namespace {

using testing::ElementsAre;

asio::ip::address ip(const std::string& text) {
  return asio::ip::make_address(text);
}

class ExternalAddressTest : public testing::Test {
 protected:
  void witnesses(int from, int to, const char* seen) {  // one a provider
    for (int i = from; i < to; ++i) ours->on_seen(ip("80." + std::to_string(i) + ".0.1"), ip(seen));
  }
  ExternalAddress::Following follow() {
    return ours->follow([this](const auto& address) { told.push_back(address.to_string()); });
  }
  std::shared_ptr<ExternalAddress> ours = std::make_shared<ExternalAddress>();
  std::vector<std::string> told;
};

TEST_F(ExternalAddressTest, IsWhatSeveralNetworksSay) {
  const auto following = follow();
  witnesses(0, 4, "9.9.9.9");
  EXPECT_FALSE(ours->v4());
  witnesses(4, 6, "::ffff:9.9.9.9");
  EXPECT_EQ(ours->v4(), ip("9.9.9.9"));
  EXPECT_FALSE(ours->v6());
  EXPECT_THAT(told, ElementsAre("9.9.9.9")) << "once";
}

TEST_F(ExternalAddressTest, IsNotWhatOneSays) {
  witnesses(0, 5, "9.9.9.9");
  for (int i = 0; i < 1000; ++i)
    ours->on_seen(ip("66.6.0." + std::to_string(i % 250)), ip("6.6.6.6"));
  EXPECT_EQ(ours->v4(), ip("9.9.9.9"));
}

TEST_F(ExternalAddressTest, ChangesWhenTheOthersSeeUsElsewhere) {
  witnesses(0, 6, "9.9.9.9");
  const auto following = follow();
  witnesses(0, 6, "7.7.7.7");
  EXPECT_THAT(told, ElementsAre("9.9.9.9", "7.7.7.7")) << "who comes late is told, too";
}

TEST_F(ExternalAddressTest, IsToldToNobodyWhoLeft) {
  { const auto following = follow(); }
  witnesses(0, 6, "9.9.9.9");
  EXPECT_TRUE(told.empty());
}

TEST_F(ExternalAddressTest, IsNoPrivateOne) {
  witnesses(0, 40, "192.168.1.7");
  EXPECT_FALSE(ours->v4());
}

}  // namespace
}  // namespace swarmfs::net
