#include "fs/cache_listing.h"

#include <fcntl.h>
#include <gmock/gmock.h>

#include "tests/unit/fs/cache_rig.h"

namespace swarmfs::fs {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class CacheListingTest : public CacheRig {
 protected:
  std::string names_found(const std::string& word) const {
    const CacheListing all = listing();
    const auto found = find_torrents(all, word);
    if (!found) return found.error().line;
    std::string names;
    for (const CachedTorrent* torrent : *found) names += torrent->name + ";";
    return names;
  }
};

TEST_F(CacheListingTest, ATorrentIsListedWithWhatIsKeptOfIt) {
  const Kept film = add("film", 2, 29'000'000);
  const CachedTorrent torrent = only();
  EXPECT_EQ(torrent.info_hash, film.metainfo.info_hash);
  EXPECT_EQ(torrent.folder, film.metainfo.info_hash.hex());
  EXPECT_EQ(torrent.name, "film");
  EXPECT_EQ(torrent.size, kSize);
  EXPECT_EQ(torrent.pieces, kPieces);
  EXPECT_EQ(torrent.kept_pieces, 2U);
  EXPECT_EQ(torrent.last_used, 29'000'000LL * 60);
  EXPECT_GE(torrent.disk_bytes, kSize);
  EXPECT_LT(torrent.disk_bytes, kSize + 64 * 1024);
  EXPECT_FALSE(torrent.user);
  EXPECT_FALSE(torrent.ephemeral);
  EXPECT_EQ(torrent.problem, "");
}

TEST_F(CacheListingTest, HolesTakeNoSpace) {
  const Kept film = add_empty("film");
  write(film.folder / "data", "");
  std::filesystem::resize_file(film.folder / "data", std::uintmax_t{1} << 40);
  EXPECT_LT(only().disk_bytes, 64U * 1024);
}

TEST_F(CacheListingTest, TheLastUsedComesFirst) {
  add("old", 1, 20'000'000);
  add("new", 1, 25'000'000);
  add("older", 1, 10'000'000);
  std::vector<std::string> names;
  for (const CachedTorrent& torrent : listing().torrents) names.push_back(torrent.name);
  EXPECT_THAT(names, ElementsAre("new", "old", "older"));
}

TEST_F(CacheListingTest, WhatWasNeverReadIsAsOldAsItsFolder) {
  add_empty("film");
  EXPECT_GT(only().last_used.value_or(0), 1'600'000'000);
}

TEST_F(CacheListingTest, AMountIsSeenAndLeftInPeace) {
  const Kept film = add("film");
  {
    const storage::UniqueFd lock = mount(film);
    const CachedTorrent torrent = only();
    ASSERT_TRUE(torrent.user);
    EXPECT_EQ(torrent.user->pid, 4711);
    EXPECT_EQ(torrent.user->use, LockUse::mount);
    EXPECT_EQ(content(film.folder / "lock"), "4711\n");
  }
  EXPECT_FALSE(only().user);
}

TEST_F(CacheListingTest, AMountThatDoesNotSayWhoItIsIsAMount) {
  const storage::UniqueFd lock = mount(add("film"), "x");
  const CachedTorrent torrent = only();
  ASSERT_TRUE(torrent.user);
  EXPECT_FALSE(torrent.user->pid);
  EXPECT_EQ(torrent.user->use, LockUse::mount);
}

TEST_F(CacheListingTest, OurOwnWorkIsNoMount) {
  const Kept film = add("film");
  const storage::UniqueFd folder = open_folder(film.folder);
  const storage::UniqueFd lock = take_folder_lock(folder.get());
  ASSERT_TRUE(lock);
  const CachedTorrent torrent = only();
  ASSERT_TRUE(torrent.user);
  EXPECT_EQ(torrent.user->pid, ::getpid());
  EXPECT_EQ(torrent.user->use, LockUse::tool);
  EXPECT_FALSE(take_folder_lock(folder.get()));
  EXPECT_EQ(errno, EWOULDBLOCK);
}

TEST_F(CacheListingTest, AnEphemeralFolderIsMarked) {
  add("film", 1, 29'000'000, ".ephemeral");
  EXPECT_TRUE(only().ephemeral);
  EXPECT_EQ(only().name, "film");
}

TEST_F(CacheListingTest, WhatIsNotOursIsNotListed) {
  std::filesystem::create_directory(root_ / "photos");
  std::filesystem::create_directory(root_ / std::string(39, 'a'));
  std::filesystem::create_directory(root_ / std::string(41, 'a'));
  std::filesystem::create_directory(root_ / std::string(40, 'A'));
  std::filesystem::create_directory(root_ / std::string(40, 'g'));
  std::filesystem::create_directory(root_ / (std::string(40, 'a') + ".ephemera"));
  write(root_ / "dht", "nodes");
  EXPECT_TRUE(listing().torrents.empty());
}

TEST_F(CacheListingTest, ALinkOrAFileInPlaceOfAFolderIsSaidAndNotEntered) {
  const Kept film = add("film");
  std::filesystem::rename(film.folder, scratch_ / "elsewhere");
  std::filesystem::create_directory_symlink(scratch_ / "elsewhere", film.folder);
  write(root_ / std::string(40, 'b'), "a file");
  for (const CachedTorrent& torrent : listing().torrents) {
    EXPECT_THAT(torrent.problem, HasSubstr("no folder of ours"));
    EXPECT_EQ(torrent.name, "");
    EXPECT_EQ(torrent.disk_bytes, 0U);
  }
  EXPECT_EQ(listing().torrents.size(), 2U);
}

TEST_F(CacheListingTest, ATorrentWhoseMetadataHasNotComeIsNoDamage) {
  std::filesystem::create_directory(root_ / std::string(40, 'c'));
  EXPECT_EQ(only().problem, "");
  EXPECT_EQ(only().name, "");
  EXPECT_EQ(only().pieces, 0U);
}

TEST_F(CacheListingTest, DamagedFoldersAreSaidToBe) {
  const Kept film = add("film");
  std::filesystem::rename(film.folder / "metainfo", film.folder / "kept");
  EXPECT_THAT(only().problem, HasSubstr("its metainfo is gone"));
  for (const std::string_view text : {"", "garbage", "d4:infodee"}) {
    write(film.folder / "metainfo", text);
    EXPECT_THAT(only().problem, HasSubstr("metainfo cannot be read"));
  }
  std::filesystem::rename(film.folder / "kept", film.folder / "metainfo");
  EXPECT_EQ(only().problem, "");
  for (const std::string_view text : {"", "garbage", "swarmfsR\0\0\0\x63"}) {
    write(film.folder / "resume", text);
    EXPECT_THAT(only().problem, HasSubstr("its resume file cannot be used")) << text;
    EXPECT_EQ(only().name, "film");
    EXPECT_EQ(only().kept_pieces, 0U);
  }
}

TEST_F(CacheListingTest, TheResumeFileOfAnotherTorrentCountsForNothing) {
  const Kept film = add("film");
  const Kept other = add("other");
  std::filesystem::copy_file(film.folder / "resume", other.folder / "resume",
                             std::filesystem::copy_options::overwrite_existing);
  const CacheListing all = listing();
  for (const CachedTorrent& torrent : all.torrents)
    EXPECT_EQ(torrent.kept_pieces, torrent.name == "film" ? kPieces : 0U);
}

TEST_F(CacheListingTest, APipeOrALinkOrAFolderInPlaceOfAFileHangsNothing) {
  const Kept film = add("film");
  write(scratch_ / "precious", std::string(1024 * 1024, 'x'));
  for (const std::string name : {"resume", "metainfo", "data", "lock"}) {
    const std::filesystem::path path = film.folder / name;
    std::filesystem::rename(path, film.folder / "kept");
    ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
    EXPECT_EQ(only().problem.empty(), name == "lock") << name;
    EXPECT_FALSE(only().user);
    std::filesystem::remove(path);
    std::filesystem::create_symlink(scratch_ / "precious", path);
    EXPECT_EQ(only().problem.empty(), name == "lock") << name;
    EXPECT_LT(only().disk_bytes, kSize + 64 * 1024) << "what a link leads to was counted";
    std::filesystem::remove(path);
    std::filesystem::create_directory(path);
    EXPECT_EQ(only().problem.empty(), name == "lock") << name;
    std::filesystem::remove(path);
    std::filesystem::rename(film.folder / "kept", path);
  }
  EXPECT_EQ(only().problem, "");
}

TEST_F(CacheListingTest, AResumeFileTooLargeToBeOneIsNotRead) {
  const Kept film = add("film");
  std::filesystem::resize_file(film.folder / "resume", std::uintmax_t{1} << 40);
  EXPECT_THAT(only().problem, HasSubstr("resume"));
}

TEST_F(CacheListingTest, NoCacheDirectoryIsAnEmptyCacheUnlessItWasNamed) {
  const auto found = list_cache(scratch_ / "none", false);
  ASSERT_TRUE(found);
  EXPECT_TRUE(found->torrents.empty());
  const auto named = list_cache(scratch_ / "none", true);
  ASSERT_FALSE(named);
  EXPECT_THAT(named.error().line, HasSubstr("none: No such file or directory"));
  write(scratch_ / "file", "");
  EXPECT_FALSE(list_cache(scratch_ / "file", false));
}

TEST_F(CacheListingTest, TorrentsAreNamedByHashItsBeginningOrTheirName) {
  const std::string hash = add("film").metainfo.info_hash.hex();
  add("series");
  std::string upper = hash;
  for (char& c : upper) c = static_cast<char>(std::toupper(c));
  for (const std::string& word : {hash, upper, hash.substr(0, 4), hash.substr(0, 39)})
    EXPECT_EQ(names_found(word), "film;") << word;
  EXPECT_EQ(names_found("film"), "film;");
  EXPECT_EQ(names_found("series"), "series;");
}

TEST_F(CacheListingTest, AWordThatNamesNoneOrSeveralIsRefused) {
  const std::string hash = add("film").metainfo.info_hash.hex();
  add("film", 1, 29'000'000, ".ephemeral");
  EXPECT_EQ(names_found(hash), "film;film;") << "two folders of one torrent";
  EXPECT_EQ(names_found("film"), "film;film;");
  EXPECT_THAT(names_found("fil"), HasSubstr("fil: not in the cache"));
  EXPECT_THAT(names_found(hash.substr(0, 3)), HasSubstr("at least 4 digits"));
  EXPECT_THAT(names_found(hash + "0"), HasSubstr("not in the cache"));
  EXPECT_THAT(names_found(""), HasSubstr("not in the cache"));
  // A torrent whose name is the beginning of another's hash: who knows which was meant.
  add(hash.substr(0, 8));
  EXPECT_THAT(names_found(hash.substr(0, 8)), HasSubstr("fits 2 torrents"));
  EXPECT_EQ(names_found(hash), "film;film;");
}

}  // namespace
}  // namespace swarmfs::fs
