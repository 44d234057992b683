#include "net/reachability.h"

#include <gtest/gtest.h>

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;

UdpEndpoint host(std::uint32_t number, std::uint16_t port = 1) {
  return {asio::ip::address_v4(0x14000000U + number), port};
}

TEST(ReachabilityTest, IsProvenByAStrangerOnly) {
  Reachability reachability;
  TimePoint now{1h};
  EXPECT_FALSE(reachability.reachable(now));
  reachability.on_sent(host(1), now);
  reachability.on_query(host(1), now);
  reachability.on_query(host(1, 77), now);
  EXPECT_FALSE(reachability.reachable(now)) << "a NAT lets those in to whom we wrote";
  reachability.on_query(host(2), now);
  EXPECT_TRUE(reachability.reachable(now));
  reachability.forget();
  EXPECT_FALSE(reachability.reachable(now));
}

TEST(ReachabilityTest, NeedsNewProofAfterAnHour) {
  Reachability reachability;
  TimePoint now{1h};
  reachability.on_query(host(2), now);
  now += kReachableFor;
  EXPECT_FALSE(reachability.reachable(now));
}

TEST(ReachabilityTest, CallsAHostAStrangerAgainWhenNoNatRemembersIt) {
  Reachability reachability;
  TimePoint now{1h};
  reachability.on_sent(host(1), now);
  now += kMappingLife;
  reachability.on_query(host(1), now);
  EXPECT_FALSE(reachability.reachable(now));
  now += 1s;
  reachability.on_query(host(1), now);
  EXPECT_TRUE(reachability.reachable(now));
}

TEST(ReachabilityTest, RemembersTheLatestOfManyContacts) {
  Reachability reachability;
  TimePoint now{1h};
  for (std::uint32_t i = 0; i < 2 * kMaxContacted; ++i) reachability.on_sent(host(i), now += 1us);
  reachability.on_query(host(kMaxContacted), now);
  EXPECT_FALSE(reachability.reachable(now));
  reachability.on_query(host(kMaxContacted - 1), now);
  EXPECT_TRUE(reachability.reachable(now)) << "forgotten, to stay bounded";
}

}  // namespace
}  // namespace swarmfs::net
