#include "net/piece_picker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;
using storage::BlockId;
using storage::kBlockSize;
using storage::PieceIndex;
using testing::AllOf;
using testing::Contains;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::IsSupersetOf;
using testing::Not;
using testing::SizeIs;
using testing::StartsWith;
using testing::UnorderedElementsAre;
using Kind = PiecePicker::Order::Kind;
using Arrival = PiecePicker::Arrival;
using Strings = std::vector<std::string>;

constexpr std::uint32_t kPieces = 40;

// A picker whose orders are read as text: "2<7:3" asks peer 2 for block 3 of piece 7, "2x7:3"
// cancels that, "forget 7".
class PiecePickerTest : public testing::Test {
 protected:
  explicit PiecePickerTest(std::uint32_t blocks_per_piece = 4, std::size_t max_open = 100'000)
      : layout_(std::uint64_t{kPieces} * blocks_per_piece * kBlockSize,
                blocks_per_piece * kBlockSize),
        picker_(layout_, max_open) {}

  [[nodiscard]] PieceIndex piece(std::uint32_t n) const { return *layout_.piece_at(n); }
  [[nodiscard]] BlockId block(std::uint32_t p, std::uint32_t b) const { return {piece(p), b}; }
  static std::string name(const BlockId& id) {
    return std::to_string(id.piece.value()) + ":" + std::to_string(id.block);
  }

  // A peer with everything that serves us.
  PeerKey seed(bool fast = true, Duration connect_time = 50ms) {
    const PeerKey key = next_peer_++;
    picker_.add_peer(key, connect_time, fast);
    picker_.on_have_all(key);
    picker_.on_unchoke(key);
    return key;
  }
  WishKey want(std::uint32_t first, std::uint32_t last, Urgency urgency = Urgency::now,
               double pace = 0) {
    return picker_.want(
        {{layout_.range(piece(first)).begin, layout_.range(piece(last)).end}, urgency, pace}, now_);
  }
  WishKey want(std::uint32_t p) { return want(p, p); }
  Strings schedule() {
    Strings text;
    for (const auto& order : picker_.schedule(now_)) {
      if (order.kind == Kind::forget) {
        text.push_back("forget " + std::to_string(order.block.piece.value()));
      } else {
        text.push_back(std::to_string(order.peer) + (order.kind == Kind::request ? "<" : "x") +
                       name(order.block));
      }
    }
    return text;
  }
  Arrival arrive(PeerKey from, std::uint32_t p, std::uint32_t b) {
    return picker_.on_block(from, block(p, b), now_);
  }
  // Every block that anybody owes of piece `p` comes, and the piece is good.
  void finish(std::uint32_t p) {
    deliver_all(p);
    picker_.on_piece_verified(piece(p));
  }
  void deliver_all(std::uint32_t p) {
    for (bool more = true; more;) {
      (void)schedule();
      now_ += 20ms;
      more = false;
      for (PeerKey key = 1; key < next_peer_; ++key) {
        if (gone_.contains(key)) continue;
        for (std::uint32_t b = 0; b < layout_.block_count(piece(p)); ++b) {
          if (!picker_.peer(key).owes(block(p, b))) continue;
          EXPECT_EQ(arrive(key, p, b), Arrival::wanted);
          more = true;
        }
      }
    }
  }
  // The blocks peer `key` owes of piece `p`.
  [[nodiscard]] std::vector<std::uint32_t> owed(PeerKey key, std::uint32_t p) const {
    std::vector<std::uint32_t> blocks;
    for (const auto& r : picker_.peer(key).requests()) {
      if (!r.cancelled && r.block.piece == piece(p)) blocks.push_back(r.block.block);
    }
    return blocks;
  }

  storage::Layout layout_;
  PiecePicker picker_;
  TimePoint now_{1h};
  PeerKey next_peer_ = 1;
  std::set<PeerKey> gone_;
};

// ---- what is asked, in which order

TEST_F(PiecePickerTest, NothingWantedNothingAsked) {
  seed();
  EXPECT_THAT(schedule(), IsEmpty());
  now_ += 1h;
  EXPECT_THAT(schedule(), IsEmpty());
  EXPECT_EQ(picker_.next_wake(now_), std::nullopt) << "and nothing to wait for";
}

TEST_F(PiecePickerTest, AsksForAllBlocksOfAWantedPieceInOrder) {
  seed();
  want(7);
  EXPECT_THAT(schedule(), ElementsAre("1<7:0", "1<7:1", "1<7:2", "1<7:3"));
}

TEST_F(PiecePickerTest, PartOfAPieceIsThePieceAndNoOther) {
  seed();
  const std::uint64_t begin = layout_.range(piece(7)).begin;
  picker_.want({{begin + 5, begin + 6}}, now_);
  EXPECT_THAT(schedule(), ElementsAre("1<7:0", "1<7:1", "1<7:2", "1<7:3"));
}

TEST_F(PiecePickerTest, AnEmptyWishWantsNothing) {
  seed();
  picker_.want({{5, 5}}, now_);
  picker_.want({{layout_.total_size(), layout_.total_size()}}, now_);
  EXPECT_THAT(schedule(), IsEmpty());
}

TEST_F(PiecePickerTest, ABlockedReaderComesBeforeReadahead) {
  seed();
  want(1, 3, Urgency::readahead);
  want(9);
  EXPECT_THAT(schedule(), ElementsAre("1<9:0", "1<9:1", "1<9:2", "1<9:3"));
}

TEST_F(PiecePickerTest, ThatAReaderBlocksOnAReadaheadPieceMakesItUrgent) {
  seed();
  want(1, 9, Urgency::readahead);
  want(9);
  EXPECT_THAT(schedule(), Contains("1<9:0"));
}

TEST_F(PiecePickerTest, TheOldestBlockedReaderComesFirst) {
  seed();
  want(9);
  want(2);
  EXPECT_THAT(schedule(), ElementsAre("1<9:0", "1<9:1", "1<9:2", "1<9:3"));
}

TEST_F(PiecePickerTest, OnePieceAtATimeForEachReader) {
  seed();
  want(2, 4);
  EXPECT_THAT(schedule(), ElementsAre("1<2:0", "1<2:1", "1<2:2", "1<2:3"));
  arrive(1, 2, 0);
  EXPECT_THAT(schedule(), ElementsAre("1<3:0")) << "all of piece 2 is on its way";
}

TEST_F(PiecePickerTest, APieceIsStripedOverPeers) {
  // Two blocks arrive in the same round of a connection's slow start; a third would come later.
  for (int i = 0; i < 4; ++i) seed();
  want(5, 6);
  EXPECT_THAT(schedule(), SizeIs(8));
  for (PeerKey key = 1; key <= 4; ++key) {
    EXPECT_EQ(picker_.peer(key).requests().size(), 2U) << key;
  }
}

TEST_F(PiecePickerTest, ANearerPeerIsAskedFirst) {
  seed(true, 300ms);
  seed(true, 10ms);
  want(5);
  EXPECT_THAT(schedule(), ElementsAre("2<5:0", "2<5:1", "2<5:2", "2<5:3"));
}

TEST_F(PiecePickerTest, OnlyPeersThatHaveThePieceAreAsked) {
  seed();
  const PeerKey partial = 2;
  picker_.add_peer(partial, 1ms, true);
  picker_.on_unchoke(partial);
  picker_.on_have(partial, piece(3));
  next_peer_ = 3;
  want(4);
  EXPECT_THAT(schedule(), Each(StartsWith("1<4:")));
  EXPECT_TRUE(picker_.available(piece(3)));
  picker_.on_bitfield(partial, storage::Bitfield(kPieces));
  picker_.remove_peer(1);
  EXPECT_FALSE(picker_.available(piece(3)));
}

TEST_F(PiecePickerTest, ChokedPeersAreNotAskedUntilTheyUnchoke) {
  const PeerKey key = seed();
  picker_.on_choke(key);
  want(5);
  EXPECT_THAT(schedule(), IsEmpty());
  picker_.on_unchoke(key);
  EXPECT_THAT(schedule(), SizeIs(4));
}

TEST_F(PiecePickerTest, AllowedFastPiecesAreAskedOfAChokingPeer) {
  const PeerKey key = seed();
  picker_.on_choke(key);
  picker_.on_allowed_fast(key, piece(5));
  want(5, 6);
  EXPECT_THAT(schedule(), ElementsAre("1<5:0", "1<5:1", "1<5:2", "1<5:3"));
  arrive(key, 5, 0);
  EXPECT_THAT(schedule(), IsEmpty()) << "piece 6 is not allowed";
}

TEST_F(PiecePickerTest, AllowedFastHintsAreBounded) {
  const PeerKey key = seed();
  picker_.on_choke(key);
  for (std::uint32_t p = 0; p < kPieces; ++p) picker_.on_allowed_fast(key, piece(p));
  EXPECT_EQ(picker_.peer(key).allowed_fast.size(), kMaxAllowedFast);
}

TEST_F(PiecePickerTest, SchedulingTwiceOrdersNothingNew) {
  for (int i = 0; i < 3; ++i) seed();
  want(0, 20, Urgency::readahead, 1e6);
  want(5, 8);
  EXPECT_THAT(schedule(), Not(IsEmpty()));
  EXPECT_THAT(schedule(), IsEmpty());
}

TEST_F(PiecePickerTest, TheRequestLimitOfAPeerHolds) {
  const PeerKey key = seed();
  picker_.limit_requests(key, 2);
  want(5);
  EXPECT_THAT(schedule(), ElementsAre("1<5:0", "1<5:1"));
  arrive(key, 5, 0);
  EXPECT_THAT(schedule(), ElementsAre("1<5:2"));
}

TEST_F(PiecePickerTest, AVerifiedPieceIsNotAskedAgainUntilItIsLost) {
  seed();
  want(5);
  finish(5);
  EXPECT_THAT(schedule(), IsEmpty());
  picker_.on_piece_lost(piece(5));
  EXPECT_THAT(schedule(), SizeIs(4));
}

TEST_F(PiecePickerTest, APieceThatWasPresentAllTheTimeIsAskedOnlyWhenItIsLost) {
  seed();
  picker_.on_piece_present(piece(5));
  want(5);
  EXPECT_THAT(schedule(), IsEmpty());
  picker_.on_piece_lost(piece(5));
  EXPECT_THAT(schedule(), SizeIs(4));
}

TEST_F(PiecePickerTest, NamesTheSenderOfEachBlock) {
  seed();
  seed();
  want(5);
  (void)schedule();
  std::vector<PeerKey> from(4);
  for (PeerKey key : {1U, 2U}) {
    for (const std::uint32_t b : owed(key, 5)) {
      from[b] = key;
      EXPECT_EQ(arrive(key, 5, b), Arrival::wanted);
    }
  }
  EXPECT_EQ(picker_.senders(piece(5)), from);
}

TEST_F(PiecePickerTest, WhatWasNeverAskedForIsUnrequested) {
  seed();
  seed();
  want(5);
  (void)schedule();
  const PeerKey asked = owed(1, 5).empty() || owed(1, 5)[0] != 0 ? 2 : 1;
  EXPECT_EQ(arrive(3 - asked, 5, 0), Arrival::unrequested);
  EXPECT_EQ(arrive(asked, 5, 0), Arrival::wanted);
  EXPECT_EQ(arrive(asked, 5, 0), Arrival::unrequested) << "the second time";
}

TEST_F(PiecePickerTest, ABlockThatCouldNotBeKeptIsAskedAgain) {
  seed();
  want(5);
  (void)schedule();
  EXPECT_EQ(arrive(1, 5, 2), Arrival::wanted);
  picker_.on_block_lost(block(5, 2));
  EXPECT_THAT(schedule(), ElementsAre("1<5:2"));
}

// ---- what is no longer wanted

TEST_F(PiecePickerTest, ASeekCancelsWhatIsOnItsWay) {
  const PeerKey key = seed();
  const WishKey old = want(5);
  (void)schedule();
  picker_.withdraw(old);
  want(9);
  const Strings orders = schedule();
  EXPECT_THAT(orders, IsSupersetOf({"1x5:0", "1x5:1", "1x5:2", "1x5:3"}));
  EXPECT_EQ(owed(key, 5), std::vector<std::uint32_t>());
}

TEST_F(PiecePickerTest, WhatAnotherReaderStillWantsIsNotCancelled) {
  seed();
  const WishKey one = want(5);
  want(5);
  (void)schedule();
  picker_.withdraw(one);
  EXPECT_THAT(schedule(), IsEmpty());
}

TEST_F(PiecePickerTest, ACancelledBlockThatComesIsKept) {
  seed();
  const WishKey wish = want(5);
  (void)schedule();
  picker_.withdraw(wish);
  (void)schedule();
  EXPECT_EQ(arrive(1, 5, 0), Arrival::wanted) << "it has been paid for";
  want(5);
  EXPECT_THAT(schedule(), Not(Contains("1<5:0")));
}

// ---- peers that fail us

TEST_F(PiecePickerTest, WhatAPeerOwedIsAskedOfOthersWhenItLeaves) {
  const PeerKey first = seed(true, 10ms);
  want(5);
  (void)schedule();
  ASSERT_THAT(owed(first, 5), SizeIs(4));
  seed(true, 300ms);
  picker_.remove_peer(first);
  EXPECT_THAT(schedule(), ElementsAre("2<5:0", "2<5:1", "2<5:2", "2<5:3"));
}

TEST_F(PiecePickerTest, AChokeWithoutFastExtensionDropsTheRequests) {
  const PeerKey plain = seed(false, 10ms);
  want(5);
  (void)schedule();
  ASSERT_THAT(owed(plain, 5), SizeIs(4));
  seed(true, 300ms);
  picker_.on_choke(plain);
  EXPECT_THAT(schedule(), ElementsAre("2<5:0", "2<5:1", "2<5:2", "2<5:3")) << "and no cancels";
}

TEST_F(PiecePickerTest, AChokeWithFastExtensionLeavesTheAnswersToThePeer) {
  const PeerKey fast = seed(true, 10ms);
  want(5);
  (void)schedule();
  picker_.on_choke(fast);
  EXPECT_THAT(owed(fast, 5), SizeIs(4));
  EXPECT_EQ(arrive(fast, 5, 0), Arrival::wanted) << "data was on its way";
  picker_.on_reject(fast, block(5, 1), now_);
  EXPECT_THAT(owed(fast, 5), ElementsAre(2, 3));
  seed(true, 10ms);
  EXPECT_THAT(schedule(), Contains("2<5:1"));
  picker_.on_reject(fast, block(5, 2), now_);
  picker_.on_reject(fast, block(5, 3), now_);
  picker_.on_unchoke(fast);
  want(6);
  EXPECT_THAT(schedule(), Contains(StartsWith("1<"))) << "a reject on choke is no offence";
}

TEST_F(PiecePickerTest, APeerThatRejectsWhatItShouldServeRestsLongerEachTime) {
  const PeerKey key = seed();
  picker_.limit_requests(key, 1);
  want(5);
  ASSERT_THAT(schedule(), ElementsAre("1<5:0"));
  std::vector<Duration> rests;
  for (int i = 0; i < 9; ++i) {
    picker_.on_reject(key, block(5, 0), now_);
    const TimePoint rejected = now_;
    while (schedule().empty()) {
      now_ += 500ms;
      ASSERT_LT(now_ - rejected, 10min);
    }
    rests.push_back(now_ - rejected);
  }
  EXPECT_THAT(rests, ElementsAre(1s, 2s, 4s, 8s, 16s, 32s, 64s, 64s, 64s));
  EXPECT_EQ(arrive(key, 5, 0), Arrival::wanted);
  ASSERT_THAT(schedule(), ElementsAre("1<5:1"));
  picker_.on_reject(key, block(5, 1), now_);
  now_ += 1s;
  EXPECT_THAT(schedule(), ElementsAre("1<5:1")) << "a block it served makes up for it";
}

// BEP 54: what was asked of the piece has failed; nothing else is held against the peer.
TEST_F(PiecePickerTest, WhatAPeerNoLongerHasIsAskedOfAnother) {
  const PeerKey near = seed(true, 10ms);
  want(5);
  want(6);
  (void)schedule();
  ASSERT_THAT(owed(near, 5), SizeIs(4));
  EXPECT_EQ(arrive(near, 5, 0), Arrival::wanted);
  picker_.on_dont_have(near, piece(5));
  EXPECT_THAT(owed(near, 5), IsEmpty());
  EXPECT_FALSE(picker_.available(piece(5)));
  EXPECT_THAT(schedule(), Each(Not(HasSubstr("5:")))) << "nobody has it";
  const PeerKey far = seed(true, 300ms);
  EXPECT_THAT(schedule(), IsSupersetOf({"2<5:1", "2<5:2", "2<5:3"}));
  EXPECT_THAT(owed(near, 6), SizeIs(4)) << "the other piece still comes from it";
  picker_.on_reject(near, block(5, 1), now_);  // it says so once more (BEP 6)
  EXPECT_THAT(owed(far, 5), SizeIs(3));
  finish(6);
  want(7);
  EXPECT_THAT(schedule(), Contains("1<7:0")) << "it need not rest";
}

TEST_F(PiecePickerTest, WhatAPeerLosesAndFindsAgainIsAskedOfItAgain) {
  const PeerKey key = seed();
  want(5);
  (void)schedule();
  picker_.on_dont_have(key, piece(5));
  EXPECT_THAT(schedule(), IsEmpty());
  picker_.on_have(key, piece(5));
  EXPECT_THAT(schedule(), ElementsAre("1<5:0", "1<5:1", "1<5:2", "1<5:3"));
}

TEST_F(PiecePickerTest, APeerMayLoseOnlyWhatItHas) {
  const PeerKey one = seed();
  picker_.add_peer(next_peer_++, 50ms, true);  // has nothing
  picker_.on_dont_have(2, piece(5));
  picker_.on_dont_have(one, piece(6));
  picker_.on_dont_have(one, piece(6));
  picker_.remove_peer(2);
  want(4, 6, Urgency::background);
  EXPECT_THAT(schedule(), ElementsAre("1<4:0", "1<4:1", "1<4:2", "1<4:3"))
      << "no other is rarer, and of equally rare ones the first comes first";
}

TEST_F(PiecePickerTest, ABadPieceWhoseOnlyServerLostItComesFromAnother) {
  seed();
  seed();
  want(5);
  deliver_all(5);
  picker_.on_piece_corrupt(piece(5));
  ASSERT_THAT(schedule(), SizeIs(4));
  const PeerKey server = owed(1, 5).empty() ? 2 : 1;
  picker_.on_dont_have(server, piece(5));
  EXPECT_THAT(schedule(), SizeIs(4));
  EXPECT_THAT(owed(3 - server, 5), SizeIs(4));
}

TEST_F(PiecePickerTest, TheRejectOfACancelIsNoOffence) {
  seed();
  const WishKey wish = want(5);
  (void)schedule();
  picker_.withdraw(wish);
  (void)schedule();
  for (std::uint32_t b = 0; b < 4; ++b) picker_.on_reject(1, block(5, b), now_);
  want(6);
  EXPECT_THAT(schedule(), SizeIs(4));
}

// ---- bad pieces

TEST_F(PiecePickerTest, ABadPieceIsFetchedAgainFromOnePeerAlone) {
  seed();
  seed();
  want(5);
  deliver_all(5);
  picker_.on_piece_corrupt(piece(5));
  const Strings again = schedule();
  ASSERT_THAT(again, SizeIs(4));
  EXPECT_THAT(again, testing::AnyOf(Each(StartsWith("1<5:")), Each(StartsWith("2<5:"))));
}

TEST_F(PiecePickerTest, ABadPieceIsFetchedFromProvenPeersWhenThereAreSome) {
  const PeerKey proven = seed(true, 10ms);
  want(1);
  finish(1);
  seed();
  seed();
  picker_.on_choke(proven);
  want(5);
  deliver_all(5);
  picker_.on_piece_corrupt(piece(5));
  picker_.on_unchoke(proven);
  EXPECT_THAT(schedule(), AllOf(SizeIs(4), Each(StartsWith("1<5:"))));
}

TEST_F(PiecePickerTest, WhenAllWhoSentABadPieceWereProvenNoneIsAnyMore) {
  seed(true, 10ms);
  want(1);
  finish(1);
  want(5);
  finish(5);
  want(6);
  deliver_all(6);
  picker_.on_piece_corrupt(piece(6));
  seed(true, 1ms);
  EXPECT_THAT(schedule(), Each(StartsWith("2<6:"))) << "the turned one has no privilege";
}

TEST_F(PiecePickerTest, WhenTheOnePeerOfABadPieceLeavesAnotherTakesOver) {
  seed();
  seed();
  want(5);
  deliver_all(5);
  picker_.on_piece_corrupt(piece(5));
  (void)schedule();
  const PeerKey sole = owed(1, 5).empty() ? 2 : 1;
  picker_.remove_peer(sole);
  gone_.insert(sole);
  EXPECT_THAT(schedule(), AllOf(SizeIs(4), Each(StartsWith(std::to_string(3 - sole) + "<5:"))));
}

TEST_F(PiecePickerTest, AfterABadPieceComesGoodAllIsForgiven) {
  seed();
  seed();
  want(5);
  deliver_all(5);
  picker_.on_piece_corrupt(piece(5));
  finish(5);
  picker_.on_piece_lost(piece(5));
  (void)schedule();
  EXPECT_FALSE(owed(1, 5).empty());
  EXPECT_FALSE(owed(2, 5).empty());
}

// ---- memory

class SmallPoolTest : public PiecePickerTest {
 protected:
  SmallPoolTest() : PiecePickerTest(4, 10) {}
};

TEST_F(SmallPoolTest, OpenPiecesNeverHoldMoreThanTheirBudget) {
  for (int i = 0; i < 8; ++i) seed();
  want(0, 9);
  (void)schedule();
  EXPECT_EQ(picker_.open_blocks(), 8U) << "two pieces of four in a budget of ten";
  finish(0);
  (void)schedule();
  EXPECT_EQ(picker_.open_blocks(), 8U);
}

TEST_F(SmallPoolTest, ReadaheadLeavesRoomForWhoeverBlocksNext) {
  for (int i = 0; i < 8; ++i) seed();
  want(0, 9, Urgency::readahead);
  (void)schedule();
  EXPECT_EQ(picker_.open_blocks(), 4U);
  want(20);
  EXPECT_THAT(schedule(), IsSupersetOf({testing::EndsWith("<20:0"), testing::EndsWith("<20:3")}));
  EXPECT_EQ(picker_.open_blocks(), 8U);
}

TEST_F(SmallPoolTest, ReadaheadGivesWayToABlockedReader) {
  for (int i = 0; i < 8; ++i) seed();
  want(0, 9, Urgency::readahead);
  (void)schedule();
  want(20, 21);
  const Strings orders = schedule();
  EXPECT_THAT(orders, Contains("forget 0"));
  EXPECT_THAT(orders, Contains(testing::EndsWith("x0:0")));
  EXPECT_THAT(orders, Contains(testing::EndsWith("<21:3")));
  EXPECT_EQ(picker_.open_blocks(), 8U);
}

TEST_F(SmallPoolTest, AbandonedPiecesGiveWay) {
  seed();
  const WishKey first = want(0);
  (void)schedule();
  arrive(1, 0, 0);
  picker_.withdraw(first);
  want(20, 21);
  deliver_all(20);
  picker_.on_piece_verified(piece(20));
  deliver_all(21);
  EXPECT_EQ(picker_.senders(piece(21)), (std::vector<PeerKey>(4, 1)));
  EXPECT_LE(picker_.open_blocks(), 10U);
}

TEST_F(SmallPoolTest, ABudgetSmallerThanAPieceStillOpensOne) {
  seed();
  picker_.limit_open_blocks(1);
  want(3, 4);
  EXPECT_THAT(schedule(), Each(StartsWith("1<3:")));
  EXPECT_EQ(picker_.open_blocks(), 4U);
}

TEST(PiecePickerPaddingTest, PaddingIsNeverAskedFor) {
  // Piece 0: two blocks of data, two of padding. Piece 1: padding only. Piece 2: data.
  const storage::Layout layout(12 * kBlockSize, 4 * kBlockSize, {{2 * kBlockSize, 8 * kBlockSize}});
  PiecePicker picker(layout, 1000);
  picker.add_peer(1, 10ms, true);
  picker.on_have_all(1);
  picker.on_unchoke(1);
  TimePoint now{1h};
  picker.want({{0, layout.total_size()}}, now);
  std::map<std::uint32_t, std::set<std::uint32_t>> asked;
  for (bool more = true; more;) {
    std::vector<BlockId> blocks;
    for (const auto& order : picker.schedule(now)) {
      if (order.kind == Kind::request) blocks.push_back(order.block);
    }
    for (const BlockId id : blocks) {
      asked[id.piece.value()].insert(id.block);
      EXPECT_EQ(picker.on_block(1, id, now), Arrival::wanted);
    }
    more = !blocks.empty();
  }
  EXPECT_EQ(asked,
            (std::map<std::uint32_t, std::set<std::uint32_t>>{{0, {0, 1}}, {2, {0, 1, 2, 3}}}));
  EXPECT_EQ(picker.senders(*layout.piece_at(0)), (std::vector<PeerKey>{1, 1, 0, 0}));
}

}  // namespace
}  // namespace swarmfs::net
