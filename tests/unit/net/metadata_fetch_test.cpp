#include "net/metadata_fetch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;

using Bytes = std::vector<std::byte>;

Bytes noise(std::size_t size, unsigned seed) {
  Bytes bytes(size);
  for (std::byte& b : bytes) {
    seed = seed * 1664525U + 1013904223U;
    b = static_cast<std::byte>(seed >> 24);
  }
  return bytes;
}

// A peer of the test: what it serves, and how.
struct Server {
  enum class Manner { honest, silent, rejects, garbles };
  Manner manner = Manner::honest;
  Duration round_trip = 50ms;
  double rate = 5e6;                     // bytes per second
  std::set<std::uint32_t> garbled = {};  // pieces with wrong bytes; empty: every one (garbles)
  std::optional<std::uint32_t> claims = {};
  std::optional<std::uint32_t> says = {};  // total_size in its answers
  TimePoint free_at{};
  std::vector<std::uint32_t> asked = {};
};

class MetadataFetchTest : public testing::Test {
 protected:
  static constexpr std::uint32_t kSize = 20 * 16384 + 100;

  void make(std::size_t size) {
    truth_ = noise(size, 7);
    fetch_.emplace(storage::sha1(truth_));
  }
  void SetUp() override { make(kSize); }

  static Endpoint address(PeerKey key) { return {asio::ip::address_v4(0x08080000U + key), 6881}; }
  Server& add(PeerKey key, Server server = {}) {
    if (!server.claims) server.claims = static_cast<std::uint32_t>(truth_.size());
    Server& there = servers_[key] = server;
    fetch_->on_peer(key, address(key), there.round_trip, there.claims, now_);
    return there;
  }
  void ask() {
    for (const MetadataFetch::Ask& ask : fetch_->schedule(now_)) {
      Server& server = servers_.at(ask.peer);
      server.asked.push_back(ask.piece);
      ++asked_;
      if (server.manner == Server::Manner::silent) continue;
      const auto sending = Duration(static_cast<std::int64_t>(16384 / server.rate * 1e6));
      server.free_at = std::max(server.free_at, now_ + server.round_trip) + sending;
      events_.emplace(server.free_at, std::pair(ask.peer, ask.piece));
    }
  }
  void answer(PeerKey key, std::uint32_t piece) {
    const Server& server = servers_.at(key);
    if (server.manner == Server::Manner::rejects) return fetch_->on_reject(key, piece, now_);
    const auto size = server.says.value_or(*server.claims);
    Bytes source = truth_;
    source.resize(*server.claims);
    const std::size_t begin = std::size_t{piece} * kMetadataPiece;
    const std::size_t end = std::min<std::size_t>(begin + kMetadataPiece, *server.claims);
    Bytes data(source.begin() + static_cast<std::ptrdiff_t>(begin),
               source.begin() + static_cast<std::ptrdiff_t>(end));
    const bool lies = server.manner == Server::Manner::garbles &&
                      (server.garbled.empty() || server.garbled.contains(piece));
    if (lies) data[0] ^= std::byte{0xff};
    offence_ = fetch_->on_data(key, {MetadataMessage::Type::data, piece, size, data}, now_);
  }
  // Until done, or for `limit`. Returns how long it took.
  Duration run(Duration limit = 60s) {
    const TimePoint began = now_;
    while (!fetch_->done() && now_ < began + limit) {
      ask();
      for (const Endpoint& liar : fetch_->take_liars()) liars_.insert(liar);
      TimePoint next = began + limit;
      if (const auto wake = fetch_->next_wake(now_)) next = std::min(next, *wake);
      if (!events_.empty()) next = std::min(next, events_.begin()->first);
      now_ = std::max(now_, next);
      while (!events_.empty() && events_.begin()->first <= now_) {
        const auto [key, piece] = events_.begin()->second;
        events_.erase(events_.begin());
        if (servers_.contains(key)) answer(key, piece);
      }
    }
    for (const Endpoint& liar : fetch_->take_liars()) liars_.insert(liar);
    return now_ - began;
  }
  void leave(PeerKey key) {
    servers_.erase(key);
    fetch_->on_gone(key);
  }
  void expect_truth() {
    ASSERT_TRUE(fetch_->done());
    EXPECT_TRUE(fetch_->take_metadata() == truth_);
  }

  TimePoint now_{1h};
  Bytes truth_;
  std::optional<MetadataFetch> fetch_;
  std::map<PeerKey, Server> servers_;
  std::multimap<TimePoint, std::pair<PeerKey, std::uint32_t>> events_;
  std::set<Endpoint> liars_;
  std::size_t asked_ = 0;
  error_code offence_;
};

TEST_F(MetadataFetchTest, OnePeerIsEnough) {
  add(1);
  run();
  expect_truth();
  EXPECT_EQ(asked_, 21U) << "each piece once";
  EXPECT_THAT(liars_, IsEmpty());
}

TEST_F(MetadataFetchTest, AWholeOfOneByteIsAWhole) {
  make(1);
  add(1);
  run();
  expect_truth();
}

TEST_F(MetadataFetchTest, SeveralPeersShareTheWork) {
  add(1);
  add(2);
  add(3);
  const Duration took = run();
  expect_truth();
  for (const auto& [key, server] : servers_) EXPECT_GE(server.asked.size(), 4U) << key;
  EXPECT_LT(took, 200ms);
}

TEST_F(MetadataFetchTest, NeverAsksMoreOfAPeerThanItAnswersAtOnce) {
  add(1, {.manner = Server::Manner::silent});
  run(100ms);
  EXPECT_LE(servers_.at(1).asked.size(), 10U);
  EXPECT_GE(servers_.at(1).asked.size(), 2U) << "but more than one";
}

TEST_F(MetadataFetchTest, TellsHowFarItIs) {
  EXPECT_FALSE(fetch_->progress().size);
  Server slow;
  slow.rate = 100e3;
  add(1, slow);
  EXPECT_EQ(fetch_->progress().size, kSize);
  EXPECT_EQ(fetch_->progress().bytes, 0U);
  run(1s);
  EXPECT_GE(fetch_->progress().bytes, 65536U);
  EXPECT_LT(fetch_->progress().bytes, 131072U);
}

TEST_F(MetadataFetchTest, ASilentPeerCostsOnlyTheTimeToAskAnother) {
  add(1, {.manner = Server::Manner::silent, .round_trip = 1ms});
  run(20ms);
  EXPECT_THAT(servers_.at(1).asked, testing::Not(IsEmpty()));
  add(2);
  const Duration took = run();
  expect_truth();
  EXPECT_LT(took, 800ms);
  EXPECT_THAT(liars_, IsEmpty()) << "silence is no lie";
}

TEST_F(MetadataFetchTest, APeerThatGoesLeavesItsPiecesToOthers) {
  add(1);
  add(2);
  run(60ms);
  leave(1);
  run();
  expect_truth();
}

TEST_F(MetadataFetchTest, ASeedThatComesBackGoesOnWhereItLeft) {
  Server slow;
  slow.rate = 200e3;
  add(1, slow);
  run(1s);
  const std::uint64_t before = fetch_->progress().bytes;
  EXPECT_GT(before, 5U * kMetadataPiece);
  leave(1);
  add(2, slow);
  EXPECT_EQ(fetch_->progress().bytes, before);
  run();
  expect_truth();
}

TEST_F(MetadataFetchTest, ThoseThatRejectAreAskedAgainLater) {
  Server& refusing = add(1, {.manner = Server::Manner::rejects});
  run(5s);
  EXPECT_FALSE(fetch_->done());
  EXPECT_LT(refusing.asked.size(), 20U) << "not in a loop";
  refusing.manner = Server::Manner::honest;
  run();
  expect_truth();
}

TEST_F(MetadataFetchTest, ARejectGoesToAnotherPeerAtOnce) {
  add(1, {.manner = Server::Manner::rejects, .round_trip = 1ms});
  add(2);
  EXPECT_LT(run(), 300ms);
  expect_truth();
}

// ---- lies

TEST_F(MetadataFetchTest, AWrongSizeCostsOnlyItsOwnCandidate) {
  for (const std::uint32_t size : {100U, kSize - 1, kSize + 1, kMaxMetadataSize}) {
    Server liar;
    liar.claims = size;
    liar.round_trip = 1ms;
    add(10 + size % 7, liar);
  }
  run(50ms);
  add(1);
  const Duration took = run();
  expect_truth();
  EXPECT_LT(took, 500ms);
}

TEST_F(MetadataFetchTest, AMajorityOfLiarsWithTheLargestSizesDoesNotKeepTheTruthOut) {
  for (PeerKey key = 10; key < 40; ++key) {
    Server liar{.manner = Server::Manner::silent};
    liar.claims = kMaxMetadataSize - key % 3;  // three candidates of ten peers each
    add(key, liar);
  }
  run(1s);
  add(1);
  run();
  expect_truth();
}

TEST_F(MetadataFetchTest, AfterABadWholeOnePeerAtATimeIsAskedAndTheLiarIsFound) {
  Server liar{.manner = Server::Manner::garbles};
  liar.garbled = {0, 1, 2, 3, 4, 5, 6, 7};
  add(1, liar);
  add(2);
  add(3);
  run();
  expect_truth();
  EXPECT_THAT(liars_, ElementsAre(address(1)));
}

TEST_F(MetadataFetchTest, AnOnlyPeerThatLiesIsFoundAndNotAskedAgain) {
  add(1, {.manner = Server::Manner::garbles});
  run(10s);
  EXPECT_FALSE(fetch_->done());
  EXPECT_THAT(liars_, ElementsAre(address(1)));
  EXPECT_THAT(servers_.at(1).asked, SizeIs(21));
  add(2);
  run();
  expect_truth();
}

TEST_F(MetadataFetchTest, ManyLiarsAreFoundOneByOne) {
  for (PeerKey key = 1; key <= 6; ++key) add(key, {.manner = Server::Manner::garbles});
  add(7);
  run();
  expect_truth();
  for (const Endpoint& liar : liars_) EXPECT_NE(liar, address(7));
}

TEST_F(MetadataFetchTest, ALiarThatLeavesDoesNotLeaveTheBlameBehind) {
  Server liar{.manner = Server::Manner::garbles, .round_trip = 1ms};
  liar.rate = 500e3;
  add(1, liar);
  run(100ms);
  leave(1);
  add(2);
  run();
  expect_truth();
  for (const Endpoint& guilty : liars_) EXPECT_NE(guilty, address(2));
}

TEST_F(MetadataFetchTest, ASilentPeerDoesNotStopTheSearchForALiar) {
  add(1, {.manner = Server::Manner::garbles});
  add(2, {.manner = Server::Manner::garbles});
  run(60ms);
  add(3, {.manner = Server::Manner::silent});
  add(4);
  const Duration took = run();
  expect_truth();
  EXPECT_LT(took, 20s);
}

TEST_F(MetadataFetchTest, APeerThatContradictsItselfIsSetAside) {
  Server& liar = add(1);
  liar.says = kSize + 5;
  run(5s);
  EXPECT_FALSE(fetch_->done());
  EXPECT_LE(liar.asked.size(), 10U);
  add(2);
  run();
  expect_truth();
}

TEST_F(MetadataFetchTest, APieceOfTheWrongLengthIsNotTaken) {
  add(1);
  ask();
  const Bytes half(8000);
  EXPECT_FALSE(fetch_->on_data(1, {MetadataMessage::Type::data, 0, kSize, half}, now_));
  EXPECT_EQ(fetch_->progress().bytes, 0U);
  leave(1);
  add(2);
  run();
  expect_truth();
}

TEST_F(MetadataFetchTest, APeerMayChangeItsMindButNotForEver) {
  add(1);
  for (std::uint32_t size = 1; size <= 10; ++size) {
    fetch_->on_peer(1, address(1), 50ms, 1000 * size, now_);
  }
  EXPECT_THAT(fetch_->schedule(now_), IsEmpty());
  EXPECT_FALSE(fetch_->progress().size) << "no candidate is left behind";
}

TEST_F(MetadataFetchTest, AFloodOfAnswersEndsTheConnection) {
  add(1);
  const Bytes piece(kMetadataPiece);
  error_code ec;
  for (int i = 0; i < 1000 && !ec; ++i) {
    ec = fetch_->on_data(1, {MetadataMessage::Type::data, 5, kSize, piece}, now_);
  }
  EXPECT_EQ(ec, NetErrc::protocol_error);
}

TEST_F(MetadataFetchTest, AnswersOfStrangersDoNothing) {
  const Bytes piece(kMetadataPiece);
  EXPECT_FALSE(fetch_->on_data(9, {MetadataMessage::Type::data, 0, kSize, piece}, now_));
  fetch_->on_reject(9, 0, now_);
  fetch_->on_gone(9);
  EXPECT_FALSE(fetch_->next_wake(now_));
}

// ---- peers that do not say what they have

TEST_F(MetadataFetchTest, APeerThatClaimsNothingIsAskedOnceAMinute) {
  servers_[1] = {.manner = Server::Manner::rejects, .claims = kSize};
  fetch_->on_peer(1, address(1), 50ms, std::nullopt, now_);
  run(5min);
  EXPECT_THAT(servers_.at(1).asked, SizeIs(testing::AllOf(testing::Ge(4U), testing::Le(5U))));
  servers_.at(1).manner = Server::Manner::honest;  // it has got it from somebody
  run(2min);
  expect_truth();
}

TEST_F(MetadataFetchTest, AClaimThatComesLaterCounts) {
  servers_[1] = {.claims = kSize};
  fetch_->on_peer(1, address(1), 50ms, std::nullopt, now_);
  run(1s);
  fetch_->on_peer(1, address(1), 50ms, kSize, now_);
  run();
  expect_truth();
}

}  // namespace
}  // namespace swarmfs::net
