// A clock that a test sets.
#pragma once
#include <algorithm>
#include <chrono>
#include <optional>

#include "net/clock.h"

namespace swarmfs::net {

class ManualClock final : public Clock {
 public:
  [[nodiscard]] TimePoint now() const override { return now_; }
  void advance(Duration by) { advance_to(now_ + by); }
  void advance_to(TimePoint when) {
    now_ = std::max(now_, when);
    fire_due();
  }
  [[nodiscard]] std::optional<TimePoint> earliest_timer() const { return earliest(); }
  // To the next timer, however far; false: there is none.
  bool advance_to_next() {
    const auto next = earliest();
    if (!next) return false;
    advance_to(*next);
    return true;
  }

 private:
  TimePoint now_{std::chrono::hours(1)};
};

}  // namespace swarmfs::net
