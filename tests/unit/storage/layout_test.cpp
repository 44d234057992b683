#include "storage/layout.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace swarmfs::storage {
namespace {

constexpr std::uint32_t kPiece = 4 * kBlockSize;

PieceIndex piece(const Layout& layout, std::uint32_t index) {
  return layout.piece_at(index).value();
}

TEST(Layout, OnlyTheLastPieceAndItsLastBlockAreShort) {
  const Layout layout(2 * kPiece + kBlockSize + 7, kPiece);
  ASSERT_EQ(layout.piece_count(), 3U);
  EXPECT_EQ(layout.piece_size(piece(layout, 1)), kPiece);
  EXPECT_EQ(layout.block_count(piece(layout, 1)), 4U);
  EXPECT_EQ(layout.piece_size(piece(layout, 2)), kBlockSize + 7);
  EXPECT_EQ(layout.block_count(piece(layout, 2)), 2U);
  EXPECT_EQ(layout.block_size({piece(layout, 2), 0}), kBlockSize);
  EXPECT_EQ(layout.block_size({piece(layout, 2), 1}), 7U);
  EXPECT_EQ(layout.range(BlockId{piece(layout, 2), 1}),
            (ByteRange{2 * kPiece + kBlockSize, layout.total_size()}));
}

TEST(Layout, ATorrentThatEndsWithAPieceHasNoShortOne) {
  const Layout layout(2 * kPiece, kPiece);
  EXPECT_EQ(layout.piece_count(), 2U);
  EXPECT_EQ(layout.piece_size(piece(layout, 1)), kPiece);
  EXPECT_FALSE(layout.next(piece(layout, 1)));
  EXPECT_EQ(layout.next(layout.first_piece()), layout.piece_at(1));
}

TEST(Layout, PiecesOfOneByteHaveOneBlockOfOneByte) {
  const Layout layout(10, 1);
  EXPECT_EQ(layout.piece_count(), 10U);
  EXPECT_EQ(layout.blocks_per_piece(), 1U);
  EXPECT_EQ(layout.block_count(piece(layout, 9)), 1U);
  EXPECT_EQ(layout.block_size({piece(layout, 9), 0}), 1U);
  EXPECT_EQ(layout.piece_of(9), piece(layout, 9));
  EXPECT_TRUE(layout.block_at(3, 0, 1));
  EXPECT_FALSE(layout.block_at(3, 0, 2));
}

TEST(Layout, APieceLengthOffTheBlockGridEndsInAShortBlockEveryTime) {
  const Layout layout(3 * (kBlockSize + 100), kBlockSize + 100);
  EXPECT_EQ(layout.blocks_per_piece(), 2U);
  EXPECT_EQ(layout.block_size({piece(layout, 0), 1}), 100U);
  EXPECT_EQ(layout.range(BlockId{piece(layout, 1), 0}),
            (ByteRange{kBlockSize + 100, 2 * kBlockSize + 100}));
}

TEST(Layout, OffsetsBeyondFourGibibytesAreExact) {
  const std::uint64_t total = (std::uint64_t{1} << 48) + 1;
  const std::uint32_t length = 512 * 1024 * 1024 - 16 * 1024;
  const Layout layout(total, length);
  const PieceIndex last = piece(layout, layout.piece_count() - 1);
  EXPECT_EQ(layout.range(last).end, total);
  EXPECT_EQ(layout.piece_of(total - 1), last);
  EXPECT_EQ(layout.range(last).begin, std::uint64_t{last.value()} * length);
}

TEST(Layout, APieceThatDoesNotExistCannotBeNamed) {
  const Layout layout(10, 4);
  EXPECT_TRUE(layout.piece_at(2));
  EXPECT_FALSE(layout.piece_at(3));
  EXPECT_FALSE(layout.piece_at(0xFFFFFFFF));
}

TEST(Layout, OnlyExactlyOurBlocksHaveANameOnTheWire) {
  const Layout layout(kPiece + kBlockSize + 7, kPiece);
  EXPECT_EQ(layout.block_at(1, kBlockSize, 7), (BlockId{piece(layout, 1), 1}));
  EXPECT_EQ(layout.block_at(0, 3 * kBlockSize, kBlockSize), (BlockId{piece(layout, 0), 3}));
  EXPECT_FALSE(layout.block_at(0, 1, kBlockSize)) << "off the grid";
  EXPECT_FALSE(layout.block_at(0, kBlockSize - 1, 1)) << "off the grid";
  EXPECT_FALSE(layout.block_at(0, 0, kBlockSize - 1)) << "too short";
  EXPECT_FALSE(layout.block_at(0, 0, 2 * kBlockSize)) << "two at once";
  EXPECT_FALSE(layout.block_at(0, 0, 0));
  EXPECT_FALSE(layout.block_at(1, kBlockSize, kBlockSize)) << "beyond the end of the torrent";
  EXPECT_FALSE(layout.block_at(0, kPiece, kBlockSize)) << "beyond the end of the piece";
  EXPECT_FALSE(layout.block_at(2, 0, kBlockSize)) << "no such piece";
  EXPECT_FALSE(layout.block_at(0, 0xFFFFC000, kBlockSize)) << "begin + length wraps";
}

// -- padding

TEST(LayoutPadding, OnlyABlockThatIsAllPaddingIsNeverRequested) {
  // Block 0 is half padding, 1 and 2 are all of it, 3 has one byte of data at its end.
  const Layout layout(kPiece, kPiece, {{kBlockSize / 2, 4 * kBlockSize - 1}});
  const PieceIndex only = layout.first_piece();
  EXPECT_FALSE(layout.is_padding({only, 0}));
  EXPECT_TRUE(layout.is_padding({only, 1}));
  EXPECT_TRUE(layout.is_padding({only, 2}));
  EXPECT_FALSE(layout.is_padding({only, 3}));
}

TEST(LayoutPadding, NeighbouringPadsCoverABlockTogether) {
  const Layout whole(2 * kBlockSize, kBlockSize, {{0, 100}, {100, kBlockSize}});
  EXPECT_TRUE(whole.is_padding({piece(whole, 0), 0}));
  EXPECT_FALSE(whole.is_padding({piece(whole, 1), 0}));
  const Layout gap(2 * kBlockSize, kBlockSize, {{0, 100}, {101, kBlockSize}});
  EXPECT_FALSE(gap.is_padding({piece(gap, 0), 0}));
}

TEST(LayoutPadding, AShortLastBlockOfPaddingIsPadding) {
  const Layout layout(kBlockSize + 10, kBlockSize, {{kBlockSize, kBlockSize + 10}});
  EXPECT_FALSE(layout.is_padding({piece(layout, 0), 0}));
  EXPECT_TRUE(layout.is_padding({piece(layout, 1), 0}));
}

RC_GTEST_PROP(LayoutPadding, AgreesWithLookingAtEveryByte, ()) {
  const std::uint64_t total = *rc::gen::inRange<std::uint64_t>(1, 5 * kBlockSize);
  std::vector<ByteRange> pads;
  std::uint64_t at = 0;
  while (at < total) {
    const std::uint64_t begin = at + *rc::gen::element<std::uint64_t>(0, 1, 100, kBlockSize);
    const std::uint64_t end = std::min(
        begin + *rc::gen::element<std::uint64_t>(1, 100, kBlockSize, 2 * kBlockSize), total);
    if (begin < end) pads.push_back({begin, end});
    at = std::max(end, begin + 1);
  }
  const Layout layout(total, 2 * kBlockSize, pads);
  for (std::uint32_t p = 0; p < layout.piece_count(); ++p) {
    for (std::uint32_t b = 0; b < layout.block_count(piece(layout, p)); ++b) {
      const BlockId id{piece(layout, p), b};
      std::uint64_t padding = 0;
      for (const ByteRange& pad : pads) padding += pad.intersection(layout.range(id)).size();
      RC_ASSERT(layout.is_padding(id) == (padding == layout.block_size(id)));
    }
  }
}

// -- properties

RC_GTEST_PROP(LayoutProperty, TheBlocksTileTheTorrent, ()) {
  const std::uint64_t total = *rc::gen::inRange<std::uint64_t>(1, 1'000'000);
  const std::uint32_t length = *rc::gen::inRange<std::uint32_t>(1000, 200'000);
  const Layout layout(total, length);
  std::uint64_t at = 0;
  for (std::optional<PieceIndex> p = layout.first_piece(); p; p = layout.next(*p)) {
    RC_ASSERT(layout.range(*p).begin == at);
    RC_ASSERT(layout.block_count(*p) <= layout.blocks_per_piece());
    for (std::uint32_t b = 0; b < layout.block_count(*p); ++b) {
      const BlockId id{*p, b};
      const ByteRange range = layout.range(id);
      RC_ASSERT(range.begin == at && !range.empty() && range.size() <= kBlockSize);
      RC_ASSERT(layout.piece_of(range.begin) == *p && layout.piece_of(range.end - 1) == *p);
      RC_ASSERT(layout.block_at(p->value(), b * kBlockSize, layout.block_size(id)) == id);
      at = range.end;
    }
    RC_ASSERT(layout.range(*p).end == at);
  }
  RC_ASSERT(at == total);
}

}  // namespace
}  // namespace swarmfs::storage
