#include "fs/ephemeral.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "fs/cache_dir.h"
#include "fs/cache_usage.h"
#include "tests/unit/temp_folder.h"

namespace swarmfs::fs {
namespace {

namespace files = std::filesystem;

class EphemeralTest : public testing::Test {
 protected:
  CacheDir claim(bool ephemeral) {
    OrComplaint<CacheDir> dir = CacheDir::claim(root_, hash_, ephemeral);
    EXPECT_TRUE(dir) << dir.error().line;
    std::ofstream(dir->path() + "/data") << "bytes";
    return *std::move(dir);
  }

  TempFolder folder_;
  std::string root_ = folder_.path();
  storage::InfoHash hash_{};
};

TEST_F(EphemeralTest, ItsFolderGoesWithIt) {
  const CacheDir dir = claim(true);
  EXPECT_TRUE(files::exists(dir.path()));
  dir.remove();
  EXPECT_TRUE(files::is_empty(root_));
}

TEST_F(EphemeralTest, AKeptFolderIsNeverRemoved) {
  const CacheDir kept = claim(false);
  const CacheDir other = claim(true);
  EXPECT_NE(kept.path(), other.path());
  kept.remove();
  remove_left_overs(root_);
  EXPECT_TRUE(files::exists(kept.path() + "/data"));
}

TEST_F(EphemeralTest, WhatACrashLeftIsRemovedAndWhatLivesIsNot) {
  std::string path;
  {
    const CacheDir dir = claim(true);
    path = dir.path();
    remove_left_overs(root_);
    EXPECT_TRUE(files::exists(path + "/data")) << "somebody uses it";
  }
  EXPECT_TRUE(files::exists(path + "/data"));
  remove_left_overs(root_);
  EXPECT_FALSE(files::exists(path));
}

TEST_F(EphemeralTest, AFolderWithoutALockOrWithOtherThingsIsNotInTheWay) {
  const std::string path = root_ + "/" + std::string(40, 'a') + std::string(kEphemeralSuffix);
  files::create_directories(path + "/folder of somebody");
  remove_left_overs(root_);
  EXPECT_TRUE(files::exists(path + "/folder of somebody")) << "we make no folders in there";
  files::remove(path + "/folder of somebody");
  remove_left_overs(root_);
  EXPECT_FALSE(files::exists(path));
}

TEST_F(EphemeralTest, NamesThatAreNotOursAreLeftAlone) {
  files::create_directories(root_ + "/photos.ephemeral");
  files::create_directory_symlink(
      "/tmp", root_ + "/" + std::string(40, 'b') + std::string(kEphemeralSuffix));
  remove_left_overs(root_);
  EXPECT_TRUE(files::exists(root_ + "/photos.ephemeral"));
  EXPECT_TRUE(files::exists("/tmp"));
}

TEST_F(EphemeralTest, AFolderThatIsRemovedWhileItIsClaimedIsMadeAgain) {
  const std::string path = claim(true).path();
  const int lock = ::open((path + "/lock").c_str(), O_RDWR | O_CLOEXEC);
  EXPECT_FALSE(was_removed(lock));
  remove_cache_folder(path);
  EXPECT_TRUE(was_removed(lock));
  ::close(lock);
  EXPECT_TRUE(files::exists(claim(true).path()));
}

}  // namespace
}  // namespace swarmfs::fs
