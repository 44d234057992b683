#include "fs/cache_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace swarmfs::fs {
namespace {

using testing::HasSubstr;

class CacheDirTest : public testing::Test {
 protected:
  CacheDirTest() {
    std::string name = testing::TempDir() + "cache-XXXXXX";
    folder_ = std::filesystem::canonical(::mkdtemp(name.data()));
    torrent_.bytes[0] = std::byte{0xAB};
  }
  ~CacheDirTest() override { std::filesystem::remove_all(folder_); }

  OrComplaint<CacheDir> claim(std::string_view metainfo = "d4:infodee") {
    return CacheDir::claim(root(), torrent_,
                           std::as_bytes(std::span(metainfo.data(), metainfo.size())));
  }
  std::string root() const { return folder_ / "cache"; }
  std::filesystem::path ours() const { return folder_ / "cache" / torrent_.hex(); }
  static std::string content(const std::filesystem::path& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void write(const std::string& name, const std::string& text) {
    std::filesystem::create_directories(ours());
    std::ofstream(ours() / name) << text;
  }

  std::filesystem::path folder_;
  storage::InfoHash torrent_;
};

TEST_F(CacheDirTest, IsMadeForItsOwnerOnlyAndKeepsTheTorrent) {
  const auto cache = claim("d4:infod4:name1:aee");
  ASSERT_TRUE(cache) << cache.error().line;
  EXPECT_EQ(cache->path(), ours());
  EXPECT_EQ(content(ours() / "metainfo"), "d4:infod4:name1:aee");
  struct stat info {};
  ASSERT_EQ(::stat(ours().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0700U);
}

TEST_F(CacheDirTest, AnOldFolderThatOthersCouldEnterIsClosed) {
  std::filesystem::create_directories(ours());
  ASSERT_EQ(::chmod(ours().c_str(), 0777), 0);
  ASSERT_TRUE(claim());
  struct stat info {};
  ASSERT_EQ(::stat(ours().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0700U);
}

TEST_F(CacheDirTest, ASecondClaimNamesTheProcessThatHoldsTheFirst) {
  const auto first = claim();
  ASSERT_TRUE(first);
  const auto second = claim();
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().line,
              HasSubstr("already in use by process " + std::to_string(::getpid()) + ","));
}

TEST_F(CacheDirTest, TheClaimEndsWithItsOwner) {
  { ASSERT_TRUE(claim()); }
  EXPECT_TRUE(claim());
}

TEST_F(CacheDirTest, TheTimeItWasAddedStaysTheSame) {
  write("added", "1234567890\n");
  EXPECT_EQ(claim()->added(), 1234567890);
  EXPECT_EQ(claim()->added(), 1234567890);
}

TEST_F(CacheDirTest, AnUnreadableTimeIsReplacedByNow) {
  for (const char* text : {"", "yesterday", "12x", "-5\n", "99999999999999999999999\n"}) {
    write("added", text);
    const auto cache = claim();
    ASSERT_TRUE(cache) << cache.error().line;
    EXPECT_GT(cache->added(), 1'600'000'000) << text;
    EXPECT_EQ(content(ours() / "added"), std::to_string(cache->added()) + "\n");
  }
}

TEST_F(CacheDirTest, DataOfAnEarlierProcessIsNotTrusted) {
  write("data", "stale bytes");
  ASSERT_TRUE(claim());
  EXPECT_FALSE(std::filesystem::exists(ours() / "data"));
}

TEST_F(CacheDirTest, ALinkInPlaceOfAFileIsNotFollowed) {
  std::ofstream(folder_ / "precious") << "mine";
  std::filesystem::create_directories(ours());
  for (const char* name : {"data", "metainfo", "added", "metainfo.new"}) {
    std::filesystem::create_symlink(folder_ / "precious", ours() / name);
  }
  ASSERT_TRUE(claim());
  EXPECT_EQ(content(folder_ / "precious"), "mine");
}

TEST_F(CacheDirTest, ALinkInPlaceOfTheLockOrTheFolderIsRefused) {
  std::filesystem::create_directories(ours());
  std::filesystem::create_symlink(folder_ / "elsewhere", ours() / "lock");
  EXPECT_FALSE(claim());
  std::filesystem::remove_all(ours());
  std::filesystem::create_directories(folder_ / "elsewhere");
  std::filesystem::create_directory_symlink(folder_ / "elsewhere", ours());
  EXPECT_FALSE(claim());
}

TEST_F(CacheDirTest, APlaceThatIsNoDirectoryIsNamedWithTheRemedy) {
  std::ofstream(folder_ / "cache") << "a file";
  const auto cache = claim();
  ASSERT_FALSE(cache);
  EXPECT_THAT(cache.error().line, HasSubstr("Not a directory"));
  EXPECT_THAT(cache.error().line, HasSubstr("--cache-dir"));
}

TEST_F(CacheDirTest, IsLookedForWhereTheUserSaysThenXdgThenHome) {
  const std::string home = folder_;
  EXPECT_EQ(*find_cache_root(home + "/x/", "/xdg", home.c_str()), home + "/x");
  EXPECT_EQ(*find_cache_root({}, (home + "/xdg").c_str(), home.c_str()), home + "/xdg/swarmfs");
  EXPECT_EQ(*find_cache_root({}, nullptr, home.c_str()), home + "/.cache/swarmfs");
  EXPECT_EQ(*find_cache_root({}, "", home.c_str()), home + "/.cache/swarmfs");
  EXPECT_EQ(*find_cache_root({}, "relative", home.c_str()), home + "/.cache/swarmfs");
}

TEST_F(CacheDirTest, WithoutAHomeItSaysSo) {
  const auto root = find_cache_root({}, nullptr, nullptr);
  ASSERT_FALSE(root);
  EXPECT_THAT(root.error().line, HasSubstr("HOME is not set"));
}

TEST_F(CacheDirTest, ARelativePlaceIsMadeAbsolute) {
  EXPECT_EQ(*find_cache_root("some/where", nullptr, nullptr),
            (std::filesystem::canonical(".") / "some/where").string());
}

}  // namespace
}  // namespace swarmfs::fs
