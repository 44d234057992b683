#include "storage/units.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <type_traits>

#include "storage/layout.h"

namespace swarmfs::storage {
namespace {

static_assert(!std::is_constructible_v<PieceIndex, std::uint32_t>,
              "a number from the wire becomes a piece through a Layout only");
static_assert(!std::is_default_constructible_v<PieceIndex>);

TEST(ByteRange, HoldsItsBeginningAndNotItsEnd) {
  const ByteRange range{10, 20};
  EXPECT_EQ(range.size(), 10U);
  EXPECT_TRUE(range.contains(10));
  EXPECT_TRUE(range.contains(19));
  EXPECT_FALSE(range.contains(20));
  EXPECT_FALSE(range.contains(9));
  EXPECT_FALSE((ByteRange{10, 10}).contains(10));
  EXPECT_TRUE((ByteRange{10, 10}).empty());
  EXPECT_FALSE(range.empty());
}

TEST(ByteRange, NeighboursDoNotIntersect) {
  EXPECT_FALSE((ByteRange{0, 10}).intersects({10, 20}));
  EXPECT_TRUE((ByteRange{0, 11}).intersects({10, 20}));
  EXPECT_TRUE((ByteRange{0, 10}).intersection({10, 20}).empty());
  EXPECT_EQ((ByteRange{0, 10}).intersection({90, 95}).size(), 0U) << "never a negative size";
}

TEST(BlockId, SortsByPieceThenBlock) {
  const Layout layout(4 * kBlockSize, 2 * kBlockSize);
  const PieceIndex zero = layout.first_piece(), one = layout.piece_at(1).value();
  EXPECT_LT((BlockId{zero, 1}), (BlockId{one, 0}));
  EXPECT_LT((BlockId{one, 0}), (BlockId{one, 1}));
}

RC_GTEST_PROP(ByteRangeProperty, AnOffsetIsInTheIntersectionWhenItIsInBoth, ()) {
  const auto number = rc::gen::inRange<std::uint64_t>(0, 12);
  ByteRange a{*number, *number}, b{*number, *number};
  if (a.end < a.begin) std::swap(a.begin, a.end);
  if (b.end < b.begin) std::swap(b.begin, b.end);
  const ByteRange both = a.intersection(b);
  std::uint64_t common = 0;
  for (std::uint64_t at = 0; at < 12; ++at) {
    RC_ASSERT(both.contains(at) == (a.contains(at) && b.contains(at)));
    if (both.contains(at)) ++common;
  }
  RC_ASSERT(both.size() == common);
  RC_ASSERT(both == b.intersection(a) || both.empty());
  if (!a.empty() && !b.empty()) RC_ASSERT(a.intersects(b) == !both.empty());
}

}  // namespace
}  // namespace swarmfs::storage
