// Time and timers. One of the four seams: RealClock here, the simulator's virtual clock in
// tests/sim. The timer queue is common to both: timers fire in order of (time, creation), so the
// same seed gives the same run.
//
// Threads: engine thread only. Memory: one node a timer. Errors: sleep() throws operation_aborted
// when cancelled. Lifetime: must outlive its timers.
#pragma once
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <utility>

#include "storage/result.h"

namespace swarmfs::net {

using Duration =
    std::chrono::microseconds;  // every delay and prediction of the engine, in one unit
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, Duration>;

class Clock {
 public:
  using TimerId = std::pair<TimePoint, std::uint64_t>;
  virtual ~Clock() = default;
  [[nodiscard]] virtual TimePoint now() const = 0;

  // Calls `callback` once, at or after `when`, never inside this call.
  TimerId schedule(TimePoint when, std::function<void()> callback);
  void cancel(TimerId id);  // no effect when it has fired
  [[nodiscard]] Task<void> sleep(Duration duration);

 protected:
  // Runs what is due. For the implementations.
  void fire_due();
  [[nodiscard]] std::optional<TimePoint> earliest() const;
  virtual void earliest_changed() {}

 private:
  std::map<TimerId, std::function<void()>> timers_;
  std::uint64_t next_id_ = 0;
};

// A timer that is re-armed often and disarmed by its destructor.
class Timer {
 public:
  Timer(Clock& clock, std::function<void()> callback)
      : clock_(clock), callback_(std::move(callback)) {}
  ~Timer() { disarm(); }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  void arm(TimePoint when);
  void disarm();

 private:
  Clock& clock_;
  std::function<void()> callback_;
  std::optional<Clock::TimerId> id_;
};

class RealClock final : public Clock {
 public:
  explicit RealClock(asio::any_io_executor executor) : timer_(std::move(executor)) {}
  [[nodiscard]] TimePoint now() const override {
    return std::chrono::time_point_cast<Duration>(std::chrono::steady_clock::now());
  }

 private:
  void earliest_changed() override;
  asio::steady_timer timer_;
  std::optional<TimePoint> armed_for_;
};

}  // namespace swarmfs::net
