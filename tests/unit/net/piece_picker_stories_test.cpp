// Stories that went wrong once in the peer model and the piece picker.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

// How much a reader's readahead has outstanding at a steady peer.
std::uint64_t readahead_depth(bool after_anothers_blocked_read) {
  World swarm(4000, 4);
  const PeerKey key = swarm.seed(4e6, 40ms);
  warm_up(swarm, 2000, 3999);
  if (after_anothers_blocked_read) {
    const auto range = swarm.layout.range(*swarm.layout.piece_at(1));
    const WishKey blocked = swarm.picker.want(
        {{range.begin, range.begin + 64 * 4 * kBlockSize}, Urgency::now, 0, 7}, swarm.now);
    EXPECT_TRUE(swarm.run_until([&] { return swarm.has(64); }, 30s));
    swarm.picker.withdraw(blocked);
    swarm.run_for(2s);
  }
  swarm.want(100, 1999, Urgency::readahead);
  swarm.run_for(1s);
  return swarm.picker.peer(key).outstanding_bytes();
}

TEST(PiecePickerStories, WhenABlockedReadIsOverOthersReadAheadAsBefore) {
  EXPECT_GE(readahead_depth(true), readahead_depth(false) - 2 * kBlockSize)
      << "readahead still gives way to a reader that was served long ago";
}

// How long a read of 8 MiB takes while the same reader's readahead goes on behind it; the peers
// together could do three times what the line brings.
Duration blocked_read_on_a_shared_line(bool with_readahead) {
  World swarm(400, 64);
  for (int i = 0; i < 12; ++i) swarm.seed(2e6, 60ms);
  swarm.line = 8e6;
  // One after the other they show what they can do, then what the line does.
  for (std::uint32_t i = 0; i < 12; ++i) {
    swarm.want(300 + i, 300 + i);
    swarm.run_for(500ms);
  }
  warm_up(swarm, 320, 399);
  const TimePoint start = swarm.now;
  swarm.want(1, 8);
  if (with_readahead) swarm.want(9, 200, Urgency::readahead);
  EXPECT_TRUE(swarm.run_until([&] { return swarm.has(8); }, 30s));
  return swarm.now - start;
}

TEST(PiecePickerStories, ReadaheadTakesNothingOfTheLineThatABlockedReadNeeds) {
  const Duration alone = blocked_read_on_a_shared_line(false);
  EXPECT_LT(alone, 1500ms) << "8 MiB at 8 MB/s";
  EXPECT_LT(blocked_read_on_a_shared_line(true), alone * 5 / 4);
}

}  // namespace
}  // namespace swarmfs::net
