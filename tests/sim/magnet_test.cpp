// A torrent that starts from its info-hash alone, in virtual time: the real TorrentSession between
// simulated peers, from the first dial to verified bytes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>

#include "tests/sim/session_world.h"

namespace swarmfs::sim {
namespace {

// Round trips of 30 to 240 ms, together about what the line carries (the lab's HOME).
const std::vector<Link> kHome = {{.delay = 15ms, .rate = mbit(40)},
                                 {.delay = 40ms, .rate = mbit(20)},
                                 {.delay = 80ms, .rate = mbit(8)},
                                 {.delay = 25ms, .rate = mbit(30)},
                                 {.delay = 120ms, .rate = mbit(4)}};

class MagnetTest : public SessionWorld {
 protected:
  using SessionWorld::add;
  using SessionWorld::SessionWorld;

  SimPeer& add(Metadata metadata, Link link = {.delay = 20ms, .rate = mbit(20)}) {
    PeerSpec spec;
    spec.link = link;
    spec.metadata = metadata;
    return add(spec);
  }
  void start() {
    SessionWorld::start([this](std::span<const std::byte> torrent) {
      ++kept_;
      torrent_.assign(torrent.begin(), torrent.end());
    });
    tasks_.spawn(wait(this));
  }
  // Until the metainfo is there.
  bool fetched(Duration limit = 60s) {
    return loop_.run_until([this] { return outcome_.has_value(); }, loop_.now() + limit);
  }
  bool read_some() {
    read_at_ = read({kPiece, kPiece + 100'000});
    return read_at_.has_value();
  }

  std::optional<Result<void>> outcome_;
  std::optional<Duration> fetched_after_;
  std::optional<TimePoint> read_at_;
  std::vector<std::byte> torrent_;
  int kept_ = 0;

 private:
  static Task<void> wait(MagnetTest* self) {
    self->outcome_ = co_await self->session_->wait_metadata();
    self->fetched_after_ = self->loop_.elapsed();
  }
};

TEST_F(MagnetTest, TheInfoHashAndOnePeerAreEnoughToRead) {
  add(Metadata::serves);
  start();
  EXPECT_FALSE(session_->has_metadata());
  ASSERT_TRUE(fetched());
  EXPECT_TRUE(outcome_->has_value());
  EXPECT_TRUE(session_->has_metadata());
  EXPECT_EQ(session_->metainfo().info_hash, truth_.info_hash());
  EXPECT_EQ(session_->metainfo().layout.total_size(), kTotal);
  EXPECT_EQ(session_->metainfo().piece_hashes, truth_.piece_hashes());
  ASSERT_TRUE(read_some());
  EXPECT_EQ(peers_[0]->connections(), 1U) << "on the same connection";
}

TEST_F(MagnetTest, TheUnchokeThatCameBeforeTheMetainfoCounts) {
  PeerSpec slow;
  slow.unchoke = Unchoke::pulse_10s;
  slow.metadata = Metadata::unknown;  // nothing to be had from it yet
  add(slow);
  start();
  loop_.run_for(15s);
  EXPECT_FALSE(session_->has_metadata());
  add(Metadata::serves, {.delay = 20ms, .rate = mbit(1)});
  const std::vector<Endpoint> late{peers_[1]->endpoint()};
  session_->add_peers(late, net::PeerSource::tracker);
  ASSERT_TRUE(fetched());
  const TimePoint fetched_at = loop_.now();
  ASSERT_TRUE(read_some());
  EXPECT_LT(*read_at_ - fetched_at, 1s) << "nobody had to wait for an unchoke";
  EXPECT_GT(peers_[0]->blocks_sent(), 0U);
  EXPECT_EQ(peers_[0]->connections(), 1U);
}

TEST_F(MagnetTest, WhatIsKeptIsTheSameTorrent) {
  add(Metadata::serves);
  start();
  ASSERT_TRUE(fetched());
  EXPECT_EQ(kept_, 1);
  const auto again = storage::parse_metainfo(torrent_);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->info_hash, truth_.info_hash());
  EXPECT_EQ(again->name, session_->metainfo().name);
}

TEST_F(MagnetTest, LiarsOfAllKindsOnlyCostTime) {
  const std::vector<Metadata> liars = {Metadata::wrong_size, Metadata::garbles,
                                       Metadata::silent,     Metadata::rejects,
                                       Metadata::wrong_size, Metadata::garbles};
  for (const Metadata liar : liars) add(liar, {.delay = 1ms, .rate = mbit(100)});
  add(Metadata::serves);
  start();
  ASSERT_TRUE(fetched());
  EXPECT_LT(*fetched_after_, 10s);
  ASSERT_TRUE(read_some());
}

TEST_F(MagnetTest, WithoutAPeerThatHasItNothingComesButNothingBreaks) {
  add(Metadata::rejects);
  add(Metadata::unknown);
  start();
  EXPECT_FALSE(fetched(120s));
  EXPECT_EQ(session_->status().connected, 2U);
  EXPECT_FALSE(session_->reachable({0, 1}));
  const net::Demand nothing = session_->want({{0, 1}});
  const TimePoint asked = loop_.now();
  stop();
  EXPECT_LT(loop_.now() - asked, 2s);
  ASSERT_TRUE(outcome_);
  EXPECT_EQ(outcome_->error(), storage::StorageErrc::closed) << "whoever waits is told";
}

TEST_F(MagnetTest, SaysHowFarItIs) {
  add(Metadata::silent);
  start();
  EXPECT_FALSE(session_->status().metadata_size);
  loop_.run_for(1s);
  EXPECT_EQ(session_->status().metadata_size, truth_.info().size());
  EXPECT_EQ(session_->status().metadata_bytes, 0U);
}

class LargeMagnetTest : public MagnetTest {
 protected:
  static constexpr std::size_t kFiller = 2 * 1024 * 1024;
  LargeMagnetTest() : MagnetTest(kFiller) {}
  void measure(const std::vector<Link>& links) {
    for (const Link& link : links) add(Metadata::serves, link);
    start();
    ASSERT_TRUE(fetched());
    std::uint32_t pieces = 0;
    for (const auto& peer : peers_) pieces += peer->metadata_sent();
    std::printf(
        "  %zu bytes of metadata: %.0f ms from the first dial, %.0f ms on the line; %u pieces\n",
        truth_.info().size(), to_ms(*fetched_after_), line(), pieces);
    EXPECT_LT(pieces, 160U) << "of 129, some asked twice";
  }
  // What its bytes take on the line, in ms.
  [[nodiscard]] double line() const {
    return static_cast<double>(truth_.info().size()) / mbit(100) * 1e3;
  }
};

// These five bring 102 Mbit/s together once TCP has got going, for which a fluid model of their
// slow starts needs 410 ms from the first dial: nobody can do it in twice the time on the line.
// From the first handshake (60 ms) on we take less than three times that.
TEST_F(LargeMagnetTest, TwoMebibytesFromFivePeersOfTheHomeCable) {
  measure(kHome);
  EXPECT_LT(to_ms(*fetched_after_), 60 + 3 * line());
}

TEST_F(LargeMagnetTest, TwoMebibytesFromFivePeersNearAndFast) {
  measure(std::vector<Link>(5, {.delay = 5ms, .rate = mbit(100)}));
  EXPECT_LT(to_ms(*fetched_after_), 2 * line());
}

TEST_F(LargeMagnetTest, TwoMebibytesFromOnePeerFarAway) {
  measure({{.delay = 100ms, .rate = mbit(100)}});
  EXPECT_LT(to_ms(*fetched_after_), 3000);
}

}  // namespace
}  // namespace swarmfs::sim
