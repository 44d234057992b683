#include "fs/source.h"
#include "tests/unit/temp_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace swarmfs::fs {
namespace {

using testing::HasSubstr;
using testing::Not;

const std::string kHash = "d2354010a3ca4ade5b7427bb093a62a3899ff381";
const std::string kV2Hash(64, 'a');

// In a scratch folder, which is the working directory.
class SourceTest : public testing::Test {
 protected:
  void SetUp() override {
    before = std::filesystem::current_path();
    std::filesystem::current_path(scratch);
  }
  void TearDown() override { std::filesystem::current_path(before); }
  static void write(const std::string& name, const std::string& text) {
    std::ofstream(name) << text;
  }
  // One line that names the source.
  static std::string complaint(const std::string& typed) {
    const OrComplaint<Source> source = open_source(typed, false);
    EXPECT_FALSE(source) << typed;
    if (source) return {};
    EXPECT_EQ(source.error().exit_code, kExitFailure);
    EXPECT_THAT(source.error().line, HasSubstr(typed.substr(0, 100)));
    EXPECT_THAT(source.error().line, Not(HasSubstr("\n")));
    return source.error().line;
  }

  TempFolder folder;
  std::filesystem::path scratch = folder.path(), before;
};

TEST_F(SourceTest, IsKnownByHowItIsWritten) {
  EXPECT_EQ(kind_of_source("-"), SourceKind::standard_input);
  EXPECT_EQ(kind_of_source("./-"), SourceKind::file);
  EXPECT_EQ(kind_of_source("a.torrent"), SourceKind::file);
  EXPECT_EQ(kind_of_source("http.torrent"), SourceKind::file);
  EXPECT_EQ(kind_of_source("http://h/x"), SourceKind::url);
  EXPECT_EQ(kind_of_source("HTTPS://h/x"), SourceKind::url);
  EXPECT_EQ(kind_of_source("ftp://h/x"), SourceKind::file);
  EXPECT_EQ(kind_of_source("magnet:"), SourceKind::magnet);
  EXPECT_EQ(kind_of_source("Magnet:?xt=urn:btih:" + kHash), SourceKind::magnet);
  EXPECT_EQ(kind_of_source(kHash), SourceKind::magnet);
  EXPECT_EQ(kind_of_source("2I2UAEFDZJFN4W3UE65QSOTCUOEZ744B"), SourceKind::magnet);
  EXPECT_EQ(kind_of_source(kV2Hash), SourceKind::magnet);
  EXPECT_EQ(kind_of_source(std::string(40, '0')), SourceKind::magnet);
  EXPECT_EQ(kind_of_source(kHash.substr(1)), SourceKind::file);
}

TEST_F(SourceTest, APathThatExistsWinsOverAnInfoHash) {
  write(kHash, "x");
  EXPECT_EQ(kind_of_source(kHash), SourceKind::file);
  std::filesystem::remove(kHash);
  std::filesystem::create_directory(kHash);  // the name of our own cache folders
  EXPECT_THAT(complaint(kHash), HasSubstr("is a directory"));
}

TEST_F(SourceTest, AMagnetLinkOrAHashIsAMagnet) {
  for (const std::string& typed : {kHash, "magnet:?xt=urn:btih:" + kHash + "&dn=x"}) {
    const OrComplaint<Source> source = open_source(typed, false);
    ASSERT_TRUE(source) << source.error().line;
    EXPECT_EQ(std::get<storage::Magnet>(*source).info_hash->hex(), kHash);
  }
}

TEST_F(SourceTest, AMagnetThatIsWrongSaysWhy) {
  EXPECT_THAT(complaint("magnet:?dn=x"), HasSubstr("names no torrent"));
  EXPECT_THAT(complaint("magnet:?xt=urn:btih:123"), HasSubstr("40 hex digits"));
  EXPECT_THAT(complaint(std::string(40, '0')), HasSubstr("all zeros"));
  const std::string huge = complaint("magnet:?dn=" + std::string(100'000, 'x'));
  EXPECT_LT(huge.size(), 400U) << "a complaint is one line, not a screen";
}

TEST_F(SourceTest, WhatIsOnlyV2IsSaidInOneLineWithTheRemedy) {
  EXPECT_THAT(complaint(kV2Hash), HasSubstr("v2-only torrents (BEP 52) are not supported yet"));
  EXPECT_THAT(complaint("magnet:?xt=urn:btmh:1220" + kV2Hash), HasSubstr("urn:btih:"));
}

TEST_F(SourceTest, WhatIsNotThereIsToldWhatItMayHaveBeen) {
  EXPECT_THAT(complaint("nothing.torrent"), HasSubstr("No such file"));
  EXPECT_THAT(complaint(kHash.substr(1)), HasSubstr("40 hex digits, this has 39"));
  EXPECT_THAT(complaint("ftp://h/x.torrent"), HasSubstr("http or https"));
  EXPECT_THAT(complaint("file:///tmp/x.torrent"), HasSubstr("give a path"));
}

TEST_F(SourceTest, AWebPageIsRecognised) {
  write("page.torrent", "\xEF\xBB\xBF \r\n<!DOCTYPE html><html>");
  EXPECT_THAT(complaint("page.torrent"), HasSubstr("a web page, not a torrent"));
  write("link.torrent", "magnet:?xt=urn:btih:" + kHash);
  EXPECT_THAT(complaint("link.torrent"), HasSubstr("give the link itself"));
  write("other.torrent", "d4:infoi1ee");
  EXPECT_THAT(complaint("other.torrent"), HasSubstr("no info dictionary"));
  write("empty.torrent", "");
  EXPECT_THAT(complaint("empty.torrent"), HasSubstr("empty"));
}

TEST_F(SourceTest, AFileIsReadAndItsPathIsMadeAbsolute) {
  std::filesystem::create_symlink(SWARMFS_TEST_DATA "/torrents/piece_length_1.torrent", "l");
  const OrComplaint<Source> source = open_source("l", false);
  ASSERT_TRUE(source) << source.error().line;
  const auto& torrent = std::get<TorrentFile>(*source);
  EXPECT_EQ(torrent.path, std::filesystem::canonical("l"));
  EXPECT_FALSE(torrent.bytes.empty());
}

}  // namespace
}  // namespace swarmfs::fs
