#include "net/dht_harvest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

Endpoint at(const char* address, std::uint16_t port = 1) {
  return {asio::ip::make_address(address), port};
}

TEST(DhtHarvestTest, TakesEachPeerOnceAPass) {
  DhtHarvest harvest(false);
  const std::vector<Endpoint> named = {at("1.2.3.4"), at("1.2.3.4"), at("1.2.3.4", 2)};
  EXPECT_THAT(harvest.take(named), ElementsAre(at("1.2.3.4"), at("1.2.3.4", 2)));
  EXPECT_THAT(harvest.take(named), IsEmpty());
  harvest.clear();
  EXPECT_EQ(harvest.take(named).size(), 2U);
}

TEST(DhtHarvestTest, TakesNoPeerOnThisHostOrLinkUnlessAllowed) {
  const std::vector<Endpoint> named = {at("127.0.0.1"), at("169.254.1.1"), at("::1"),
                                       at("10.0.0.1"),  at("224.0.0.1"),   at("1.2.3.4", 0)};
  EXPECT_THAT(DhtHarvest(false).take(named), ElementsAre(at("10.0.0.1")));
  EXPECT_THAT(DhtHarvest(true).take(named),
              ElementsAre(at("127.0.0.1"), at("169.254.1.1"), at("::1"), at("10.0.0.1")));
}

TEST(DhtHarvestTest, LetsNoNetworkNameEverybody) {
  DhtHarvest harvest(false);
  std::vector<Endpoint> named;
  for (std::uint32_t i = 0; i < 256; ++i) {
    named.emplace_back(asio::ip::address_v4(0x08080800U + i), 1);
  }
  named.push_back(at("9.9.9.9"));
  EXPECT_EQ(harvest.take(named).size(), kMaxHarvestPerSite + 1);
}

TEST(DhtHarvestTest, StopsAtWhatATorrentCanUse) {
  DhtHarvest harvest(false);
  std::vector<Endpoint> named;
  for (std::uint32_t i = 0; i < 3000; ++i) {
    named.emplace_back(asio::ip::address_v4(0x08000000U + 256 * i), 1);
  }
  EXPECT_EQ(harvest.take(named).size(), kMaxHarvest);
}

TEST(PauseAfterTest, ComesBackSoonWhileNobodyIsFoundAndEveryFewMinutesOtherwise) {
  const auto fruitless = [](std::size_t passes) { return pause_after(passes, false); };
  EXPECT_EQ(fruitless(1), 5s);
  EXPECT_EQ(fruitless(2), 10s);
  EXPECT_EQ(fruitless(5), 80s);
  EXPECT_EQ(fruitless(1000), 5min);
  EXPECT_EQ(pause_after(1, true), 5min);
  EXPECT_EQ(pause_after(2, true), 10min);
  EXPECT_EQ(pause_after(1000, true), 15min);
}

}  // namespace
}  // namespace swarmfs::net
