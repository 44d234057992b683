#include "storage/task_group.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "storage/wait_list.h"
#include "tests/unit/storage/engine_loop.h"

namespace swarmfs::storage {
namespace {

using testing::ElementsAre;

class TaskGroupTest : public testing::Test {
 protected:
  // What a task was doing when it ended, seen from outside: "" while it runs.
  static Task<void> wait_for(WaitList* list, std::string* end) {
    try {
      co_await list->wait();
      *end = "woken";
    } catch (const boost::system::system_error&) {
      *end = "cancelled";
      throw;
    }
  }
  static Task<void> hold(std::shared_ptr<int> owned, WaitList* list) {
    co_await list->wait();
    ++*owned;
  }
  void finish() {
    group.cancel();
    loop.run(group.join());
  }

  EngineLoop loop;
  WaitList gate{loop.executor()};
  TaskGroup group{loop.executor()};
  std::string a, b;
};

TEST_F(TaskGroupTest, AnEmptyGroupIsJoinedAtOnce) {
  loop.run(group.join());
  group.cancel();
  loop.run(group.join());
  EXPECT_EQ(group.size(), 0U);
}

TEST_F(TaskGroupTest, JoinReturnsWhenTheLastTaskHasEnded) {
  WaitList second(loop.executor());
  group.spawn(wait_for(&gate, &a));
  group.spawn(wait_for(&second, &b));
  const auto joining = loop.start(group.join());
  loop.settle();
  EXPECT_EQ(group.size(), 2U);
  gate.wake_all();
  loop.settle();
  EXPECT_EQ(a, "woken");
  EXPECT_FALSE(joining.done()) << "one is still running";
  second.wake_all();
  loop.settle();
  EXPECT_TRUE(joining.done());
  EXPECT_EQ(group.size(), 0U);
}

Task<void> spawn_another(TaskGroup* group, WaitList* gate, std::string* end, Task<void> other) {
  co_await gate->wait();
  group->spawn(std::move(other));
  *end = "spawned";
}

TEST_F(TaskGroupTest, ATaskSpawnedWhileJoiningIsJoinedToo) {
  WaitList second(loop.executor());
  group.spawn(spawn_another(&group, &gate, &a, wait_for(&second, &b)));
  const auto joining = loop.start(group.join());
  loop.settle();
  gate.wake_all();
  loop.settle();
  EXPECT_EQ(a, "spawned");
  EXPECT_FALSE(joining.done());
  second.wake_all();
  loop.settle();
  EXPECT_TRUE(joining.done());
}

TEST_F(TaskGroupTest, CancelEndsEveryTaskAndGivesBackWhatTheyOwned) {
  const auto owned = std::make_shared<int>(0);
  group.spawn(hold(owned, &gate));
  group.spawn(wait_for(&gate, &a));
  loop.settle();
  EXPECT_EQ(owned.use_count(), 2);
  finish();
  EXPECT_EQ(owned.use_count(), 1);
  EXPECT_EQ(*owned, 0);
  EXPECT_EQ(a, "cancelled");
  EXPECT_EQ(gate.size(), 0U);
}

TEST_F(TaskGroupTest, CancelOneEndsOnlyThatTask) {
  const auto first = group.spawn(wait_for(&gate, &a));
  const auto second = group.spawn(wait_for(&gate, &b));
  EXPECT_NE(first, second);
  loop.settle();
  group.cancel_one(first);
  loop.settle();
  EXPECT_EQ(a, "cancelled");
  EXPECT_EQ(b, "");
  group.cancel_one(first);  // ended: no effect on anybody
  group.cancel_one(12345);
  loop.settle();
  EXPECT_EQ(b, "");
  finish();
}

TEST_F(TaskGroupTest, ATaskCancelledBeforeItsFirstTurnNeverRuns) {
  const auto owned = std::make_shared<int>(0);
  // Queued before the task's first turn.
  asio::post(loop.executor(), [this] { group.cancel(); });
  group.spawn(hold(owned, &gate));
  group.spawn(wait_for(&gate, &a));
  loop.settle();
  EXPECT_EQ(gate.size(), 0U);
  EXPECT_EQ(group.size(), 0U);
  EXPECT_EQ(owned.use_count(), 1);
  EXPECT_EQ(a, "") << "it never began";
}

// Emitting a signal of co_spawn from outside of the loop puts off a pointer into the signal, and
// the task may end before it is used (seen by the address sanitizer).
TEST_F(TaskGroupTest, ATaskMayEndBetweenACancelFromOutsideTheLoopAndItsTurn) {
  group.spawn(wait_for(&gate, &a));
  const auto second = group.spawn(wait_for(&gate, &b));
  loop.settle();
  gate.wake_all();
  group.cancel();
  group.cancel_one(second);
  loop.settle();
  EXPECT_EQ(a, "woken");
  EXPECT_EQ(b, "woken");
  EXPECT_EQ(group.size(), 0U);
}

Task<void> cancel_all(TaskGroup* group, WaitList* gate, bool* went_on) {
  group->cancel();  // itself included
  *went_on = true;
  co_await gate->wait();
  *went_on = false;
}

TEST_F(TaskGroupTest, ATaskThatCancelsItsGroupEndsAtItsNextSuspension) {
  bool went_on = false;
  group.spawn(wait_for(&gate, &a));
  group.spawn(cancel_all(&group, &gate, &went_on));
  loop.run(group.join());
  EXPECT_TRUE(went_on);
  EXPECT_EQ(a, "cancelled");
}

Task<void> cancel_all_and_end(TaskGroup* group) {
  group->cancel();
  co_return;
}

TEST_F(TaskGroupTest, ATaskThatCancelsItsGroupAndReturnsHasEnded) {
  group.spawn(cancel_all_and_end(&group));
  loop.run(group.join());
  EXPECT_EQ(group.size(), 0U);
}

TEST_F(TaskGroupTest, AJoinThatIsCancelledLeavesTheTasksAlone) {
  group.spawn(wait_for(&gate, &a));
  auto joining = loop.start(group.join());
  loop.settle();
  joining.cancel();
  loop.settle();
  EXPECT_TRUE(joining.cancelled());
  EXPECT_EQ(group.size(), 1U);
  EXPECT_EQ(a, "");
  finish();
}

Task<void> fail() {
  throw std::runtime_error("the bug's own words");
  co_return;
}

TEST(TaskGroupDeathTest, AnExceptionThatIsNoCancellationEndsTheProgramWithItsMessage) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_DEATH(
      {
        EngineLoop loop;
        TaskGroup group(loop.executor());
        group.spawn(fail());
        loop.settle();
      },
      "the bug's own words");
}

}  // namespace
}  // namespace swarmfs::storage
