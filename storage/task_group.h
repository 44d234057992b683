// The coroutines somebody started and must see the end of. Nothing in this program is spawned any
// other way.
//
// Threads: engine thread only, in the event loop's turns or outside of them. Memory: a small
// frame a task and its own. Errors: an exception other than cancellation that leaves a task is a
// bug and terminates the program with its message. Lifetime: join() must complete before
// destruction.
#pragma once
#include <boost/asio/any_io_executor.hpp>
#include <cstddef>
#include <memory>

#include "storage/result.h"

namespace swarmfs::storage {

class TaskGroup {
 public:
  explicit TaskGroup(asio::any_io_executor executor);
  ~TaskGroup();
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  // Runs `task` until it ends or is cancelled. Returns a number for cancel_one().
  std::uint64_t spawn(Task<void> task);
  void cancel_one(std::uint64_t id);  // no effect when it already ended
  void cancel();                      // asks every task to end; does not wait
  [[nodiscard]] Task<void> join();    // returns when no task is left
  [[nodiscard]] std::size_t size() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace swarmfs::storage
