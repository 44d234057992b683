#include "net/clock.h"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>

#include "storage/wait_list.h"

namespace swarmfs::net {

Clock::TimerId Clock::schedule(TimePoint when, std::function<void()> callback) {
  const TimerId id{when, next_id_++};
  const auto placed = timers_.emplace(id, std::move(callback)).first;
  if (placed == timers_.begin()) earliest_changed();
  return id;
}

void Clock::cancel(TimerId id) {
  timers_.erase(id);
}

Task<void> Clock::sleep(Duration duration) {
  storage::WaitList done(co_await asio::this_coro::executor);
  struct Cancelled {  // the timer refers to `done`, also when the wait below throws
    Clock& clock;
    TimerId id;
    ~Cancelled() { clock.cancel(id); }
  };
  const Cancelled guard{*this, schedule(now() + duration, [&done] { done.wake_all(); })};
  co_await done.wait();
}

void Clock::fire_due() {
  const TimePoint due = now();
  // Timers made by these callbacks wait for the next call, even when already due: no callback can
  // starve the rest.
  const std::uint64_t made_later = next_id_;
  for (auto at = timers_.begin(); at != timers_.end() && at->first.first <= due;) {
    if (at->first.second >= made_later) {
      ++at;
      continue;
    }
    auto node = timers_.extract(at);
    node.mapped()();
    at = timers_.begin();  // the callback may have added and cancelled any
  }
}

std::optional<TimePoint> Clock::earliest() const {
  if (timers_.empty()) return std::nullopt;
  return timers_.begin()->first.first;
}

void Timer::arm(TimePoint when) {
  disarm();
  id_ = clock_.schedule(when, [this] {
    id_.reset();
    callback_();
  });
}

void Timer::disarm() {
  if (id_) clock_.cancel(*std::exchange(id_, std::nullopt));
}

void RealClock::earliest_changed() {
  const std::optional<TimePoint> next = earliest();
  if (!next || (armed_for_ && *armed_for_ <= *next)) return;
  armed_for_ = next;
  timer_.expires_at(*next);
  timer_.async_wait([this](error_code ec) {
    if (ec) return;  // re-armed for an earlier time
    armed_for_.reset();
    fire_due();
    earliest_changed();
  });
}

}  // namespace swarmfs::net
