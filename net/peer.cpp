#include "net/peer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;
using Seconds = std::chrono::duration<double>;

// Before anything is known: a middling home line. Wrong by an order of magnitude either way; a few
// blocks correct it.
constexpr double kPriorRate = 1e6;
constexpr double kMinRate = 2e3;
// A rate sample spans at least this long, or this many bytes: a read brings several blocks at one
// instant.
constexpr Duration kSampleTime = 20ms;
constexpr std::uint64_t kSampleBytes = 256 * 1024;
constexpr Duration kSampleTimeMin = 1ms;
// Memory of the rate estimate. Long enough to average over a congestion window's bursts, short
// against a seek.
constexpr Duration kRateMemory = 200ms;
// The least round trip is forgotten after this long: routes change, and so does what a peer's disk
// takes.
constexpr Duration kRoundTripMemory = 10s;
// So is its best rate.
constexpr Duration kBestRateMemory = 30s;
// Linux and everyone else start a connection with 10 segments in flight (RFC 6928), and come back
// to that when it has been idle for some retransmission time-outs.
constexpr double kInitialWindow = 10 * 1448;
constexpr Duration kLeastRetransmission = 200ms;
// Fewest requests to keep at a peer that serves: fewer and it idles for a round trip after each
// block.
constexpr std::uint32_t kMinPipeline = 2;
constexpr std::uint32_t kUnmeasuredPipeline = 4;
// A burst: blocks within this time (or a quarter of the silence) after a silence of at least that,
// bringing most (3 in 4) of what was asked.
constexpr Duration kBurst = 30ms;
constexpr Duration kBurstSilence = 100ms;
// How often the depth that bursts have bought shrinks by a quarter.
constexpr Duration kShrinkInterval = 1s;
// Silence that no busy queue or lost packet explains: Linux's smallest retransmission time-out is
// 200 ms, two in a row 600.
constexpr Duration kSuspectSilence = 700ms;
// Lateness worth remembering when what was asked is cancelled.
constexpr Duration kLate = 150ms;
// Start-up ends when the rate has grown by less than a quarter for three rounds (as in BBR).
constexpr double kStartGain = 2.0;
constexpr double kStartGrowth = 1.25;
constexpr int kStartRounds = 3;
// A snubbed peer gets one block to prove itself after this long, then after twice as long each
// time.
constexpr Duration kFirstProbe = 5s;
constexpr Duration kLastProbe = 60s;

}  // namespace

Peer::Peer(std::uint32_t piece_count, Duration connect_time, bool fast)
    : pieces(piece_count),
      fast_(fast),
      rate_(kPriorRate),
      round_trips_(kRoundTripMemory, std::max<Duration>(connect_time, 50us)),
      rates_(kBestRateMemory, 0),
      busy_window_(kInitialWindow) {}

void Peer::limit_requests(std::uint32_t reqq) {
  request_limit_ = std::clamp<std::uint32_t>(reqq, 1, kMaxRequests);
}

bool Peer::owes(storage::BlockId block) const {
  return std::any_of(requests_.begin(), requests_.end(),
                     [&](const Request& r) { return r.block == block && !r.cancelled; });
}

bool Peer::awaits_cancel(storage::BlockId block) const {
  return std::any_of(requests_.begin(), requests_.end(),
                     [&](const Request& r) { return r.block == block && r.cancelled; });
}

void Peer::on_sent(storage::BlockId block, std::uint32_t bytes, TimePoint now) {
  if (live_bytes_ == 0) {
    busy_window_ = window_after(now);
    busy_since_ = now;
    busy_asked_ = busy_received_ = 0;
    window_open_ = false;
  }
  busy_asked_ += bytes;
  requests_.push_back({block, bytes, now, busy_asked_});
  live_bytes_ += bytes;
  if (snubbed_) doubt_ = Duration::zero();  // a probe is judged by itself
}

void Peer::on_cancelled(storage::BlockId block, TimePoint now) {
  for (Request& r : requests_) {
    if (r.block != block || r.cancelled) continue;
    // What it owed is forgiven, how long it kept us waiting is not.
    if (live_bytes_ == r.bytes) doubt_ = silence(now);
    r.cancelled = true;
    r.cancelled_at = now;
    live_bytes_ -= r.bytes;
    cancelled_bytes_ += r.bytes;
    return;
  }
}

std::optional<Peer::Request> Peer::on_dropped(storage::BlockId block) {
  // Of two requests for one block (cancelled, then asked again) the older is answered first.
  const auto found = std::find_if(requests_.begin(), requests_.end(),
                                  [&](const Request& r) { return r.block == block; });
  if (found == requests_.end()) return std::nullopt;
  const Request request = *found;
  requests_.erase(found);
  (request.cancelled ? cancelled_bytes_ : live_bytes_) -= request.bytes;
  return request;
}

std::optional<Peer::Request> Peer::on_arrival(storage::BlockId block, TimePoint now) {
  const bool head = !requests_.empty() && requests_.front().block == block;
  const std::optional<Request> request = on_dropped(block);
  if (!request) return request;
  received_bytes_ += request->bytes;
  busy_received_ += request->bytes;
  observe_burst(request->bytes, now);
  // The time of a block that met an idle peer is one round trip plus its own transmission.
  if (head && request->sent == busy_since_)
    round_trips_.add(std::max<Duration>(now - request->sent - time_for(request->bytes), 50us), now);
  if (head && received_bytes_ == request->bytes) estimate(*request, now);
  measure(request->bytes, now);
  last_arrival_ = now;
  snubbed_ = false;
  doubt_ = Duration::zero();
  probe_interval_ = Duration::zero();
  if (starting_ && now >= round_end_) end_round(now);
  return request;
}

void Peer::observe_burst(std::uint32_t bytes, TimePoint now) {
  if (now >= shrink_at_) {
    least_depth_ -= least_depth_ / 4;
    shrink_at_ = now + kShrinkInterval;
  }
  const Duration gap = now - std::max(last_arrival_, busy_since_);
  if (gap > std::max(kBurstSilence, 2 * round_trip())) {
    burst_until_ = now + std::max(kBurst, gap / 4);
    burst_bytes_ = 0;
    burst_asked_ = live_bytes_ + bytes;
    burst_limited_ = std::exchange(limited_, false);
  }
  if (now > burst_until_) return;
  burst_bytes_ += bytes;
  if (!burst_limited_ || burst_asked_ <= storage::kBlockSize || 4 * burst_bytes_ < 3 * burst_asked_)
    return;
  least_depth_ = std::min<std::uint64_t>(2 * burst_asked_, kMaxRequests * storage::kBlockSize);
  shrink_at_ = now + kShrinkInterval;
}

// What the sender may have in flight at the start of a busy period: it grew by what came, and
// shrinks while idle.
double Peer::window_after(TimePoint now) const {
  const double reached = busy_window_ + static_cast<double>(busy_received_);
  const Duration idle = now - std::max(last_arrival_, busy_since_);
  const double timeouts = Seconds(idle) / Seconds(std::max(kLeastRetransmission, 2 * round_trip()));
  return std::max(kInitialWindow, reached * std::exp2(-std::floor(std::min(timeouts, 60.0))));
}

// When the byte at `position` of a busy period that began at `since` arrives if nothing but the
// sender's slow start holds it back: the window doubles every round trip.
TimePoint Peer::slow_start_arrival(TimePoint since, double window, std::uint64_t position) const {
  const double rounds = std::ceil(std::log2(1 + static_cast<double>(position) / window));
  return since + round_trip() * static_cast<Duration::rep>(std::max(1.0, rounds));
}

// The first block ever of a peer that is slower than its round trip tells its rate already.
void Peer::estimate(const Request& request, TimePoint now) {
  const Duration sending = now - slow_start_arrival(busy_since_, busy_window_, request.position);
  if (sending < kSampleTime) return;
  rate_ = std::max(kMinRate, request.bytes / Seconds(sending).count());
  measured_ = true;
}

void Peer::measure(std::uint32_t bytes, TimePoint now) {
  if (!window_open_) {  // the first arrival of a busy period only starts the watch
    window_open_ = true;
    window_start_ = now;
    window_bytes_ = 0;
    return;
  }
  window_bytes_ += bytes;
  const Duration elapsed = now - window_start_;
  const bool last = live_bytes_ == 0;
  const bool enough =
      elapsed >= kSampleTime || (window_bytes_ >= kSampleBytes && elapsed >= kSampleTimeMin) ||
      (last && elapsed >= kSampleTimeMin && window_bytes_ >= 2 * storage::kBlockSize);
  if (enough) {
    const double sample = static_cast<double>(window_bytes_) / Seconds(elapsed).count();
    double weight = 1 - std::exp(-Seconds(elapsed) / Seconds(std::max(kRateMemory, round_trip())));
    if (!measured_) weight = std::max(weight, 0.5);
    rate_ = std::max(kMinRate, rate_ + weight * (sample - rate_));
    rates_.add(rate_, now);
    measured_ = true;
    window_start_ = now;
    window_bytes_ = 0;
  }
  if (last) window_open_ = false;
  // All at once, again and again: too short to measure, but it is known how long it was in coming.
  // Who is not measured is asked for a few blocks at a time, and these would go on to come at once.
  const Duration took = now - busy_since_;
  if (last && !measured_ && received_bytes_ >= kSampleBytes && took >= kSampleTimeMin) {
    rate_ = static_cast<double>(busy_received_) / Seconds(took).count();
    measured_ = true;
  }
}

void Peer::forget_all() {
  requests_.clear();
  live_bytes_ = cancelled_bytes_ = 0;
}

void Peer::expire_cancelled(TimePoint now) {
  const Duration patience = 2 * round_trip() + 1s;
  std::erase_if(requests_, [&](const Request& r) {
    if (!r.cancelled || now - r.cancelled_at < patience) return false;
    cancelled_bytes_ -= r.bytes;
    return true;
  });
}

void Peer::assume_rate(double bytes_per_second) {
  if (!measured_) rate_ = std::max(kMinRate, bytes_per_second);
}

Duration Peer::time_for(std::uint64_t bytes) const {
  return std::chrono::duration_cast<Duration>(Seconds(static_cast<double>(bytes) / rate_));
}

// Bytes still to come before a new request's: what is asked, and of the cancelled what had probably
// left already.
std::uint64_t Peer::queued_bytes() const {
  const auto in_flight = static_cast<std::uint64_t>(rate_ * Seconds(round_trip()).count());
  return live_bytes_ + std::min(cancelled_bytes_, in_flight);
}

TimePoint Peer::flowing_since() const {
  return std::max(last_arrival_, busy_since_ + round_trip());
}

Duration Peer::silence(TimePoint now) const {
  if (live_bytes_ == 0) return doubt_;
  const auto head = std::find_if(requests_.begin(), requests_.end(),
                                 [](const Request& r) { return !r.cancelled; });
  const TimePoint grown = slow_start_arrival(busy_since_, busy_window_, head->position);
  const TimePoint expected = std::max(flowing_since() + time_for(storage::kBlockSize), grown);
  return doubt_ + std::max(now - expected, Duration::zero());
}

bool Peer::suspect(TimePoint now) const {
  return snubbed_ || overdue(now);
}

bool Peer::overdue(TimePoint now) const {
  return live_bytes_ > 0 && silence(now) > std::max(kSuspectSilence, 3 * round_trip());
}

bool Peer::late(TimePoint now) const {
  return !snubbed_ && silence(now) > std::max(kLate, round_trip());
}

void Peer::snub(TimePoint now) {
  snubbed_ = true;
  probe_interval_ = std::clamp(2 * probe_interval_, kFirstProbe, kLastProbe);
  probe_at_ = now + probe_interval_;
}

TimePoint Peer::eta(std::uint64_t bytes, TimePoint now) const {
  const TimePoint reachable = now + round_trip();
  if (live_bytes_ == 0) {
    const TimePoint grown = slow_start_arrival(now, window_after(now), bytes);
    return std::max(reachable + time_for(bytes + queued_bytes()), grown) + doubt_;
  }
  // A late peer is expected to stay late for as long as it has been.
  const TimePoint drained =
      std::max(flowing_since(), now - time_for(storage::kBlockSize)) + time_for(queued_bytes());
  const TimePoint grown = slow_start_arrival(busy_since_, busy_window_, busy_asked_ + bytes);
  return std::max(std::max(drained, reachable) + time_for(bytes), grown) + silence(now);
}

TimePoint Peer::due(const Request& request, TimePoint now) const {
  std::uint64_t ahead = 0;
  for (const Request& r : requests_) {
    if (!r.cancelled) ahead += r.bytes;
    if (r.block == request.block && !r.cancelled) break;
  }
  const TimePoint base = std::max(flowing_since(), now - time_for(storage::kBlockSize));
  const TimePoint grown = slow_start_arrival(busy_since_, busy_window_, request.position);
  const TimePoint due = std::max(
      {base + time_for(ahead), request.sent + round_trip() + time_for(request.bytes), grown});
  return std::max(due, now) + silence(now);
}

void Peer::end_round(TimePoint now) {
  round_end_ = now + std::max<Duration>(round_trip(), kSampleTime);
  if (!measured_) return;
  rounds_without_growth_ = rate_ > round_rate_ * kStartGrowth ? 0 : rounds_without_growth_ + 1;
  starting_ = rounds_without_growth_ < kStartRounds;
  round_rate_ = std::max(round_rate_, rate_);
}

bool Peer::covers(Duration slack, double gain) const {
  if (requests_.size() >= request_limit_) return true;
  const std::uint64_t least = std::max<std::uint64_t>(
      least_depth_, (measured_ ? kMinPipeline : kUnmeasuredPipeline) * storage::kBlockSize);
  if (!measured_) return outstanding_bytes() >= least;
  const auto depth =
      static_cast<std::uint64_t>(gain * rate_ * Seconds(round_trip() + slack).count());
  return outstanding_bytes() >= std::max(depth, least);
}

bool Peer::full(Duration slack, double share) const {
  return covers(slack, share);
}

bool Peer::full_alone(Duration slack) const {
  return covers(slack, starting_ ? kStartGain : 1.0);
}

}  // namespace swarmfs::net
