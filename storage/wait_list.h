// Coroutines waiting for one thing to happen: wait() suspends, wake_all() resumes every waiter
// through the executor.
//
// Threads: engine thread only. Memory: one small allocation a waiter. Errors: wait() throws
// operation_aborted when its coroutine is cancelled. Lifetime: destroying it wakes its waiters.
// Checking a condition and calling wait() have no suspension between them, so no wake-up is lost.
#pragma once
#include <boost/asio/any_io_executor.hpp>
#include <cstddef>
#include <memory>

#include "storage/result.h"

namespace swarmfs::storage {

class WaitList {
 public:
  explicit WaitList(asio::any_io_executor executor);
  ~WaitList();
  WaitList(WaitList&&) noexcept;
  WaitList& operator=(WaitList&&) = delete;
  [[nodiscard]] Task<void> wait();
  void wake_all();
  [[nodiscard]] std::size_t size() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace swarmfs::storage
