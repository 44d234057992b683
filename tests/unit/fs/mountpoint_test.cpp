#include "fs/mountpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "fs/error.h"
#include "tests/unit/temp_folder.h"

namespace swarmfs::fs {
namespace {

using testing::HasSubstr;

class MountpointTest : public testing::Test {
 protected:
  std::string make_folder(const std::string& name) {
    std::filesystem::create_directories(folder_ / name);
    return folder_ / name;
  }
  TempFolder scratch_;
  std::filesystem::path folder_ = scratch_.path();
};

TEST_F(MountpointTest, AnEmptyDirectoryIsReady) {
  const std::string path = make_folder("mnt");
  const OrComplaint<bool> cleared = ready_mountpoint(path);
  ASSERT_TRUE(cleared) << cleared.error().line;
  EXPECT_FALSE(*cleared);
}

TEST_F(MountpointTest, IsFoundThroughLinksDotsAndASlashAtTheEnd) {
  const std::string path = make_folder("mnt");
  std::filesystem::create_symlink(path, folder_ / "link");
  EXPECT_EQ(*find_mountpoint(path), path);
  EXPECT_EQ(*find_mountpoint(path + "/"), path);
  EXPECT_EQ(*find_mountpoint(path + "/../mnt/./"), path);
  EXPECT_EQ(*find_mountpoint(folder_ / "link"), path);
}

TEST_F(MountpointTest, AMissingOneIsNamedWithTheRemedy) {
  const auto found = find_mountpoint(folder_ / "absent");
  ASSERT_FALSE(found);
  EXPECT_THAT(found.error().line, HasSubstr("mkdir -p " + (folder_ / "absent").string()));
  EXPECT_EQ(found.error().exit_code, kExitFailure);
}

TEST_F(MountpointTest, AFileIsRefused) {
  std::ofstream(folder_ / "file") << "x";
  const auto ready = ready_mountpoint(folder_ / "file");
  ASSERT_FALSE(ready);
  EXPECT_THAT(ready.error().line, HasSubstr("not a directory"));
}

TEST_F(MountpointTest, WhatAFullDirectoryHoldsIsNotHidden) {
  make_folder("full/inside");
  const auto ready = ready_mountpoint(folder_ / "full");
  ASSERT_FALSE(ready);
  EXPECT_THAT(ready.error().line, HasSubstr("not empty"));
}

TEST(InsideTest, IsAboutWholeComponents) {
  EXPECT_TRUE(is_inside("/a/b", "/a"));
  EXPECT_TRUE(is_inside("/a", "/a"));
  EXPECT_TRUE(is_inside("/a", "/"));
  EXPECT_FALSE(is_inside("/ab", "/a"));
  EXPECT_FALSE(is_inside("/a", "/a/b"));
}

TEST(ApartTest, NothingOfOursMayLieInTheMountNorTheMountInTheCache) {
  EXPECT_TRUE(check_apart("/mnt", "/t/a.torrent", "/cache"));
  EXPECT_THAT(check_apart("/mnt", "/mnt/a.torrent", "/cache").error().line,
              HasSubstr("/mnt/a.torrent: the torrent file is inside"));
  EXPECT_THAT(check_apart("/mnt", "/t/a.torrent", "/mnt/cache").error().line,
              HasSubstr("/mnt/cache: the cache directory is inside"));
  EXPECT_THAT(check_apart("/cache/mnt", "/t/a.torrent", "/cache").error().line,
              HasSubstr("/cache/mnt: the mountpoint is inside"));
}

TEST(FuseConfTest, OnlyAWholeUncommentedLineLetsOthersIn) {
  EXPECT_TRUE(lets_allow_other("user_allow_other"));
  EXPECT_TRUE(lets_allow_other("mount_max = 10\n  user_allow_other  # yes\n"));
  EXPECT_FALSE(lets_allow_other("# user_allow_other\n"));
  EXPECT_FALSE(lets_allow_other("user_allow_otherwise\n"));
  EXPECT_FALSE(lets_allow_other(""));
}

TEST(MountFailureTest, NamesTheMountpointAndWhatLibfuseSaid) {
  const Complaint complaint =
      explain_mount_failure("/mnt", FsErrc::mount_failed, "fuse: something broke");
  EXPECT_THAT(complaint.line, HasSubstr("/mnt: cannot mount: fuse: something broke"));
  EXPECT_EQ(complaint.exit_code, kExitFailure);
}

}  // namespace
}  // namespace swarmfs::fs
