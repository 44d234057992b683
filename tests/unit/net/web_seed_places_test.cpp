#include "net/web_seed_places.h"

#include <gtest/gtest.h>

namespace swarmfs::net {
namespace {

class WebSeedPlacesTest : public testing::Test {
 protected:
  static storage::Metainfo album() {
    storage::Metainfo made{.name = "t", .info_hash = {}, .layout = {30, 16384}, .piece_hashes = {}};
    made.original_name = "t";
    made.files = {{{"a"}, 0, 10}, {{"b"}, 10, 10}, {{"c"}, 20, 10}};
    return made;
  }
  static HttpHop at(const std::string& url) {
    HttpHop hop;
    hop.url = parse_http_url(url).value();
    hop.source = UrlSource::web_seed_list;
    return hop;
  }
  [[nodiscard]] std::string url_of(WebSeedFiles::File file) const {
    return places.of(file).url.text();
  }
  bool follow(WebSeedFiles::File file, const std::string& location) {
    return places.follow(file, location, asio::ip::make_address("8.8.8.8"));
  }

  storage::Metainfo metainfo = album();
  WebSeedFiles files{metainfo};
  WebSeedPlaces places{files, at("http://u:p@one.example/x/")};
};

TEST_F(WebSeedPlacesTest, FilesAreWhereTheTorrentSays) {
  EXPECT_EQ(url_of(0), "http://one.example/x/t/a");
  EXPECT_FALSE(places.of(0).url.authorization.empty());
}

TEST_F(WebSeedPlacesTest, AMovedFolderHasMovedForAllFilesAndTheRulesGoAlong) {
  ASSERT_TRUE(follow(0, "https://two.example/y/t/a"));
  EXPECT_EQ(url_of(0), "https://two.example/y/t/a");
  EXPECT_EQ(url_of(1), "https://two.example/y/t/b");
  const HttpHop hop = places.of(1);
  EXPECT_EQ(hop.previous, Scope::global) << "no way to a more local server";
  EXPECT_EQ(hop.source, UrlSource::web_seed_list);
  EXPECT_TRUE(hop.url.authorization.empty()) << "a password went to a stranger";
}

TEST_F(WebSeedPlacesTest, AFileOfAnotherNameHasMovedAlone) {
  for (const char* to : {"/store/4711", "/y/t/a?token=1", "/yt/a", "/"}) {
    ASSERT_TRUE(follow(0, to)) << to;
    EXPECT_EQ(url_of(0), std::string("http://one.example") + to);
    EXPECT_EQ(url_of(1), "http://one.example/x/t/b") << to;
  }
}

TEST_F(WebSeedPlacesTest, NobodySendsUsAnywhere) {
  ASSERT_TRUE(follow(0, "https://two.example/y/t/a"));
  for (const std::string& to :
       {std::string("file:///etc/passwd"), std::string("ftp://two.example/y/t/a"), std::string(),
        std::string("http://two.example/y/t/a"), "https://two.example/" + std::string(3000, 'x')}) {
    EXPECT_FALSE(follow(0, to)) << to.substr(0, 40);
  }
  EXPECT_EQ(url_of(0), "https://two.example/y/t/a");
}

TEST_F(WebSeedPlacesTest, WhatIsGoneThereIsLookedForWhereTheTorrentSays) {
  EXPECT_FALSE(places.go_back(0));
  ASSERT_TRUE(follow(0, "/alone"));
  EXPECT_TRUE(places.go_back(0));
  ASSERT_TRUE(follow(1, "https://two.example/y/t/b"));
  EXPECT_TRUE(places.go_back(0));
  EXPECT_EQ(url_of(1), "http://one.example/x/t/b");
  EXPECT_FALSE(places.go_back(0));
}

}  // namespace
}  // namespace swarmfs::net
