#include "storage/worker_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "tests/unit/storage/engine_loop.h"

namespace swarmfs::storage {
namespace {

using testing::ElementsAre;
using testing::Range;

class WorkerPoolTest : public testing::TestWithParam<unsigned> {
 protected:
  EngineLoop loop;
};
INSTANTIATE_TEST_SUITE_P(Threads, WorkerPoolTest, testing::Values(0U, 1U, 3U));

Task<void> run_and_say(WorkerPool* pool, std::function<void()> job, std::vector<int>* said, int n) {
  co_await pool->run(std::move(job));
  said->push_back(n);
}

TEST_P(WorkerPoolTest, EveryJobHasRunBeforeItsCoroutineGoesOn) {
  WorkerPool pool(loop.executor(), GetParam());
  std::vector<int> results(50), said;
  for (int i = 0; i < 50; ++i) {
    const auto job = [&results, i] { results[static_cast<std::size_t>(i)] = i * i; };
    const auto check = [](WorkerPool* p, std::function<void()> j, std::vector<int>* r, int n,
                          std::vector<int>* s) -> Task<void> {
      co_await p->run(std::move(j));
      EXPECT_EQ((*r)[static_cast<std::size_t>(n)], n * n);
      s->push_back(n);
    };
    (void)loop.start(check(&pool, job, &results, i, &said));
  }
  loop.until([&] { return said.size() == 50; });
}

TEST(WorkerPool, WithoutThreadsAJobRunsInALaterTurnOfTheEngine) {
  EngineLoop loop;
  WorkerPool pool(loop.executor(), 0);
  bool ran = false;
  const auto started = loop.start(pool.run([&ran] { ran = true; }));
  EXPECT_FALSE(ran);
  loop.settle();
  EXPECT_TRUE(ran && started.done());
}

TEST(WorkerPool, OneThreadDoesItsJobsInTheOrderTheyWereGiven) {
  EngineLoop loop;
  WorkerPool pool(loop.executor(), 1);
  std::vector<int> ran, said;
  for (int i = 0; i < 100; ++i) {
    (void)loop.start(run_and_say(
        &pool, [&ran, i] { ran.push_back(i); }, &said, i));
  }
  loop.until([&] { return said.size() == 100; });
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(ran[static_cast<std::size_t>(i)], i);
    EXPECT_EQ(said[static_cast<std::size_t>(i)], i);
  }
}

TEST(WorkerPool, JobsRunElsewhereAndTheCoroutineGoesOnHere) {
  EngineLoop loop;
  WorkerPool pool(loop.executor(), 1);
  std::thread::id job_ran_on, resumed_on;
  const auto story = [](WorkerPool* p, std::thread::id* job, std::thread::id* here) -> Task<void> {
    const std::function<void()> look = [job] { *job = std::this_thread::get_id(); };
    co_await p->run(look);
    *here = std::this_thread::get_id();
  };
  loop.run(story(&pool, &job_ran_on, &resumed_on));
  EXPECT_NE(job_ran_on, std::this_thread::get_id());
  EXPECT_EQ(resumed_on, std::this_thread::get_id());
}

// A job for each of two threads that ends only when the other has begun.
TEST(WorkerPool, TwoThreadsWorkAtTheSameTime) {
  EngineLoop loop;
  WorkerPool pool(loop.executor(), 2);
  std::mutex mutex;
  std::condition_variable met;
  int here = 0;
  const auto meet = [&] {
    std::unique_lock lock(mutex);
    ++here;
    met.notify_all();
    met.wait_for(lock, kPatience, [&here] { return here == 2; });
  };
  std::vector<int> said;
  (void)loop.start(run_and_say(&pool, meet, &said, 1));
  (void)loop.start(run_and_say(&pool, meet, &said, 2));
  loop.until([&] { return said.size() == 2; });
  EXPECT_EQ(here, 2);
}

Task<void> hold_and_look(WorkerPool* pool, std::function<void()> job, std::weak_ptr<int> owned,
                         bool* gone) {
  co_await pool->run(std::move(job));
  *gone = owned.expired();
}

TEST_P(WorkerPoolTest, WhatAJobOwnsIsGivenBackBeforeItsCoroutineGoesOn) {
  WorkerPool pool(loop.executor(), GetParam());
  for (int i = 0; i < 200; ++i) {
    auto owned = std::make_shared<int>(1);
    const std::weak_ptr<int> watch = owned;
    bool gone = false;
    auto started = loop.start(hold_and_look(
        &pool, [kept = std::move(owned)] { ++*kept; }, watch, &gone));
    loop.until([&] { return started.done(); });
    ASSERT_TRUE(gone) << i;
  }
}

TEST_P(WorkerPoolTest, CancellingDoesNotCutAJobShort) {
  WorkerPool pool(loop.executor(), GetParam());
  std::mutex gate;
  std::unique_lock closed(gate, std::defer_lock);
  if (GetParam() > 0) closed.lock();
  bool ran = false;
  const auto job = [&gate, &ran] {
    const std::lock_guard wait(gate);
    ran = true;
  };
  auto started = loop.start(pool.run(job));
  if (GetParam() > 0) {
    loop.settle();
    started.cancel();
    loop.settle();
    EXPECT_FALSE(started.done()) << "what the job refers to would be gone under it";
    closed.unlock();
  }
  loop.until([&] { return started.done(); });
  EXPECT_TRUE(ran);
}

TEST(WorkerPool, DestructionFinishesWhatIsQueued) {
  EngineLoop loop;
  std::vector<int> ran, said;
  {
    WorkerPool pool(loop.executor(), 1);
    for (int i = 0; i < 20; ++i)
      (void)loop.start(run_and_say(
          &pool, [&ran, i] { ran.push_back(i); }, &said, i));
    loop.settle();
  }
  EXPECT_EQ(ran.size(), 20U);
  loop.until([&] { return said.size() == 20; });
}

}  // namespace
}  // namespace swarmfs::storage
