// What is fetched in the background (--prefetch): whatever readers leave, the rarest first.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "net/piece_picker.h"
#include "tests/unit/net/picker_world.h"

namespace swarmfs::net {
namespace {

TEST(BackgroundTest, EverythingComesWhenNobodyReads) {
  World swarm(40, 4);
  swarm.seed(2e6, 20ms);
  swarm.seed(1e6, 50ms);
  swarm.want(0, 39, Urgency::background);
  EXPECT_TRUE(swarm.run_until([&] { return swarm.verified.size() == 40; }, 10s));
  EXPECT_EQ(swarm.wasted, 0U);
}

TEST(BackgroundTest, NothingIsLeftToDoAndNobodyIsWoken) {
  World swarm(4, 4);
  swarm.seed(2e6, 20ms);
  swarm.want(0, 3, Urgency::background);
  swarm.run_for(5s);
  ASSERT_EQ(swarm.verified.size(), 4U);
  EXPECT_EQ(swarm.picker.next_wake(swarm.now), std::nullopt);
}

TEST(BackgroundTest, WhatIsWithdrawnIsNotFetched) {
  World swarm(400, 16);
  swarm.seed(1e6, 20ms);
  const WishKey wish = swarm.want(0, 399, Urgency::background);
  swarm.run_for(2s);
  swarm.picker.withdraw(wish);
  swarm.run_for(1s);
  const std::uint64_t requested = swarm.requested;
  swarm.run_for(10s);
  EXPECT_EQ(swarm.requested, requested);
}

TEST(BackgroundTest, TheRarestPieceIsFetchedFirst) {
  World swarm(20, 4);
  storage::Bitfield most(20);
  most.set_all();
  most.reset(*swarm.layout.piece_at(13));
  most.reset(*swarm.layout.piece_at(7));
  const PeerKey only = swarm.seed(1e5, 20ms);
  swarm.peer(1e5, 20ms, most);
  swarm.want(0, 19, Urgency::background);
  ASSERT_TRUE(swarm.run_until([&] { return swarm.has(7) && swarm.has(13); }, 30s));
  EXPECT_THAT(swarm.asked_of[7], testing::ElementsAre(only));
  EXPECT_LE(swarm.first_asked.at(7), swarm.first_asked.at(13)) << "as rare, and earlier";
  EXPECT_LE(swarm.verified.size(), 5U) << "the other peer got two meanwhile";
}

// The time until piece `p` is there when a reader blocks on it.
Duration read_time(World& swarm, std::uint32_t p) {
  const TimePoint start = swarm.now;
  const WishKey wish = swarm.want(p, p);
  EXPECT_TRUE(swarm.run_until([&] { return swarm.has(p); }, 60s));
  swarm.picker.withdraw(wish);
  return swarm.now - start;
}

TEST(BackgroundTest, ABlockedReaderHardlyNoticesIt) {
  const auto measure = [](bool background) {
    World swarm(4000, 4);
    for (int i = 0; i < 5; ++i) swarm.seed(1e6, 50ms);
    warm_up(swarm, 3000, 3999);
    const std::size_t before = swarm.verified.size();
    if (background) swarm.want(0, 2999, Urgency::background);
    swarm.run_for(3s);
    EXPECT_EQ(swarm.verified.size() > before + 100, background);
    return read_time(swarm, 2998);
  };
  const Duration without = measure(false), with = measure(true);
  std::cerr << "alone " << without.count() / 1000 << " ms, beside the background "
            << with.count() / 1000 << " ms\n";
  EXPECT_LT(with, without + 50ms) << "what is on the wire, a round trip of it";
}

TEST(BackgroundTest, ItGivesItsMemoryToReaders) {
  World swarm(100, 16, 64);  // four pieces
  swarm.seed(2e5, 20ms);
  swarm.want(50, 99, Urgency::background);
  swarm.run_for(500ms);
  EXPECT_LE(swarm.picker.open_blocks(), 16U) << "a quarter";
  swarm.want(0, 3);
  EXPECT_TRUE(swarm.run_until([&] { return swarm.has(3); }, 10s));
}

TEST(BackgroundTest, ItGoesNoFasterThanTheDisk) {
  World swarm(100, 4, 64);
  for (int i = 0; i < 4; ++i) swarm.seed(5e4, 20ms);
  swarm.want(0, 99, Urgency::background);
  swarm.run_for(500ms);
  EXPECT_GT(swarm.picker.open_blocks(), 4U);
  swarm.picker.limit_open_blocks(64 - 12);  // 12 blocks wait to be written: 4 are left of a quarter
  swarm.run_for(10s);
  EXPECT_LE(swarm.picker.open_blocks(), 4U);
  EXPECT_GT(swarm.verified.size(), 10U) << "it goes on";
}

TEST(BackgroundTest, ItRestsWhileAReaderIsBlockedAgainAndAgain) {
  World swarm(400, 4);
  swarm.seed(1e6, 20ms);
  swarm.want(200, 399, Urgency::background);
  std::set<std::uint32_t> asked;
  for (std::uint32_t p = 0; p < 10; ++p) {
    read_time(swarm, p * 10);
    if (p == 0) asked.clear();
    for (const auto& [piece, when] : swarm.first_asked)
      if (p > 0 && piece >= 200 && when > swarm.now - 300ms) asked.insert(piece);
    swarm.run_for(300ms);
  }
  EXPECT_THAT(asked, testing::IsEmpty());
  swarm.run_for(5s);
  EXPECT_GT(swarm.verified.size(), 30U) << "and goes on by itself afterwards";
}

// A swarm of peers with random pieces, readers that come and go, and a background wish; watches
// every decision.
class Watched {
 public:
  explicit Watched(unsigned seed) : random(seed), swarm(kPieces, 4) {
    for (int i = 0; i < 4; ++i) {
      storage::Bitfield pieces(kPieces);
      for (std::uint32_t p = 0; p < kPieces; ++p)
        if (draw(3) > 0) pieces.set(piece(p));
      const PeerKey key = swarm.peer(2e5 * (1 + draw(10)), 10ms * (1 + draw(20)), pieces);
      has.emplace(key, pieces);
    }
    swarm.on_orders = [this](auto orders) { watch(orders); };
    swarm.want(0, kPieces - 1, Urgency::background);
  }

  // A reader begins or ends.
  void stir() {
    if (!readers.empty() && draw(2) == 0) {
      swarm.picker.withdraw(readers.begin()->first);
      readers.erase(readers.begin());
      return;
    }
    const std::uint32_t first = draw(kPieces), last = std::min(first + draw(6), kPieces - 1);
    const Urgency urgency = draw(2) == 0 ? Urgency::now : Urgency::readahead;
    readers[swarm.want(first, last, urgency, draw(2) * 1e5)] = {first, last};
  }
  std::uint32_t draw(std::uint32_t below) { return static_cast<std::uint32_t>(random() % below); }

  static constexpr std::uint32_t kPieces = 120;
  std::mt19937 random;
  World swarm;
  std::map<PeerKey, storage::Bitfield> has;
  std::map<WishKey, std::pair<std::uint32_t, std::uint32_t>> readers;
  std::uint64_t in_background = 0;  // requests

 private:
  [[nodiscard]] PieceIndex piece(std::uint32_t p) const { return *swarm.layout.piece_at(p); }
  [[nodiscard]] bool for_reader(std::uint32_t p) const {
    return std::any_of(readers.begin(), readers.end(),
                       [p](const auto& r) { return r.second.first <= p && p <= r.second.second; });
  }
  [[nodiscard]] std::size_t holders(std::uint32_t p) const {
    return static_cast<std::size_t>(std::count_if(
        has.begin(), has.end(), [&](const auto& peer) { return peer.second.test(piece(p)); }));
  }
  void watch(std::span<const PiecePicker::Order> orders) {
    std::uint64_t background = 0;
    for (const PiecePicker::Order& order : orders) {
      const std::uint32_t p = order.block.piece.value();
      if (order.kind == Kind::forget) open.erase(p);
      if (order.kind == Kind::cancel) --copies[order.block];
      if (order.kind != Kind::request) continue;
      ++copies[order.block];
      if (for_reader(p)) {
        open.insert(p);
        continue;
      }
      ++background;
      if (open.insert(p).second) expect_rarest(order.peer, p);
    }
    in_background += background;
    if (background > 0) expect_readers_served();
  }
  // No block of a reader is asked of nobody while somebody has it.
  void expect_readers_served() {
    for (std::uint32_t p = 0; p < kPieces; ++p) {
      if (!for_reader(p) || swarm.has(p) || holders(p) == 0) continue;
      for (std::uint32_t block = 0; block < 4; ++block) {
        const auto found = swarm.received.find(p);
        if (found != swarm.received.end() && found->second.contains(block)) continue;
        EXPECT_GT(copies[BlockId(piece(p), block)], 0)
            << "the background went before block " << block << " of piece " << p;
      }
    }
  }
  void expect_rarest(PeerKey peer, std::uint32_t chosen) {
    for (std::uint32_t p = 0; p < kPieces; ++p) {
      if (open.contains(p) || swarm.has(p) || for_reader(p) || !has.at(peer).test(piece(p)))
        continue;
      EXPECT_GE(holders(p), holders(chosen)) << "piece " << p << " is rarer than " << chosen;
    }
  }

  std::map<BlockId, int> copies;
  std::set<std::uint32_t> open;
};

TEST(BackgroundTest, ItNeverGoesBeforeAReaderAndAlwaysTakesTheRarest) {
  const unsigned first = std::random_device()();
  std::cerr << "seed " << first << "\n";
  // The first one: readahead had opened a piece and asked for none of it.
  std::vector<unsigned> seeds = {644197773};
  for (unsigned more = 0; more < 20; ++more) seeds.push_back(first + more);
  for (const unsigned seed : seeds) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Watched watched(seed);
    for (int step = 0; step < 60; ++step) {
      watched.stir();
      watched.swarm.run_for(std::chrono::milliseconds(watched.draw(800)));
      if (testing::Test::HasFailure()) return;
    }
    while (!watched.readers.empty()) watched.stir();
    EXPECT_GT(watched.in_background, 0U);
  }
}

}  // namespace
}  // namespace swarmfs::net
