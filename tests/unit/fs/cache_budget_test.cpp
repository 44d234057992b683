#include "fs/cache_budget.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "fs/budgeted_disk.h"
#include "tests/unit/net/loopback_server.h"
#include "tests/unit/storage/store_rig.h"
#include "tests/unit/temp_folder.h"

namespace swarmfs::fs {
namespace {

namespace files = std::filesystem;
using storage::kNeverUsed;
using storage::use_time;
using storage::UseTime;

constexpr std::uint64_t kMiB = 1024 * 1024;
constexpr std::uint64_t kLimit = 16 * kMiB;

// A file in a folder of the cache, of which a mount gives up what it is asked for.
class Mount {
 public:
  Mount(const std::string& root, char name, storage::EngineLoop& loop, net::Clock& clock,
        storage::WorkerPool& workers)
      : loop_(loop), path_(root + "/" + std::string(40, name) + "/data") {
    files::create_directories(files::path(path_).parent_path());
    std::ofstream(path_).flush();
    auto ledger = CacheLedger::open(
        root, {.size = Amount::of_bytes(kLimit), .min_free = Amount::of_bytes(1)});
    budget.emplace(CacheBudget::Parts{
        .executor = loop.executor(),
        .clock = clock,
        .workers = workers,
        .ledger = std::make_shared<CacheLedger>(*std::move(ledger)),
        .chunk = 2 * kMiB,
        .give_up = [this](std::uint64_t bytes, UseTime before) { return give_up(bytes, before); },
        .oldest = [this] { return removable > 0 ? oldest : kNeverUsed; },
        .give_up_idle =
            [this](std::uint64_t bytes) {
              idle_asked += bytes;
              return std::uint64_t{0};
            },
        .spare = [this](std::uint64_t bytes) { spare = bytes; },
        .warn = [this](const std::string&) { ++warnings; }});
  }

  ~Mount() { loop_.run(budget->stop()); }

  // What the store does with a piece.
  static Task<bool> write(Mount& mount, std::uint64_t bytes) {
    const bool room = co_await mount.budget->room(bytes);
    if (!room) co_return false;
    std::ofstream(mount.path_, std::ios::app) << std::string(bytes, 'x');
    mount.budget->settle(bytes);
    co_return true;
  }
  [[nodiscard]] std::uint64_t size() const { return files::file_size(path_); }

  std::optional<CacheBudget> budget;
  std::uint64_t removable = 0;  // may be given up
  UseTime oldest = use_time(50);
  std::uint64_t given_up = 0, idle_asked = 0, spare = 0;
  int warnings = 0;

 private:
  Task<std::uint64_t> give_up(std::uint64_t bytes, UseTime before) {
    const std::uint64_t some = oldest < before ? std::min({bytes, removable, size()}) : 0;
    files::resize_file(path_, size() - some);
    removable -= some;
    given_up += some;
    co_return some;
  }
  storage::EngineLoop& loop_;
  std::string path_;
};

class CacheBudgetTest : public testing::Test {
 protected:
  Mount mount(char name) { return {root_, name, loop_, clock_, workers_}; }
  bool write(Mount& mount, std::uint64_t bytes) { return loop_.run(Mount::write(mount, bytes)); }
  // Writes pieces of 1 MiB; how many were kept.
  int fill(Mount& mount, int pieces) {
    int kept = 0;
    for (int i = 0; i < pieces; ++i) {
      kept += write(mount, kMiB) ? 1 : 0;
      EXPECT_LE(cache_usage(root_), kLimit);
    }
    return kept;
  }
  void pass(std::chrono::seconds time) {
    for (auto left = time; left.count() > 0; --left) {
      clock_.advance(std::chrono::seconds(1));
      loop_.settle();
    }
  }

  storage::EngineLoop loop_;
  net::ManualClock clock_;
  storage::WorkerPool workers_{loop_.executor(), 0};
  TempFolder folder_;
  std::string root_ = folder_.path();
};

TEST_F(CacheBudgetTest, WhatFitsIsKeptAndNothingIsGivenUp) {
  Mount one = mount('a');
  one.removable = kLimit;
  EXPECT_EQ(fill(one, 16), 16);
  EXPECT_EQ(one.given_up, 0U);
  EXPECT_EQ(one.warnings, 0);
}

TEST_F(CacheBudgetTest, WhatDoesNotFitMakesRoomForItself) {
  Mount one = mount('a');
  one.removable = UINT64_MAX / 2;
  EXPECT_EQ(fill(one, 60), 60);
  EXPECT_GE(one.given_up, 44 * kMiB);
  EXPECT_LE(one.given_up, 50 * kMiB) << "a chunk at a time, and two ahead";
  EXPECT_GT(one.idle_asked, 0U) << "torrents that nobody has mounted were asked first";
}

TEST_F(CacheBudgetTest, WithoutRoomNothingIsWrittenAndOneLineSaysSo) {
  Mount one = mount('a');
  EXPECT_EQ(fill(one, 20), 16);
  EXPECT_EQ(one.warnings, 1);
  EXPECT_FALSE(write(one, kMiB));
  one.removable = 4 * kMiB;
  EXPECT_TRUE(write(one, kMiB));
}

TEST_F(CacheBudgetTest, ManyWritesAtOnceHoldTheLimitToo) {
  Mount one = mount('a');
  std::vector<storage::Started<bool>> writes;
  for (int i = 0; i < 40; ++i) writes.push_back(loop_.start(Mount::write(one, kMiB)));
  loop_.settle();
  int kept = 0;
  for (const auto& started : writes) {
    ASSERT_TRUE(started.done());
    kept += started.value() ? 1 : 0;
  }
  EXPECT_LE(cache_usage(root_), kLimit);
  EXPECT_EQ(kept, 16);
}

TEST_F(CacheBudgetTest, TwoMountsHoldItTogether) {
  Mount one = mount('a'), two = mount('b');
  one.removable = two.removable = UINT64_MAX / 2;
  for (int i = 0; i < 40; ++i) {
    fill(one, 1);
    fill(two, 1);
  }
  EXPECT_GT(one.size(), 0U);
  EXPECT_GT(two.size(), 0U);
}

TEST_F(CacheBudgetTest, WhatWasReservedAndNotNeededIsForOthersSoon) {
  Mount one = mount('a'), two = mount('b');
  EXPECT_TRUE(write(one, kMiB));  // a chunk is reserved
  EXPECT_LT(fill(two, 16), 15);
  const auto watching = loop_.start(one.budget->watch());
  pass(std::chrono::seconds(3));
  EXPECT_EQ(fill(two, 1), 1);
  EXPECT_FALSE(watching.done());
}

TEST_F(CacheBudgetTest, WhatOthersNeedAndNobodyReadForLongerIsGivenToThem) {
  Mount old = mount('a'), fresh = mount('b');
  EXPECT_EQ(fill(old, 16), 16);
  old.removable = kLimit;
  fresh.oldest = use_time(60);
  const auto one = loop_.start(old.budget->watch()), two = loop_.start(fresh.budget->watch());
  EXPECT_EQ(fill(fresh, 1), 0);
  pass(std::chrono::seconds(2));
  EXPECT_GT(old.given_up, 0U);
  EXPECT_EQ(fill(fresh, 1), 1);
  pass(std::chrono::seconds(2));
  // But not what was read later than all that the other has.
  const std::uint64_t given = old.given_up;
  old.oldest = use_time(70);
  fresh.removable = kLimit;
  fill(fresh, 5);
  pass(std::chrono::seconds(5));
  EXPECT_EQ(old.given_up, given);
  EXPECT_FALSE(one.done() || two.done());
}

TEST_F(CacheBudgetTest, SomebodyWhoFillsTheCacheBesideUsIsNoticed) {
  Mount one = mount('a');
  fill(one, 10);
  one.removable = 10 * kMiB;
  std::ofstream(root_ + "/" + std::string(40, 'a') + "/resume") << std::string(9 * kMiB, 'x');
  const auto watching = loop_.start(one.budget->watch());
  pass(std::chrono::seconds(6));
  EXPECT_LE(cache_usage(root_), kLimit);
  EXPECT_FALSE(watching.done());
}

TEST_F(CacheBudgetTest, SpareRoomIsTold) {
  Mount one = mount('a');
  fill(one, 1);
  EXPECT_EQ(one.spare, kLimit);
  fill(one, 8);
  EXPECT_LE(one.spare, kLimit - 8 * kMiB);
}

TEST_F(CacheBudgetTest, AWriteThatFailsLeavesNothingBehind) {
  Mount one = mount('a');
  storage::FakeDisk disk(loop_.executor());
  int failed = 0;
  BudgetedDisk bounded(disk, &*one.budget, [&failed] { ++failed; });
  disk.full = true;
  const std::vector<std::byte> bytes(kMiB);
  EXPECT_TRUE(loop_.run(bounded.write(3 * kMiB, {bytes})));
  EXPECT_THAT(disk.punched, testing::ElementsAre(storage::ByteRange{3 * kMiB, 4 * kMiB}));
  EXPECT_EQ(failed, 1);
  disk.full = false;
  EXPECT_FALSE(loop_.run(bounded.write(0, {bytes})));
  EXPECT_EQ(fill(one, 20), 16) << "what failed has given its room back";
}

TEST_F(CacheBudgetTest, WithoutABudgetNothingIsWritten) {
  storage::FakeDisk disk(loop_.executor());
  BudgetedDisk bounded(disk, nullptr);
  const std::vector<std::byte> bytes(kMiB);
  EXPECT_EQ(loop_.run(bounded.write(0, {bytes})), storage::StorageErrc::cache_full);
  EXPECT_TRUE(disk.file.empty());
}

}  // namespace
}  // namespace swarmfs::fs
