#include "fs/stall_reason.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace swarmfs::fs {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

TEST(StallReasonTest, NamesTheFirstThingThatIsMissing) {
  Stall stall{.sources = "1 of 2 trackers answered"};
  EXPECT_EQ(stall_reason(stall).text, "data: no peers known; 1 of 2 trackers answered");
  stall.swarm.known_addresses = 3;
  EXPECT_THAT(stall_reason(stall).text, HasSubstr("3 peers known, none reached, trying again"));
  stall.swarm.dialling = 2;
  EXPECT_THAT(stall_reason(stall).text, HasSubstr("2 being tried"));
  stall.swarm.connected = 1;
  stall.unreachable_piece = 17;
  EXPECT_THAT(stall_reason(stall).text, HasSubstr("none of 1 connected peer has piece 17"));
  stall.unreachable_piece.reset();
  EXPECT_THAT(stall_reason(stall).text, HasSubstr("1 peer connected, all choking"));
  stall.swarm.unchoked = 1;
  EXPECT_THAT(stall_reason(stall).text, HasSubstr("1 peer could send"));
}

TEST(StallReasonTest, SaysWhereTheMetadataIs) {
  Stall stall{.sources = "no trackers", .needs_metadata = true};
  EXPECT_EQ(stall_reason(stall).text, "the metadata: no peers known; no trackers");
  stall.swarm.known_addresses = stall.swarm.connected = 2;
  EXPECT_EQ(stall_reason(stall).text,
            "the metadata: 2 peers connected, none offers it; no trackers");
  stall.swarm.metadata_size = 40'000;
  EXPECT_THAT(stall_reason(stall).text, HasSubstr("0 of 40 KiB came"));
  EXPECT_EQ(stall_reason(stall).kind, StallKind::nobody_sends_metadata);
  stall.swarm.metadata_bytes = 16384;
  EXPECT_EQ(stall_reason(stall).text, "the metadata: 2 peers connected, 16 of 40 KiB came");
}

TEST(StallReasonTest, EachReasonHasItsKind) {
  Stall stall;
  EXPECT_EQ(stall_reason(stall).kind, StallKind::no_peers_known);
  stall.swarm.known_addresses = 1;
  EXPECT_EQ(stall_reason(stall).kind, StallKind::none_reachable);
  stall.swarm.connected = 1;
  EXPECT_EQ(stall_reason(stall).kind, StallKind::all_choking);
  stall.unreachable_piece = 0;
  EXPECT_EQ(stall_reason(stall).kind, StallKind::nobody_has_it);
  stall.unreachable_piece.reset();
  stall.swarm.unchoked = 1;
  EXPECT_EQ(stall_reason(stall).kind, StallKind::nothing_lately);
  stall.needs_metadata = true;
  stall.swarm.metadata_size = 2;
  stall.swarm.metadata_bytes = 1;
  EXPECT_EQ(stall_reason(stall).kind, StallKind::metadata_coming);
}

TEST(StallReasonTest, DoesNotBlameTrackersWhenPeersAreThere) {
  Stall stall{.sources = "no trackers"};
  stall.swarm.known_addresses = stall.swarm.connected = 1;
  EXPECT_THAT(stall_reason(stall).text, Not(HasSubstr("trackers")));
}

class StallWatchTest : public testing::Test {
 protected:
  static constexpr net::TimePoint kStart{1h};
  // Checks until it is a stall.
  void fall_silent() {
    for (int i = 0; i < StallWatch::kQuietChecks; ++i) std::ignore = watch_.stalled(true, 0);
    ASSERT_TRUE(watch_.stalled(true, 0));
  }
  StallWatch watch_;
};

TEST_F(StallWatchTest, AShortWaitIsNoStall) {
  EXPECT_FALSE(watch_.stalled(true, 0));
  EXPECT_TRUE(watch_.stalled(true, 0));
}

TEST_F(StallWatchTest, NobodyWaitingIsNoStall) {
  for (int i = 0; i < 10; ++i) EXPECT_FALSE(watch_.stalled(false, 0));
}

TEST_F(StallWatchTest, WhatComesEndsIt) {
  fall_silent();
  EXPECT_FALSE(watch_.stalled(true, 16384));
  EXPECT_FALSE(watch_.stalled(true, 16384)) << "a new silence begins";
  EXPECT_TRUE(watch_.stalled(true, 16384));
}

TEST_F(StallWatchTest, AReasonIsLoggedOnceHoweverLongItLasts) {
  fall_silent();
  EXPECT_TRUE(watch_.is_news(StallKind::no_peers_known, kStart));
  EXPECT_FALSE(watch_.is_news(StallKind::no_peers_known, kStart + 1s));
  EXPECT_FALSE(watch_.is_news(StallKind::no_peers_known, kStart + 24h));
}

TEST_F(StallWatchTest, AChangeOfReasonIsLogged) {
  fall_silent();
  EXPECT_TRUE(watch_.is_news(StallKind::no_peers_known, kStart));
  EXPECT_TRUE(watch_.is_news(StallKind::none_reachable, kStart + 1s));
}

TEST_F(StallWatchTest, AReasonThatComesAndGoesIsLoggedSeldom) {
  int logged = 0;
  for (auto passed = 0s; passed < 1h; passed += 10s) {
    fall_silent();
    const bool choked = passed.count() % 20 == 0;
    const StallKind kind = choked ? StallKind::all_choking : StallKind::nothing_lately;
    logged += watch_.is_news(kind, kStart + passed) ? 1 : 0;
    ASSERT_FALSE(watch_.stalled(true, 1 + static_cast<std::uint64_t>(passed.count())));
    ASSERT_FALSE(watch_.stalled(false, 0));
  }
  EXPECT_GE(logged, 2);
  EXPECT_LE(logged, 2 * (1h / StallWatch::kLogAgain));
}

TEST_F(StallWatchTest, AReasonThatStaysAfterAChangeIsLoggedInTheEnd) {
  fall_silent();
  ASSERT_TRUE(watch_.is_news(StallKind::all_choking, kStart));
  ASSERT_TRUE(watch_.is_news(StallKind::nothing_lately, kStart + 1min));
  EXPECT_FALSE(watch_.is_news(StallKind::all_choking, kStart + 2min)) << "too soon";
  EXPECT_TRUE(watch_.is_news(StallKind::all_choking, kStart + 11min))
      << "the log's last word is it";
}

}  // namespace
}  // namespace swarmfs::fs
