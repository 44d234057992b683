#include "net/torrent_session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "net/metadata_message.h"
#include "storage/bencode.h"
#include "tests/unit/net/connections_world.h"

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;
using storage::StorageErrc;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;
namespace bencode = storage::bencode;

Bytes as_bytes(const std::string& text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

// Two pieces of 16 KiB.
bencode::Dictionary info_dictionary() {
  bencode::Dictionary info;
  info.add("length", std::int64_t{32768});
  info.add("name", "film.mkv");
  info.add("piece length", std::int64_t{16384});
  info.add("pieces", std::string(40, 'x'));
  return info;
}

TEST(PoolSizeTest, BlocksTakeWhatTheProgramLeavesAndTwoPiecesInAnyCase) {
  constexpr std::uint64_t kMiB = 1024 * 1024;
  EXPECT_EQ(pool_size(kMiB, kUsualMemory), 48 * kMiB);
  EXPECT_EQ(pool_size(kMiB, 256 * kMiB), 240 * kMiB);
  EXPECT_EQ(pool_size(kMiB, 32 * kMiB), 16 * kMiB);
  EXPECT_EQ(pool_size(16 * kMiB, 32 * kMiB), 40 * kMiB);
  EXPECT_EQ(pool_size(kMiB, 0), 10 * kMiB);
}

class TorrentSessionTest : public ConnectionsWorld {
 protected:
  ~TorrentSessionTest() override {
    if (!session_) return;
    run_task(context_, session_->stop());
    session_.reset();
  }
  TorrentSession::Parts parts() {
    info_hash_ = storage::sha1(as_bytes(info_));
    const auto log = [this](int, const std::string& line) { said_.push_back(line); };
    return {.executor = context_.get_executor(),
            .clock = clock_,
            .dialer = dialer(),
            .info_hash = info_hash_,
            .metainfo = std::nullopt,
            .trackers = trackers_,
            .hashers = hashers_,
            .disk = nullptr,
            .web_seeds = web_seeds_,
            .peers = {},
            .pex = pex_,
            .log = log,
            .on_metadata = [this](std::span<const std::byte> torrent) {
              kept_.emplace_back(torrent.begin(), torrent.end());
            }};
  }
  void start_magnet() {
    session_.emplace(parts());
    session_->start();
  }
  void start_torrent() {
    TorrentSession::Parts all = parts();
    all.torrent = as_bytes("d4:info" + info_ + "e");
    auto metainfo = storage::parse_metainfo(all.torrent);
    ASSERT_TRUE(metainfo);
    all.metainfo = std::move(*metainfo);
    session_.emplace(std::move(all));
    session_->start();
  }
  FarEnd& peer(int n, PeerSource source = PeerSource::tracker) {
    const std::vector<Endpoint> one{address(n)};
    session_->add_peers(one, source);
    settle();
    return greet(n);
  }
  FarEnd& seed(int n, PeerSource source = PeerSource::tracker) {
    FarEnd& far = peer(n, source);
    far.say(HaveAll{});
    far.say(Unchoke{});
    say_extended(far, 0,
                 "d1:md11:ut_metadatai5e6:ut_pexi6ee13:metadata_sizei" +
                     std::to_string(info_.size()) + "ee");
    settle();
    return far;
  }
  // Gives what was asked for, which is one piece.
  void give_metadata(FarEnd& far) {
    const auto requests = heard_extended(far, 5);
    ASSERT_THAT(requests, SizeIs(1));
    const Bytes data = as_bytes(info_);
    const auto size = static_cast<std::uint32_t>(data.size());
    const auto payload = encode(MetadataMessage{MetadataMessage::Type::data, 0, size, data});
    far.say(Extended{static_cast<std::uint8_t>(ExtensionId::metadata), payload});
    settle();
    settle();
  }
  // A ut_pex message that names peer `n`.
  static std::string naming(int n) {
    std::string packed("\x08\x08\x08\x00\x1a\xe1", 6);
    packed[3] = static_cast<char>(n);
    return "d5:added6:" + packed + "e";
  }
  static Task<void> wait(TorrentSessionTest* self) {
    self->outcomes_.push_back(co_await self->session_->wait_metadata());
  }

  std::string info_ = info_dictionary().encode();
  std::vector<std::vector<std::string>> trackers_;
  std::vector<std::string> web_seeds_;
  // Of two peers neither hears of the other, and whom they name is not believed.
  void expect_no_pex() {
    FarEnd& far = peer(1);
    peer(2);
    EXPECT_THAT(as_text(greeting_), Not(HasSubstr("ut_pex")));
    say_extended(far, 0, "d1:md6:ut_pexi6eee");
    say_extended(far, 1, naming(9));
    EXPECT_FALSE(dialled(9));
    pass(60s);
    EXPECT_THAT(heard_extended(far, 6), SizeIs(0));
  }

  bool pex_ = true;
  storage::WorkerPool hashers_{context_.get_executor(), 0};
  std::optional<TorrentSession> session_;
  std::vector<Result<void>> outcomes_;
  std::vector<Bytes> kept_;
  std::vector<std::string> said_;
  storage::TaskGroup tasks_{context_.get_executor()};
};

// ---- with a .torrent

TEST_F(TorrentSessionTest, ATorrentIsThereAtOnce) {
  start_torrent();
  EXPECT_TRUE(session_->has_metadata());
  EXPECT_EQ(session_->metainfo().name, "film.mkv");
  EXPECT_EQ(session_->store().layout().total_size(), 32768U);
  tasks_.spawn(wait(this));
  settle();
  ASSERT_THAT(outcomes_, SizeIs(1));
  EXPECT_TRUE(outcomes_[0].has_value());
  EXPECT_THAT(kept_, SizeIs(0)) << "there is nothing new to keep";
}

TEST_F(TorrentSessionTest, OffersWhatItHas) {
  start_torrent();
  FarEnd& far = peer(1);
  EXPECT_THAT(as_text(greeting_), HasSubstr("11:ut_metadatai2e6:ut_pexi1ee13:metadata_sizei" +
                                            std::to_string(info_.size()) + "e"));
  say_extended(far, 0, "d1:md11:ut_metadatai5eee");
  say_extended(far, 2, "d8:msg_typei0e5:piecei0ee");
  EXPECT_THAT(heard_extended(far, 5), ElementsAre(HasSubstr(info_)));
}

TEST_F(TorrentSessionTest, WithoutPexNobodyIsToldOrHeard) {
  pex_ = false;
  start_torrent();
  expect_no_pex();
}

TEST_F(TorrentSessionTest, PeersTellOfPeers) {
  start_torrent();
  FarEnd& far = peer(1);
  peer(2);
  say_extended(far, 0, "d1:md6:ut_pexi6eee");
  say_extended(far, 1, naming(9));
  EXPECT_TRUE(dialled(9));
  pass(60s);
  EXPECT_THAT(heard_extended(far, 6), SizeIs(1));
}

// BEP 27.
TEST_F(TorrentSessionTest, APrivateTorrentKnowsNoPex) {
  info_ = info_dictionary().add("private", std::int64_t{1}).encode();
  start_torrent();
  expect_no_pex();
  const std::vector<Endpoint> stranger{address(9)};
  session_->add_peers(stranger, PeerSource::pex);
  settle();
  EXPECT_FALSE(dialled(9));
}

// ---- without

TEST_F(TorrentSessionTest, AMagnetBecomesATorrent) {
  start_magnet();
  EXPECT_FALSE(session_->has_metadata());
  EXPECT_FALSE(session_->reachable({0, 1}));
  const Demand nothing = session_->want({{0, 1}});
  tasks_.spawn(wait(this));
  FarEnd& far = seed(1);
  EXPECT_THAT(outcomes_, SizeIs(0));
  EXPECT_EQ(session_->status().metadata_size, info_.size());
  give_metadata(far);
  ASSERT_THAT(outcomes_, SizeIs(1));
  ASSERT_TRUE(outcomes_[0].has_value());
  EXPECT_EQ(session_->metainfo().info_hash, info_hash_);
  EXPECT_EQ(session_->status().unchoked, 1U) << "it had unchoked us before";
  EXPECT_TRUE(session_->reachable({0, 32768}));
  const Demand demand = session_->want({{0, 16384}});
  settle();
  const Bytes heard = far.heard();
  const auto said = messages_in(heard);
  EXPECT_TRUE(std::any_of(said.begin(), said.end(),
                          [](const Message& m) { return std::holds_alternative<Request>(m); }));
}

TEST_F(TorrentSessionTest, AWebSeedCountsAsKnown) {
  web_seeds_ = {"http://127.0.0.1:1/f"};  // which the connect policy refuses
  start_torrent();
  EXPECT_EQ(session_->status().known_addresses, 1U);
  ASSERT_TRUE(run_until(context_, [this] {
    return std::any_of(said_.begin(), said_.end(), [](const std::string& line) {
      return line.find("address refused") != line.npos;
    });
  }));
  EXPECT_EQ(session_->status().connected, 0U);
}

TEST_F(TorrentSessionTest, WhatIsKeptHasTheInfoAsItCameAndTheTrackersAndWebSeeds) {
  web_seeds_ = {"http://127.0.0.1:1/f"};
  // Keys that nobody knows, and in an order that nobody should write.
  info_ =
      "d6:lengthi32768e4:name8:film.mkv12:piece lengthi16384e6:pieces40:" + std::string(40, 'x') +
      "1:a4:fooge";
  start_magnet();
  give_metadata(seed(1));
  ASSERT_THAT(kept_, SizeIs(1));
  EXPECT_THAT(as_text(kept_[0]), HasSubstr(info_));
  const auto again = storage::parse_metainfo(kept_[0]);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->info_hash, info_hash_);
  EXPECT_EQ(again->trackers, trackers_);
  EXPECT_EQ(again->web_seeds, web_seeds_);
  EXPECT_EQ(session_->metainfo().trackers, trackers_);
}

TEST_F(TorrentSessionTest, MetadataThatIsNoTorrentIsAnError) {
  info_ = "d6:lengthi32768e4:name8:film.mkve";
  start_magnet();
  tasks_.spawn(wait(this));
  give_metadata(seed(1));
  tasks_.spawn(wait(this));
  settle();
  ASSERT_THAT(outcomes_, SizeIs(2));
  for (const auto& outcome : outcomes_) EXPECT_TRUE(outcome.has_error());
  EXPECT_EQ(outcomes_[0].error().category(), storage::storage_category());
  EXPECT_FALSE(session_->has_metadata());
  EXPECT_THAT(kept_, SizeIs(0));
}

TEST_F(TorrentSessionTest, MetadataThatWouldBreakOutOfItsPlaceIsNoTorrent) {
  info_ = info_dictionary().encode() + "4:name3:eve";
  start_magnet();
  tasks_.spawn(wait(this));
  give_metadata(seed(1));
  ASSERT_THAT(outcomes_, SizeIs(1));
  EXPECT_EQ(outcomes_[0].error(), StorageErrc::not_a_torrent);
}

TEST_F(TorrentSessionTest, StopTellsThoseWhoWait) {
  start_magnet();
  tasks_.spawn(wait(this));
  settle();
  run_task(context_, session_->stop());
  settle();
  ASSERT_THAT(outcomes_, SizeIs(1));
  EXPECT_EQ(outcomes_[0].error(), StorageErrc::closed);
  session_.reset();
}

TEST_F(TorrentSessionTest, AWaitCanBeGivenUp) {
  start_magnet();
  tasks_.spawn(wait(this));
  settle();
  tasks_.cancel();
  settle();
  EXPECT_EQ(tasks_.size(), 0U);
  EXPECT_THAT(outcomes_, SizeIs(0));
}

TEST_F(TorrentSessionTest, AMagnetThatTurnsOutPrivateForgetsWhatPeersTold) {
  info_ = info_dictionary().add("private", std::int64_t{1}).encode();
  start_magnet();
  FarEnd& honest = seed(1);
  FarEnd& of_peers = peer(2, PeerSource::pex);
  EXPECT_THAT(as_text(greeting_), HasSubstr("6:ut_pexi1e")) << "nobody could know";
  give_metadata(honest);
  ASSERT_TRUE(session_->has_metadata());
  EXPECT_TRUE(of_peers.closed);
  EXPECT_FALSE(honest.closed);
  EXPECT_THAT(heard_extended(honest, 0), ElementsAre(HasSubstr("6:ut_pexi0e")));
  say_extended(honest, 1, naming(9));
  EXPECT_FALSE(dialled(9));
  pass(60s);
  EXPECT_THAT(heard_extended(honest, 6), SizeIs(0));
}

}  // namespace
}  // namespace swarmfs::net
