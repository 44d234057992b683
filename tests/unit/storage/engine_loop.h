// An event loop to run coroutines on from a test, step by step, and coroutines under way that a
// test looks at from outside.
//
// Threads: the test's. Errors: a coroutine that does not end fails its test after kPatience instead
// of hanging it. Lifetime: the loop outlives what was started on it.
#pragma once
#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>
#include <variant>

#include "storage/result.h"

namespace swarmfs::storage {

// Only ever waited for by a test that fails.
inline constexpr std::chrono::seconds kPatience{20};

template <class T>
class Started {
 public:
  [[nodiscard]] bool done() const { return outcome_->error || outcome_->value; }
  [[nodiscard]] bool cancelled() const { return outcome_->error != nullptr; }
  [[nodiscard]] const T& value() const { return outcome_->value.value(); }
  // In a turn of the loop, as whoever cancels a coroutine in the program does.
  void cancel() {
    asio::post(executor_,
               [outcome = outcome_] { outcome->signal.emit(asio::cancellation_type::terminal); });
  }

 private:
  friend class EngineLoop;
  struct Outcome {
    asio::cancellation_signal signal;
    std::optional<T> value;
    std::exception_ptr error;
  };
  explicit Started(asio::any_io_executor executor) : executor_(std::move(executor)) {}
  asio::any_io_executor executor_;
  std::shared_ptr<Outcome> outcome_ = std::make_shared<Outcome>();
};

class EngineLoop {
 public:
  [[nodiscard]] asio::any_io_executor executor() { return context_.get_executor(); }

  template <class T>
  [[nodiscard]] Started<T> start(Task<T> task) {
    Started<T> started(executor());
    auto slot = started.outcome_->signal.slot();
    asio::co_spawn(context_, std::move(task),
                   asio::bind_cancellation_slot(
                       slot, [outcome = started.outcome_](std::exception_ptr error, T value) {
                         outcome->error = error;
                         if (!error) outcome->value = std::move(value);
                       }));
    return started;
  }
  [[nodiscard]] Started<bool> start(Task<void> task) { return start(ended(std::move(task))); }

  // Everything that is ready, and what becomes ready by it.
  void settle() {
    context_.restart();
    context_.poll();
  }
  // One thing that is ready.
  void step() {
    context_.restart();
    context_.poll_one();
  }
  // Other threads may be what it waits for.
  void until(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!condition()) {
      context_.restart();
      context_.run_one_until(deadline);
      if (std::chrono::steady_clock::now() >= deadline) throw std::runtime_error("stuck");
    }
  }
  template <class T>
  T run(Task<T> task) {
    const Started<T> started = start(std::move(task));
    until([&started] { return started.done(); });
    return started.value();
  }
  void run(Task<void> task) { (void)run(ended(std::move(task))); }

 private:
  static Task<bool> ended(Task<void> task) {
    co_await std::move(task);
    co_return true;
  }
  asio::io_context context_{1};
};

}  // namespace swarmfs::storage
