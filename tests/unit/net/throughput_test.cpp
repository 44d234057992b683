#include "net/throughput.h"

#include <gtest/gtest.h>

#include <chrono>

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;

struct Watched {
  Throughput throughput;
  TimePoint now{1h};
  void bring(double bytes_per_second, Duration time) {
    const auto bytes = static_cast<std::uint64_t>(bytes_per_second / 100);
    for (Duration passed{}; passed < time; passed += 10ms) {
      now += 10ms;
      throughput.on_bytes(bytes, now);
    }
  }
};

TEST(ThroughputTest, IsUnknownAtFirst) {
  const Throughput throughput;
  EXPECT_EQ(throughput.rate(), 0);
  EXPECT_EQ(throughput.peak(), 0);
}

TEST(ThroughputTest, ConvergesToWhatComes) {
  Watched w;
  w.bring(5e6, 6s);
  EXPECT_NEAR(w.throughput.rate(), 5e6, 0.1e6);
  EXPECT_NEAR(w.throughput.peak(), 5e6, 0.1e6);
}

TEST(ThroughputTest, ThePeakOutlivesASlowStretchAndAShortBurstIsNone) {
  Watched w;
  w.bring(8e6, 3s);
  w.bring(1e6, 10s);
  EXPECT_NEAR(w.throughput.rate(), 1e6, 0.2e6);
  EXPECT_NEAR(w.throughput.peak(), 8e6, 0.2e6);
  w.bring(40e6, 50ms);
  w.bring(1e6, 1s);
  EXPECT_LT(w.throughput.peak(), 9e6);
}

TEST(ThroughputTest, APauseIsNoMeasurement) {
  Watched w;
  w.bring(5e6, 6s);
  w.now += 20s;
  w.bring(5e6, 1s);
  EXPECT_NEAR(w.throughput.rate(), 5e6, 0.3e6);
}

}  // namespace
}  // namespace swarmfs::net
