#include "fs/cache_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <sstream>

#include "fs/terminal_text.h"

namespace swarmfs::fs {
namespace {

using testing::HasSubstr;
using testing::Not;
namespace json = boost::json;

constexpr std::int64_t kNow = 1'800'000'000;
constexpr std::int64_t kDay = 86'400;

CachedTorrent torrent_of(const std::string& name, char digit) {
  CachedTorrent torrent;
  torrent.info_hash = *storage::InfoHash::from_hex(std::string(40, digit));
  torrent.folder = torrent.info_hash.hex();
  torrent.name = name;
  torrent.disk_bytes = 5 * 1024 * 1024;
  torrent.size = 10 * 1024 * 1024;
  torrent.pieces = 10;
  torrent.kept_pieces = 5;
  torrent.last_used = kNow - 3 * kDay;
  return torrent;
}

std::vector<std::string> lines(const std::string& text) {
  std::vector<std::string> result;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) result.push_back(line);
  EXPECT_TRUE(text.empty() || text.back() == '\n');
  return result;
}

TEST(HumanAgeTest, SaysTheLargestUnitThatFits) {
  EXPECT_EQ(human_age(kNow, kNow), "just now");
  EXPECT_EQ(human_age(kNow - 59, kNow), "just now");
  EXPECT_EQ(human_age(kNow - 60, kNow), "1 minute ago");
  EXPECT_EQ(human_age(kNow - 3599, kNow), "59 minutes ago");
  EXPECT_EQ(human_age(kNow - 7200, kNow), "2 hours ago");
  EXPECT_EQ(human_age(kNow - kDay, kNow), "1 day ago");
  EXPECT_EQ(human_age(kNow - 29 * kDay, kNow), "29 days ago");
  EXPECT_EQ(human_age(kNow - 30 * kDay, kNow), "1 month ago");
  EXPECT_EQ(human_age(kNow - 800 * kDay, kNow), "2 years ago");
}

TEST(HumanAgeTest, AClockThatWentBackIsNoTrouble) {
  EXPECT_EQ(human_age(kNow + 5000, kNow), "just now");
  EXPECT_EQ(human_age(INT64_MIN / 2, INT64_MAX / 2).substr(0, 1), "2");
}

TEST(CacheReportTest, TheListIsOneLineATorrentWithWholeHashes) {
  CachedTorrent film = torrent_of("film.mkv", 'a');
  film.user = LockHolder{.pid = 4711};
  CachedTorrent gone = torrent_of("", 'b');
  gone.problem = "damaged: its metainfo is gone";
  const auto out = lines(list_text({{film, gone}}, kNow, std::nullopt));
  ASSERT_EQ(out.size(), 3U);
  for (const char* word : {"INFO-HASH", "ON DISK", "SIZE", "KEPT", "LAST USED", "STATE", "NAME"})
    EXPECT_THAT(out[0], HasSubstr(word));
  for (const char* word : {"5 MiB", "10 MiB", "50%", "3 days ago", "mounted by 4711", "film.mkv"})
    EXPECT_THAT(out[1], HasSubstr(word));
  EXPECT_TRUE(out[1].starts_with(std::string(40, 'a') + " "));
  EXPECT_THAT(out[2], HasSubstr("damaged: its metainfo is gone"));
}

TEST(CacheReportTest, ColumnsStandUnderTheirHeads) {
  const auto out = lines(
      list_text({{torrent_of("x", 'a'), torrent_of("a longer name", 'b')}}, kNow, std::nullopt));
  ASSERT_EQ(out.size(), 3U);
  EXPECT_EQ(out[0].find("NAME"), out[1].find(" x") + 1);
  EXPECT_EQ(out[0].find("NAME"), out[2].find("a longer"));
  EXPECT_EQ(out[0].find("SIZE") + 4, out[1].find("10 MiB") + 6) << "numbers end together";
}

TEST(CacheReportTest, ATerminalIsNeverWrapped) {
  const CacheListing listing{{torrent_of(std::string(300, 'n'), 'a')}};
  for (const std::string& line : lines(list_text(listing, kNow, 80))) EXPECT_LE(line.size(), 80U);
  EXPECT_THAT(list_text(listing, kNow, 80), Not(HasSubstr(std::string(13, 'a'))));
  EXPECT_THAT(list_text(listing, kNow, std::nullopt), HasSubstr(std::string(300, 'n')));
}

TEST(CacheReportTest, TheShareThatIsKeptIsNeverRoundedToNothingOrAll) {
  const auto share = [](std::uint32_t kept, std::uint32_t pieces) {
    CachedTorrent torrent = torrent_of("film", 'a');
    torrent.kept_pieces = kept;
    torrent.pieces = pieces;
    return list_text({{torrent}}, kNow, std::nullopt);
  };
  EXPECT_THAT(share(0, 1000), HasSubstr(" 0%"));
  EXPECT_THAT(share(1, 1000), HasSubstr("<1%"));
  EXPECT_THAT(share(999, 1000), HasSubstr(" 99%"));
  EXPECT_THAT(share(1000, 1000), HasSubstr("100%"));
  EXPECT_THAT(share(4'000'000'000U, 4'000'000'000U), HasSubstr("100%"));
  EXPECT_THAT(share(0, 0), HasSubstr(" -"));
}

TEST(CacheReportTest, StatesAreNamed) {
  CachedTorrent torrent = torrent_of("film", 'a');
  torrent.ephemeral = true;
  EXPECT_THAT(list_text({{torrent}}, kNow, std::nullopt), HasSubstr("  ephemeral  "));
  torrent.user = LockHolder{};
  EXPECT_THAT(list_text({{torrent}}, kNow, std::nullopt), HasSubstr("  mounted, ephemeral  "));
  torrent.user = LockHolder{.pid = 7, .use = LockUse::tool};
  EXPECT_THAT(list_text({{torrent}}, kNow, std::nullopt), HasSubstr("  in use by 7, ephemeral  "));
}

TEST(CacheReportTest, NothingIsSaidToBeNothing) {
  EXPECT_EQ(list_text({}, kNow, 80), "the cache is empty\n");
  EXPECT_EQ(list_json({}), "[]\n");
}

TEST(CacheReportTest, AnAwkwardNameCannotPlayWithTheTerminal) {
  const CacheListing listing{{torrent_of("a\x1b[2J\nb\u202e", 'a')}};
  for (const std::string& text :
       {list_text(listing, kNow, std::nullopt), list_text(listing, kNow, 200),
        size_text(listing, 1, 80), checked_text({.torrent = listing.torrents[0]}),
        removed_text({listing.torrents[0], {}})}) {
    EXPECT_THAT(text, Not(HasSubstr("\x1b")));
    EXPECT_THAT(text, Not(HasSubstr("\u202e")));
    EXPECT_EQ(printable(text.substr(0, text.find('\n'))), text.substr(0, text.find('\n')));
  }
}

TEST(CacheReportTest, JsonHasExactNumbersAndNullsForWhatIsNotKnown) {
  CachedTorrent film = torrent_of("film \"1\"", 'a');
  film.disk_bytes = 9'007'199'254'740'993;  // not a double
  film.user = LockHolder{.pid = 4711};
  CachedTorrent empty;
  const json::array all = json::parse(list_json({{film, empty}})).as_array();
  ASSERT_EQ(all.size(), 2U);
  const json::object& first = all[0].as_object();
  EXPECT_EQ(first.at("info_hash").as_string(), std::string(40, 'a'));
  EXPECT_EQ(first.at("name").as_string(), "film \"1\"");
  EXPECT_EQ(first.at("disk_bytes").to_number<std::uint64_t>(), 9'007'199'254'740'993U);
  EXPECT_EQ(first.at("size").to_number<std::uint64_t>(), 10U * 1024 * 1024);
  EXPECT_EQ(first.at("pieces").to_number<int>(), 10);
  EXPECT_EQ(first.at("kept_pieces").to_number<int>(), 5);
  EXPECT_EQ(first.at("last_used").to_number<std::int64_t>(), kNow - 3 * kDay);
  EXPECT_TRUE(first.at("mounted").as_bool());
  EXPECT_EQ(first.at("pid").to_number<int>(), 4711);
  EXPECT_FALSE(first.at("ephemeral").as_bool());
  EXPECT_TRUE(first.at("problem").is_null());
  const json::object& second = all[1].as_object();
  for (const char* key : {"name", "size", "pieces", "last_used", "pid"})
    EXPECT_TRUE(second.at(key).is_null()) << key;
  EXPECT_FALSE(second.at("mounted").as_bool());
}

TEST(CacheReportTest, SizesAreSummedAndTheLargestComesFirst) {
  CachedTorrent small = torrent_of("small", 'a');
  CachedTorrent large = torrent_of("large", 'b');
  small.disk_bytes = 1024;
  large.disk_bytes = 3 * 1024;
  const CacheListing listing{{small, large}};
  const auto out = lines(size_text(listing, 2 * 1024 * 1024, std::nullopt));
  ASSERT_EQ(out.size(), 4U);
  EXPECT_EQ(out[0], "3 KiB  " + std::string(40, 'b') + "  large");
  EXPECT_EQ(out[1], "1 KiB  " + std::string(40, 'a') + "  small");
  EXPECT_EQ(out[2], "4 KiB  2 torrents");
  EXPECT_EQ(out[3], "2 MiB  free");
  const json::object object = json::parse(size_json(listing, 77)).as_object();
  EXPECT_EQ(object.at("total_bytes").to_number<int>(), 4096);
  EXPECT_EQ(object.at("free_bytes").to_number<int>(), 77);
  EXPECT_EQ(object.at("torrents").as_array().size(), 2U);
}

TEST(CacheReportTest, AVerdictIsOneSentence) {
  CheckResult result{.torrent = torrent_of("film", 'a')};
  EXPECT_EQ(checked_text(result), "film (aaaaaaaaaaaa): nothing is kept\n");
  result.checked_pieces = 5;
  result.checked_bytes = 1024;
  EXPECT_EQ(checked_text(result), "film (aaaaaaaaaaaa): good: 5 pieces, 1 KiB\n");
  result.torrent.user = LockHolder{.pid = 7};
  EXPECT_THAT(checked_text(result), HasSubstr("mounted, and was only read"));
  result.wrong_pieces = 2;
  EXPECT_THAT(checked_text(result), HasSubstr("2 of 5 pieces, 1 KiB, are wrong; nothing was "
                                              "changed, for process 7 has it mounted"));
  result.torrent.user.reset();
  result.dropped = true;
  EXPECT_THAT(checked_text(result), HasSubstr("2 of 5 pieces, 1 KiB, are wrong; dropped"));
  CheckResult broken{.torrent = torrent_of("film", 'a'), .problem = "damaged"};
  EXPECT_EQ(checked_text(broken), "film (aaaaaaaaaaaa): damaged\n");
  CheckResult cut{.torrent = torrent_of("film", 'a'), .interrupted = true};
  EXPECT_EQ(checked_text(cut), "film (aaaaaaaaaaaa): interrupted\n");
}

TEST(CacheReportTest, TheProgressLineSaysHowFarAndHowFast) {
  EXPECT_EQ(checking_text(torrent_of("film", 'a'), {.done = 1024, .total = 4096}, 1024),
            "25% of 4 KiB, 1 KiB/s: film (aaaaaaaaaaaa)");
  EXPECT_THAT(checking_text(torrent_of("film", 'a'), {}, 0), HasSubstr("100% of 0 B"));
}

TEST(CacheReportTest, WhatCouldNotBeRemovedSaysWhyAndWhatWas) {
  const Removed half{torrent_of("film", 'a'), {.freed_bytes = 1024, .problem = "it is in the way"}};
  EXPECT_EQ(remains_line(half), "film (aaaaaaaaaaaa): not removed: it is in the way (1 KiB freed)");
  const Removed gone{torrent_of("film", 'a'), {.freed_bytes = 1024}};
  EXPECT_EQ(removed_text(gone), "film (aaaaaaaaaaaa): removed, 1 KiB freed\n");
  const json::array all = json::parse(removed_json({half, gone})).as_array();
  EXPECT_FALSE(all[0].at("removed").as_bool());
  EXPECT_TRUE(all[1].at("removed").as_bool());
  EXPECT_EQ(all[1].at("freed_bytes").to_number<int>(), 1024);
}

}  // namespace
}  // namespace swarmfs::fs
