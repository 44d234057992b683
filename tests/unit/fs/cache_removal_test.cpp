#include "fs/cache_removal.h"

#include <gmock/gmock.h>

#include <atomic>
#include <thread>
#include <tuple>

#include "fs/cache_dir.h"
#include "tests/unit/fs/cache_rig.h"

namespace swarmfs::fs {
namespace {

using testing::HasSubstr;

class CacheRemovalTest : public CacheRig {
 protected:
  Removal remove(const Kept& kept) {
    return remove_from_cache(directory_.get(), kept.folder.filename());
  }
};

TEST_F(CacheRemovalTest, ATorrentGoesWithEverythingAndSaysWhatItTook) {
  const Kept film = add("film");
  const std::uint64_t taken = only().disk_bytes;
  const Removal removal = remove(film);
  EXPECT_EQ(removal.problem, "");
  EXPECT_EQ(removal.freed_bytes, taken);
  EXPECT_FALSE(std::filesystem::exists(film.folder));
}

TEST_F(CacheRemovalTest, EveryNameWeUseGoes) {
  const Kept film = add_empty("film");
  for (const char* name : kFolderFiles) write(film.folder / name, "x");
  EXPECT_EQ(remove(film).problem, "");
  EXPECT_FALSE(std::filesystem::exists(film.folder));
}

TEST_F(CacheRemovalTest, WhatIsMountedStaysWhole) {
  const Kept film = add("film");
  const storage::UniqueFd lock = mount(film);
  const Removal removal = remove(film);
  EXPECT_THAT(removal.problem, HasSubstr("process 4711 has it mounted"));
  EXPECT_EQ(removal.freed_bytes, 0U);
  EXPECT_EQ(content(film.folder / "data"), film.bytes);
  EXPECT_EQ(claimed(film), kPieces);
}

TEST_F(CacheRemovalTest, AForeignFileStaysAndIsSaid) {
  const Kept film = add("film");
  write(film.folder / "notes.txt", "mine");
  const Removal removal = remove(film);
  EXPECT_THAT(removal.problem, HasSubstr("not ours"));
  EXPECT_GE(removal.freed_bytes, kSize);
  EXPECT_EQ(content(film.folder / "notes.txt"), "mine");
  EXPECT_FALSE(std::filesystem::exists(film.folder / "data"));
}

TEST_F(CacheRemovalTest, LinksAreRemovedAndNotFollowed) {
  const Kept film = add_empty("film");
  write(scratch_ / "precious", "mine");
  for (const char* name : {"data", "resume", "lock"}) {
    std::filesystem::remove(film.folder / name);
    std::filesystem::create_symlink(scratch_ / "precious", film.folder / name);
  }
  EXPECT_EQ(remove(film).problem, "");
  EXPECT_FALSE(std::filesystem::exists(film.folder));
  EXPECT_EQ(content(scratch_ / "precious"), "mine");
}

TEST_F(CacheRemovalTest, AFolderThatIsALinkIsLeftAlone) {
  const Kept film = add("film");
  std::filesystem::rename(film.folder, scratch_ / "elsewhere");
  std::filesystem::create_directory_symlink(scratch_ / "elsewhere", film.folder);
  EXPECT_THAT(remove(film).problem, HasSubstr("left alone"));
  EXPECT_EQ(content(scratch_ / "elsewhere" / "data"), film.bytes);
}

TEST_F(CacheRemovalTest, APipeOrAFolderInPlaceOfAFileHangsNothing) {
  const Kept film = add_empty("film");
  std::filesystem::remove(film.folder / "lock");
  ASSERT_EQ(::mkfifo((film.folder / "lock").c_str(), 0600), 0);
  ASSERT_EQ(::mkfifo((film.folder / "data").c_str(), 0600), 0);
  std::filesystem::create_directories(film.folder / "resume" / "mine");
  EXPECT_THAT(remove(film).problem, HasSubstr("resume: "));
  EXPECT_TRUE(std::filesystem::exists(film.folder / "resume" / "mine"));
  std::filesystem::remove_all(film.folder / "resume");
  EXPECT_EQ(remove(film).problem, "");
  EXPECT_FALSE(std::filesystem::exists(film.folder));
}

TEST_F(CacheRemovalTest, AMountThatBeginsMeanwhileHasItsFolderOrIsNotDisturbed) {
  const Kept film = add_empty("film");
  std::atomic<bool> done = false;
  std::thread remover([&] {
    while (!done) std::ignore = remove(film);
  });
  for (int i = 0; i < 30; ++i) {
    const auto cache = CacheDir::claim(root_, film.metainfo.info_hash);
    EXPECT_TRUE(cache) << cache.error().line;
    EXPECT_EQ(content(film.folder / "lock"), std::to_string(::getpid()) + "\n");
  }
  done = true;
  remover.join();
}

TEST_F(CacheRemovalTest, WhatIsNotThereIsSaid) {
  EXPECT_NE(remove_from_cache(directory_.get(), std::string(40, 'd')).problem, "");
}

}  // namespace
}  // namespace swarmfs::fs
