#include "net/throughput.h"

#include <gtest/gtest.h>

#include <chrono>

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t kBlock = 16 * 1024;

struct Watched {
  Throughput throughput;
  TimePoint now{1h};
  Duration round_trip = 100ms;

  void bring(double bytes_per_second, Duration time) {
    const auto gap = std::chrono::duration_cast<Duration>(
        std::chrono::duration<double>(kBlock / bytes_per_second));
    for (Duration passed{}; passed < time; passed += gap) {
      now += gap;
      throughput.on_block(kBlock, now - round_trip, now);
    }
  }
};

TEST(ThroughputTest, IsUnknownAtFirst) {
  const Throughput throughput;
  EXPECT_EQ(throughput.rate(), 0);
  EXPECT_EQ(throughput.peak(), 0);
  EXPECT_TRUE(throughput.growing());
}

TEST(ThroughputTest, ConvergesToWhatComes) {
  Watched w;
  w.bring(5e6, 6s);
  EXPECT_NEAR(w.throughput.rate(), 5e6, 0.1e6);
  EXPECT_NEAR(w.throughput.peak(), 5e6, 0.5e6);
}

TEST(ThroughputTest, ThePeakOutlivesASlowStretch) {
  Watched w;
  w.bring(8e6, 3s);
  const double peak = w.throughput.peak();
  EXPECT_NEAR(peak, 8e6, 0.8e6);
  w.bring(1e6, 10s);
  EXPECT_NEAR(w.throughput.rate(), 1e6, 0.2e6);
  EXPECT_EQ(w.throughput.peak(), peak);
  w.bring(1e6, 60s);
  EXPECT_LT(w.throughput.peak(), 2e6);
}

TEST(ThroughputTest, WhatALostPacketHeldUpCountsForTheTimeItTook) {
  Watched w;
  w.bring(8e6, 3s);
  const TimePoint asked = w.now;
  w.now += 1s;  // and then all of that second at one instant
  for (int i = 0; i < 8'000'000 / static_cast<int>(kBlock); ++i)
    w.throughput.on_block(kBlock, asked, w.now);
  EXPECT_LT(w.throughput.peak(), 9e6);
  w.bring(8e6, 1s);
  EXPECT_LT(w.throughput.peak(), 9e6);
}

TEST(ThroughputTest, GrowsUntilThePeakIsFound) {
  Watched w;
  for (double rate = 0.5e6; rate < 10e6; rate *= 1.5) {
    w.bring(rate, 200ms);
    EXPECT_TRUE(w.throughput.growing()) << rate;
  }
  w.bring(10e6, 1s);
  EXPECT_FALSE(w.throughput.growing());
  w.bring(5e6, 5s);
  EXPECT_FALSE(w.throughput.growing());
  bool grew = false;
  for (int i = 0; i < 20; ++i) {
    w.bring(15e6, 100ms);
    grew = grew || w.throughput.growing();
  }
  EXPECT_TRUE(grew) << "the line has become faster";
}

TEST(ThroughputTest, APauseIsNoMeasurement) {
  Watched w;
  w.bring(5e6, 6s);
  w.now += 20s;
  w.bring(5e6, 1s);
  EXPECT_NEAR(w.throughput.rate(), 5e6, 0.3e6);
  EXPECT_NEAR(w.throughput.peak(), 5e6, 0.5e6);
}

}  // namespace
}  // namespace swarmfs::net
