#include "net/line_share.h"

#include <gtest/gtest.h>

#include <chrono>

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t kBlock = 16 * 1024;
constexpr std::uint64_t kMiB = 1024 * 1024;
constexpr Duration kRoundTrip = 200ms;

const storage::Layout& layout() {
  static const storage::Layout kLayout(64 * kMiB, 64 * kBlock);
  return kLayout;
}

// A line that has brought `rate` bytes per second for a while.
struct Line {
  explicit Line(double rate, Duration time = 3s) {
    const auto gap =
        std::chrono::duration_cast<Duration>(std::chrono::duration<double>(kBlock / rate));
    for (const TimePoint end = now + time; now < end; now += gap)
      throughput.on_block(kBlock, now - kRoundTrip, now);
  }
  // How much more may be asked for, with `peers` of this rate, when all that has been asked for is
  // `asked` of each.
  double room(double rate, int peers, std::uint32_t asked_blocks) {
    LineShare share(throughput, 0, now);
    for (int i = 0; i < peers; ++i) {
      Peer peer(64, kRoundTrip, true);
      peer.assume_rate(rate);
      for (std::uint32_t b = 0; b < asked_blocks; ++b)
        peer.on_sent({layout().first_piece(), b}, kBlock, now);
      share.add(peer, false, now);
    }
    double room = 0;
    for (; share.has_room() && room < 1e9; room += kBlock) share.take(kBlock);
    return room;
  }
  Throughput throughput;
  TimePoint now{1h};
};

TEST(LineShareTest, WhatIsInFlightIsWhatTheLineHoldsAndALittleMore) {
  Line line(12e6);
  ASSERT_FALSE(line.throughput.growing());
  const double in_flight = line.room(3e6, 4, 1) + 4 * kBlock;
  EXPECT_GT(in_flight, 12e6 * 0.2 * 1.1) << "the line never runs dry";
  EXPECT_LT(in_flight, 12e6 * 0.3 * 1.05) << "a queue of 100 ms in front of it is not overrun";
}

TEST(LineShareTest, WhatPeersWereFasterAtAloneDoesNotCount) {
  Line line(12e6);
  const double modest = line.room(3e6, 4, 1);
  const double boastful = line.room(12e6, 4, 1);
  EXPECT_NEAR(modest, boastful, kBlock);
}

TEST(LineShareTest, NoMoreWhenThatIsOutAlready) {
  Line line(12e6);
  EXPECT_EQ(line.room(3e6, 4, 60), 0);
}

TEST(LineShareTest, ALineNotYetKnownBoundsNothing) {
  Line line(12e6, 50ms);
  ASSERT_EQ(line.throughput.peak(), 0);
  EXPECT_GE(line.room(3e6, 4, 1), 1e9);
}

TEST(LineShareTest, RatesReachedAloneOrInABurstAreScaledToTheLine) {
  Line line(12e6);
  LineShare share(line.throughput, 0, line.now);
  EXPECT_EQ(share.scale(), 1.0);
  for (int i = 0; i < 4; ++i) {
    Peer peer(64, kRoundTrip, true);
    peer.assume_rate(6e6);
    peer.on_sent({layout().first_piece(), 0}, kBlock, line.now);
    share.add(peer, false, line.now);
  }
  EXPECT_NEAR(share.scale(), 0.5, 0.05);
}

TEST(LineShareTest, WhileThePeakRisesThereIsRoomForItToRise) {
  Line line(12e6, 500ms);
  ASSERT_TRUE(line.throughput.growing());
  EXPECT_GT(line.room(3e6, 4, 1), 12e6 * 0.2 * 1.4);
}

struct Blocked {
  Line line{12e6};
  LineShare share{line.throughput, 4 * kMiB, line.now};  // served in 350 ms
  Peer fast{64, kRoundTrip, true};
  Blocked() { fast.assume_rate(10e6); }
};

TEST(LineShareTest, BesideABlockedReadOnlyWhatTheLineHasRoomFor) {
  Blocked b;
  b.share.add(b.fast, true, b.line.now);  // now rate 10e6 of 12e6 works for it
  Peer other(64, kRoundTrip, true);
  other.assume_rate(10e6);
  EXPECT_FALSE(b.share.admit(other, false, b.line.now + 250ms));
  Peer slow(64, kRoundTrip, true);
  slow.assume_rate(1.5e6);
  EXPECT_TRUE(b.share.admit(slow, false, b.line.now + 250ms));
  EXPECT_FALSE(b.share.admit(slow, false, b.line.now + 250ms)) << "that room is taken";
}

TEST(LineShareTest, WhatArrivesAfterTheBlockedReadIsNotInItsWay) {
  Blocked b;
  b.share.add(b.fast, true, b.line.now);
  Peer other(64, kRoundTrip, true);
  other.assume_rate(10e6);
  EXPECT_TRUE(b.share.admit(other, false, b.line.now + 500ms));
}

}  // namespace
}  // namespace swarmfs::net
