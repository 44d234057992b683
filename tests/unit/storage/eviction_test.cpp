#include "storage/eviction.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace swarmfs::storage {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::uint32_t kPiece = 64 * 1024;

// A cache of some pieces, all there, used at the times given.
struct Cache {
  explicit Cache(std::vector<UseTime> times)
      : layout(times.size() * std::uint64_t{kPiece}, kPiece),
        stored(layout.piece_count()),
        last_used(std::move(times)) {
    stored.set_all();
  }
  [[nodiscard]] Evictable view() const {
    return {.layout = layout,
            .stored = stored,
            .last_used = last_used,
            .windows = windows,
            .pinned = pinned,
            .used_before = used_before};
  }
  [[nodiscard]] std::vector<std::uint32_t> leaving(std::uint64_t bytes) const {
    std::vector<std::uint32_t> numbers;
    for (const PieceIndex piece : first_to_leave(view(), bytes)) numbers.push_back(piece.value());
    return numbers;
  }
  void pin(std::uint32_t piece) { pinned.push_back(layout.range(*layout.piece_at(piece))); }

  Layout layout;
  Bitfield stored;
  std::vector<UseTime> last_used;
  std::vector<ByteRange> windows;
  std::vector<ByteRange> pinned;
  UseTime used_before = kNeverUsed;
};

TEST(EvictionTest, TheLeastRecentlyUsedLeavesFirst) {
  const Cache cache({30, 10, 20, 40});
  EXPECT_THAT(cache.leaving(1), ElementsAre(1));
  EXPECT_THAT(cache.leaving(kPiece), ElementsAre(1));
  EXPECT_THAT(cache.leaving(kPiece + 1), ElementsAre(1, 2));
  EXPECT_THAT(cache.leaving(UINT64_MAX), ElementsAre(1, 2, 0, 3));
  EXPECT_THAT(cache.leaving(0), IsEmpty());
  EXPECT_EQ(oldest_use(cache.view()), 10U);
}

TEST(EvictionTest, MinutesCountBeforeTheOrderWithinThem) {
  EXPECT_LT(use_time(6, 900), use_time(7, 1));
  EXPECT_LT(use_time(7, 1), use_time(7, 2));
  EXPECT_EQ(minutes_of(use_time(7, 900)), 7U);
  EXPECT_LT(use_time(UINT32_MAX, 0), kNeverUsed);
}

TEST(EvictionTest, PiecesOfTheSameTimeLeaveInTheOrderOfReading) {
  EXPECT_THAT(Cache({5, 5, 5}).leaving(2 * kPiece), ElementsAre(0, 1));
}

TEST(EvictionTest, WhatIsNotInTheFileCannotLeaveIt) {
  Cache cache({1, 2, 3});
  cache.stored.reset(cache.layout.first_piece());
  EXPECT_THAT(cache.leaving(UINT64_MAX), ElementsAre(1, 2));
}

TEST(EvictionTest, AReadersWindowNeverLeaves) {
  Cache cache({1, 2, 3, 4});
  cache.windows = {{0, 1}, {2 * kPiece - 1, 2 * kPiece + 1}};  // touches 0, 1 and 2
  EXPECT_THAT(cache.leaving(UINT64_MAX), ElementsAre(3));
  cache.windows = {{0, UINT64_MAX}};
  EXPECT_THAT(cache.leaving(UINT64_MAX), IsEmpty());
  EXPECT_EQ(oldest_use(cache.view()), kNeverUsed);
}

TEST(EvictionTest, AnEmptyWindowKeepsNothing) {
  Cache cache({1, 2});
  cache.windows = {{kPiece, kPiece}, {UINT64_MAX, UINT64_MAX}};
  EXPECT_THAT(cache.leaving(UINT64_MAX), ElementsAre(0, 1));
}

TEST(EvictionTest, WhatIsPinnedLeavesLast) {
  Cache cache({1, 2, 3, 4});
  cache.pin(0);
  cache.pin(2);
  EXPECT_THAT(cache.leaving(UINT64_MAX), ElementsAre(1, 3, 0, 2));
}

TEST(EvictionTest, OthersGetOnlyWhatWasUsedBeforeTheirs) {
  Cache cache({10, 20, 30});
  cache.used_before = 20;
  EXPECT_THAT(cache.leaving(UINT64_MAX), ElementsAre(0));
  cache.used_before = 10;
  EXPECT_THAT(cache.leaving(UINT64_MAX), IsEmpty());
}

TEST(EvictionTest, AShortLastPieceFreesWhatItHas) {
  const Layout layout(kPiece + 100, kPiece);
  Bitfield stored(2);
  stored.set_all();
  const std::vector<UseTime> last_used{2, 1};
  const Evictable cache{.layout = layout, .stored = stored, .last_used = last_used};
  EXPECT_EQ(first_to_leave(cache, 100).size(), 1U);
  EXPECT_EQ(first_to_leave(cache, 101).size(), 2U);
}

TEST(EvictionTest, HeadsAndTailsOfFilesArePinnedAndSmallFilesWhole) {
  constexpr std::uint64_t kMiB = 1024 * 1024;
  const std::vector<FileEntry> files{{.path = {"film"}, .offset = 0, .length = 10 * kMiB},
                                     {.path = {"empty"}, .offset = 10 * kMiB, .length = 0},
                                     {.path = {"small"}, .offset = 10 * kMiB, .length = 5}};
  EXPECT_THAT(pinned_ranges(files), ElementsAre(ByteRange{0, kMiB}, ByteRange{8 * kMiB, 10 * kMiB},
                                                ByteRange{10 * kMiB, 10 * kMiB + 5}));
}

// Whatever the times, windows and pins: what leaves is stored, outside every window, used before
// all that stays of its kind, and no more than needed.
TEST(EvictionTest, TheOrderHoldsForAnyCache) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto draw = [&random](std::uint32_t below) {
    return static_cast<std::uint32_t>(random() % below);
  };
  for (int round = 0; round < 300; ++round) {
    Cache cache(std::vector<UseTime>(1 + draw(40), 0));
    const std::uint32_t count = cache.layout.piece_count();
    for (UseTime& time : cache.last_used) time = draw(8);
    Bitfield windowed(count), pinned(count);
    for (std::uint32_t p = 0; p < count; ++p) {
      const PieceIndex piece = *cache.layout.piece_at(p);
      if (draw(3) == 0) cache.stored.reset(piece);
      if (draw(5) == 0 && windowed.set(piece)) cache.windows.push_back(cache.layout.range(piece));
      if (draw(5) == 0 && pinned.set(piece)) cache.pin(p);
    }
    const std::uint64_t need = draw(count + 1) * std::uint64_t{kPiece};
    const std::vector<PieceIndex> leaving = first_to_leave(cache.view(), need);
    const auto rank = [&](PieceIndex p) {
      return std::pair(pinned.test(p), cache.last_used[p.value()]);
    };
    std::uint64_t free_to_go = 0;
    for (std::uint32_t p = 0; p < count; ++p) {
      const PieceIndex piece = *cache.layout.piece_at(p);
      const bool may_go = cache.stored.test(piece) && !windowed.test(piece);
      const bool goes = std::find(leaving.begin(), leaving.end(), piece) != leaving.end();
      ASSERT_TRUE(may_go || !goes) << "piece " << p;
      free_to_go += may_go ? kPiece : 0;
      if (!may_go || goes || leaving.empty()) continue;
      ASSERT_LE(rank(leaving.back()), rank(piece)) << "piece " << p << " stays too long";
    }
    ASSERT_EQ(leaving.size() * std::uint64_t{kPiece}, std::min(need, free_to_go));
  }
}

}  // namespace
}  // namespace swarmfs::storage
