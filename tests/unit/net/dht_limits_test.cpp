#include "net/dht_limits.h"

#include <gtest/gtest.h>

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;

UdpEndpoint host(std::uint32_t number, std::uint16_t port = 1) {
  return {asio::ip::address_v4(0x14000000U + number), port};
}

TEST(DhtLimitsTest, AnswersAHostThatAsksFourTimesASecond) {
  DhtLimits limits;
  TimePoint now{1h};
  for (int i = 0; i < 1000; ++i, now += 250ms) EXPECT_TRUE(limits.on_query(host(1), now)) << i;
}

TEST(DhtLimitsTest, DoesNotAnswerAFloodForFiveMinutesWhateverItsPorts) {
  DhtLimits limits;
  TimePoint now{1h};
  int answered = 0;
  for (std::uint16_t i = 1; i <= 1000; ++i) {
    if (limits.on_query(host(1, i), now)) ++answered;
  }
  EXPECT_EQ(answered, 49);
  EXPECT_TRUE(limits.on_query(host(2), now)) << "others are";
  now += kQueryBan - 1s;
  EXPECT_FALSE(limits.on_query(host(1), now));
  now += 1s;
  EXPECT_TRUE(limits.on_query(host(1), now));
}

TEST(DhtLimitsTest, CountsManyHostsAndNoMore) {
  DhtLimits limits;
  TimePoint now{1h};
  for (std::uint32_t i = 0; i < 3 * kMaxCountedHosts; ++i, now += 1us) {
    EXPECT_TRUE(limits.on_query(host(i), now));
  }
  EXPECT_EQ(limits.counted_hosts(), kMaxCountedHosts);
}

TEST(DhtLimitsTest, SpendsABudgetOfAnswersThatRefills) {
  DhtLimits limits;
  TimePoint now{1h};
  std::size_t sent = 0;
  while (limits.may_answer(1000, now)) sent += 1000;
  EXPECT_EQ(sent, kAnswerBurst);
  now += 1s;
  while (limits.may_answer(1000, now)) sent += 1000;
  EXPECT_EQ(sent, kAnswerBurst + kAnswerRate);
  now += 24h;
  EXPECT_TRUE(limits.may_answer(kAnswerBurst, now));
  EXPECT_FALSE(limits.may_answer(1, now)) << "no more is saved up than a burst";
}

}  // namespace
}  // namespace swarmfs::net
