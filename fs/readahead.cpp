#include "fs/readahead.h"

#include <algorithm>
#include <cmath>

namespace swarmfs::fs {
namespace {

// The consumption is that of about the last 4 MiB: some seconds of a video, so that its scenes
// average out, and soon right again after the reader changes its mind.
constexpr double kRateMemory = 4.0 * 1024 * 1024;
// A longer pause counts as this much: a player on pause is not a slow player.
constexpr net::Duration kLongestPause = std::chrono::seconds(5);
// Time is never taken for shorter than this; a reader that consumes at once has no rate otherwise.
constexpr double kShortestSeconds = 1e-6;
// What is read counts as a stretch when at least half of it was asked for; striding is no
// streaming.
constexpr std::uint64_t kLeastDensity = 2;

double active_seconds(net::TimePoint since, net::TimePoint now) {
  const net::Duration passed = std::clamp(now - since, net::Duration::zero(), kLongestPause);
  return std::chrono::duration<double>(passed).count();
}

}  // namespace

std::optional<Readahead::Plan> Readahead::on_read(storage::ByteRange read, net::TimePoint now) {
  if (read.empty()) return std::nullopt;
  const bool jump =
      run_bytes_ == 0 || read.begin > run_end_ + kSlack || read.begin + kSlack < run_end_;
  const std::uint64_t fresh = jump ? read.size() : std::max(read.end, run_end_) - run_end_;
  count(fresh, now);
  if (jump) {
    const bool planned = planned_end_ > 0;
    disarm();
    run_begin_ = read.begin;
    run_end_ = read.end;
    run_bytes_ = read.size();
    if (planned) return Plan{};
    return std::nullopt;
  }
  run_begin_ = std::min(run_begin_, read.begin);
  run_end_ = std::max(run_end_, read.end);
  run_bytes_ = std::min(run_bytes_ + read.size(), run_end_ - run_begin_);
  if (!armed_ && run_bytes_ >= kArmAfter && run_bytes_ * kLeastDensity >= run_end_ - run_begin_) {
    armed_ = true;
    armed_at_ = run_bytes_;
  }
  if (!armed_) return std::nullopt;
  return plan();
}

// Plans anew when a quarter of the window has been consumed, not at every READ.
std::optional<Readahead::Plan> Readahead::plan() {
  const std::uint64_t size = window_size();
  const std::uint64_t end = std::min(file_size_, run_end_ + std::min(size, file_size_));
  if (end <= planned_end_ || end <= run_end_) return std::nullopt;
  if (planned_end_ > run_end_ && planned_end_ - run_end_ > size - size / 4) return std::nullopt;
  planned_end_ = end;
  return Plan{{run_end_, end}, rate()};
}

void Readahead::count(std::uint64_t bytes, net::TimePoint now) {
  const double n = static_cast<double>(bytes);
  const double kept = std::exp(-n / kRateMemory);
  bytes_ = bytes_ * kept + n;
  seconds_ *= kept;
  if (active_since_) seconds_ += active_seconds(*active_since_, now);
  if (waiting_ == 0) active_since_ = now;
}

void Readahead::on_wait(net::TimePoint now) {
  if (waiting_++ > 0) return;
  if (active_since_) seconds_ += active_seconds(*active_since_, now);
  active_since_.reset();
}

void Readahead::on_answer(net::TimePoint now) {
  if (waiting_ > 0 && --waiting_ == 0) active_since_ = now;
}

void Readahead::disarm() {
  armed_ = false;
  run_begin_ = run_end_ = run_bytes_ = 0;
  planned_end_ = 0;
}

storage::ByteRange Readahead::window() const {
  if (run_bytes_ == 0) return {};
  const std::uint64_t next = std::min(run_end_ + kSlack, file_size_);
  return {run_end_ - std::min(run_end_, kSlack), std::max(planned_end_, next)};
}

double Readahead::rate() const {
  return bytes_ / std::max(seconds_, kShortestSeconds);
}

std::uint64_t Readahead::window_size() const {
  const double ahead = rate() * std::chrono::duration<double>(kAhead).count();
  const std::uint64_t wished = ahead >= static_cast<double>(max_window_)
                                   ? max_window_
                                   : std::max(kMinWindow, static_cast<std::uint64_t>(ahead));
  const std::uint64_t ramp = kFirstWindow + 2 * (run_bytes_ - armed_at_);
  return std::min({wished, ramp, max_window_});
}

}  // namespace swarmfs::fs
