// The best of the values seen lately: in the present period and the one before, so that it is
// forgotten after one to two periods without keeping every value.
//
// Threads: pure (time is given). Memory: three values. Errors: none.
#pragma once
#include "net/clock.h"

namespace swarmfs::net {

// Better(a, b): a is the better of the two (std::less keeps the least).
template <class Value, class Better>
class RecentBest {
 public:
  RecentBest(Duration period, Value start)
      : period_(period), present_(start), before_(start), best_(start) {}

  void add(Value value, TimePoint now) {
    if (now - since_ > period_) {
      before_ = now - since_ <= 2 * period_ || since_ == TimePoint() ? present_ : value;
      present_ = value;
      since_ = now;
    }
    present_ = better(present_, value);
    best_ = better(present_, before_);
  }
  [[nodiscard]] Value best() const { return best_; }

 private:
  static Value better(Value a, Value b) { return Better()(b, a) ? b : a; }

  Duration period_;
  Value present_;
  Value before_;
  Value best_;
  TimePoint since_{};
};

}  // namespace swarmfs::net
