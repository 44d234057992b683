// Virtual time: a Clock that moves only when nothing is ready to run, and the loop that moves it.
// The clock's own timer queue is the simulator's event queue (network, disk and peers schedule on
// it too), ordered by (time, sequence).
//
// Threads: one. Errors: run_until() ends the program's run with an exception when the engine turns
// without end at one instant. Lifetime: the loop outlives everything that runs on it.
#pragma once
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <stdexcept>
#include <utility>

#include "net/clock.h"

namespace swarmfs::sim {

using net::Duration;
using net::TimePoint;
using namespace std::chrono_literals;

[[nodiscard]] inline double to_ms(Duration d) {
  return static_cast<double>(d.count()) / 1e3;
}
[[nodiscard]] inline double to_seconds(Duration d) {
  return static_cast<double>(d.count()) / 1e6;
}
[[nodiscard]] inline Duration seconds_of(double s) {
  return Duration(static_cast<std::int64_t>(s * 1e6 + 0.5));
}

class SimClock final : public net::Clock {
 public:
  [[nodiscard]] TimePoint now() const override { return now_; }
  using net::Clock::earliest;
  void advance_to(TimePoint when) {
    now_ = std::max(now_, when);
    fire_due();
  }

 private:
  TimePoint now_{
      1h};  // not the epoch, so that a default TimePoint is visibly not a time of this run
};

class SimLoop {
 public:
  SimLoop() : work_(asio::make_work_guard(io_)), start_(clock_.now()) {}
  [[nodiscard]] asio::any_io_executor executor() { return io_.get_executor(); }
  [[nodiscard]] SimClock& clock() { return clock_; }
  [[nodiscard]] TimePoint now() const { return clock_.now(); }
  [[nodiscard]] Duration elapsed() const { return clock_.now() - start_; }
  [[nodiscard]] TimePoint start() const { return start_; }

  // Runs until `done()` or until virtual time reaches `deadline`; true: done.
  bool run_until(const std::function<bool()>& done, TimePoint deadline) {
    while (true) {
      settle();
      if (done()) return true;
      const auto next = clock_.earliest();
      if (!next || *next > deadline) {
        clock_.advance_to(deadline);
        settle();
        return done();
      }
      clock_.advance_to(*next);
    }
  }
  void run_for(Duration duration) {
    run_until([] { return false; }, clock_.now() + duration);
  }
  // Runs what is ready; time stands still.
  void settle() {
    // A turn takes well under a millisecond of real time; hundreds of thousands of them at one
    // instant is a loop without an exit.
    for (std::uint64_t turns = 0; io_.poll_one() != 0; ++turns) {
      if (turns > 300'000) throw std::runtime_error("the engine turns without end at one instant");
    }
  }

 private:
  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  SimClock clock_;
  TimePoint start_;
};

}  // namespace swarmfs::sim
