#include "fs/mount_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace swarmfs::fs {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

storage::Metainfo metainfo(std::string name, std::vector<std::vector<std::string>> trackers) {
  return {std::move(name),
          storage::sha1({}),
          storage::Layout(6, 16384),
          {},
          {{{"f"}, 0, 6, false}},
          true,
          std::move(trackers),
          {},
          {},
          false,
          {},
          false,
          {}};
}

storage::Magnet link(std::string name = "") {
  storage::Magnet magnet;
  magnet.info_hash = storage::sha1({});
  magnet.name = std::move(name);
  return magnet;
}

KeptTorrent kept() {
  return {std::vector<std::byte>(7), metainfo("kept", {{"http://a/", "http://b/"}})};
}

TEST(MountPlanTest, ATorrentFileIsAllThereIsToKnow) {
  const TorrentFile file{"/x.torrent", std::vector<std::byte>(9), metainfo("t", {{"http://a/"}})};
  const MountPlan plan = plan_mount(file, {}, {});
  EXPECT_EQ(plan.info_hash, storage::sha1({}));
  EXPECT_EQ(plan.title, "t");
  EXPECT_TRUE(plan.metainfo);
  EXPECT_THAT(plan.torrent, SizeIs(9));
  EXPECT_THAT(plan.trackers, ElementsAre(ElementsAre("http://a/")));
}

TEST(MountPlanTest, ALinkLeavesTheMetainfoToPeers) {
  storage::Magnet magnet = link("a film");
  magnet.trackers = {"http://a/", "http://b/"};
  magnet.peers = {{"192.0.2.1", 6881}};
  magnet.selected = {{1, 2}};
  magnet.warnings = {"odd"};
  const MountPlan plan = plan_mount(magnet, {}, {});
  EXPECT_FALSE(plan.metainfo);
  EXPECT_EQ(plan.title, "a film");
  EXPECT_THAT(plan.trackers, ElementsAre(ElementsAre("http://a/"), ElementsAre("http://b/")));
  EXPECT_THAT(plan.hinted_peers, SizeIs(1));
  EXPECT_THAT(plan.selected, SizeIs(1));
  EXPECT_THAT(plan.warnings, ElementsAre("odd"));
}

TEST(MountPlanTest, ALinkWithoutANameIsCalledByItsHash) {
  EXPECT_EQ(plan_mount(link(), {}, {}).title, storage::sha1({}).hex());
}

TEST(MountPlanTest, WhatWasKeptServesALink) {
  storage::Magnet magnet = link("claimed");
  magnet.trackers = {"http://b/", "http://c/"};
  magnet.selected = {{0, 0}};
  const MountPlan plan = plan_mount(magnet, kept(), {});
  EXPECT_EQ(plan.title, "kept") << "the link may say anything";
  EXPECT_THAT(plan.torrent, SizeIs(7));
  EXPECT_THAT(plan.trackers,
              ElementsAre(ElementsAre("http://a/", "http://b/"), ElementsAre("http://c/")));
  EXPECT_THAT(plan.selected, SizeIs(1));
}

TEST(MountPlanTest, WebSeedsOfTheLinkJoinThoseThatWereKept) {
  KeptTorrent before = kept();
  before.metainfo.web_seeds = {"http://a/"};
  storage::Magnet magnet = link();
  magnet.web_seeds = {"http://b/", "http://a/"};
  EXPECT_THAT(plan_mount(magnet, before, {}).web_seeds, ElementsAre("http://a/", "http://b/"));
}

TEST(MountPlanTest, TheUsersTrackersComeFirstWhoeverElseNamesThem) {
  const MountPlan plan = plan_mount(link(), kept(), {"http://a/", "http://mine/"});
  EXPECT_THAT(plan.trackers, ElementsAre(ElementsAre("http://a/"), ElementsAre("http://mine/"),
                                         ElementsAre("http://b/")));
  EXPECT_EQ(plan.user_tiers, 2U);
  EXPECT_EQ(plan_mount(link(), kept(), {}).user_tiers, 0U);
  EXPECT_THAT(plan_mount(link(), {}, {}).trackers, IsEmpty());
}

}  // namespace
}  // namespace swarmfs::fs
