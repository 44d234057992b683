#include "fs/cache_ledger.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "fs/cache_usage.h"
#include "tests/unit/temp_folder.h"

namespace swarmfs::fs {
namespace {

namespace files = std::filesystem;

constexpr std::uint64_t kKiB = 1024, kMiB = 1024 * kKiB, kGiB = 1024 * kMiB;
const std::string kOne(40, 'a');
const std::string kTwo(40, 'b');

class CacheLedgerTest : public testing::Test {
 protected:
  CacheLedger open(std::uint64_t size) {
    auto ledger =
        CacheLedger::open(root_, {.size = Amount::of_bytes(size), .min_free = Amount::of_bytes(1)});
    EXPECT_TRUE(ledger) << ledger.error().message();
    return *std::move(ledger);
  }
  static std::int64_t room(CacheLedger& ledger, std::uint64_t held = 0) {
    auto count = ledger.count();
    EXPECT_TRUE(count) << count.error().message();
    return count->room(held);
  }
  static void reserve(CacheLedger& ledger, std::uint64_t bytes) {
    EXPECT_FALSE(ledger.count()->reserve(bytes));
  }
  void fill(const std::string& folder, std::uint64_t bytes) {
    files::create_directories(root_ + "/" + folder);
    std::ofstream(root_ + "/" + folder + "/data", std::ios::app) << std::string(bytes, 'x');
  }

  TempFolder folder_;
  std::string root_ = folder_.path();
};

TEST(RoomLeftTest, TheSmallerOfTwoLimitsCounts) {
  const DiskSpace disk{.total = 100 * kGiB, .free = 50 * kGiB};
  const CacheLimits both{.size = Amount::parse("20G"), .min_free = Amount::parse("10%")};
  EXPECT_EQ(room_left(both, disk, 5 * kGiB, 1 * kGiB), 14 * static_cast<std::int64_t>(kGiB));
  EXPECT_EQ(room_left(both, {disk.total, 12 * kGiB}, 5 * kGiB, 1 * kGiB),
            static_cast<std::int64_t>(kGiB));
}

TEST(RoomLeftTest, WhatIsOverTheLimitIsNegative) {
  const CacheLimits limits{.size = Amount::parse("20G"), .min_free = Amount::parse("1K")};
  const DiskSpace disk{.total = 100 * kGiB, .free = 50 * kGiB};
  EXPECT_EQ(room_left(limits, disk, 21 * kGiB, 1 * kGiB), -2 * static_cast<std::int64_t>(kGiB));
  EXPECT_EQ(room_left(limits, {disk.total, 0}, 0, 0), -static_cast<std::int64_t>(kKiB));
}

TEST(RoomLeftTest, ADiskKeepsALittleFreeUnasked) {
  EXPECT_EQ(room_left({}, {.total = 10 * kGiB, .free = kGiB}, 0, 0),
            static_cast<std::int64_t>(kGiB / 2));
  EXPECT_EQ(room_left({}, {.total = 1000 * kGiB, .free = 3 * kGiB}, 0, 0),
            2 * static_cast<std::int64_t>(kGiB));
}

TEST_F(CacheLedgerTest, WhatLiesInTheFoldersOfTorrentsCountsAndNothingElse) {
  fill(kOne, 256 * kKiB);
  fill(kTwo + std::string(kEphemeralSuffix), 128 * kKiB);
  fill("somebody else's", kMiB);
  fill(kOne + "0", kMiB);
  fill(std::string(40, 'A'), kMiB);
  files::create_symlink("/", root_ + "/" + std::string(40, 'c'));
  EXPECT_EQ(cache_usage(root_), 384 * kKiB);
  EXPECT_EQ(cache_folders(root_).size(), 3U) << "a link is listed, and counts nothing";
}

TEST_F(CacheLedgerTest, AHoleInAFileTakesNoRoom) {
  fill(kOne, 64 * kKiB);
  files::resize_file(root_ + "/" + kOne + "/data", 10 * kGiB);
  EXPECT_EQ(cache_usage(root_), 64 * kKiB);
}

TEST_F(CacheLedgerTest, WhatOneHasReservedIsNoRoomForTheOther) {
  CacheLedger one = open(16 * kMiB), two = open(16 * kMiB);
  fill(kOne, kMiB);
  reserve(one, 5 * kMiB);
  EXPECT_EQ(room(two), static_cast<std::int64_t>(10 * kMiB));
  EXPECT_EQ(room(one, 5 * kMiB), static_cast<std::int64_t>(10 * kMiB)) << "its own counts once";
  reserve(two, 10 * kMiB);
  EXPECT_EQ(room(one, 5 * kMiB), 0);
  reserve(one, 0);
  EXPECT_EQ(room(two, 10 * kMiB), static_cast<std::int64_t>(5 * kMiB));
}

TEST_F(CacheLedgerTest, WhatAKilledProcessHadReservedIsFree) {
  int ready[2];
  ASSERT_EQ(::pipe2(ready, O_CLOEXEC), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    CacheLedger ledger = open(16 * kMiB);
    reserve(ledger, 9 * kMiB);
    if (::write(ready[1], "x", 1) != 1) ::_exit(1);
    while (true) ::pause();
  }
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  CacheLedger ledger = open(16 * kMiB);
  EXPECT_EQ(room(ledger), static_cast<std::int64_t>(7 * kMiB));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_EQ(room(ledger), static_cast<std::int64_t>(16 * kMiB));
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST_F(CacheLedgerTest, OnlyOneCountsAtATime) {
  CacheLedger one = open(16 * kMiB), two = open(16 * kMiB);
  {
    const auto count = one.count();
    ASSERT_TRUE(count);
    EXPECT_FALSE(two.count()) << "and the other does not wait for ever";
  }
  EXPECT_TRUE(two.count());
}

TEST_F(CacheLedgerTest, OthersHearWhatOneIsShortOf) {
  CacheLedger one = open(16 * kMiB), two = open(16 * kMiB);
  EXPECT_TRUE(two.wanted_by_others().empty());
  EXPECT_FALSE(one.want({.bytes = kMiB, .oldest = 7}));
  ASSERT_EQ(two.wanted_by_others().size(), 1U);
  EXPECT_EQ(two.wanted_by_others().front().bytes, kMiB);
  EXPECT_EQ(two.wanted_by_others().front().oldest, 7U);
  EXPECT_TRUE(one.wanted_by_others().empty()) << "its own";
  EXPECT_FALSE(one.want({}));
  EXPECT_TRUE(two.wanted_by_others().empty());
}

TEST_F(CacheLedgerTest, GarbageInTheFileCountsForNothing) {
  std::ofstream(root_ + "/budget") << std::string(20'000, '\xff');
  CacheLedger one = open(16 * kMiB), two = open(16 * kMiB);
  EXPECT_EQ(room(one), static_cast<std::int64_t>(16 * kMiB));
  reserve(two, UINT64_MAX);
  EXPECT_LT(room(one), 0) << "no sum wraps around";
}

TEST_F(CacheLedgerTest, WithoutASlotThereIsNoLedger) {
  std::vector<CacheLedger> all;
  for (std::size_t i = 0; i < kMaxLedgerSlots; ++i) all.push_back(open(kMiB));
  EXPECT_FALSE(CacheLedger::open(root_, {}));
  all.pop_back();
  EXPECT_TRUE(CacheLedger::open(root_, {}));
}

}  // namespace
}  // namespace swarmfs::fs
