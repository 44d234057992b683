#include "fs/prefetcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <vector>

namespace swarmfs::fs {
namespace {

using storage::ByteRange;
using testing::ElementsAre;
using testing::IsEmpty;

TEST(JoinedTest, NeighboursAreOneRun) {
  EXPECT_THAT(joined({{20, 30}, {0, 10}, {10, 15}, {40, 40}, {25, 28}}),
              ElementsAre(ByteRange{0, 15}, ByteRange{20, 30}));
  EXPECT_THAT(joined({}), IsEmpty());
}

class PrefetcherTest : public testing::Test {
 protected:
  net::Demand want(net::Wish wish) {
    EXPECT_EQ(wish.urgency, net::Urgency::background);
    in_force_.push_back(wish.range);
    ++asked_;
    return net::Demand([this, range = wish.range] {
      in_force_.erase(std::find(in_force_.begin(), in_force_.end(), range));
    });
  }

  std::vector<ByteRange> files_{{0, 100}, {100, 200}, {300, 400}};
  std::optional<ByteRange> there_;
  std::vector<ByteRange> in_force_;
  int asked_ = 0;
  Prefetcher prefetcher_{{.want = [this](net::Wish wish) { return want(wish); },
                          .files = [this] { return files_; },
                          .is_there = [this](ByteRange range) { return range == there_; },
                          .margin = 50}};
};

TEST_F(PrefetcherTest, NothingIsWantedBeforeThereIsRoom) {
  prefetcher_.look();
  EXPECT_THAT(in_force_, IsEmpty());
  prefetcher_.on_spare(1000);
  EXPECT_THAT(in_force_, ElementsAre(ByteRange{0, 200}, ByteRange{300, 400}));
}

TEST_F(PrefetcherTest, ItStopsBeforeTheCacheIsFullAndDoesNotFlutter) {
  prefetcher_.on_spare(99);
  EXPECT_FALSE(prefetcher_.active()) << "less than twice the margin";
  prefetcher_.on_spare(100);
  prefetcher_.on_spare(50);
  EXPECT_TRUE(prefetcher_.active());
  prefetcher_.on_spare(49);
  EXPECT_FALSE(prefetcher_.active());
  EXPECT_THAT(in_force_, IsEmpty());
  prefetcher_.on_spare(99);
  EXPECT_FALSE(prefetcher_.active());
}

TEST_F(PrefetcherTest, FilesComeAndGo) {
  prefetcher_.on_spare(1000);
  files_ = {{300, 400}};
  prefetcher_.look();
  EXPECT_THAT(in_force_, ElementsAre(ByteRange{300, 400}));
  there_ = files_.front();
  prefetcher_.look();
  EXPECT_THAT(in_force_, IsEmpty()) << "it is complete";
}

TEST_F(PrefetcherTest, WhatDidNotChangeIsNotAskedAgain) {
  prefetcher_.on_spare(1000);
  const int asked = asked_;
  prefetcher_.look();
  prefetcher_.on_spare(900);
  EXPECT_EQ(asked_, asked);
}

}  // namespace
}  // namespace swarmfs::fs
