// What an earlier process left in the cache file, and what is taken out of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/system/errc.hpp>

#include "storage/piece_check.h"
#include "tests/unit/storage/store_rig.h"

namespace swarmfs::storage {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

constexpr std::uint32_t kPiece = 64 * 1024;
constexpr std::uint32_t kLarge = 4 * 1024 * 1024;
using Verdict = PieceStore::Verdict;

// With the file as an earlier process left it, and `claimed` said of it.
struct Left {
  Sample sample;
  Rig::Options options;
};
Left left(std::uint32_t pieces, std::uint32_t length, std::vector<std::uint32_t> claimed) {
  Sample sample(std::uint64_t{pieces} * length, length);
  Rig::Options options;
  options.claimed = std::move(claimed);
  options.file = sample.truth;
  return {std::move(sample), std::move(options)};
}

TEST(ClaimedPieces, ArePresentAndInTheFileButNotVerified) {
  auto [sample, options] = left(4, kPiece, {1, 3});
  Rig rig(std::move(sample), std::move(options));
  EXPECT_TRUE(rig.store->verified().none());
  EXPECT_EQ(rig.store->present().count(), 2U);
  EXPECT_EQ(rig.store->in_file().count(), 2U);
  EXPECT_EQ(rig.store->verified_bytes({0, 4 * kPiece}), 0U);
  EXPECT_EQ(rig.store->present_bytes({0, 4 * kPiece}), 2 * kPiece);
  EXPECT_EQ(rig.put(1, 0), PieceStore::Put::duplicate) << "nobody needs to send it";
  EXPECT_FALSE(rig.store->try_read(rig.range(1))) << "not before it was hashed";
}

TEST(ClaimedPieces, AreHashedByTheFirstReadAndThenReadAtOnce) {
  auto [sample, options] = left(4, kPiece, {0, 1, 2, 3});
  Rig rig(std::move(sample), std::move(options));
  const ByteRange some{kPiece + 10, kPiece + 20};
  const auto reader = rig.read(some);
  EXPECT_TRUE(rig.is_truth(reader, some));
  EXPECT_EQ(rig.store->verified().count(), 1U) << "the piece that was read, and no other";
  EXPECT_TRUE(rig.reads_now(rig.range(1)));
  EXPECT_EQ(rig.pool.in_use(), 0U);
  const auto all = rig.read({0, 4 * kPiece});
  EXPECT_TRUE(rig.is_truth(all, {0, 4 * kPiece}));
  EXPECT_THAT(rig.lost, IsEmpty());
  EXPECT_THAT(rig.warnings, IsEmpty());
}

TEST(ClaimedPieces, ASmallReadOfALargePieceChecksThatPieceInChunks) {
  auto [sample, options] = left(3, kLarge, {0, 1, 2});
  Rig rig(std::move(sample), std::move(options));
  const ByteRange some{kLarge, kLarge + 16384};
  EXPECT_TRUE(rig.is_truth(rig.read(some), some));
  EXPECT_EQ(rig.disk.reads, kLarge / static_cast<int>(kReadBufferSize) + 1)
      << "and the read itself";
}

TEST(ClaimedPieces, AreCheckedInTheOrderOfTheirNeed) {
  auto [sample, options] = left(8, kPiece, {0, 1, 2, 3, 4, 5, 6, 7});
  Rig rig(std::move(sample), std::move(options));
  const auto far = rig.loop.start(rig.store->read({4 * kPiece, 8 * kPiece}));
  const auto near = rig.loop.start(rig.store->read({2 * kPiece, 3 * kPiece}));
  std::vector<std::uint32_t> order;
  rig.store->on_used([&order](PieceIndex p) { order.push_back(p.value()); });
  rig.loop.settle();
  EXPECT_TRUE(far.done());
  EXPECT_TRUE(near.done());
  EXPECT_THAT(order, ElementsAre(4U, 5U, 6U, 7U, 2U));
}

TEST(ClaimedPieces, ADamagedOneIsFetchedAgainForItsReader) {
  auto [sample, options] = left(4, kPiece, {0, 1, 2, 3});
  options.file[2 * kPiece + 77] ^= std::byte{4};
  Rig rig(std::move(sample), std::move(options));
  const auto reader = rig.read({0, 4 * kPiece});
  EXPECT_FALSE(reader.done());
  EXPECT_THAT(rig.lost, ElementsAre(2U));
  EXPECT_THAT(rig.warnings, SizeIs(1));
  EXPECT_EQ(rig.store->present().count(), 3U);
  EXPECT_EQ(rig.deliver(2), Verdict::good);
  EXPECT_TRUE(rig.is_truth(reader, {0, 4 * kPiece}));
  EXPECT_EQ(rig.store->in_file().count(), 4U);
}

TEST(ClaimedPieces, PastTheEndOfTheFileOrUnreadableAreMissing) {
  auto [sample, options] = left(8, kPiece, {0, 1, 2, 3, 4, 5, 6, 7});
  options.file.resize(5 * kPiece + 100);
  std::fill_n(options.file.begin() + kPiece, kPiece, std::byte{});  // a hole
  Rig rig(std::move(sample), std::move(options));
  rig.disk.bad = {3 * kPiece, 3 * kPiece + 1};
  const auto reader = rig.read({0, 8 * kPiece});
  EXPECT_THAT(rig.lost, testing::UnorderedElementsAre(1U, 3U, 5U, 6U, 7U));
  EXPECT_THAT(rig.warnings, SizeIs(1)) << "the next with the tenth";
  rig.disk.bad = {};
  for (const std::uint32_t p : rig.lost) EXPECT_EQ(rig.deliver(p), Verdict::good);
  EXPECT_TRUE(rig.is_truth(reader, {0, 8 * kPiece}));
}

// A cut, or a sync that failed, at each point of a check and of a write: what the file lost then is
// never taken for what was verified.
TEST(ClaimedPieces, WhatComesIntoDoubtWhileItIsCheckedIsCheckedAgain) {
  for (int steps = 0; steps < 40; ++steps) {
    auto [sample, options] = left(2, kPiece, {0, 1});
    Rig rig(std::move(sample), std::move(options));
    const auto first = rig.loop.start(rig.store->read(rig.range(0)));
    for (int i = 0; i < steps; ++i) rig.loop.step();
    std::ranges::fill(rig.disk.file, std::byte{});
    rig.store->doubt_file();
    rig.loop.settle();
    EXPECT_FALSE(rig.store->try_read(rig.range(0))) << steps;
    const auto later = rig.read(rig.range(0));
    EXPECT_FALSE(later.done()) << steps;
    ASSERT_THAT(rig.lost, testing::Contains(0U)) << steps;
    EXPECT_EQ(rig.deliver(0), Verdict::good);
    EXPECT_TRUE(rig.is_truth(first, rig.range(0))) << steps;
    EXPECT_TRUE(rig.is_truth(later, rig.range(0))) << steps;
  }
}

TEST(ClaimedPieces, WhatComesIntoDoubtWhileItIsWrittenIsCheckedBeforeItIsRead) {
  auto [sample, options] = left(2, kPiece, {});
  Rig rig(std::move(sample), std::move(options));
  rig.disk.hold_writes = true;
  EXPECT_EQ(rig.deliver(0), Verdict::good);
  rig.store->doubt_file();
  rig.disk.let_writes_go();
  rig.loop.settle();
  std::ranges::fill(rig.disk.file, std::byte{});
  EXPECT_FALSE(rig.store->try_read(rig.range(0)));
  const auto reader = rig.read(rig.range(0));
  EXPECT_FALSE(reader.done());
  EXPECT_EQ(rig.deliver(0), Verdict::good);
  EXPECT_TRUE(rig.is_truth(reader, rig.range(0)));
}

TEST(ClaimedPieces, NobodyIsCheckedForAReaderThatLeft) {
  auto [sample, options] = left(64, kPiece, {});
  for (std::uint32_t n = 0; n < 64; ++n) options.claimed.push_back(n);
  Rig rig(std::move(sample), std::move(options));
  auto reader = rig.loop.start(rig.store->read({0, 64 * kPiece}));
  reader.cancel();
  rig.loop.settle();
  EXPECT_LE(rig.store->verified().count(), kMaxChecks);
}

TEST(ClaimedPieces, AreClosedInTheMiddleOfACheck) {
  auto [sample, options] = left(3, kLarge, {0, 1, 2});
  Rig rig(std::move(sample), std::move(options));
  const auto reader = rig.loop.start(rig.store->read({0, 3 * kLarge}));
  while (rig.disk.reads == 0) rig.loop.step();
  rig.store->close();
  rig.loop.settle();
  ASSERT_TRUE(reader.done());
  EXPECT_EQ(reader.value().error(), StorageErrc::closed);
  EXPECT_EQ(rig.store->in_file().count(), 3U) << "still claimed: nothing was found wrong";
}

TEST(ClaimedPieces, WithoutADiskNothingIsClaimed) {
  auto [sample, options] = left(4, kPiece, {0});
  options.disk = false;
  Rig rig(std::move(sample), std::move(options));
  EXPECT_TRUE(rig.store->present().none());
}

TEST(ClaimedPieces, CanBeCheckedWithoutAReader) {
  auto [sample, options] = left(4, kPiece, {0, 1});
  options.file[kPiece] ^= std::byte{1};
  Rig rig(std::move(sample), std::move(options));
  for (const std::uint32_t p : {0U, 1U, 2U}) rig.loop.run(rig.store->check(rig.piece(p)));
  EXPECT_TRUE(rig.store->verified().test(rig.piece(0)));
  EXPECT_THAT(rig.lost, ElementsAre(1U));
}

// -- taken out of the file

TEST(Evict, AStoredPieceIsMissingAgainAndItsSpaceGivenBack) {
  Rig rig(Sample(4 * kPiece, kPiece));
  rig.deliver_all();
  EXPECT_TRUE(rig.store->may_evict(rig.piece(1)));
  EXPECT_FALSE(rig.loop.run(rig.store->evict(rig.piece(1))));
  EXPECT_THAT(rig.disk.punched, ElementsAre(rig.range(1)));
  EXPECT_THAT(rig.lost, ElementsAre(1U));
  EXPECT_FALSE(rig.store->try_read(rig.range(1)));
  EXPECT_FALSE(rig.store->in_file().test(rig.piece(1)));
  const auto reader = rig.read({0, 4 * kPiece});
  EXPECT_FALSE(reader.done());
  EXPECT_EQ(rig.deliver(1), Verdict::good);
  EXPECT_TRUE(rig.is_truth(reader, {0, 4 * kPiece}));
}

TEST(Evict, IsNotPossibleForWhatIsNotInTheFileOrIsAtWork) {
  auto [sample, options] = left(4, kPiece, {0, 1});
  Rig rig(std::move(sample), std::move(options));
  const auto busy =
      boost::system::errc::make_error_code(boost::system::errc::device_or_resource_busy);
  EXPECT_EQ(rig.loop.run(rig.store->evict(rig.piece(2))), busy) << "missing";
  rig.disk.hold_writes = true;
  EXPECT_EQ(rig.deliver(2), Verdict::good);
  EXPECT_EQ(rig.loop.run(rig.store->evict(rig.piece(2))), busy) << "being written";
  rig.disk.let_writes_go();
  rig.loop.settle();
  EXPECT_FALSE(rig.loop.run(rig.store->evict(rig.piece(2))));
  const auto reader = rig.loop.start(rig.store->read(rig.range(0)));
  rig.loop.step();
  EXPECT_FALSE(rig.store->may_evict(rig.piece(0))) << "being checked";
  rig.loop.settle();
  EXPECT_TRUE(rig.is_truth(reader, rig.range(0)));
}

TEST(Evict, NeverPunchesWhatIsBeingReadFromTheFile) {
  Rig rig(Sample(4 * kPiece, kPiece));
  rig.deliver_all();
  rig.squeeze();
  const auto reader = rig.loop.start(rig.store->read({kPiece, 3 * kPiece}));
  rig.loop.step();
  if (!reader.done()) {
    EXPECT_FALSE(rig.store->may_evict(rig.piece(1)));
    EXPECT_FALSE(rig.store->may_evict(rig.piece(2)));
    EXPECT_TRUE(rig.store->may_evict(rig.piece(3)));
  }
  rig.loop.settle();
  EXPECT_TRUE(rig.is_truth(reader, {kPiece, 3 * kPiece}));
  EXPECT_TRUE(rig.store->may_evict(rig.piece(1)));
}

TEST(Evict, AReaderThatComesWhileTheHoleIsMadeGetsTheTruth) {
  Rig rig(Sample(4 * kPiece, kPiece));
  rig.deliver_all();
  const auto evicted = rig.loop.start(rig.store->evict(rig.piece(1)));
  const auto reader = rig.loop.start(rig.store->read(rig.range(1)));
  rig.loop.step();
  rig.loop.step();
  EXPECT_FALSE(evicted.done());
  EXPECT_FALSE(rig.store->try_read(rig.range(1)));
  EXPECT_EQ(rig.put(1, 0), PieceStore::Put::duplicate);
  rig.loop.settle();
  ASSERT_TRUE(evicted.done());
  EXPECT_FALSE(reader.done());
  EXPECT_EQ(rig.deliver(1), Verdict::good);
  EXPECT_TRUE(rig.is_truth(reader, rig.range(1)));
}

TEST(Evict, WhereHolesCannotBeMadeThePieceStays) {
  Rig rig(Sample(4 * kPiece, kPiece));
  rig.deliver_all();
  rig.disk.refuses_holes = true;
  const auto evicted = rig.loop.start(rig.store->evict(rig.piece(1)));
  const auto reader = rig.loop.start(rig.store->read(rig.range(1)));
  rig.loop.settle();
  EXPECT_EQ(evicted.value(),
            boost::system::errc::make_error_code(boost::system::errc::not_supported));
  EXPECT_TRUE(rig.is_truth(reader, rig.range(1))) << "from the file, hashed again";
  EXPECT_THAT(rig.lost, IsEmpty());
}

}  // namespace
}  // namespace swarmfs::storage
