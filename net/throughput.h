// What all peers deliver together: over the last seconds, and at best.
//
// Threads: pure (time is given). Memory: some hundred numbers. Errors: none.
#pragma once
#include <cstdint>
#include <deque>
#include <functional>

#include "net/clock.h"
#include "net/recent_best.h"

namespace swarmfs::net {

class Throughput {
 public:
  // A block came that was asked for at `sent`.
  void on_block(std::uint32_t bytes, TimePoint sent, TimePoint now);
  // Nothing is asked for: until the next request, time says nothing about the line.
  void on_idle(TimePoint now) { busy_since_ = now; }
  // In bytes per second, averaged over the last seconds in which something came; 0: not measured.
  [[nodiscard]] double rate() const { return rate_; }
  // The most that came lately, in bytes per second; 0: not measured. A line that all peers share
  // never brings more. What had been held up behind a lost packet and comes all at once does not
  // count for more than it is.
  [[nodiscard]] double peak() const { return peak_.best(); }
  // The peak has not been found yet: it still rises from one round trip to the next.
  [[nodiscard]] bool growing() const { return growing_; }

 private:
  struct Mark {
    TimePoint at;
    std::uint64_t total;  // bytes that had come before
  };
  void average(std::uint32_t bytes, TimePoint now);
  [[nodiscard]] double over(TimePoint since, TimePoint now) const;
  void observe_peak(double sample, Duration round, TimePoint now);

  double rate_ = 0;
  TimePoint step_since_{};
  std::uint64_t step_bytes_ = 0;
  std::uint64_t total_ = 0;
  std::deque<Mark> marks_;
  TimePoint busy_since_{};
  RecentBest<double, std::greater<>> peak_{std::chrono::seconds(30), 0};
  bool growing_ = true;
  double reached_ = 0;  // the peak when it last rose much
  TimePoint reached_at_{};
};

}  // namespace swarmfs::net
