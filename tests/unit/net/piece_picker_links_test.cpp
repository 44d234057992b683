// The picker against peers with a rate, a delay and moods: what is asked of whom when time passes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "net/piece_picker.h"
#include "tests/unit/net/picker_world.h"

namespace swarmfs::net {
namespace {

// ---- placement

TEST(PiecePickerLinksTest, ABlockWaitsForTheBestPeerRatherThanGoToASlowOne) {
  World swarm(2000, 16);
  const PeerKey fast = swarm.seed(8e6, 20ms);
  const PeerKey slow = swarm.seed(90e3, 20ms);  // a block takes 182 ms
  warm_up(swarm, 100, 1999);
  ASSERT_TRUE(swarm.picker.peer(slow).measured());
  swarm.want(1, 10);
  const TimePoint start = swarm.now;
  ASSERT_TRUE(swarm.run_until([&] { return swarm.has(10); }, 5s));
  EXPECT_LT(swarm.now - start, 600ms) << "2.5 MB at 8 MB/s";
  for (std::uint32_t p = 1; p <= 8; ++p) {
    EXPECT_FALSE(swarm.asked_of[p].contains(slow)) << "piece " << p;
    EXPECT_TRUE(swarm.asked_of[p].contains(fast)) << "piece " << p;
  }
}

TEST(PiecePickerLinksTest, EqualPeersShareAPieceEqually) {
  World swarm(1000, 64);
  for (int i = 0; i < 4; ++i) swarm.seed(2e6, 50ms);
  warm_up(swarm, 100, 999);
  std::vector<std::uint64_t> before;
  for (auto& [key, far] : swarm.peers) before.push_back(far.delivered);
  swarm.want(1, 8);
  ASSERT_TRUE(swarm.run_until([&] { return swarm.has(8); }, 10s));
  for (auto& [key, far] : swarm.peers) {
    const auto share = static_cast<double>(far.delivered - before[key - 1]);
    EXPECT_NEAR(share, 2 * 64 * kBlockSize, 64.0 * kBlockSize) << key;
  }
}

TEST(PiecePickerLinksTest, BlocksFarAheadGoToSlowPeers) {
  World swarm(400, 16);
  const PeerKey fast = swarm.seed(8e6, 20ms);
  const PeerKey slow = swarm.seed(150e3, 20ms);
  warm_up(swarm, 100, 399);
  swarm.want(1, 40, Urgency::readahead, 1e6);  // a piece every 262 ms
  swarm.run_for(1ms);
  EXPECT_TRUE(swarm.asked_of[2].contains(fast));
  std::uint32_t nearest_of_slow = 1000;
  for (std::uint32_t p = 40; p >= 1; --p) {
    if (swarm.asked_of[p].contains(slow)) nearest_of_slow = p;
  }
  EXPECT_LT(nearest_of_slow, 1000U) << "it has room, and is used";
  EXPECT_GT(nearest_of_slow, 1U) << "but not for what is due next";
}

TEST(PiecePickerLinksTest, NobodyIdlesWhileSomethingIsWanted) {
  World swarm(4000, 16);
  for (const double rate : {200e3, 1e6, 3e6}) swarm.seed(rate, 80ms);
  swarm.want(0, 3999, Urgency::readahead);
  swarm.run_for(5s);
  std::map<PeerKey, std::uint64_t> before;
  for (auto& [key, far] : swarm.peers) before[key] = far.delivered;
  swarm.run_for(5s);
  for (auto& [key, far] : swarm.peers) {
    EXPECT_GE(static_cast<double>(far.delivered - before[key]), 0.9 * 5 * far.rate) << key;
  }
  EXPECT_EQ(swarm.wasted + swarm.unrequested, 0U);
}

// ---- a blocked reader

TEST(PiecePickerLinksTest, ALateBlockIsAskedASecondTimeAndTheLoserIsCancelled) {
  World swarm(400, 4);
  for (int i = 0; i < 2; ++i) swarm.seed(1e6, 50ms);
  warm_up(swarm, 100, 399);
  swarm.want(1, 1);
  swarm.run_for(1ms);
  ASSERT_EQ(swarm.asked_of[1].size(), 2U);
  swarm.stall(1, swarm.now + 10s);
  const TimePoint start = swarm.now;
  const auto cancels = swarm.cancels;
  ASSERT_TRUE(swarm.run_until([&] { return swarm.has(1); }, 10s));
  EXPECT_LT(swarm.now - start, 1s);
  swarm.run_for(1ms);
  EXPECT_GE(swarm.cancels - cancels, 2U) << "the stalled peer is told to forget them";
}

TEST(PiecePickerLinksTest, SecondCopiesStayWithinTheirBudget) {
  World swarm(4000, 16);
  for (int i = 0; i < 8; ++i) swarm.seed(1e6, 50ms);
  warm_up(swarm, 3000, 3999);
  const auto asked = swarm.requested, cancelled = swarm.cancels;
  swarm.want(0, 999);
  for (int i = 0; i < 60; ++i) {  // each second another peer stalls for 600 ms
    swarm.stall(static_cast<PeerKey>(1 + i % 8), swarm.now + 600ms);
    swarm.run_for(1s);
  }
  const double received = static_cast<double>(swarm.verified.size()) * 16;
  const auto copies = static_cast<double>(swarm.requested - asked) - received;
  EXPECT_GT(swarm.cancels - cancelled, 0U) << "there was something to hedge";
  EXPECT_LE(copies, 64 + 0.1 * received + 500) << "and what is still on its way";
  EXPECT_LE(static_cast<double>(swarm.wasted), 0.1 * received);
}

TEST(PiecePickerLinksTest, AnAbandonedQueueDelaysASeekByNoMoreThanItsLength) {
  World swarm(4000, 64);
  for (int i = 0; i < 4; ++i) swarm.seed(1e6, 50ms);
  warm_up(swarm, 3000, 3999);
  for (std::uint32_t i = 0; i < 20; ++i) {
    const WishKey wish = swarm.want(i * 100, i * 100 + 50);
    swarm.run_for(100ms);
    swarm.picker.withdraw(wish);
  }
  swarm.want(2500, 2500);
  const TimePoint start = swarm.now;
  ASSERT_TRUE(swarm.run_until([&] { return swarm.has(2500); }, 10s));
  EXPECT_LT(swarm.now - start, 1s) << "1 MiB at 4 MB/s, after what was on its way";
}

// ---- anything may happen

RC_GTEST_PROP(PiecePickerProperty, WhateverHappensADecisionStandsAndWishesComeTrueInTheEnd, ()) {
  constexpr std::uint32_t kPieces = 12, kBlocks = 3;
  const auto budget = *rc::gen::element<std::size_t>(1, 4, 7, 100);
  const storage::Layout layout(std::uint64_t{kPieces} * kBlocks * kBlockSize - 1000,
                               kBlocks * kBlockSize);
  PiecePicker picker(layout, budget);
  TimePoint now{1h};
  PeerKey next_key = 1;
  std::set<PeerKey> peers;
  std::map<PeerKey, std::vector<BlockId>> asked;  // as the peer sees it
  std::map<PieceIndex, std::set<std::uint32_t>> received;
  std::set<PieceIndex> good;
  std::vector<WishKey> wishes;
  const auto take = [&](PeerKey key) {
    auto& queue = asked[key];
    const auto at = *rc::gen::inRange<std::size_t>(0, queue.size());
    const BlockId id = queue[at];
    queue.erase(queue.begin() + static_cast<std::ptrdiff_t>(at));
    return id;
  };
  const auto add_peer = [&] {
    const PeerKey key = next_key++;
    picker.add_peer(key, Duration(*rc::gen::inRange(1, 200'000)), *rc::gen::arbitrary<bool>());
    picker.on_have_all(key);
    picker.on_unchoke(key);
    peers.insert(key);
  };
  const auto decide = [&] {
    for (const auto& order : picker.schedule(now)) {
      if (order.kind == Kind::forget) {
        RC_ASSERT(!good.contains(order.block.piece));
        received.erase(order.block.piece);
      } else if (order.kind == Kind::request) {
        const Peer& peer = picker.peer(order.peer);
        RC_ASSERT(peers.contains(order.peer));
        RC_ASSERT(peer.allows(order.block.piece));
        RC_ASSERT(!good.contains(order.block.piece));
        RC_ASSERT(!received[order.block.piece].contains(order.block.block));
        RC_ASSERT(order.block.block < layout.block_count(order.block.piece));
        RC_ASSERT(peer.requests().size() <= kMaxRequests);
        asked[order.peer].push_back(order.block);
      } else {
        RC_ASSERT(peers.contains(order.peer));
      }
    }
    std::map<BlockId, std::set<PeerKey>> copies;
    for (const PeerKey key : peers) {
      for (const auto& r : picker.peer(key).requests()) {
        if (r.cancelled) continue;
        RC_ASSERT(copies[r.block].insert(key).second);  // once a peer
      }
    }
    for (const auto& [id, keys] : copies) RC_ASSERT(keys.size() <= 3U);
    RC_ASSERT(picker.open_blocks() <= std::max<std::size_t>(budget, kBlocks));
    std::string again;
    for (const auto& o : picker.schedule(now)) {
      again += (o.kind == Kind::request  ? "request "
                : o.kind == Kind::cancel ? "cancel "
                                         : "forget ") +
               std::to_string(o.peer) + " " + std::to_string(o.block.piece.value()) + ":" +
               std::to_string(o.block.block) + "; ";
    }
    if (!again.empty()) {
      std::string before;
      for (const auto& [id, keys] : copies)
        for (const PeerKey k : keys)
          before += std::to_string(k) + "<" + std::to_string(id.piece.value()) + ":" +
                    std::to_string(id.block) + " ";
      RC_FAIL("second call: " + again + "open blocks " + std::to_string(picker.open_blocks()) +
              " of " + std::to_string(budget) + ", asked already: " + before);
    }
  };
  const auto arrive = [&](PeerKey key, BlockId id, bool corrupt) {
    if (picker.on_block(key, id, now) != Arrival::wanted) return;
    RC_ASSERT(received[id.piece].insert(id.block).second);
    if (received[id.piece].size() < layout.block_count(id.piece)) return;
    received.erase(id.piece);
    if (corrupt) return picker.on_piece_corrupt(id.piece);
    picker.on_piece_verified(id.piece);
    good.insert(id.piece);
  };
  const int steps = *rc::gen::inRange(1, 150);
  for (int i = 0; i < steps; ++i) {
    now += Duration(*rc::gen::element(0, 1000, 30'000, 1'000'000));
    decide();
    if (peers.size() < 2) add_peer();
    const PeerKey key = *rc::gen::elementOf(std::vector<PeerKey>(peers.begin(), peers.end()));
    const PieceIndex piece = *layout.piece_at(*rc::gen::inRange(0U, kPieces));
    const int what = *rc::gen::inRange(0, 24);
    if (what < 12) {
      if (!asked[key].empty()) arrive(key, take(key), *rc::gen::inRange(0, 8) == 0);
    } else if (what < 16) {
      const auto urgency = *rc::gen::element(Urgency::now, Urgency::readahead);
      const std::uint64_t begin = *rc::gen::inRange<std::uint64_t>(0, layout.total_size());
      const std::uint64_t end = *rc::gen::inRange<std::uint64_t>(begin, layout.total_size() + 1);
      wishes.push_back(picker.want({{begin, end}, urgency, 1e5}, now));
    } else if (what < 18 && !wishes.empty()) {
      picker.withdraw(wishes.back());
      wishes.pop_back();
    } else if (what == 18) {
      if (!asked[key].empty()) picker.on_reject(key, take(key), now);
    } else if (what == 19) {
      picker.on_choke(key);
      if (!picker.peer(key).fast()) asked[key].clear();
    } else if (what == 20) {
      picker.on_unchoke(key);
    } else if (what == 21) {
      picker.remove_peer(key);
      peers.erase(key);
      asked.erase(key);
    } else if (what == 22) {
      if (good.erase(piece) > 0) picker.on_piece_lost(piece);
    } else {
      picker.on_allowed_fast(key, piece);
    }
  }
  // Now the world is good: an honest new peer, and all answer at once.
  for (const PeerKey key : peers) picker.on_unchoke(key);
  add_peer();
  picker.want({{0, layout.total_size()}}, now);
  for (int turn = 0; good.size() < kPieces && turn < 5000; ++turn) {
    decide();
    for (const PeerKey key : peers) {
      while (!asked[key].empty()) arrive(key, take(key), false);
    }
    now += 100ms;
  }
  RC_ASSERT(good.size() == kPieces);
  RC_ASSERT(picker.open_blocks() == 0U);
}

}  // namespace
}  // namespace swarmfs::net
