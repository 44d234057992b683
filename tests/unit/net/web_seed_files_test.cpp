#include "net/web_seed_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace swarmfs::net {
namespace {

using storage::ByteRange;

storage::Metainfo torrent(const std::string& name, std::uint64_t total, bool single_file,
                          std::vector<storage::FileEntry> files, std::vector<ByteRange> pads = {}) {
  storage::Metainfo made{
      .name = name, .info_hash = {}, .layout = {total, 16384, std::move(pads)}, .piece_hashes = {}};
  made.original_name = name;
  made.single_file = single_file;
  made.files = std::move(files);
  return made;
}

std::string text(const std::vector<WebSeedFiles::Span>& spans) {
  std::string out;
  for (const auto& [bytes, file] : spans) {
    out += (file ? std::to_string(*file) : "pad") + ":" + std::to_string(bytes.begin) + "-" +
           std::to_string(bytes.end) + " ";
  }
  return out;
}

TEST(WebSeedFilesTest, OneFileLiesAtTheUrlOrInTheFolder) {
  const auto metainfo = torrent("a film.mkv", 100, true, {{{"a film.mkv"}, 0, 100}});
  const WebSeedFiles files(metainfo);
  EXPECT_EQ(files.suffix(0, "/x/other.mkv"), "");
  EXPECT_EQ(files.suffix(0, "/x/"), "a%20film.mkv");
}

TEST(WebSeedFilesTest, ManyFilesLieInAFolderOfTheirName) {
  const auto metainfo = torrent("al/bum", 100, false, {{{"b#c?", "d%\xC3\xBC"}, 0, 100}});
  const WebSeedFiles files(metainfo);
  EXPECT_EQ(files.suffix(0, "/x/"), "al%2Fbum/b%23c%3F/d%25%C3%BC");
  EXPECT_EQ(files.suffix(0, "/x"), "/al%2Fbum/b%23c%3F/d%25%C3%BC");
}

TEST(WebSeedFilesTest, TheServerKnowsTheNamesOfTheTorrentNotOurs) {
  auto metainfo = torrent("t", 100, false, {{{"b.1"}, 0, 50}, {{"_"}, 50, 50}});
  metainfo.original_name = "T\x01";
  metainfo.files[0].original = {"b"};
  metainfo.files[1].original = {"..", "etc"};
  const WebSeedFiles files(metainfo);
  EXPECT_EQ(files.suffix(0, "/"), "T%01/b");
  EXPECT_EQ(files.suffix(1, "/"), "T%01/_") << "no way up";
}

TEST(WebSeedFilesTest, WhatIsNoFileIsPadding) {
  const auto metainfo = torrent(
      "t", 100, false, {{{"a"}, 0, 10}, {{"empty"}, 10, 0}, {{"b"}, 20, 30}, {{"c"}, 50, 40}},
      {{10, 20}, {90, 100}});
  const WebSeedFiles files(metainfo);
  EXPECT_EQ(text(files.spans({0, 100})), "0:0-10 pad:10-20 2:20-50 3:50-90 pad:90-100 ");
  EXPECT_EQ(text(files.spans({25, 26})), "2:25-26 ");
  EXPECT_EQ(text(files.spans({9, 21})), "0:9-10 pad:10-20 2:20-21 ");
  EXPECT_EQ(text(files.spans({50, 50})), "");
  EXPECT_EQ(text(files.spans({95, 100})), "pad:95-100 ");
  EXPECT_EQ(files.range(2), (ByteRange{20, 50}));
}

}  // namespace
}  // namespace swarmfs::net
