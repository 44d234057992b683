#include "storage/metainfo_sources.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/storage/torrents.h"

namespace swarmfs::storage {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Tier = std::vector<std::string>;

std::string torrent_with(Dictionary torrent) {
  return torrent.add("info", single_info()).encode();
}

TEST(MetainfoSources, TiersAreKeptInOrderAndAnnounceComesLast) {
  Dictionary torrent;
  const List first = List().add("http://a/announce").add("udp://b:6969");
  const List second = List().add("HTTPS://c/x").add("http://a/announce");
  torrent.add("announce", "http://z/announce").add("announce-list", List().add(first).add(second));
  EXPECT_THAT(parsed(torrent_with(torrent)).trackers,
              ElementsAre(Tier{"http://a/announce", "udp://b:6969"}, Tier{"HTTPS://c/x"},
                          Tier{"http://z/announce"}));
}

TEST(MetainfoSources, AFlatAnnounceListIsATierEach) {
  Dictionary torrent;
  torrent.add("announce", "http://a/")
      .add("announce-list", List().add("http://a/").add("http://b/").add(5));
  EXPECT_THAT(parsed(torrent_with(torrent)).trackers,
              ElementsAre(Tier{"http://a/"}, Tier{"http://b/"}));
}

TEST(MetainfoSources, OnlyUrlsThatCanBeAskedAreTaken) {
  List tier;
  const std::string long_url = "http://h/" + std::string(2040, 'x');
  for (const std::string_view url :
       {"file:///etc/passwd", "ftp://h/", "wss://h/", "javascript:alert(1)", "http:/h/", "http://",
        "http:///x", "h:80", "http://h/a b", "http://h/\t", "http://h/\x7F", " http://h/",
        "http://ok:80/announce?k=1"}) {
    tier.add(url);
  }
  tier.add(long_url).add(long_url.substr(1)).add(std::string_view("http://h/\0", 10));
  Dictionary torrent;
  torrent.add("announce-list", List().add(tier));
  EXPECT_THAT(parsed(torrent_with(torrent)).trackers,
              ElementsAre(Tier{"http://ok:80/announce?k=1"}));
}

TEST(MetainfoSources, AHundredTrackersAndFiftyWebSeedsAreEnough) {
  List trackers, seeds;
  for (int i = 0; i < 150; ++i) {
    trackers.add("http://t/" + std::to_string(i));
    seeds.add("http://s/" + std::to_string(i));
  }
  Dictionary torrent;
  torrent.add("announce-list", List().add(trackers)).add("url-list", seeds);
  const Metainfo metainfo = parsed(torrent_with(torrent));
  EXPECT_EQ(metainfo.trackers.at(0).size(), 100U);
  EXPECT_EQ(metainfo.web_seeds.size(), 50U);
  EXPECT_THAT(metainfo.warnings, ElementsAre(HasSubstr("50 trackers"), HasSubstr("100 web seeds")));
}

TEST(MetainfoSources, WebSeedsAreAListOrOneUrlAndNeverUdp) {
  Dictionary one, many;
  one.add("url-list", "http://s/");
  many.add("url-list", List().add("https://s/a").add("udp://s").add("").add("https://s/a"));
  EXPECT_THAT(parsed(torrent_with(one)).web_seeds, ElementsAre("http://s/"));
  EXPECT_THAT(parsed(torrent_with(many)).web_seeds, ElementsAre("https://s/a"));
}

TEST(MetainfoSources, OptionalKeysOfTheWrongTypeAreIgnored) {
  Dictionary torrent, info = single_info();
  info.add("private", "1");
  torrent.add("announce", 1).add("announce-list", "x").add("url-list", 7).add("nodes", 3);
  torrent.add("creation date", Dictionary()).add("info", info);
  const Metainfo metainfo = parsed(torrent.encode());
  EXPECT_THAT(metainfo.trackers, IsEmpty());
  EXPECT_THAT(metainfo.web_seeds, IsEmpty());
  EXPECT_THAT(metainfo.nodes, IsEmpty());
  EXPECT_FALSE(metainfo.creation_date);
  EXPECT_FALSE(metainfo.is_private);
  EXPECT_EQ(metainfo.warnings.size(), 6U);
}

TEST(MetainfoSources, WarningsAreBounded) {
  List bad;
  for (int i = 0; i < 1000; ++i) bad.add("\x1B[2J" + std::string(500, 'x'));
  Dictionary torrent;
  torrent.add("announce-list", bad);
  const Metainfo metainfo = parsed(torrent_with(torrent));
  EXPECT_EQ(metainfo.warnings.size(), 21U);
  EXPECT_EQ(metainfo.warnings.back(), "and 980 more");
  EXPECT_LT(metainfo.warnings.front().size(), 200U);
}

TEST(HostPort, IsANameOrAnAddressAndAPort) {
  EXPECT_EQ(parse_host_port("192.0.2.7:1"), HostPort("192.0.2.7", 1));
  EXPECT_EQ(parse_host_port("seed_1.example-x:65535"), HostPort("seed_1.example-x", 65535));
  EXPECT_EQ(parse_host_port("[2001:db8::1]:6881"), HostPort("2001:db8::1", 6881));
  for (const char* text :
       {"", ":", "h", ":1", "h:", "h:0", "h:65536", "h:-1", "h:1x", "::1:6881", "[]:1", "[:1",
        "]:1", "[::1]", "[::1:6881", "[192.0.2.7]:1", "a b:1", "h/x:1"}) {
    EXPECT_FALSE(parse_host_port(text)) << text;
  }
  EXPECT_FALSE(parse_host_port(std::string(254, 'a') + ":1"));
}

}  // namespace
}  // namespace swarmfs::storage
