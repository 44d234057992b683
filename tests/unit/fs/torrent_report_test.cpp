#include "fs/torrent_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fs/terminal_text.h"

namespace swarmfs::fs {
namespace {

using testing::HasSubstr;
using testing::Not;

storage::Metainfo album() {
  storage::Metainfo m{.name = "album",
                      .info_hash = {},
                      .layout = storage::Layout(3 * 1024 * 1024 + 7, 1024 * 1024),
                      .piece_hashes = std::vector<storage::Sha1Digest>(4)};
  m.files = {{.path = {"one.flac"}, .offset = 0, .length = 3 * 1024 * 1024},
             {.path = {"sub", "two.txt"}, .offset = 3 * 1024 * 1024, .length = 7}};
  m.trackers = {{"http://a.example/announce", "http://b.example/announce"},
                {"http://c.example/announce"}};
  return m;
}

TEST(TorrentReportTest, SaysAllThereIsToKnow) {
  const std::string text = describe_torrent(album());
  EXPECT_EQ(text,
            "name          album\n"
            "info-hash     0000000000000000000000000000000000000000\n"
            "size          3.00 MiB (3145735 bytes)\n"
            "pieces        4 of 1 MiB\n"
            "private       no\n"
            "trackers      tier 1: http://a.example/announce http://b.example/announce\n"
            "              tier 2: http://c.example/announce\n"
            "files         2 files\n"
            "     3 MiB  3145728  one.flac\n"
            "       7 B        7  sub/two.txt\n");
}

TEST(TorrentReportTest, PaddingDoesNotCountAsSize) {
  storage::Metainfo m = album();
  m.layout =
      storage::Layout(8 * 1024 * 1024, 1024 * 1024, {{3 * 1024 * 1024 + 7, 8 * 1024 * 1024}});
  EXPECT_THAT(describe_torrent(m), HasSubstr("size          3.00 MiB (3145735 bytes)\n"));
}

TEST(TorrentReportTest, OdditiesAreShown) {
  storage::Metainfo m = album();
  m.is_private = m.has_v2 = m.files[0].executable = true;
  m.trackers.clear();
  m.warnings = {"something odd"};
  m.web_seeds = {"http://w.example/"};
  const std::string text = describe_torrent(m);
  EXPECT_THAT(text, HasSubstr("private       yes"));
  EXPECT_THAT(text, HasSubstr("hybrid"));
  EXPECT_THAT(text, HasSubstr("one.flac  (executable)\n"));
  EXPECT_THAT(text, HasSubstr("trackers      none"));
  EXPECT_THAT(text, HasSubstr("warning       something odd\n"));
  EXPECT_THAT(text, HasSubstr("web seed      http://w.example/"));
}

TEST(TorrentReportTest, NothingInATorrentReachesTheTerminalAsAnOrder) {
  storage::Metainfo m = album();
  m.name = "a\x1b[2J\nb";
  m.files[0].path = {"\xE2\x80\xAEgpj.exe"};
  m.trackers = {{"http://x/\x07"}};
  m.warnings = {"\xC2\x9B\xFF"};
  const std::string text = describe_torrent(m);
  EXPECT_THAT(text, HasSubstr("name          a\\x1b[2J\\x0ab\n"));
  EXPECT_THAT(text, HasSubstr("\\u{202e}gpj.exe"));
  EXPECT_THAT(text, HasSubstr("http://x/\\x07"));
  EXPECT_THAT(text, HasSubstr("\\xc2\\x9b\\xff"));
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
}

TEST(MagnetReportTest, SaysWhatTheLinkSaysAndNoMore) {
  storage::Magnet m;
  m.info_hash = storage::InfoHash{};
  EXPECT_EQ(describe_magnet(m),
            "name          not in the link\n"
            "info-hash     0000000000000000000000000000000000000000\n");
  m.name = "a\x1b[2J";
  m.v2_hash = storage::Sha256Digest{};
  m.length = 2048;
  m.trackers = {"udp://a.example:1", "http://b.example/announce"};
  m.peers = {{"seed.example", 1}, {"2001:db8::1", 2}};
  m.web_seeds = {"http://w.example/"};
  m.selected = {{0, 0}, {4, 8}};
  m.warnings = {"something odd"};
  EXPECT_EQ(describe_magnet(m),
            "name          a\\x1b[2J\n"
            "info-hash     0000000000000000000000000000000000000000\n"
            "v2 info-hash  " +
                std::string(64, '0') +
                "\n"
                "size          2 KiB (2048 bytes), says the link\n"
                "trackers      udp://a.example:1\n"
                "              http://b.example/announce\n"
                "peers         seed.example:1\n"
                "              [2001:db8::1]:2\n"
                "web seed      http://w.example/\n"
                "warning       something odd\n"
                "selects files 0, 4-8, counted from 0\n");
}

TEST(PrintableTest, KeepsTextInAnyScript) {
  for (const char* text : {"plain", "h\xC3\xA9t\xC3\xA9", "\xE6\x97\xA5\xE6\x9C\xAC",
                           "\xF0\x9F\x8E\xAC", "back\\slash"}) {
    EXPECT_EQ(printable(text), text);
  }
}

TEST(PrintableTest, ShowsBrokenUtf8AsNumbers) {
  EXPECT_EQ(printable("\xC0\xAF"), "\\xc0\\xaf");           // overlong
  EXPECT_EQ(printable("\xED\xA0\x80"), "\\xed\\xa0\\x80");  // a surrogate
  EXPECT_EQ(printable("\xE6\x97"), "\\xe6\\x97");           // cut short
  EXPECT_EQ(printable("\xF5\x80\x80\x80"), "\\xf5\\x80\\x80\\x80");
  EXPECT_EQ(printable("\x80"
                      "a"),
            "\\x80"
            "a");
}

TEST(HumanSizeTest, HasThreeDigitsUnlessFewerAreExact) {
  EXPECT_EQ(human_size(0), "0 B");
  EXPECT_EQ(human_size(1023), "1023 B");
  EXPECT_EQ(human_size(1024), "1 KiB");
  EXPECT_EQ(human_size(10 * 1024), "10 KiB");
  EXPECT_EQ(human_size(10 * 1024 + 1), "10.0 KiB");
  EXPECT_EQ(human_size(1024 * 1024 - 1), "1.00 MiB");
  EXPECT_EQ(human_size(1'500'000'000), "1.40 GiB");
  EXPECT_EQ(human_size(UINT64_MAX), "16.0 EiB");
}

}  // namespace
}  // namespace swarmfs::fs
