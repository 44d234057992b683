#include "net/reachability.h"

#include <gtest/gtest.h>

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;

UdpEndpoint host(std::uint32_t number, std::uint16_t port = 1) {
  return {asio::ip::address_v4(0x14000000U + number), port};
}

TEST(ReachabilityTest, IsProvenByAStrangerOnly) {
  TimePoint now{1h};
  Reachability reachability(now);
  EXPECT_FALSE(reachability.reachable(now));
  reachability.on_sent(host(1), now);
  reachability.on_query(host(1), now);
  reachability.on_query(host(1, 77), now);
  EXPECT_FALSE(reachability.reachable(now)) << "a NAT lets those in to whom we wrote";
  reachability.on_query(host(2), now);
  EXPECT_TRUE(reachability.reachable(now));
  reachability.forget(now);
  EXPECT_FALSE(reachability.reachable(now));
}

TEST(ReachabilityTest, SaysItIsReadOnlyWhenATrialBringsNobodyAndTriesAgainLater) {
  TimePoint now{1h};
  Reachability reachability(now);
  EXPECT_FALSE(reachability.read_only(now)) << "nobody would hear of us";
  now += kTrial;
  EXPECT_TRUE(reachability.read_only(now));
  reachability.on_query(host(1), now);
  EXPECT_FALSE(reachability.read_only(now));
  now += kReachableFor;
  EXPECT_TRUE(reachability.read_only(now));
  now = TimePoint{1h} + kTrialEvery;
  EXPECT_FALSE(reachability.read_only(now));
  now += kTrial;
  EXPECT_TRUE(reachability.read_only(now));
  reachability.forget(now);
  EXPECT_FALSE(reachability.read_only(now)) << "another address, another trial";
}

TEST(ReachabilityTest, NeedsNewProofAfterAnHour) {
  TimePoint now{1h};
  Reachability reachability(now);
  reachability.on_query(host(2), now);
  now += kReachableFor;
  EXPECT_FALSE(reachability.reachable(now));
}

TEST(ReachabilityTest, CallsAHostAStrangerAgainWhenNoNatRemembersIt) {
  TimePoint now{1h};
  Reachability reachability(now);
  reachability.on_sent(host(1), now);
  now += kMappingLife;
  reachability.on_query(host(1), now);
  EXPECT_FALSE(reachability.reachable(now));
  now += 1s;
  reachability.on_query(host(1), now);
  EXPECT_TRUE(reachability.reachable(now));
}

TEST(ReachabilityTest, RemembersTheLatestOfManyContacts) {
  TimePoint now{1h};
  Reachability reachability(now);
  for (std::uint32_t i = 0; i < 2 * kMaxContacted; ++i) reachability.on_sent(host(i), now += 1us);
  reachability.on_query(host(kMaxContacted), now);
  EXPECT_FALSE(reachability.reachable(now));
  reachability.on_query(host(kMaxContacted - 1), now);
  EXPECT_TRUE(reachability.reachable(now)) << "forgotten, to stay bounded";
}

}  // namespace
}  // namespace swarmfs::net
