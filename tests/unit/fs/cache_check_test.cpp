#include "fs/cache_check.h"

#include <gmock/gmock.h>

#include <random>

#include "tests/unit/fs/cache_rig.h"
#include "tests/unit/storage/engine_loop.h"

namespace swarmfs::fs {
namespace {

using testing::HasSubstr;

class CacheCheckTest : public CacheRig {
 protected:
  CheckResult check(const Kept& kept) {
    CachedTorrent entry;
    for (CachedTorrent& torrent : listing().torrents)
      if (torrent.folder == kept.folder.filename()) entry = torrent;
    storage::WorkerPool workers(loop_.executor(), kCheckLanes);
    seen_ = {};
    const auto see_it = [this](CheckProgress progress) { see(progress); };
    return loop_.run(check_torrent(workers, directory_.get(), entry, see_it, stop_));
  }
  void see(CheckProgress progress) {
    EXPECT_GE(progress.done, seen_.done);
    EXPECT_LE(progress.done, progress.total);
    seen_ = progress;
    if (stop_after_ && seen_.done >= *stop_after_) stop_ = true;
  }
  // One bit of the data file.
  static void flip(const Kept& kept, std::uint64_t offset) {
    std::string data = content(kept.folder / "data");
    data[offset] = static_cast<char>(data[offset] ^ 1);
    write(kept.folder / "data", data);
  }

  storage::EngineLoop loop_;
  CheckProgress seen_;
  std::optional<std::uint64_t> stop_after_;
  bool stop_ = false;
};

TEST_F(CacheCheckTest, WhatIsRightIsSaidToBeAndNothingChanges) {
  const Kept film = add("film");
  const std::string resume = content(film.folder / "resume");
  const CheckResult result = check(film);
  EXPECT_TRUE(result.good()) << result.problem;
  EXPECT_EQ(result.checked_pieces, kPieces);
  EXPECT_EQ(result.checked_bytes, kSize);
  EXPECT_EQ(seen_.done, kSize);
  EXPECT_EQ(seen_.total, kSize);
  EXPECT_EQ(content(film.folder / "resume"), resume);
}

TEST_F(CacheCheckTest, OnlyWhatIsClaimedIsChecked) {
  const Kept film = add("film", 2);
  flip(film, 3 * kPiece);
  const CheckResult result = check(film);
  EXPECT_TRUE(result.good());
  EXPECT_EQ(result.checked_pieces, 2U);
}

TEST_F(CacheCheckTest, OneWrongBitAnywhereDropsItsPieceAndNoOther) {
  std::mt19937 random(7);
  for (int i = 0; i < 20; ++i) {
    const Kept film = add("film" + std::to_string(i));
    const std::uint64_t offset = random() % kSize;
    flip(film, offset);
    const CheckResult result = check(film);
    EXPECT_EQ(result.wrong_pieces, 1U) << "seed 7, bit at " << offset;
    EXPECT_TRUE(result.dropped);
    EXPECT_FALSE(result.good());
    EXPECT_EQ(claimed(film), kPieces - 1);
    // Its bytes are gone, the others are as they were.
    std::string left = film.bytes;
    const std::uint64_t begin = offset / kPiece * kPiece;
    const std::uint64_t size = std::min<std::uint64_t>(kPiece, kSize - begin);
    left.replace(begin, size, size, '\0');
    EXPECT_EQ(content(film.folder / "data"), left);
    EXPECT_TRUE(check(film).good());
  }
}

TEST_F(CacheCheckTest, WhatIsDroppedGivesItsSpaceBack) {
  const Kept film = add("film");
  flip(film, kPiece);
  const std::uint64_t before = only().disk_bytes;
  EXPECT_EQ(check(film).wrong_pieces, 1U);
  EXPECT_EQ(only().disk_bytes, before - kPiece);
}

TEST_F(CacheCheckTest, WhatIsMountedIsReadAndNotTouched) {
  const Kept film = add("film");
  flip(film, 5);
  const std::string resume = content(film.folder / "resume");
  const std::string data = content(film.folder / "data");
  const storage::UniqueFd lock = mount(film);
  const CheckResult result = check(film);
  EXPECT_EQ(result.wrong_pieces, 1U);
  EXPECT_FALSE(result.dropped);
  EXPECT_EQ(result.torrent.user->pid, 4711);
  EXPECT_EQ(content(film.folder / "resume"), resume);
  EXPECT_EQ(content(film.folder / "data"), data);
  EXPECT_EQ(content(film.folder / "lock"), "4711\n");
}

TEST_F(CacheCheckTest, WhatAMountHasGivenUpMeanwhileIsNotWrong) {
  const Kept film = add("film");
  const storage::UniqueFd data = open_folder_data(open_folder(film.folder).get(), O_RDWR);
  ASSERT_EQ(::fallocate(data.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, kPiece, kPiece), 0);
  {
    const storage::UniqueFd lock = mount(film);
    const CheckResult result = check(film);
    EXPECT_TRUE(result.good());
    EXPECT_EQ(result.checked_pieces, kPieces - 1);
  }
  EXPECT_EQ(check(film).wrong_pieces, 1U) << "nobody uses it: then a hole is a loss";
}

TEST_F(CacheCheckTest, DataThatIsShortGoneOrNoFileIsWrong) {
  const Kept film = add("film");
  std::filesystem::resize_file(film.folder / "data", 2 * kPiece + 1);
  EXPECT_EQ(check(film).wrong_pieces, 3U);
  EXPECT_EQ(claimed(film), 2U);
  write(scratch_ / "precious", film.bytes);
  std::filesystem::remove(film.folder / "data");
  std::filesystem::create_symlink(scratch_ / "precious", film.folder / "data");
  EXPECT_EQ(check(film).wrong_pieces, 2U) << "what a link leads to is not ours";
  EXPECT_EQ(claimed(film), 0U);
  EXPECT_EQ(content(scratch_ / "precious"), film.bytes);
}

TEST_F(CacheCheckTest, StoppedItDropsWhatItFound) {
  const Kept film = add("film");
  flip(film, 0);
  stop_after_ = 3 * kPiece;
  const CheckResult result = check(film);
  EXPECT_TRUE(result.interrupted);
  EXPECT_FALSE(result.good());
  EXPECT_LT(result.checked_pieces, kPieces);
  EXPECT_EQ(result.wrong_pieces, 1U);
  EXPECT_EQ(claimed(film), kPieces - 1);
}

TEST_F(CacheCheckTest, AResumeFileThatCountsForNothingIsAProblem) {
  const Kept film = add("film");
  write(film.folder / "resume", "garbage");
  const CheckResult result = check(film);
  EXPECT_THAT(result.problem, HasSubstr("resume"));
  EXPECT_FALSE(result.good());
  EXPECT_EQ(content(film.folder / "resume"), "garbage");
}

TEST_F(CacheCheckTest, NothingKeptIsGood) {
  EXPECT_TRUE(check(add_empty("film")).good());
  EXPECT_EQ(seen_.total, 0U);
}

TEST_F(CacheCheckTest, AMountThatBeginsDuringItIsKeptOut) {
  const Kept film = add("film");
  CachedTorrent entry = only();
  storage::WorkerPool workers(loop_.executor(), kCheckLanes);
  bool held = false;
  const auto look = [&](CheckProgress) { held = held || only().user.has_value(); };
  EXPECT_TRUE(loop_.run(check_torrent(workers, directory_.get(), entry, look, stop_)).good());
  EXPECT_TRUE(held);
  EXPECT_FALSE(only().user);
}

}  // namespace
}  // namespace swarmfs::fs
