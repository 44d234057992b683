// Threads for pure functions on moved-in values: hashing, pread, pwrite, fsync. They see nothing
// else of the program.
//
// Threads: run() is called and resumes on the engine thread; the function runs on a worker. The
// only unit with threads, locks and atomics. With zero threads the function runs on the engine
// thread in a later turn (the simulator). Memory: one node a job; callers bound how many they
// start. Errors: the function must not throw. Lifetime: the destructor finishes queued jobs; no
// run() may be pending then.
#pragma once
#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <memory>
#include <type_traits>

#include "storage/result.h"

namespace swarmfs::storage {

class WorkerPool {
 public:
  WorkerPool(asio::any_io_executor engine, unsigned threads);
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // Completes after `job` has run. Not cancellable: what the job refers to must stay alive, so it
  // should own it.
  [[nodiscard]] Task<void> run(std::function<void()> job);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace swarmfs::storage
