#include "fs/idle_torrents.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "fs/cache_dir.h"
#include "fs/cache_usage.h"
#include "storage/resume.h"
#include "tests/unit/temp_folder.h"

namespace swarmfs::fs {
namespace {

namespace files = std::filesystem;
using storage::PieceIndex;
using testing::ElementsAre;

constexpr std::uint32_t kPiece = 64 * 1024;

class IdleTorrentsTest : public testing::Test {
 protected:
  static storage::InfoHash hash(int n) {
    storage::InfoHash hash{};
    hash.bytes[0] = static_cast<std::byte>(n);
    return hash;
  }
  // A torrent whose pieces are all there, used at these times; claimed while the value lives.
  CacheDir torrent(int n, const std::vector<std::uint32_t>& times) {
    OrComplaint<CacheDir> dir = CacheDir::claim(root_, hash(n));
    EXPECT_TRUE(dir) << dir.error().line;
    const storage::Layout layout(times.size() * std::uint64_t{kPiece}, kPiece);
    std::ofstream(dir->path() + "/data") << std::string(layout.total_size(), 'x');
    storage::Resume resume = storage::empty_resume(hash(n), layout);
    resume.pieces.set_all();
    resume.last_used = times;
    EXPECT_EQ(dir->keep_resume(resume), 0);
    return *std::move(dir);
  }
  // What it says it has.
  std::vector<std::uint32_t> pieces(int n) {
    OrComplaint<CacheDir> dir = CacheDir::claim(root_, hash(n));
    EXPECT_TRUE(dir) << dir.error().line;
    std::string warning;
    const std::optional<storage::Resume> resume = dir->load_resume(&warning);
    EXPECT_EQ(warning, "");
    std::vector<std::uint32_t> numbers;
    if (!resume) return numbers;
    const storage::Layout layout(resume->total_size, resume->piece_length);
    for (auto p = std::optional(layout.first_piece()); p; p = layout.next(*p))
      if (resume->pieces.test(*p)) numbers.push_back(p->value());
    return numbers;
  }
  std::string data(int n) const { return root_ + "/" + hash(n).hex() + "/data"; }

  TempFolder folder_;
  std::string root_ = folder_.path();
};

TEST_F(IdleTorrentsTest, TheOneThatWasNotUsedForLongestGivesItsOldestPieces) {
  static_cast<void>(torrent(1, {90, 80, 100}));
  static_cast<void>(torrent(2, {50, 99, 60}));
  const std::uint64_t before = cache_usage(root_);
  EXPECT_EQ(give_up_idle(root_, 2 * kPiece), 2 * kPiece);
  EXPECT_LE(cache_usage(root_), before - 2 * kPiece + 8192);
  EXPECT_THAT(pieces(1), ElementsAre(0, 1, 2));
  EXPECT_THAT(pieces(2), ElementsAre(1));
  EXPECT_EQ(give_up_idle(root_, 2 * kPiece), 2 * kPiece);
  EXPECT_THAT(pieces(1), ElementsAre(0, 2));
  EXPECT_THAT(pieces(2), ElementsAre());
}

TEST_F(IdleTorrentsTest, WhatIsStillThereIsWhatItWas) {
  static_cast<void>(torrent(1, {1, 2, 3}));
  EXPECT_EQ(give_up_idle(root_, 1), kPiece);
  std::ifstream file(data(1), std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(bytes, std::string(kPiece, '\0') + std::string(2 * kPiece, 'x'));
}

TEST_F(IdleTorrentsTest, AMountedOneIsLeftAlone) {
  const CacheDir mounted = torrent(1, {1, 2, 3});
  EXPECT_EQ(give_up_idle(root_, UINT64_MAX), 0U);
  EXPECT_EQ(files::file_size(data(1)), 3 * kPiece);
}

TEST_F(IdleTorrentsTest, DataThatNothingVouchesForGoesFirst) {
  static_cast<void>(torrent(1, {1, 2, 3}));
  static_cast<void>(torrent(2, {1000, 1000, 1000}));
  std::ofstream(root_ + "/" + hash(2).hex() + "/resume") << "garbage";
  EXPECT_EQ(give_up_idle(root_, 1), 3 * kPiece);
  EXPECT_EQ(files::file_size(data(2)), 0U);
  EXPECT_THAT(pieces(1), ElementsAre(0, 1, 2));
}

TEST_F(IdleTorrentsTest, AllThereIsCanGoAndThenThereIsNothing) {
  static_cast<void>(torrent(1, {1, 2, 3}));
  EXPECT_EQ(give_up_idle(root_, UINT64_MAX), 3 * kPiece);
  EXPECT_EQ(give_up_idle(root_, UINT64_MAX), 0U);
  EXPECT_EQ(give_up_idle(root_ + "/nowhere", 1), 0U);
}

TEST_F(IdleTorrentsTest, ALinkInsteadOfDataLeadsNowhere) {
  static_cast<void>(torrent(1, {1, 2, 3}));
  const std::string target = root_ + "/precious";
  files::rename(data(1), target);
  files::create_symlink(target, data(1));
  EXPECT_EQ(give_up_idle(root_, UINT64_MAX), 0U);
  EXPECT_EQ(files::file_size(target), 3 * kPiece);
}

}  // namespace
}  // namespace swarmfs::fs
