#include "fs/own_pieces.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "tests/unit/storage/store_rig.h"

namespace swarmfs::fs {
namespace {

using storage::ByteRange;
using storage::kBlockSize;
using storage::kNeverUsed;
using storage::Rig;
using storage::Sample;
using storage::use_time;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::uint32_t kPiece = 2 * kBlockSize;

class OwnPiecesTest : public testing::Test {
 protected:
  OwnPiecesTest() : rig(Sample(6 * kPiece, kPiece)) {
    rig.deliver_all();
    rig.store->on_used([this](storage::PieceIndex piece) { own->on_used(piece); });
  }
  void begin(std::vector<std::uint32_t> last_used = {}) {
    own.emplace(OwnPieces::Parts{.executor = rig.loop.executor(),
                                 .store = *rig.store,
                                 .pinned = pinned,
                                 .windows = [this] { return windows; },
                                 .minutes = [this] { return minutes; }},
                last_used);
  }
  std::uint64_t give_up(std::uint64_t bytes, storage::UseTime before = kNeverUsed) {
    return rig.loop.run(own->give_up(bytes, before));
  }

  Rig rig;
  std::vector<ByteRange> windows, pinned;
  std::uint32_t minutes = 100;
  std::optional<OwnPieces> own;
};

TEST_F(OwnPiecesTest, WhatIsGivenUpIsPunchedOutAndMissing) {
  begin();
  EXPECT_EQ(give_up(kPiece + 1), 2 * kPiece);
  EXPECT_THAT(rig.disk.punched, ElementsAre(rig.range(0), rig.range(1)));
  EXPECT_THAT(rig.lost, ElementsAre(0, 1));
  EXPECT_FALSE(rig.store->present().test(rig.piece(0)));
  EXPECT_TRUE(rig.reads_now(rig.range(2)));
}

TEST_F(OwnPiecesTest, WhatWasReadLastStaysLongest) {
  begin();
  for (const std::uint32_t p : {2, 0, 5, 1}) EXPECT_TRUE(rig.reads_now(rig.range(p)));
  EXPECT_EQ(own->oldest(), use_time(100, 1)) << "3 and 4 are new: as good as just read";
  give_up(3 * kPiece);
  EXPECT_THAT(rig.lost, ElementsAre(2, 0, 5)) << "even within one minute";
}

TEST_F(OwnPiecesTest, TimesOfAnEarlierRunCount) {
  begin({90, 80, 70, 99, 98, 97});
  give_up(2 * kPiece);
  EXPECT_THAT(rig.lost, ElementsAre(2, 1));
}

TEST_F(OwnPiecesTest, OthersGetWhatIsOlderThanTheirs) {
  begin({90, 80, 70, 99, 98, 97});
  EXPECT_EQ(own->oldest(), use_time(70));
  EXPECT_EQ(give_up(UINT64_MAX, use_time(85)), 2 * kPiece);
}

TEST_F(OwnPiecesTest, AReadersWindowStays) {
  begin();
  windows = {{0, 5 * kPiece}};
  EXPECT_EQ(give_up(UINT64_MAX), kPiece);
  EXPECT_THAT(rig.lost, ElementsAre(5));
  EXPECT_EQ(own->oldest(), kNeverUsed);
}

TEST_F(OwnPiecesTest, ADiskWithoutHolesGivesNothing) {
  begin();
  rig.disk.refuses_holes = true;
  EXPECT_EQ(give_up(kPiece), 0U);
  EXPECT_THAT(rig.lost, IsEmpty());
}

TEST_F(OwnPiecesTest, WhatComesBackIsNewAgain) {
  begin({90, 80, 70, 99, 98, 97});
  give_up(kPiece);
  rig.deliver(2);
  give_up(5 * kPiece);
  EXPECT_TRUE(rig.store->present().test(rig.piece(2)));
}

}  // namespace
}  // namespace swarmfs::fs
