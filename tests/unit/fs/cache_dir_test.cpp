#include "fs/cache_dir.h"
#include "tests/unit/temp_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
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
  CacheDirTest() { torrent_.bytes[0] = std::byte{0xAB}; }

  OrComplaint<CacheDir> claim() { return CacheDir::claim(root(), torrent_); }
  static std::span<const std::byte> bytes_of(std::string_view text) {
    return std::as_bytes(std::span(text.data(), text.size()));
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

  TempFolder scratch_;
  std::filesystem::path folder_ = scratch_.path();
  storage::InfoHash torrent_;
};

TEST_F(CacheDirTest, IsMadeForItsOwnerOnly) {
  const auto cache = claim();
  ASSERT_TRUE(cache) << cache.error().line;
  EXPECT_EQ(cache->path(), ours());
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

TEST_F(CacheDirTest, DataAndWhatIsRememberedOfItAreThereForTheNextProcess) {
  std::string warning;
  EXPECT_FALSE(claim()->load_resume(&warning));
  EXPECT_EQ(warning, "") << "a first mount is no news";
  write("data", "bytes");
  storage::Resume resume = storage::empty_resume(torrent_, storage::Layout(100'000, 16384));
  resume.pieces.set(storage::Layout(100'000, 16384).first_piece());
  EXPECT_EQ(claim()->keep_resume(resume), 0);
  EXPECT_EQ(claim()->load_resume(&warning), resume);
  EXPECT_EQ(warning, "");
  EXPECT_EQ(content(ours() / "data"), "bytes");
}

TEST_F(CacheDirTest, WithoutAResumeThatCanBeUsedDataIsEmptiedAndThatIsSaid) {
  storage::InfoHash other;
  const auto layout = storage::Layout(100'000, 16384);
  const auto text_of = [](const storage::Resume& resume) {
    const auto bytes = storage::encode_resume(resume);
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  };
  std::string newer = text_of(storage::empty_resume(torrent_, layout));
  newer[11] = 2;
  const std::pair<std::string, std::string> cases[] = {
      {"", "none"},
      {"garbage", "damaged"},
      {newer, "another version"},
      {text_of(storage::empty_resume(other, layout)), "another torrent"},
  };
  for (const auto& [text, why] : cases) {
    write("data", "bytes");
    write("resume", text);
    std::string warning;
    EXPECT_FALSE(claim()->load_resume(&warning)) << why;
    EXPECT_THAT(warning, HasSubstr(why));
    EXPECT_EQ(content(ours() / "data"), "") << why;
    warning.clear();
    EXPECT_FALSE(claim()->load_resume(&warning));
    EXPECT_EQ(warning, "") << "once";
  }
}

TEST_F(CacheDirTest, WhatIsNoFileInPlaceOfDataIsNamedAndLeftAlone) {
  std::ofstream(folder_ / "precious") << "mine";
  std::filesystem::create_directories(ours());
  std::filesystem::create_symlink(folder_ / "precious", ours() / "data");
  EXPECT_THAT(claim().error().line, HasSubstr("/data: is a symbolic link"));
  std::filesystem::remove(ours() / "data");
  std::filesystem::create_directories(ours() / "data");
  EXPECT_THAT(claim().error().line, HasSubstr("/data: is a directory"));
  EXPECT_EQ(content(folder_ / "precious"), "mine");
}

TEST_F(CacheDirTest, DataLongerThanTheTorrentIsCut) {
  write("data", "0123456789");
  const storage::Layout four(4, 16384), hundred(100, 16384);
  storage::Bitfield claimed(1);
  claimed.set(four.first_piece());
  EXPECT_TRUE(claim()->trim_data(four, claimed));
  EXPECT_EQ(content(ours() / "data"), "0123");
  EXPECT_FALSE(claim()->trim_data(four, claimed));
  EXPECT_FALSE(claim()->trim_data(hundred, claimed));
  EXPECT_EQ(content(ours() / "data"), "0123") << "never longer";
}

TEST_F(CacheDirTest, DataThatNobodyClaimsGivesItsSpaceBack) {
  constexpr std::size_t kPiece = 65536;
  const storage::Layout layout(8 * kPiece, kPiece);
  const std::string text(8 * kPiece, 'x');
  write("data", text);
  storage::Bitfield claimed(8);
  for (const std::uint32_t n : {1U, 2U, 5U}) claimed.set(*layout.piece_at(n));
  struct stat info {};
  EXPECT_FALSE(claim()->trim_data(layout, claimed));
  const std::string left = content(ours() / "data");
  ASSERT_EQ(left.size(), text.size());
  ASSERT_NE(left, text) << "this test needs a filesystem that makes holes";
  for (std::size_t n = 0; n < 8; ++n) {
    const bool kept = n == 1 || n == 2 || n == 5;
    EXPECT_EQ(left.substr(n * kPiece, kPiece), std::string(kPiece, kept ? 'x' : '\0')) << n;
  }
  ASSERT_EQ(::stat((ours() / "data").c_str(), &info), 0);
  EXPECT_LE(info.st_blocks, 4 * static_cast<long>(kPiece) / 512);
}

TEST_F(CacheDirTest, TheLockOfADeadProcessIsTakenOver) {
  const ::pid_t child = ::fork();
  if (child == 0) {
    const auto held = claim();
    ::_exit(held ? 0 : 1);  // without letting go, as kill -9 would
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(claim());
}

TEST_F(CacheDirTest, ALinkInPlaceOfAFileIsNotFollowed) {
  std::ofstream(folder_ / "precious") << "mine";
  std::filesystem::create_directories(ours());
  for (const char* name : {"resume", "resume.new", "metainfo", "added", "metainfo.new"}) {
    std::filesystem::create_symlink(folder_ / "precious", ours() / name);
  }
  const auto cache = claim();
  ASSERT_TRUE(cache);
  EXPECT_FALSE(cache->load_metainfo());
  std::string warning;
  EXPECT_FALSE(cache->load_resume(&warning));
  EXPECT_EQ(cache->keep_resume(storage::empty_resume(torrent_, storage::Layout(1, 1))), 0);
  ASSERT_TRUE(cache->keep_metainfo(bytes_of("d4:infodee")));
  EXPECT_EQ(content(folder_ / "precious"), "mine");
  EXPECT_EQ(content(ours() / "metainfo"), "d4:infodee");
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

// A torrent of one file, as a .torrent file has it.
class CacheDirMetainfoTest : public CacheDirTest {
 protected:
  CacheDirMetainfoTest() {
    const std::string info =
        "d6:lengthi5e4:name1:a12:piece lengthi16384e6:pieces20:" + std::string(20, 'x') + "e";
    text_ = "d8:announce9:http://a/4:info" + info + "e";
    torrent_ = storage::sha1(bytes_of(info));
  }
  std::string text_;
};

TEST_F(CacheDirMetainfoTest, WhatIsKeptIsThereForTheNextProcess) {
  ASSERT_TRUE(claim()->keep_metainfo(bytes_of(text_)));
  const auto kept = claim()->load_metainfo();
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->metainfo.name, "a");
  EXPECT_EQ(kept->metainfo.trackers.size(), 1U);
  const auto bytes = bytes_of(text_);
  EXPECT_THAT(kept->bytes, testing::ElementsAreArray(bytes.begin(), bytes.end()));
  EXPECT_FALSE(std::filesystem::exists(ours() / "metainfo.new"));
}

TEST_F(CacheDirMetainfoTest, NothingKeptIsNothing) {
  EXPECT_FALSE(claim()->load_metainfo());
}

TEST_F(CacheDirMetainfoTest, GarbageAndOtherTorrentsAreIgnoredAndReplaced) {
  std::string other = text_;
  other.replace(other.find("length"), 9, "lengthi6e");  // "length" and its value
  std::string cut = text_;
  cut.resize(cut.size() / 2);
  for (const std::string& text : {std::string(), std::string("garbage"), other, cut}) {
    write("metainfo", text);
    const auto cache = claim();
    EXPECT_FALSE(cache->load_metainfo()) << text;
    ASSERT_TRUE(cache->keep_metainfo(bytes_of(text_)));
    EXPECT_TRUE(cache->load_metainfo()) << text;
  }
}

TEST_F(CacheDirMetainfoTest, AFileTooLargeToBeATorrentIsNotRead) {
  write("metainfo", text_);
  std::filesystem::resize_file(ours() / "metainfo", storage::kMaxTorrentSize + 1);
  EXPECT_FALSE(claim()->load_metainfo());
}

TEST_F(CacheDirMetainfoTest, ADirectoryInItsPlaceIsSaidByName) {
  std::filesystem::create_directories(ours() / "metainfo" / "x");
  const auto cache = claim();
  EXPECT_FALSE(cache->load_metainfo());
  const auto kept = cache->keep_metainfo(bytes_of(text_));
  ASSERT_FALSE(kept);
  EXPECT_THAT(kept.error().line, HasSubstr("/metainfo: "));
}

TEST_F(CacheDirMetainfoTest, TheSameTorrentIsNotWrittenAgain) {
  ASSERT_TRUE(claim()->keep_metainfo(bytes_of(text_)));
  struct stat before {};
  ASSERT_EQ(::stat((ours() / "metainfo").c_str(), &before), 0);
  ASSERT_TRUE(claim()->keep_metainfo(bytes_of(text_)));
  struct stat after {};
  ASSERT_EQ(::stat((ours() / "metainfo").c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
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
