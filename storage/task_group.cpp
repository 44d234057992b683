#include "storage/task_group.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/multiple_exceptions.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>
#include <cassert>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <utility>
#include <vector>

#include "storage/wait_list.h"

namespace swarmfs::storage {
namespace {

void require_no_bug(const std::exception_ptr& error) {
  if (!error) return;
  try {
    std::rethrow_exception(error);
  } catch (const asio::multiple_exceptions& e) {  // both sides of `a || b`
    return require_no_bug(e.first_exception());
  } catch (const boost::system::system_error& e) {
    if (e.code() == asio::error::operation_aborted) return;  // cancelled, as asked
    std::fprintf(stderr, "swarmfs: bug: a task ended with: %s\n", e.what());
  } catch (const std::exception& e) {
    std::fprintf(stderr, "swarmfs: bug: a task ended with: %s\n", e.what());
  }
  std::abort();
}

}  // namespace

struct TaskGroup::State {
  explicit State(asio::any_io_executor e) : executor(std::move(e)), ended(executor) {}

  struct Entry {
    asio::cancellation_signal signal;
    bool started = false;
    bool cancelled = false;
  };
  static Task<void> run(std::shared_ptr<State> state, std::uint64_t id, Task<void> task);

  asio::any_io_executor executor;
  std::map<std::uint64_t, std::unique_ptr<Entry>> tasks;
  std::uint64_t next_id = 1;
  WaitList ended;
};

// co_spawn (Boost 1.81) throws into the event loop, and never says that the task has ended, when it
// finds it cancelled before its first suspension. So a task is cancelled from when it runs, and
// ends with cancellation no longer thrown.
Task<void> TaskGroup::State::run(std::shared_ptr<State> state, std::uint64_t id, Task<void> task) {
  Entry& entry = *state->tasks.at(id);
  entry.started = true;
  if (entry.cancelled) entry.signal.emit(asio::cancellation_type::terminal);
  std::exception_ptr error;
  try {
    co_await std::move(task);
  } catch (...) {
    error = std::current_exception();
  }
  co_await asio::this_coro::throw_if_cancelled(false);
  if (error) std::rethrow_exception(error);
}

TaskGroup::TaskGroup(asio::any_io_executor executor)
    : state_(std::make_shared<State>(std::move(executor))) {}
TaskGroup::~TaskGroup() {
  assert(state_->tasks.empty() && "join() before destruction");
}

std::uint64_t TaskGroup::spawn(Task<void> task) {
  const std::uint64_t id = state_->next_id++;
  auto entry = std::make_unique<State::Entry>();
  auto slot = entry->signal.slot();
  state_->tasks.emplace(id, std::move(entry));
  auto on_end = [state = state_, id](std::exception_ptr error) {
    require_no_bug(error);
    state->tasks.erase(id);
    if (state->tasks.empty()) state->ended.wake_all();
  };
  asio::co_spawn(state_->executor, State::run(state_, id, std::move(task)),
                 asio::bind_cancellation_slot(slot, std::move(on_end)));
  return id;
}

void TaskGroup::cancel_one(std::uint64_t id) {
  // In a turn of the executor, at once when this is one: from outside, co_spawn's end of the signal
  // would put off a bare pointer into it (Boost 1.81), and the task may end before that is used.
  asio::dispatch(state_->executor, [state = state_, id] {
    const auto found = state->tasks.find(id);
    if (found == state->tasks.end()) return;
    State::Entry& entry = *found->second;
    entry.cancelled = true;
    if (entry.started) entry.signal.emit(asio::cancellation_type::terminal);
  });
}

void TaskGroup::cancel() {
  std::vector<std::uint64_t> ids;  // emitting may end tasks at once
  for (const auto& [id, signal] : state_->tasks) ids.push_back(id);
  for (const std::uint64_t id : ids) cancel_one(id);
}

Task<void> TaskGroup::join() {
  const std::shared_ptr<State> state = state_;
  while (!state->tasks.empty()) co_await state->ended.wait();
}

std::size_t TaskGroup::size() const {
  return state_->tasks.size();
}

}  // namespace swarmfs::storage
