#include "net/clock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <string>
#include <vector>

#include "storage/task_group.h"
#include "tests/unit/net/loopback_server.h"

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

class ClockTest : public testing::Test {
 protected:
  Clock::TimerId note(Duration in, const std::string& what) {
    return clock_.schedule(clock_.now() + in, [this, what] { fired_.push_back(what); });
  }
  ManualClock clock_;
  std::vector<std::string> fired_;
};

TEST_F(ClockTest, FiresInOrderOfTimeThenOfCreation) {
  note(20ms, "late");
  note(10ms, "early, first");
  note(10ms, "early, second");
  note(5ms, "earliest");
  clock_.advance(10ms);
  EXPECT_THAT(fired_, ElementsAre("earliest", "early, first", "early, second"));
  clock_.advance(10ms);
  EXPECT_EQ(fired_.back(), "late");
}

TEST_F(ClockTest, NeverFiresBeforeItsTimeAndOnlyOnce) {
  note(10ms, "timer");
  clock_.advance(10ms - 1us);
  EXPECT_THAT(fired_, IsEmpty());
  clock_.advance(1us);
  clock_.advance(1h);
  EXPECT_THAT(fired_, ElementsAre("timer"));
  EXPECT_EQ(clock_.earliest_timer(), std::nullopt);
}

TEST_F(ClockTest, DoesNotCallBackFromScheduleEvenWhenTheTimeHasPassed) {
  note(-1s, "overdue");
  EXPECT_THAT(fired_, IsEmpty());
  clock_.advance(0us);
  EXPECT_THAT(fired_, ElementsAre("overdue"));
}

TEST_F(ClockTest, CancelledTimersAreSilent) {
  const auto first = note(10ms, "first");
  note(10ms, "second");
  clock_.cancel(first);
  clock_.advance(10ms);
  EXPECT_THAT(fired_, ElementsAre("second"));
  clock_.cancel(first);  // no effect, also now
}

TEST_F(ClockTest, ACallbackMayCancelTimersThatAreDueInTheSameTurn) {
  std::optional<Clock::TimerId> next;
  Clock::TimerId self{};
  self = clock_.schedule(clock_.now() + 10ms, [&] {
    fired_.push_back("canceller");
    clock_.cancel(*next);
    clock_.cancel(self);  // itself, which is over
  });
  next = note(10ms, "cancelled");
  note(11ms, "after");
  clock_.advance(1s);
  EXPECT_THAT(fired_, ElementsAre("canceller", "after"));
}

TEST_F(ClockTest, TimersMadeByACallbackWaitForTheNextTurnSoThatNobodyStarves) {
  std::function<void()> again = [&] {
    fired_.push_back("again");
    clock_.schedule(clock_.now() - 1s, again);  // before everything else
  };
  clock_.schedule(clock_.now(), again);
  note(1ms, "patient");
  clock_.advance(1ms);
  EXPECT_THAT(fired_, ElementsAre("again", "patient"));
  clock_.advance(0us);
  EXPECT_THAT(fired_, ElementsAre("again", "patient", "again"));
}

TEST_F(ClockTest, ATimerFiresAtTheTimeItWasLastArmedFor) {
  Timer timer(clock_, [this] { fired_.push_back("timer"); });
  const TimePoint start = clock_.now();
  timer.arm(start + 10ms);
  timer.arm(start + 30ms);
  clock_.advance(29ms);
  EXPECT_THAT(fired_, IsEmpty());
  timer.arm(start + 29ms + 1us);
  clock_.advance(1us);
  EXPECT_THAT(fired_, ElementsAre("timer"));
  clock_.advance(1h);
  EXPECT_THAT(fired_, ElementsAre("timer"));
}

TEST_F(ClockTest, ATimerMayArmItselfFromItsOwnCallback) {
  Timer* self = nullptr;
  Timer timer(clock_, [&] {
    fired_.push_back("tick");
    self->arm(clock_.now() + 10ms);
  });
  self = &timer;
  timer.arm(clock_.now() + 10ms);
  for (int i = 0; i < 3; ++i) clock_.advance(10ms);
  EXPECT_THAT(fired_, ElementsAre("tick", "tick", "tick"));
}

TEST_F(ClockTest, ADisarmedOrDestroyedTimerNeverFires) {
  {
    Timer gone(clock_, [this] { fired_.push_back("destroyed"); });
    gone.arm(clock_.now() + 1ms);
  }
  Timer off(clock_, [this] { fired_.push_back("disarmed"); });
  off.arm(clock_.now() + 1ms);
  off.disarm();
  off.disarm();
  clock_.advance(1s);
  EXPECT_THAT(fired_, IsEmpty());
}

TEST_F(ClockTest, SleepEndsAtItsTime) {
  asio::io_context context;
  bool awake = false;
  asio::co_spawn(context, clock_.sleep(10ms), [&](std::exception_ptr e) {
    EXPECT_FALSE(e);
    awake = true;
  });
  context.poll();
  clock_.advance(10ms - 1us);
  context.restart();
  context.poll();
  EXPECT_FALSE(awake);
  clock_.advance(1us);
  context.restart();
  context.poll();
  EXPECT_TRUE(awake);
}

TEST_F(ClockTest, ACancelledSleepLeavesNoTimerBehind) {
  asio::io_context context;
  storage::TaskGroup tasks(context.get_executor());
  tasks.spawn(clock_.sleep(10ms));
  context.poll();
  EXPECT_NE(clock_.earliest_timer(), std::nullopt);
  tasks.cancel();
  context.restart();
  context.poll();
  EXPECT_EQ(tasks.size(), 0U);
  EXPECT_EQ(clock_.earliest_timer(), std::nullopt);
}

class RealClockTest : public testing::Test {
 protected:
  asio::io_context context_;
  RealClock clock_{context_.get_executor()};
  std::vector<std::string> fired_;
  void note(TimePoint when, const std::string& what) {
    clock_.schedule(when, [this, when, what] {
      EXPECT_GE(clock_.now(), when) << what << " fired early";
      fired_.push_back(what);
    });
  }
};

TEST_F(RealClockTest, IsArmedAgainWhenAnEarlierTimerComes) {
  const TimePoint start = clock_.now();
  note(start + 1h, "far");
  context_.poll();  // the far one is what the system timer waits for
  note(start + 2ms, "near");
  ASSERT_TRUE(run_until(context_, [&] { return !fired_.empty(); }));
  EXPECT_THAT(fired_, ElementsAre("near"));
  EXPECT_LT(clock_.now(), start + 20s);
}

TEST_F(RealClockTest, GoesOnWithTheNextTimerAfterOneFired) {
  const TimePoint start = clock_.now();
  note(start + 3ms, "third");
  note(start + 1ms, "first");
  note(start + 2ms, "second");
  ASSERT_TRUE(run_until(context_, [&] { return fired_.size() == 3; }));
  EXPECT_THAT(fired_, ElementsAre("first", "second", "third"));
}

TEST_F(RealClockTest, GoesOnWhenTheEarliestWasCancelled) {
  const TimePoint start = clock_.now();
  const auto id = clock_.schedule(start + 1ms, [this] { fired_.push_back("cancelled"); });
  note(start + 4ms, "kept");
  clock_.cancel(id);
  ASSERT_TRUE(run_until(context_, [&] { return !fired_.empty(); }));
  EXPECT_THAT(fired_, ElementsAre("kept"));
}

TEST_F(RealClockTest, FiresWhatIsOverdueInALaterTurn) {
  note(clock_.now() - 1s, "overdue");
  EXPECT_THAT(fired_, IsEmpty());
  ASSERT_TRUE(run_until(context_, [&] { return !fired_.empty(); }));
}

TEST_F(RealClockTest, ATimerMadeInACallbackIsServedToo) {
  clock_.schedule(clock_.now(), [&] { note(clock_.now(), "inner"); });
  ASSERT_TRUE(run_until(context_, [&] { return !fired_.empty(); }));
  EXPECT_THAT(fired_, ElementsAre("inner"));
}

TEST_F(RealClockTest, SleepTakesAtLeastItsTime) {
  const TimePoint start = clock_.now();
  run_task(context_, clock_.sleep(3ms));
  EXPECT_GE(clock_.now() - start, 3ms);
}

}  // namespace
}  // namespace swarmfs::net
