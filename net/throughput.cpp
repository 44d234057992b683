#include "net/throughput.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;

// Measured in steps, and averaged over about this long.
constexpr Duration kStep = 100ms;
constexpr double kMemorySeconds = 2.0;
// A pause longer than this is no measurement: nobody asked for anything.
constexpr Duration kPause = 500ms;
// How finely the past is remembered, and how much of it: what was asked for longer ago was stuck.
constexpr Duration kMarkInterval = 20ms;
constexpr Duration kMarkMemory = 5s;
// A burst that had queued in front of the line is shorter than the first. One that a lost packet
// had held up may be longer, and it follows on a silence: it is measured over longer times, too,
// and the least counts.
constexpr Duration kLeastInterval = 200ms;
constexpr std::array<Duration, 2> kLongIntervals = {500ms, 1s};
// The search for the peak is over when it has risen by less than a quarter for three rounds (as in
// BBR), or for this long.
constexpr double kGrowth = 1.25;
constexpr int kRounds = 3;
constexpr Duration kLeastSearch = 300ms;

double seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

void Throughput::on_block(std::uint32_t bytes, TimePoint sent, TimePoint now) {
  average(bytes, now);
  if (marks_.empty() || now - marks_.back().at >= kMarkInterval) marks_.push_back({now, total_});
  while (now - marks_.front().at > kMarkMemory) marks_.pop_front();
  total_ += bytes;
  double sample = over(std::min(sent, now - kLeastInterval), now);
  if (sample <= 0) return;
  // In slow start the past was slower, and no line was full.
  for (const Duration interval : kLongIntervals) {
    if (!growing_ && now - interval >= busy_since_)
      sample = std::min(sample, over(now - interval, now));
  }
  observe_peak(sample, now - sent, now);
}

// Bytes per second since then; 0: that is too long ago.
double Throughput::over(TimePoint since, TimePoint now) const {
  const auto after = std::upper_bound(marks_.begin(), marks_.end(), since,
                                      [](TimePoint at, const Mark& mark) { return at < mark.at; });
  if (after == marks_.begin()) return 0;
  const Mark& mark = *std::prev(after);
  return static_cast<double>(total_ - mark.total) / seconds(now - mark.at);
}

void Throughput::observe_peak(double sample, Duration round, TimePoint now) {
  peak_.add(sample, now);
  if (peak() > reached_ * kGrowth || peak() * kGrowth < reached_) {
    growing_ = growing_ || peak() > reached_;
    reached_ = peak();
    reached_at_ = now;
  } else if (now - reached_at_ > std::max(kRounds * round, kLeastSearch)) {
    growing_ = false;
  }
}

void Throughput::average(std::uint32_t bytes, TimePoint now) {
  if (now - step_since_ > kPause) {
    step_since_ = now;
    step_bytes_ = 0;
    return;
  }
  step_bytes_ += bytes;
  if (now - step_since_ < kStep) return;
  const double passed = seconds(now - step_since_);
  const double sample = static_cast<double>(step_bytes_) / passed;
  rate_ += (rate_ > 0 ? 1 - std::exp(-passed / kMemorySeconds) : 1) * (sample - rate_);
  step_since_ = now;
  step_bytes_ = 0;
}

}  // namespace swarmfs::net
