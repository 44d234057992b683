// What all peers deliver together: over the last seconds, and at best.
//
// Threads: pure (time is given). Memory: a few numbers. Errors: none.
#pragma once
#include <cstdint>
#include <functional>

#include "net/clock.h"
#include "net/recent_best.h"

namespace swarmfs::net {

class Throughput {
 public:
  void on_bytes(std::uint64_t bytes, TimePoint now);
  // In bytes per second, averaged over the last seconds in which something came; 0: not measured.
  [[nodiscard]] double rate() const { return rate_; }
  // The most that half a second brought lately, in bytes per second; 0: not measured. A line that
  // all peers share never brings more.
  [[nodiscard]] double peak() const { return peak_.best(); }

 private:
  struct Step {
    TimePoint since{};
    std::uint64_t bytes = 0;
  };
  double rate_ = 0;
  Step step_;
  Step peak_step_;
  RecentBest<double, std::greater<>> peak_{std::chrono::seconds(30), 0};
};

}  // namespace swarmfs::net
