// Stories that went wrong once in the peer model and the piece picker, and the picker under random
// events.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <iostream>

#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "net/piece_picker.h"

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;
using storage::BlockId;
using storage::kBlockSize;
using storage::PieceIndex;
using Kind = PiecePicker::Order::Kind;
using Arrival = PiecePicker::Arrival;

// A swarm in virtual time. Peers answer in order at their rate; a cancelled block is rejected
// unless it is on its way.
class World {
 public:
  struct Far {
    double rate;
    Duration round_trip;
    TimePoint free_at{};
    TimePoint stalled_until{};  // nothing leaves it before
    struct Answer {
      TimePoint at;
      BlockId block;
    };
    std::deque<Answer> answers, rejects;
    std::uint64_t delivered = 0;
  };

  World(std::uint32_t pieces, std::uint32_t blocks_per_piece, std::size_t budget = 100'000)
      : layout(std::uint64_t{pieces} * blocks_per_piece * kBlockSize,
               blocks_per_piece * kBlockSize),
        picker(layout, budget) {}

  PeerKey seed(double rate, Duration round_trip) {
    const PeerKey key = next_key_++;
    picker.add_peer(key, round_trip, true);
    picker.limit_requests(key, 500);
    picker.on_have_all(key);
    picker.on_unchoke(key);
    peers[key] = {rate, round_trip, {}, {}, {}, {}, 0};
    return key;
  }
  WishKey want(std::uint32_t first, std::uint32_t last, Urgency urgency = Urgency::now,
               double pace = 0) {
    return picker.want(
        {{layout.range(*layout.piece_at(first)).begin, layout.range(*layout.piece_at(last)).end},
         urgency,
         pace},
        now);
  }
  [[nodiscard]] bool has(std::uint32_t p) const { return verified.contains(p); }
  // From now on `key` sends nothing until `until`; what is on the wire still comes.
  void stall(PeerKey key, TimePoint until) {
    Far& far = peers.at(key);
    far.stalled_until = until;
    Duration late{};
    for (Far::Answer& answer : far.answers) {
      if (answer.at <= now + far.round_trip / 2) continue;
      if (late == Duration::zero()) late = std::max(late, until + far.round_trip / 2 - answer.at);
      answer.at += late;
    }
    far.free_at = std::max(far.free_at + late, until);
  }
  void run_for(Duration time) {
    run_until([] { return false; }, time);
  }
  bool run_until(const std::function<bool()>& done, Duration limit) {
    const TimePoint end = now + limit;
    while (true) {
      decide();
      if (done()) return true;
      std::optional<TimePoint> next = picker.next_wake(now);
      for (auto& [key, far] : peers) {
        for (const auto* queue : {&far.answers, &far.rejects}) {
          if (queue->empty()) continue;
          next = next ? std::min(*next, queue->front().at) : queue->front().at;
        }
      }
      if (!next || *next > end) break;
      now = std::max(now, *next);
      answer();
    }
    now = end;
    answer();
    decide();
    return done();
  }

  storage::Layout layout;
  PiecePicker picker;
  TimePoint now{1h};
  std::map<PeerKey, Far> peers;
  std::set<std::uint32_t> verified;
  std::uint64_t requested = 0, wasted = 0, unrequested = 0;  // blocks
  std::map<std::uint32_t, TimePoint> first_asked;            // piece
  std::map<std::uint32_t, std::set<PeerKey>> asked_of;       // piece
  std::uint64_t cancels = 0;

 private:
  void decide() {
    const auto orders = picker.schedule(now);
    for (const auto& order : orders) {
      if (order.kind == Kind::forget) {
        received_.erase(order.block.piece.value());
        continue;
      }
      Far& far = peers.at(order.peer);
      if (order.kind == Kind::request) {
        ++requested;
        first_asked.try_emplace(order.block.piece.value(), now);
        asked_of[order.block.piece.value()].insert(order.peer);
        const std::chrono::duration<double> service(layout.block_size(order.block) / far.rate);
        far.free_at = std::max({far.free_at, now + far.round_trip / 2, far.stalled_until}) +
                      std::chrono::duration_cast<Duration>(service);
        far.answers.push_back({far.free_at + far.round_trip / 2, order.block});
        continue;
      }
      ++cancels;
      on_cancel(far, order.block);
    }
  }
  // What has not begun to leave is taken out of the queue and rejected.
  void on_cancel(Far& far, BlockId id) {
    const auto service = std::chrono::duration_cast<Duration>(
        std::chrono::duration<double>(layout.block_size(id) / far.rate));
    const auto found = std::find_if(far.answers.begin(), far.answers.end(),
                                    [&](const Far::Answer& a) { return a.block == id; });
    if (found == far.answers.end() ||
        found->at - far.round_trip / 2 - service <= now + far.round_trip / 2)
      return;
    for (auto later = far.answers.erase(found); later != far.answers.end(); ++later)
      later->at -= service;
    far.free_at -= service;
    far.rejects.push_back({now + far.round_trip, id});
  }
  void answer() {
    for (auto& [key, far] : peers) {
      for (; !far.rejects.empty() && far.rejects.front().at <= now; far.rejects.pop_front())
        picker.on_reject(key, far.rejects.front().block, now);
      while (!far.answers.empty() && far.answers.front().at <= now) {
        const BlockId id = far.answers.front().block;
        far.answers.pop_front();
        arrive(key, far, id);
      }
    }
  }
  void arrive(PeerKey key, Far& far, BlockId id) {
    far.delivered += layout.block_size(id);
    switch (picker.on_block(key, id, now)) {
      case Arrival::wanted: {
        auto& blocks = received_[id.piece.value()];
        EXPECT_TRUE(blocks.insert(id.block).second) << "wanted twice";
        if (blocks.size() < layout.block_count(id.piece)) return;
        picker.on_piece_verified(id.piece);
        EXPECT_TRUE(verified.insert(id.piece.value()).second);
        received_.erase(id.piece.value());
        return;
      }
      case Arrival::redundant:
        ++wasted;
        return;
      case Arrival::unrequested:
        ++unrequested;
        return;
    }
  }
  PeerKey next_key_ = 1;
  std::map<std::uint32_t, std::set<std::uint32_t>> received_;
};

// Lets all peers show what they can do.
void warm_up(World& swarm, std::uint32_t first, std::uint32_t last) {
  const WishKey wish = swarm.want(first, last, Urgency::readahead);
  swarm.run_for(3s);
  swarm.picker.withdraw(wish);
  swarm.run_for(2s);
}

TEST(PiecePickerStories, ABlockedReaderIsServedWhileReadaheadGoesOn) {
  World swarm(3000, 4);
  swarm.seed(1e6, 50ms);
  warm_up(swarm, 2000, 2999);
  swarm.want(100, 1999, Urgency::readahead);  // two minutes of it
  swarm.run_for(2s);
  swarm.want(1, 1);
  const TimePoint start = swarm.now;
  ASSERT_TRUE(swarm.run_until([&] { return swarm.has(1); }, 60s)) << "starved by readahead";
  EXPECT_LT(swarm.now - start, 500ms) << "the queue of 300 ms, 65 ms for the piece, a round trip";
}

TEST(PiecePickerStories, ARequestCancelledAfterALongWaitIsStillRecognisedWhenItsDataComes) {
  const storage::Layout layout(64 * kBlockSize, kBlockSize);
  Peer peer(layout.piece_count(), 50ms, false);
  const BlockId id{*layout.piece_at(1), 0};
  TimePoint now{1h};
  peer.on_sent(id, kBlockSize, now);
  now += 3s;
  peer.on_cancelled(id, now);
  peer.expire_cancelled(now);  // as the same schedule() does
  EXPECT_TRUE(peer.on_arrival(id, now + 20ms)) << "it was on the wire when we cancelled";
}

TEST(PiecePickerStories, AFastPeerThatStalledIsNotTakenForAFlooder) {
  World swarm(4000, 16);
  const PeerKey only = swarm.seed(12e6, 100ms);
  warm_up(swarm, 3000, 3999);
  swarm.want(0, 2999, Urgency::readahead);
  swarm.run_for(3s);
  swarm.stall(only, swarm.now + 2s);
  swarm.run_for(10s);
  std::cerr << "unrequested blocks: " << swarm.unrequested << " (a connection ends at 256)\n";
  EXPECT_LT(swarm.unrequested, 20U);
}

TEST(PiecePickerStories, AStallOfOneAndAHalfSecondsCostsNotMuchMore) {
  World swarm(4000, 16);
  const PeerKey only = swarm.seed(4e6, 50ms);
  warm_up(swarm, 3000, 3999);
  swarm.want(0, 100);
  swarm.run_for(200ms);
  const TimePoint start = swarm.now;
  swarm.stall(only, swarm.now + 1500ms);
  const std::size_t had = swarm.verified.size();
  ASSERT_TRUE(swarm.run_until([&] { return swarm.verified.size() >= had + 4; }, 60s));
  std::cerr << "four pieces after " << (swarm.now - start).count() / 1000 << " ms\n";
  EXPECT_LT(swarm.now - start, 2500ms);
}

TEST(PiecePickerStories, OfAReadaheadWhatIsDueFirstIsAskedFirst) {
  World swarm(400, 16);
  swarm.seed(8e6, 20ms);
  warm_up(swarm, 100, 399);
  const TimePoint start = swarm.now;
  swarm.want(1, 40, Urgency::readahead, 1e6);
  swarm.run_for(3s);
  ASSERT_TRUE(swarm.first_asked.contains(1));
  std::cerr << "piece 1 asked after " << (swarm.first_asked.at(1) - start).count() / 1000
            << " ms\n";
  EXPECT_LT(swarm.first_asked.at(1) - start, 50ms)
      << "overdue, so every deadline that can be met goes first";
}

// ---- silence

TEST(PiecePickerStories, APeerThatFellSilentIsNotReliedOnAndTriedAgainLater) {
  World swarm(4000, 4);
  const PeerKey quiet = swarm.seed(4e6, 20ms);
  swarm.seed(500e3, 20ms);
  warm_up(swarm, 3000, 3999);
  swarm.want(0, 2999, Urgency::readahead);
  swarm.run_for(1s);
  swarm.stall(quiet, swarm.now + 20s);
  swarm.run_for(3s);
  EXPECT_TRUE(swarm.picker.peer(quiet).snubbed());
  for (const auto& r : swarm.picker.peer(quiet).requests()) EXPECT_TRUE(r.cancelled);
  swarm.run_for(60s);
  EXPECT_FALSE(swarm.picker.peer(quiet).snubbed()) << "it came back, and was asked";
}

TEST(PiecePickerStories, TheOnlyPeerIsTriedAgainAfterALongStall) {
  World swarm(100, 4);
  const PeerKey only = swarm.seed(1e6, 50ms);
  swarm.want(0, 5);
  swarm.run_for(200ms);
  swarm.stall(only, swarm.now + 8s);
  EXPECT_TRUE(swarm.run_until([&] { return swarm.has(5); }, 30s));
}

struct Manual {
  Manual() : layout(40 * 4 * kBlockSize, 4 * kBlockSize), picker(layout, 1000) {}
  PeerKey seed(Duration connect = 50ms) {
    const PeerKey key = next++;
    picker.add_peer(key, connect, true);
    picker.on_have_all(key);
    picker.on_unchoke(key);
    return key;
  }
  void want(std::uint32_t p) { picker.want({layout.range(*layout.piece_at(p))}, now); }
  std::size_t requests_to(PeerKey key) {
    std::size_t n = 0;
    for (const auto& o : picker.schedule(now)) n += o.kind == Kind::request && o.peer == key;
    return n;
  }
  storage::Layout layout;
  PiecePicker picker;
  TimePoint now{1h};
  PeerKey next = 1;
};

TEST(PiecePickerStories, AChokingPeerThatRejectsItsAllowedFastPiecesIsNotAskedWithoutEnd) {
  Manual m;
  const PeerKey key = m.seed();
  m.picker.on_choke(key);
  m.picker.on_allowed_fast(key, *m.layout.piece_at(5));
  m.want(5);
  std::size_t asked = 0;
  for (int i = 0; i < 100; ++i) {  // ten seconds of round trips
    asked += m.requests_to(key);
    std::vector<BlockId> owed;
    for (const auto& r : m.picker.peer(key).requests()) owed.push_back(r.block);
    for (const BlockId id : owed) m.picker.on_reject(key, id, m.now);
    m.now += 100ms;
  }
  EXPECT_LE(asked, 40U) << "each reject is followed by the same request at once";
}

TEST(PiecePickerStories, ABadPieceDoesNotWaitForAPeerThatRejectsIt) {
  Manual m;
  m.seed();
  m.seed();
  m.want(5);
  for (bool more = true; more;) {
    more = m.requests_to(1) + m.requests_to(2) > 0;
    for (PeerKey key : {1U, 2U}) {
      std::vector<BlockId> owed;
      for (const auto& r : m.picker.peer(key).requests()) owed.push_back(r.block);
      for (const BlockId id : owed) (void)m.picker.on_block(key, id, m.now);
    }
  }
  m.picker.on_piece_corrupt(*m.layout.piece_at(5));
  (void)m.picker.schedule(m.now);
  const PeerKey sole = m.picker.peer(1).requests().empty() ? 2 : 1;
  std::vector<BlockId> owed;
  for (const auto& r : m.picker.peer(sole).requests()) owed.push_back(r.block);
  ASSERT_FALSE(owed.empty());
  for (const BlockId id : owed) m.picker.on_reject(sole, id, m.now);
  EXPECT_GT(m.requests_to(3 - sole), 0U) << "the other peer is idle and has the piece";
}

TEST(PiecePickerStories, TheOnlyPeerThereIsIsWaitedFor) {
  Manual m;
  const PeerKey key = m.seed(20ms);
  m.want(5);
  const std::size_t asked = m.requests_to(key);
  ASSERT_GT(asked, 0U);
  for (int i = 0; i < 20; ++i) {  // two seconds of silence
    m.now += 100ms;
    (void)m.picker.schedule(m.now);
  }
  EXPECT_FALSE(m.picker.peer(key).snubbed()) << "nobody could take over";
  EXPECT_EQ(m.picker.peer(key).requests().size(), asked);
}

RC_GTEST_PROP(PiecePickerStoriesProperty, SchedulingTwiceOrdersNothingNew, ()) {
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
