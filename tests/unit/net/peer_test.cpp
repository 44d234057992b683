#include "net/peer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <deque>
#include <string>

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;
using storage::BlockId;
using storage::kBlockSize;

const storage::Layout& layout() {
  static const storage::Layout kLayout(std::uint64_t{1000} * 64 * kBlockSize, 64 * kBlockSize);
  return kLayout;
}
BlockId block(std::uint32_t n) {
  return {*layout().piece_at(n / 64), n % 64};
}
constexpr TimePoint kStart{1h};

class PeerTest : public testing::Test {
 protected:
  void ask(std::uint32_t n, std::uint32_t bytes = kBlockSize) {
    peer_.on_sent(block(n), bytes, now_);
  }
  std::optional<Peer::Request> arrive(std::uint32_t n) { return peer_.on_arrival(block(n), now_); }
  Peer peer_{layout().piece_count(), 100ms, true};
  TimePoint now_ = kStart;
};

// A link of constant rate and delay with a peer that answers in order at its far end.
class Link {
 public:
  Link(double rate, Duration round_trip) : rate_(rate), round_trip_(round_trip) {}
  void ask(BlockId id, std::uint32_t bytes, TimePoint now) {
    const auto seconds = std::chrono::duration<double>(bytes / rate_);
    free_at_ =
        std::max(free_at_, now + round_trip_ / 2) + std::chrono::duration_cast<Duration>(seconds);
    coming_.emplace_back(free_at_ + round_trip_ / 2, id);
  }
  [[nodiscard]] bool idle() const { return coming_.empty(); }
  [[nodiscard]] TimePoint next() const { return coming_.front().first; }
  BlockId take() {
    const BlockId id = coming_.front().second;
    coming_.pop_front();
    return id;
  }

 private:
  double rate_;
  Duration round_trip_;
  TimePoint free_at_{};
  std::deque<std::pair<TimePoint, BlockId>> coming_;
};

// Keeps `peer` full over `link` until `end`. Returns the bytes outstanding then.
std::uint64_t stream_until(Peer& peer, Link& link, Duration slack, TimePoint now, TimePoint end) {
  std::uint32_t next = 0;
  while (now < end) {
    while (!peer.full(slack)) {
      peer.on_sent(block(next), kBlockSize, now);
      link.ask(block(next), kBlockSize, now);
      next = (next + 1) % 64'000;
    }
    now = link.next();
    const BlockId id = link.take();
    EXPECT_TRUE(peer.on_arrival(id, now));
  }
  return peer.outstanding_bytes();
}

// ---- what it has and allows

TEST_F(PeerTest, AllowsWhatItHasWhenItDoesNotChoke) {
  const auto piece = *layout().piece_at(3);
  EXPECT_FALSE(peer_.allows(piece));
  peer_.choking = false;
  EXPECT_FALSE(peer_.allows(piece)) << "it does not have it";
  peer_.pieces.set(piece);
  EXPECT_TRUE(peer_.allows(piece));
  peer_.choking = true;
  EXPECT_FALSE(peer_.allows(piece));
  peer_.allowed_fast.insert(piece);
  EXPECT_TRUE(peer_.allows(piece)) << "BEP 6";
  peer_.pieces.reset(piece);
  EXPECT_FALSE(peer_.allows(piece)) << "allowed, but it does not have it";
}

// ---- what it owes

RC_GTEST_PROP(PeerProperty, OutstandingBytesAreTheSumOfTheRequests, ()) {
  Peer peer(layout().piece_count(), 50ms, true);
  TimePoint now = kStart;
  const int steps = *rc::gen::inRange(1, 80);
  for (int i = 0; i < steps; ++i) {
    now += Duration(*rc::gen::inRange(0, 300'000));
    const BlockId id = block(*rc::gen::inRange<std::uint32_t>(0, 8));
    switch (*rc::gen::inRange(0, 7)) {
      case 0:
      case 1:
        if (!peer.owes(id)) peer.on_sent(id, *rc::gen::inRange(1U, kBlockSize + 1), now);
        break;
      case 2:
        peer.on_cancelled(id, now);
        break;
      case 3:
        (void)peer.on_arrival(id, now);
        break;
      case 4:
        (void)peer.on_dropped(id);
        break;
      case 5:
        peer.expire_cancelled(now);
        break;
      default:
        if (*rc::gen::inRange(0, 10) == 0) peer.forget_all();
    }
    std::uint64_t sum = 0;
    for (const Peer::Request& r : peer.requests()) sum += r.bytes;
    RC_ASSERT(peer.outstanding_bytes() == sum);
    RC_ASSERT(peer.rate() > 0 && peer.round_trip() > Duration::zero());
    RC_ASSERT(peer.silence(now) >= Duration::zero());
  }
}

TEST_F(PeerTest, OwesUntilItDeliversOrIsToldNotTo) {
  ask(1);
  ask(2);
  ask(3);
  EXPECT_TRUE(peer_.owes(block(1)));
  peer_.on_cancelled(block(1), now_);
  EXPECT_FALSE(peer_.owes(block(1)));
  EXPECT_TRUE(peer_.awaits_cancel(block(1)));
  EXPECT_FALSE(peer_.awaits_cancel(block(2)));
  ASSERT_TRUE(arrive(2));
  EXPECT_FALSE(peer_.owes(block(2)));
  EXPECT_TRUE(peer_.owes(block(3)));
  EXPECT_FALSE(arrive(2)) << "once is enough";
  EXPECT_EQ(peer_.received_bytes(), kBlockSize);
}

TEST_F(PeerTest, ACancelledBlockThatComesAllTheSameIsRecognised) {
  ask(1);
  peer_.on_cancelled(block(1), now_);
  const auto request = arrive(1);
  ASSERT_TRUE(request);
  EXPECT_TRUE(request->cancelled);
  EXPECT_EQ(peer_.outstanding_bytes(), 0U);
}

TEST_F(PeerTest, OfACancelledAndARepeatedRequestTheOlderIsAnsweredFirst) {
  ask(1);
  peer_.on_cancelled(block(1), now_);
  ask(1);
  EXPECT_TRUE(peer_.owes(block(1)));
  EXPECT_TRUE(peer_.on_dropped(block(1))->cancelled) << "the reject of the first";
  EXPECT_FALSE(peer_.on_dropped(block(1))->cancelled);
  EXPECT_FALSE(peer_.on_dropped(block(1)));
}

TEST_F(PeerTest, CancelledRequestsThatAreNeverAnsweredExpire) {
  ask(1);
  ask(2);
  peer_.on_cancelled(block(1), now_);
  peer_.expire_cancelled(now_ + 1s);
  EXPECT_EQ(peer_.requests().size(), 2U) << "too early";
  peer_.expire_cancelled(now_ + 10s);
  ASSERT_EQ(peer_.requests().size(), 1U);
  EXPECT_EQ(peer_.requests().front().block, block(2)) << "what is still owed does not expire";
  EXPECT_EQ(peer_.outstanding_bytes(), kBlockSize);
}

TEST_F(PeerTest, KeepsToTheRequestLimitThePeerNames) {
  peer_.limit_requests(3);
  for (std::uint32_t i = 0; i < 3; ++i) {
    EXPECT_FALSE(peer_.full(10s)) << i;
    ask(i);
  }
  EXPECT_TRUE(peer_.full(10s));
  peer_.on_cancelled(block(0), now_);
  EXPECT_TRUE(peer_.full(10s)) << "a cancelled request may still stand in its queue";
}

TEST_F(PeerTest, ClampsAbsurdRequestLimits) {
  peer_.limit_requests(0);
  EXPECT_FALSE(peer_.full(0ms)) << "one request is always possible";
  peer_.limit_requests(4'000'000'000U);
  // A link so fast that only the limit binds.
  Link link(2e9, 200ms);
  const auto outstanding = stream_until(peer_, link, 10s, kStart, kStart + 5s);
  EXPECT_LE(outstanding, std::uint64_t{kMaxRequests} * kBlockSize);
}

// ---- when it will deliver

RC_GTEST_PROP(PeerProperty, AskingMoreNeverPromisesSooner, ()) {
  Peer peer(layout().piece_count(), Duration(*rc::gen::inRange(1, 500'000)), true);
  TimePoint now = kStart;
  std::uint32_t next = 0;
  const int steps = *rc::gen::inRange(1, 60);
  for (int i = 0; i < steps; ++i) {
    now += Duration(*rc::gen::inRange(0, 200'000));
    const auto bytes = *rc::gen::inRange<std::uint32_t>(1, 64 * kBlockSize);
    const TimePoint before = peer.eta(bytes, now);
    RC_ASSERT(before >= now);
    RC_ASSERT(peer.eta(bytes + kBlockSize, now) >= before);
    if (*rc::gen::arbitrary<bool>()) {
      peer.on_sent(block(next++), kBlockSize, now);
      RC_ASSERT(peer.eta(bytes, now) >= before);
    } else if (!peer.requests().empty()) {
      const BlockId front = peer.requests().front().block;
      if (*rc::gen::inRange(0, 3) == 0) {
        peer.on_cancelled(front, now);
      } else {
        (void)peer.on_arrival(front, now);
      }
    }
  }
}

RC_GTEST_PROP(PeerProperty, EtaIsLinearInBytes, ()) {
  const int round_trip = *rc::gen::inRange(1, 500'000);
  Peer peer(layout().piece_count(), Duration(round_trip), true);
  // So slow that the sender's slow start never binds: 10,000 bytes a round trip at the most.
  peer.assume_rate(std::min(1e8, 1e10 / round_trip) / *rc::gen::inRange(1, 5));
  const int queued = *rc::gen::inRange(0, 10);
  for (int i = 0; i < queued; ++i) {
    peer.on_sent(block(static_cast<std::uint32_t>(i)), kBlockSize, kStart);
  }
  const TimePoint now = kStart + Duration(*rc::gen::inRange(0, 2'000'000));
  const std::uint64_t bytes = *rc::gen::inRange<std::uint64_t>(1, 10'000'000);
  const auto us = [&](std::uint64_t n) {
    return static_cast<double>((peer.eta(n, now) - peer.eta(0, now)).count());
  };
  RC_ASSERT(std::abs(us(2 * bytes) - 2 * us(bytes)) <= 4);  // rounding
  RC_ASSERT(std::abs(us(bytes) - static_cast<double>(bytes) / peer.rate() * 1e6) <= 4);
}

struct LinkCase {
  double rate;
  Duration round_trip;
  Duration slack;
};
class PeerOnLinkTest : public testing::TestWithParam<LinkCase> {};

TEST_P(PeerOnLinkTest, FillsTheLinkWithinTwentyRoundTrips) {
  const auto& [rate, round_trip, slack] = GetParam();
  Peer peer(layout().piece_count(), round_trip, true);
  peer.limit_requests(kMaxRequests);
  Link link(rate, round_trip);
  const std::uint64_t outstanding =
      stream_until(peer, link, slack, kStart, kStart + 20 * round_trip);
  const double depth = rate * std::chrono::duration<double>(round_trip + slack).count();
  EXPECT_NEAR(static_cast<double>(outstanding), depth, 0.25 * depth + kBlockSize);
  EXPECT_NEAR(peer.rate(), rate, 0.25 * rate);
  EXPECT_TRUE(peer.measured());
}

INSTANTIATE_TEST_SUITE_P(Links, PeerOnLinkTest,
                         testing::Values(LinkCase{1e6, 50ms, 150ms}, LinkCase{3e6, 100ms, 150ms},
                                         LinkCase{10e6, 100ms, 150ms}, LinkCase{20e6, 50ms, 150ms},
                                         LinkCase{10e6, 200ms, 250ms},
                                         LinkCase{500e3, 100ms, 150ms}));

TEST_F(PeerTest, MeetsASlowLinkWithTwoBlocksAndNoMore) {
  Link link(20e3, 100ms);
  const auto outstanding = stream_until(peer_, link, 150ms, kStart, kStart + 20s);
  EXPECT_LE(outstanding, 2 * kBlockSize);
  EXPECT_NEAR(peer_.rate(), 20e3, 5e3);
}

TEST_F(PeerTest, FollowsALinkThatBecomesSlow) {
  Link fast(4e6, 50ms);
  (void)stream_until(peer_, fast, 150ms, kStart, kStart + 2s);
  ASSERT_NEAR(peer_.rate(), 4e6, 1e6);
  peer_.forget_all();
  Link slow(200e3, 50ms);
  (void)stream_until(peer_, slow, 150ms, kStart + 2s, kStart + 6s);
  EXPECT_NEAR(peer_.rate(), 200e3, 50e3);
}

TEST_F(PeerTest, AnUnmeasuredPeerGetsFourBlocksToShowItself) {
  for (std::uint32_t i = 0; i < 4; ++i) {
    EXPECT_FALSE(peer_.full(0ms));
    ask(i);
  }
  EXPECT_TRUE(peer_.full(0ms));
}

TEST_F(PeerTest, BlocksThatComeAtOnceAgainAndAgainSayHowLongTheyWereInComing) {
  for (std::uint32_t first = 0; first < 16; first += 4) {
    EXPECT_FALSE(peer_.measured());
    for (std::uint32_t n = 0; n < 4; ++n) ask(first + n);
    now_ += 50ms;
    for (std::uint32_t n = 0; n < 4; ++n) arrive(first + n);
  }
  EXPECT_TRUE(peer_.measured());
  EXPECT_NEAR(peer_.rate(), 4 * kBlockSize / 0.05, 1);
}

TEST_F(PeerTest, AnAssumedRateYieldsToAMeasuredOne) {
  peer_.assume_rate(5e6);
  EXPECT_DOUBLE_EQ(peer_.rate(), 5e6);
  Link link(1e6, 50ms);
  (void)stream_until(peer_, link, 150ms, kStart, kStart + 2s);
  peer_.assume_rate(9e6);
  EXPECT_NEAR(peer_.rate(), 1e6, 0.2e6);
}

TEST_F(PeerTest, ItsRoundTripIsTheLeastOfTheLastSecondsLessTheBlocksOwnTime) {
  peer_.assume_rate(kBlockSize * 100.0);  // 10 ms a block
  std::uint32_t next = 0;
  const auto answer_takes = [&](Duration time) {
    ask(next);
    now_ += time;
    ASSERT_TRUE(arrive(next++));
  };
  answer_takes(40ms);
  EXPECT_EQ(peer_.round_trip(), 30ms) << "a shorter one is believed at once";
  answer_takes(200ms);
  EXPECT_EQ(peer_.round_trip(), 30ms) << "a longer one may be a queue somewhere";
  for (int i = 0; i < 5; ++i) {
    now_ += 6s;
    answer_takes(200ms);
  }
  EXPECT_EQ(peer_.round_trip(), 190ms) << "after half a minute of it the route has changed";
}

TEST_F(PeerTest, SilenceCountsFromWhenItShouldHaveSpoken) {
  EXPECT_EQ(peer_.silence(now_ + 1h), 0s) << "it owes nothing";
  peer_.assume_rate(kBlockSize * 10.0);  // a block takes 100 ms, as does the round trip
  ask(1);
  EXPECT_EQ(peer_.silence(now_ + 200ms), 0s);
  EXPECT_EQ(peer_.silence(now_ + 250ms), 50ms);
  peer_.on_cancelled(block(1), now_);
  EXPECT_EQ(peer_.silence(now_ + 1h), 0s) << "it was told not to in time";
}

TEST_F(PeerTest, LongSilenceIsSuspectUntilItSpeaks) {
  ask(0);
  EXPECT_FALSE(peer_.suspect(now_ + 400ms));
  EXPECT_TRUE(peer_.suspect(now_ + 2s));
  now_ += 120ms;
  (void)arrive(0);
  ask(1);
  ask(2);
  EXPECT_FALSE(peer_.suspect(now_ + 600ms)) << "one that did gets longer";
  EXPECT_TRUE(peer_.suspect(now_ + 2s));
  now_ += 2s;
  (void)arrive(1);
  EXPECT_FALSE(peer_.suspect(now_));
}

TEST_F(PeerTest, SilenceIsRememberedWhenWhatItOwedIsCancelled) {
  ask(0);
  now_ += 120ms;
  (void)arrive(0);
  ask(1);
  now_ += 500ms;
  const Duration silence = peer_.silence(now_);
  ASSERT_GT(silence, 200ms);
  peer_.on_cancelled(block(1), now_);
  EXPECT_EQ(peer_.silence(now_ + 1s), silence) << "but does not grow";
  (void)arrive(1);
  EXPECT_EQ(peer_.silence(now_), 0s) << "it spoke after all";
}

TEST_F(PeerTest, ALatePeerIsExpectedToStayLate) {
  ask(1);
  const Peer::Request request = peer_.requests().front();
  EXPECT_GE(peer_.due(request, now_), now_ + 100ms);
  const TimePoint later = now_ + 3s;
  EXPECT_GE(peer_.due(request, later), later + 2s);
  EXPECT_GE(peer_.eta(kBlockSize, later), later + 2s);
}

TEST_F(PeerTest, RequestsAreDueInTheOrderTheyWereAsked) {
  for (std::uint32_t i = 0; i < 10; ++i) ask(i);
  const auto due = [this](std::size_t i) { return peer_.due(peer_.requests()[i], now_); };
  for (std::size_t i = 1; i < 10; ++i) EXPECT_GE(due(i), due(i - 1));
  EXPECT_GT(due(9), due(0) + 50ms) << "150 kB later";
}

TEST_F(PeerTest, ASnubbedPeerIsProbedAtGrowingIntervals) {
  std::vector<Duration> intervals;
  for (int i = 0; i < 6; ++i) {
    peer_.snub(now_);
    EXPECT_TRUE(peer_.snubbed() && peer_.suspect(now_));
    Duration wait{};
    while (!peer_.may_probe(now_ + wait)) wait += 1s;
    intervals.push_back(wait);
    now_ += wait;
  }
  EXPECT_THAT(intervals, testing::ElementsAre(5s, 10s, 20s, 40s, 60s, 60s));
  ask(1);
  (void)arrive(1);
  EXPECT_FALSE(peer_.snubbed() || peer_.suspect(now_)) << "it has proved itself";
  peer_.snub(now_);
  EXPECT_FALSE(peer_.may_probe(now_ + 4s));
  EXPECT_TRUE(peer_.may_probe(now_ + 5s)) << "the intervals start over";
}

}  // namespace
}  // namespace swarmfs::net
