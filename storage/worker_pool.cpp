#include "storage/worker_pool.h"

#include <boost/asio/async_result.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace swarmfs::storage {

struct WorkerPool::State {
  explicit State(asio::any_io_executor e) : engine(std::move(e)) {}

  void work() {
    std::unique_lock lock(mutex);
    while (true) {
      wake.wait(lock, [this] { return stopping || !jobs.empty(); });
      if (jobs.empty()) return;
      const std::function<void()> job = std::move(jobs.front());
      jobs.pop_front();
      lock.unlock();
      job();
      lock.lock();
    }
  }
  void enqueue(std::function<void()> job) {
    {
      const std::lock_guard lock(mutex);
      jobs.push_back(std::move(job));
    }
    wake.notify_one();
  }

  asio::any_io_executor engine;
  std::mutex mutex;
  std::condition_variable wake;
  std::deque<std::function<void()>> jobs;
  bool stopping = false;
  std::vector<std::thread> threads;
};

WorkerPool::WorkerPool(asio::any_io_executor engine, unsigned threads)
    : state_(std::make_unique<State>(std::move(engine))) {
  for (unsigned i = 0; i < threads; ++i)
    state_->threads.emplace_back([state = state_.get()] { state->work(); });
}

WorkerPool::~WorkerPool() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->wake.notify_all();
  for (std::thread& thread : state_->threads) thread.join();
}

Task<void> WorkerPool::run(std::function<void()> job) {
  State* state = state_.get();
  auto initiate = [state, job = std::move(job)](auto handler) mutable {
    // std::function wants a copyable function; handlers are move-only.
    auto shared = std::make_shared<decltype(handler)>(std::move(handler));
    auto guard = asio::make_work_guard(state->engine);
    auto resume = [engine = state->engine, shared, guard]() mutable {
      asio::post(engine, [shared, guard]() mutable { std::move (*shared)(); });
    };
    if (state->threads.empty()) {
      asio::post(state->engine, [job = std::move(job), resume]() mutable {
        job();
        resume();
      });
    } else {
      state->enqueue([job = std::move(job), resume]() mutable {
        job();
        job = nullptr;  // what it owned is given back before the engine goes on
        resume();
      });
    }
  };
  co_await asio::async_initiate<const asio::use_awaitable_t<>, void()>(std::move(initiate),
                                                                       asio::use_awaitable);
}

}  // namespace swarmfs::storage
