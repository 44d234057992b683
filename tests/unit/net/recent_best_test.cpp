#include "net/recent_best.h"

#include <gtest/gtest.h>

#include <chrono>
#include <functional>

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;
using Least = RecentBest<int, std::less<>>;

TEST(RecentBestTest, KeepsTheBestOfWhatWasSeen) {
  Least least(10s, 7);
  EXPECT_EQ(least.best(), 7);
  const TimePoint start{1h};
  least.add(9, start);
  EXPECT_EQ(least.best(), 7);
  least.add(5, start + 1s);
  least.add(8, start + 2s);
  EXPECT_EQ(least.best(), 5);
}

TEST(RecentBestTest, ForgetsAfterOneToTwoPeriods) {
  Least least(10s, 3);
  const TimePoint start{1h};
  for (int i = 0; i <= 10; ++i) least.add(6, start + i * 1s);
  EXPECT_EQ(least.best(), 3);
  least.add(6, start + 11s);
  EXPECT_EQ(least.best(), 6);
}

TEST(RecentBestTest, ForgetsAtOnceWhatIsOlderThanTwoPeriods) {
  Least least(10s, 3);
  const TimePoint start{1h};
  least.add(4, start);
  least.add(9, start + 30s);
  EXPECT_EQ(least.best(), 9);
}

TEST(RecentBestTest, TheGreatestWorksAlike) {
  RecentBest<double, std::greater<>> greatest(10s, 0);
  greatest.add(2.5, TimePoint{1h});
  greatest.add(1.5, TimePoint{1h} + 1s);
  EXPECT_EQ(greatest.best(), 2.5);
}

}  // namespace
}  // namespace swarmfs::net
