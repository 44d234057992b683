// A mount that nobody reads, in virtual time: warm peers for the next reader, next to no traffic.
#include <gtest/gtest.h>

#include <boost/asio/ip/address_v4.hpp>
#include <cstdio>

#include "net/torrent_session.h"
#include "storage/task_group.h"
#include "storage/worker_pool.h"
#include "tests/sim/sim_net.h"
#include "tests/sim/sim_peer.h"
#include "tests/sim/truth.h"

namespace swarmfs::sim {
namespace {

constexpr std::uint32_t kPiece = 256 * 1024;
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

class IdleTest : public testing::Test {
 protected:
  IdleTest()
      : truth_(storage::Layout(4 * 1024 * 1024, kPiece), 5),
        net_(loop_, mbit(100), 7),
        tasks_(loop_.executor()),
        workers_(loop_.executor(), 0) {
    net_.set_tap([this](const Endpoint&) { return std::make_unique<CountingTap>(counts_); });
  }
  ~IdleTest() override {
    bool stopped = false;
    tasks_.cancel();
    tasks_.spawn(stop(this, stopped));
    EXPECT_TRUE(loop_.run_until([&] { return stopped; }, loop_.now() + 60s));
    session_.reset();
    loop_.settle();
    peers_.clear();
    loop_.settle();
  }
  static Task<void> stop(IdleTest* self, bool& stopped) {
    co_await self->session_->stop();
    stopped = true;
  }
  void add(int count, const PeerSpec& spec) {
    for (int i = 0; i < count; ++i) {
      const auto number = static_cast<std::uint32_t>(peers_.size()) + 1;
      const Endpoint endpoint(asio::ip::address_v4(0x0a090000U + number), 6881);
      peers_.push_back(std::make_unique<SimPeer>(loop_, net_, truth_, spec, endpoint, number));
    }
  }
  void start() {
    net::TorrentSession::Parts parts{.executor = loop_.executor(),
                                     .clock = loop_.clock(),
                                     .dialer = net_.dialer(),
                                     .info_hash = truth_.info_hash(),
                                     .metainfo = std::nullopt,
                                     .trackers = {},
                                     .hashers = workers_,
                                     .disk = nullptr,
                                     .peers = {},
                                     .log = [](int, const std::string&) {}};
    session_.emplace(std::move(parts));
    std::vector<Endpoint> all;
    for (const auto& peer : peers_) all.push_back(peer->endpoint());
    session_->add_peers(all, net::PeerSource::tracker);
    session_->start();
  }
  [[nodiscard]] std::uint64_t traffic() const {
    return counts_.bytes + kMessageOverhead * (counts_.reads + counts_.writes) +
           kConnectionOverhead * net_.dials();
  }
  double bytes_per_second(Duration time) {
    const std::uint64_t before = traffic();
    loop_.run_for(time);
    return static_cast<double>(traffic() - before) / to_seconds(time);
  }
  static Task<void> read(IdleTest* self, std::uint64_t begin) {
    const storage::ByteRange range{begin, begin + 1000};
    const net::Demand demand = self->session_->want({range});
    const Result<storage::ReadView> view = co_await self->session_->store().read(range);
    EXPECT_TRUE(view.has_value());
    self->read_ = true;
  }
  // How long the read of a piece takes, that nobody has read before.
  Duration time_of_read() {
    const TimePoint began = loop_.now();
    read_ = false;
    tasks_.spawn(read(this, next_++ * std::uint64_t{kPiece}));
    EXPECT_TRUE(loop_.run_until([this] { return read_; }, loop_.now() + 60s));
    return loop_.now() - began;
  }
  void report(const char* what, double rate) {
    std::printf("  %s: %.0f B/s idle, %zu dials, %zu connected\n", what, rate, net_.dials(),
                session_->status().connected);
  }

  SimLoop loop_;
  Truth truth_;
  SimNet net_;
  Counts counts_;
  std::vector<std::unique_ptr<SimPeer>> peers_;
  storage::TaskGroup tasks_;
  storage::WorkerPool workers_;
  std::optional<net::TorrentSession> session_;
  bool read_ = false;
  std::uint64_t next_ = 0;
};

PeerSpec like_libtorrent() {
  PeerSpec spec;
  spec.link = {.delay = 20ms, .rate = mbit(20)};
  spec.metadata = Metadata::serves;
  spec.drops_idle_after = 60s;
  return spec;
}

// The budget of all that is idle is 200 B/s, of which the DHT takes up to 75.
constexpr double kBudget = 125;

TEST_F(IdleTest, TenSeedsThatDropTheIdleStayWarm) {
  add(10, like_libtorrent());
  start();
  loop_.run_for(5s);
  time_of_read();
  const double rate = bytes_per_second(30min);
  report("10 as libtorrent", rate);
  EXPECT_LT(rate, kBudget);
  EXPECT_EQ(session_->status().connected, 10U);
  const std::size_t dials = net_.dials();
  EXPECT_LT(time_of_read(), 1s);
  EXPECT_EQ(net_.dials(), dials) << "nobody had to be dialled";
}

TEST_F(IdleTest, SeedsThatUnchokeLateKeepOurPlace) {
  PeerSpec spec = like_libtorrent();
  spec.unchoke = Unchoke::pulse_10s;
  spec.drops_idle_after.reset();
  add(3, spec);
  start();
  loop_.run_for(15s);
  time_of_read();
  const double rate = bytes_per_second(30min);
  report("3 as Transmission", rate);
  EXPECT_LT(rate, kBudget);
  EXPECT_LT(time_of_read(), 1s) << "still unchoked";
}

TEST_F(IdleTest, SeedsThatHangUpWhateverWeDoAreNotDialledForEver) {
  PeerSpec spec = like_libtorrent();
  spec.hangs_up_after = 40s;
  add(40, spec);
  start();
  loop_.run_for(5s);
  time_of_read();
  const double rate = bytes_per_second(30min);
  report("40 that hang up", rate);
  EXPECT_LT(rate, kBudget);
  EXPECT_LT(time_of_read(), 1s) << "dialled at once when somebody reads";
}

TEST_F(IdleTest, AReaderWhoWaitsIsNotIdle) {
  PeerSpec spec = like_libtorrent();
  spec.has = 0;
  spec.drops_idle_after.reset();
  spec.hangs_up_after = 30s;
  add(5, spec);
  start();
  loop_.run_for(5s);
  ASSERT_TRUE(session_->has_metadata());
  tasks_.spawn(read(this, 0));  // nobody has it
  loop_.run_for(5min);
  const std::size_t dials = net_.dials();
  loop_.run_for(10min);
  EXPECT_GT(net_.dials(), dials + 5) << "who has it may be among those who left";
}

}  // namespace
}  // namespace swarmfs::sim
