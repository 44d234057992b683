// A mount that nobody reads, in virtual time: warm peers for the next reader, next to no traffic.
#include <gtest/gtest.h>

#include <cstdio>

#include "tests/sim/session_world.h"

namespace swarmfs::sim {
namespace {

// What TCP and IP add to a connection's life: a segment to open and one to close it each way, and
// their acknowledgements; and to each message that goes out alone: its header and an
// acknowledgement's.
constexpr std::uint64_t kConnectionOverhead = std::uint64_t{7} * 52;
constexpr std::uint64_t kMessageOverhead = std::uint64_t{2} * 52;

struct Counts {
  std::uint64_t bytes = 0, reads = 0, writes = 0;
};

class CountingTap final : public Tap {
 public:
  explicit CountingTap(Counts& counts) : counts_(counts) {}
  void on_read(std::span<const std::byte> bytes) override {
    counts_.bytes += bytes.size();
    ++counts_.reads;
  }
  void on_write(std::span<const std::byte> bytes) override {
    counts_.bytes += bytes.size();
    ++counts_.writes;
  }
  void on_close() override {}

 private:
  Counts& counts_;
};

// The budget of all that is idle is 200 B/s, of which the DHT takes up to 75.
constexpr double kBudget = 125;

class IdleTest : public SessionWorld {
 protected:
  IdleTest() {
    net_.set_tap([this](const Endpoint&) { return std::make_unique<CountingTap>(counts_); });
  }
  // The peers are there and the first piece is read after `settled`; then nobody reads.
  void read_once(int count, const PeerSpec& spec, Duration settled = 5s) {
    for (int i = 0; i < count; ++i) add(spec);
    start();
    loop_.run_for(settled);
    time_of_read();
  }
  [[nodiscard]] std::uint64_t traffic() const {
    return counts_.bytes + kMessageOverhead * (counts_.reads + counts_.writes) +
           kConnectionOverhead * net_.dials();
  }
  void expect_next_to_no_traffic(const char* what) {
    constexpr Duration kIdle = 30min;
    const std::uint64_t before = traffic();
    loop_.run_for(kIdle);
    const double rate = static_cast<double>(traffic() - before) / to_seconds(kIdle);
    std::printf("  %s: %.0f B/s idle, %zu dials, %zu connected\n", what, rate, net_.dials(),
                session_->status().connected);
    EXPECT_LT(rate, kBudget);
  }
  // How long the read of a piece takes, that nobody has read before.
  Duration time_of_read() {
    const TimePoint began = loop_.now();
    const std::uint64_t begin = next_++ * std::uint64_t{kPiece};
    const std::optional<TimePoint> done = read({begin, begin + 1000});
    EXPECT_TRUE(done);
    return done.value_or(TimePoint::max()) - began;
  }

  Counts counts_;

 private:
  std::uint64_t next_ = 0;
};

PeerSpec like_libtorrent() {
  PeerSpec spec;
  spec.link = {.delay = 20ms, .rate = mbit(20)};
  spec.metadata = Metadata::serves;
  spec.drops_idle_after = 60s;
  return spec;
}

TEST_F(IdleTest, TenSeedsThatDropTheIdleStayWarm) {
  read_once(10, like_libtorrent());
  expect_next_to_no_traffic("10 as libtorrent");
  EXPECT_EQ(session_->status().connected, 10U);
  const std::size_t dials = net_.dials();
  EXPECT_LT(time_of_read(), 1s);
  EXPECT_EQ(net_.dials(), dials) << "nobody had to be dialled";
}

TEST_F(IdleTest, SeedsThatUnchokeLateKeepOurPlace) {
  PeerSpec spec = like_libtorrent();
  spec.unchoke = Unchoke::pulse_10s;
  spec.drops_idle_after.reset();
  read_once(3, spec, 15s);
  expect_next_to_no_traffic("3 as Transmission");
  EXPECT_LT(time_of_read(), 1s) << "still unchoked";
}

TEST_F(IdleTest, SeedsThatHangUpWhateverWeDoAreNotDialledForEver) {
  PeerSpec spec = like_libtorrent();
  spec.hangs_up_after = 40s;
  read_once(40, spec);
  expect_next_to_no_traffic("40 that hang up");
  EXPECT_LT(time_of_read(), 1s) << "dialled at once when somebody reads";
}

TEST_F(IdleTest, AReaderWhoWaitsIsNotIdle) {
  PeerSpec spec = like_libtorrent();
  spec.has = 0;
  spec.drops_idle_after.reset();
  spec.hangs_up_after = 30s;
  for (int i = 0; i < 5; ++i) add(spec);
  start();
  loop_.run_for(5s);
  ASSERT_TRUE(session_->has_metadata());
  EXPECT_FALSE(read({0, 1000}, 5min)) << "nobody has it";
  const std::size_t dials = net_.dials();
  loop_.run_for(10min);
  EXPECT_GT(net_.dials(), dials + 5) << "who has it may be among those who left";
}

}  // namespace
}  // namespace swarmfs::sim
