#include "tests/sim/reader.h"

#include <algorithm>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/multiple_exceptions.hpp>
#include <boost/system/system_error.hpp>

namespace swarmfs::sim {

using storage::ByteRange;

// A quarter of the simulator's block pool.
constexpr std::uint64_t kMaxReadahead = 16 * 1024 * 1024;

// A wish in force, told to the swarm and to the ledger.
class Reader::Wished {
 public:
  Wished(Bench& bench, net::Wish wish) : ledger_(bench.ledger), range_(wish.range) {
    ledger_.wish(range_);
    demand_ = bench.swarm.want(wish);
  }
  ~Wished() {
    demand_ = net::Demand();
    ledger_.withdraw(range_);
  }
  Wished(const Wished&) = delete;
  Wished& operator=(const Wished&) = delete;

 private:
  Ledger& ledger_;
  ByteRange range_;
  net::Demand demand_;
};

// While it lives, the reader's time does not count as consumption.
class Reader::Waiting {
 public:
  Waiting(fs::Readahead& readahead, SimClock& clock) : readahead_(readahead), clock_(clock) {
    readahead_.on_wait(clock_.now());
  }
  ~Waiting() { readahead_.on_answer(clock_.now()); }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

 private:
  fs::Readahead& readahead_;
  SimClock& clock_;
};

Reader::Reader(Bench bench, ReaderSpec spec, std::uint64_t seed, std::uint32_t id)
    : bench_(std::move(bench)),
      spec_(spec),
      id_(id),
      rng_(seed),
      readahead_(bench_.truth.layout().total_size(), kMaxReadahead) {}
Reader::~Reader() = default;

Task<void> Reader::run() {
  if (spec_.start > Duration{}) co_await bench_.loop.clock().sleep(spec_.start);
  switch (spec_.kind) {
    case ReaderSpec::Kind::copy:
      co_await copy();
      break;
    case ReaderSpec::Kind::play:
      co_await play();
      break;
    case ReaderSpec::Kind::seeks:
      co_await seeks();
      break;
    case ReaderSpec::Kind::probe:
      co_await probe();
      break;
  }
  ahead_.reset();
  done_ = true;
}

void Reader::check(const storage::ReadView& view, ByteRange range) {
  if (view.size() != range.size())
    bench_.ledger.violation("a read returned a wrong number of bytes");
  std::uint64_t at = range.begin;
  for (const std::span<const std::byte> extent : view.extents()) {
    if (!bench_.truth.matches(at, extent))
      bench_.ledger.violation("a read returned wrong bytes at " + std::to_string(at));
    at += extent.size();
  }
  bytes_read_ += view.size();
}

Task<std::optional<Result<storage::ReadView>>> Reader::read_or_give_up(ByteRange range,
                                                                       Duration patience) {
  using namespace boost::asio::experimental::awaitable_operators;
  try {
    auto first = co_await (bench_.store.read(range) || bench_.loop.clock().sleep(patience));
    if (first.index() == 1) co_return std::nullopt;
    co_return std::get<0>(std::move(first));
  } catch (const asio::multiple_exceptions&) {  // both were cancelled with us
    throw boost::system::system_error(asio::error::operation_aborted);
  }
}

Task<void> Reader::read(ByteRange range) {
  SimClock& clock = bench_.loop.clock();
  const std::size_t number = results_.size();
  results_.push_back({clock.now(), range, {}, false, {}});
  plan_ahead(range);
  if (const std::optional<storage::ReadView> view = bench_.store.try_read(range)) {
    check(*view, range);
    results_[number].took = Duration{};
    co_return;
  }
  if (bench_.oracle) results_[number].bound = bench_.oracle(range);
  const Waiting waiting(readahead_, clock);
  const Wished wished(bench_, {range, net::Urgency::now, 0, id_});
  if (rng_.chance(spec_.impatience)) {
    const Duration patience = rng_.duration(1ms, 800ms);
    const std::optional<Result<storage::ReadView>> bytes =
        co_await read_or_give_up(range, patience);
    results_[number].given_up = !bytes;
    if (!bytes) co_return;
    if (*bytes) check(**bytes, range);
  } else {
    const Result<storage::ReadView> bytes = co_await bench_.store.read(range);
    if (!bytes) {
      bench_.ledger.violation("a read failed: " + bytes.error().message());
      co_return;
    }
    check(*bytes, range);
  }
  results_[number].took = clock.now() - results_[number].began;
}

void Reader::plan_ahead(ByteRange range) {
  const std::optional<fs::Readahead::Plan> plan =
      readahead_.on_read(range, bench_.loop.clock().now());
  if (!plan) return;
  // The new wish is in force before the old one goes: nothing in both is given up.
  std::unique_ptr<Wished> fresh;
  if (!plan->range.empty()) {
    const net::Wish wish{plan->range, net::Urgency::readahead, plan->pace, id_};
    fresh = std::make_unique<Wished>(bench_, wish);
  }
  ahead_ = std::move(fresh);
}

Task<void> Reader::copy() {
  const std::uint64_t total = bench_.truth.layout().total_size();
  const std::uint64_t end = spec_.bytes == 0 ? total : std::min(total, spec_.from + spec_.bytes);
  for (std::uint64_t at = spec_.from; at < end; at += spec_.size) {
    co_await read({at, std::min<std::uint64_t>(at + spec_.size, end)});
  }
}

Task<void> Reader::play() {
  const std::uint64_t total = bench_.truth.layout().total_size();
  const std::uint64_t bytes = spec_.bytes == 0 ? total : std::min(total, spec_.bytes);
  co_await play({spec_.from, std::min(total, spec_.from + bytes)});
  for (std::uint32_t i = 0; i < spec_.jumps; ++i) {
    const std::uint64_t to = rng_.below(total - bytes + 1) / spec_.size * spec_.size;
    co_await play({to, to + bytes});
  }
}

Task<void> Reader::play(ByteRange part) {
  SimClock& clock = bench_.loop.clock();
  const TimePoint opened = clock.now();
  std::optional<TimePoint> zero;  // when the first byte is shown
  for (std::uint64_t at = part.begin; at < part.end; at += spec_.size) {
    const std::uint64_t end = std::min(at + spec_.size, part.end);
    co_await read({at, end});
    const TimePoint now = clock.now();
    const Duration have = seconds_of(static_cast<double>(end - part.begin) / spec_.bitrate);
    if (!zero) {
      if (have < 500ms) continue;
      zero = now;  // half a second buffered: picture
      pictures_.push_back(now - opened);
      continue;
    }
    const Duration shown_before = seconds_of(static_cast<double>(at - part.begin) / spec_.bitrate);
    if (now - *zero > shown_before) {  // the picture had run into these bytes
      ++stalls_;
      stalled_ += now - *zero - shown_before;
      *zero = now - shown_before;
    }
    const Duration ahead = have - (now - *zero);
    if (ahead > 2s) co_await clock.sleep(ahead - 2s);
  }
}

Task<void> Reader::seeks() {
  const std::uint64_t total = bench_.truth.layout().total_size();
  for (std::uint32_t i = 0; i < spec_.count; ++i) {
    const std::uint64_t size = std::min<std::uint64_t>(spec_.size, total);
    const std::uint64_t at = rng_.below(total - size + 1);
    co_await read({at, at + size});
    if (spec_.pause > Duration{})
      co_await bench_.loop.clock().sleep(rng_.duration(Duration{}, 2 * spec_.pause));
  }
}

Task<void> Reader::probe() {
  const std::uint64_t total = bench_.truth.layout().total_size();
  const std::uint64_t size = std::min<std::uint64_t>(spec_.size, total);
  co_await read({0, size});
  co_await read({total - size, total});
  co_await read({0, size});
}

}  // namespace swarmfs::sim
