#include "storage/wait_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/storage/engine_loop.h"

namespace swarmfs::storage {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class WaitListTest : public testing::Test {
 protected:
  static Task<void> wait_and_say(WaitList* list, std::string name, std::vector<std::string>* said) {
    co_await list->wait();
    said->push_back(name);
  }
  Started<bool> waiter(const std::string& name) {
    auto started = loop.start(wait_and_say(&*list, name, &said));
    loop.settle();
    return started;
  }

  EngineLoop loop;
  std::optional<WaitList> list{loop.executor()};
  std::vector<std::string> said;
};

TEST_F(WaitListTest, WakesEverybodyInTheOrderTheyCame) {
  const auto a = waiter("a"), b = waiter("b"), c = waiter("c");
  EXPECT_EQ(list->size(), 3U);
  EXPECT_THAT(said, IsEmpty());
  list->wake_all();
  EXPECT_EQ(list->size(), 0U);
  loop.settle();
  EXPECT_THAT(said, ElementsAre("a", "b", "c"));
}

TEST_F(WaitListTest, NobodyRunsInsideWakeAll) {
  const auto a = waiter("a");
  list->wake_all();
  EXPECT_THAT(said, IsEmpty()) << "resumed in the middle of what the waker does";
  loop.settle();
  EXPECT_THAT(said, ElementsAre("a"));
}

TEST_F(WaitListTest, WakingAnEmptyListIsRememberedByNobody) {
  list->wake_all();
  const auto late = waiter("late");
  EXPECT_FALSE(late.done());
  list->wake_all();
  loop.settle();
  EXPECT_TRUE(late.done());
}

TEST_F(WaitListTest, ACancelledWaiterGoesAloneAndLeavesNothingBehind) {
  auto a = waiter("a"), b = waiter("b"), c = waiter("c");
  b.cancel();
  loop.settle();
  EXPECT_TRUE(b.cancelled());
  EXPECT_EQ(list->size(), 2U);
  EXPECT_FALSE(a.done());
  list->wake_all();
  loop.settle();
  EXPECT_THAT(said, ElementsAre("a", "c"));
}

Task<void> wait_twice(WaitList* list, int* woken) {
  co_await list->wait();
  ++*woken;
  co_await list->wait();
  ++*woken;
}

TEST_F(WaitListTest, OneWakeUpWakesOnceWhoWaitsAgainAtOnce) {
  int woken = 0;
  auto twice = loop.start(wait_twice(&*list, &woken));
  loop.settle();
  list->wake_all();
  loop.settle();
  EXPECT_EQ(woken, 1);
  EXPECT_EQ(list->size(), 1U);
  list->wake_all();
  loop.settle();
  EXPECT_EQ(woken, 2);
  EXPECT_TRUE(twice.done());
}

TEST_F(WaitListTest, WokenAndThenCancelledResumesOnceAndIsCancelledAtTheNextWait) {
  int woken = 0;
  auto a = loop.start(wait_twice(&*list, &woken));
  loop.settle();
  a.cancel();        // posted: emitted in the next turn,
  list->wake_all();  // when the waiter is off the list and its own turn is on its way
  loop.settle();
  EXPECT_EQ(woken, 1) << "it had been woken first";
  EXPECT_TRUE(a.cancelled());
  EXPECT_EQ(list->size(), 0U);
}

TEST_F(WaitListTest, CancelledAndThenWokenInOneTurnIsCancelledOnce) {
  int woken = 0;
  auto a = loop.start(wait_twice(&*list, &woken));
  loop.settle();
  a.cancel();
  asio::post(loop.executor(), [this] { list->wake_all(); });
  loop.settle();
  EXPECT_TRUE(a.cancelled());
  EXPECT_EQ(woken, 0);
}

TEST_F(WaitListTest, DestructionWakesWhoStillWaits) {
  const auto a = waiter("a"), b = waiter("b");
  list.reset();
  loop.settle();
  EXPECT_THAT(said, ElementsAre("a", "b"));
}

TEST_F(WaitListTest, CancellingAfterDestructionIsHarmless) {
  int woken = 0;
  auto a = loop.start(wait_twice(&*list, &woken));
  loop.settle();
  std::optional<WaitList> second(std::move(*list));
  asio::post(loop.executor(), [&second] { second.reset(); });
  a.cancel();
  list.emplace(loop.executor());
  loop.settle();
  EXPECT_EQ(woken, 1);
  EXPECT_TRUE(a.cancelled());
}

TEST_F(WaitListTest, MovingAListTakesItsWaitersAlong) {
  const auto a = waiter("a");
  WaitList moved = std::move(*list);
  EXPECT_EQ(moved.size(), 1U);
  list.reset();
  loop.settle();
  EXPECT_THAT(said, IsEmpty());
  moved.wake_all();
  loop.settle();
  EXPECT_THAT(said, ElementsAre("a"));
}

}  // namespace
}  // namespace swarmfs::storage
