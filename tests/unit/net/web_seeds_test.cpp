#include "net/web_seeds.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/block_pool.h"
#include "tests/unit/net/connections_world.h"
#include "tests/unit/net/range_server.h"

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;
using testing::Contains;
using testing::HasSubstr;
using testing::SizeIs;

class WebSeedsTest : public ConnectionsWorld {
 protected:
  void TearDown() override {
    run_task(context_, connections_.stop());
    if (seeds_) run_task(context_, seeds_->stop());
    seeds_.reset();
    run_task(context_, server_.stop());
  }
  void begin(const std::vector<std::string>& urls, bool allow_local = true) {
    metainfo_.original_name = "t";
    metainfo_.single_file = true;
    metainfo_.files = {{{"t"}, 0, 100'000}};
    connections_.start();
    seeds_.emplace(
        WebSeeds::Parts{.executor = context_.get_executor(),
                        .clock = clock_,
                        .connections = connections_,
                        .metainfo = metainfo_,
                        .urls = urls,
                        .allow_local = allow_local,
                        .log = [this](int, const std::string& line) { said_.push_back(line); }});
    seeds_->start();
  }
  bool until_connected(std::size_t count) {
    return run_until(context_, [&] { return connections_.counts().connected == count; });
  }

  storage::BlockPool pool_{8};
  Connections::Config config_{.info_hash = info_hash_, .peer_id = filled(2)};
  Connections connections_{context_.get_executor(),
                           clock_,
                           dialer(),
                           pool_,
                           config_,
                           [this](int, const std::string& line) { said_.push_back(line); }};
  RangeServer server_{context_};
  storage::Metainfo metainfo_{
      .name = "t", .info_hash = {}, .layout = {100'000, 16384}, .piece_hashes = {}};
  std::optional<WebSeeds> seeds_;
  std::vector<std::string> said_;
};

TEST_F(WebSeedsTest, AServerIsConnectedAndCountsAsAPeer) {
  begin({server_.url("/f")});
  ASSERT_TRUE(until_connected(1));
  EXPECT_EQ(seeds_->counts().known, 1U);
  EXPECT_EQ(seeds_->counts().dialling, 0U);
  const Connected& seed = *connections_.all().front();
  EXPECT_TRUE(seed.web_seed);
  EXPECT_TRUE(seed.fast);
  EXPECT_FALSE(seed.incoming);
}

TEST_F(WebSeedsTest, OneThatFailsIsTriedAgainLaterEachTimeAndNeverGivenUp) {
  begin({"http://127.0.0.1:1/f"}, false);
  const std::string failure = "web seed http://127.0.0.1:1/f: address refused";
  std::vector<int> pauses;
  for (std::size_t tries = 1; tries <= 12; ++tries) {
    ASSERT_TRUE(run_until(context_, [&] { return said_.size() >= tries; }));
    ASSERT_THAT(said_.back(), HasSubstr(failure));
    pauses.push_back(std::stoi(said_.back().substr(said_.back().find("next try in ") + 12)));
    while (said_.size() == tries) pass(1s);
  }
  EXPECT_EQ(pauses, (std::vector<int>{2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600, 600}));
}

TEST_F(WebSeedsTest, OneThatIsBannedStaysAwayAndTheLogSaysItsUrl) {
  begin({server_.url("/f")});
  ASSERT_TRUE(until_connected(1));
  connections_.ban(connections_.all().front()->endpoint, "sent corrupt data");
  ASSERT_TRUE(until_connected(0));
  for (int i = 0; i < 60; ++i) pass(20s);
  EXPECT_EQ(server_.connections, 1U);
  EXPECT_EQ(seeds_->counts().known, 0U);
  EXPECT_THAT(said_, Contains(server_.url("/f") + " banned: sent corrupt data"));
}

TEST_F(WebSeedsTest, AHostIsSparedAndTheOthersHaveTheirTurnWhenOneIsBanned) {
  begin({server_.url("/a"), server_.url("/b"), server_.url("/c"), server_.url("/d")});
  ASSERT_TRUE(until_connected(2));
  for (int i = 0; i < 5; ++i) pass(20s);
  EXPECT_EQ(connections_.counts().connected, 2U);
  connections_.ban(connections_.all().front()->endpoint, "sent corrupt data");
  ASSERT_TRUE(until_connected(1));
  pass(20s);
  ASSERT_TRUE(until_connected(2));
}

TEST_F(WebSeedsTest, WhatTheLogSaysHasNoPassword) {
  begin({"http://user:secret@127.0.0.1:1/f"}, false);
  ASSERT_TRUE(run_until(context_, [&] { return !said_.empty(); }));
  for (const std::string& line : said_) EXPECT_EQ(line.find("secret"), line.npos) << line;
}

}  // namespace
}  // namespace swarmfs::net
