#include "storage/wait_list.h"

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <map>
#include <utility>

namespace swarmfs::storage {
namespace {

// A suspended coroutine, whatever its handler's type.
class Waiter {
 public:
  virtual ~Waiter() = default;
  virtual void resume(const asio::any_io_executor& executor, error_code ec) = 0;
};

template <class Handler>
class WaiterOf final : public Waiter {
 public:
  explicit WaiterOf(Handler handler) : handler_(std::move(handler)) {}
  void resume(const asio::any_io_executor& executor, error_code ec) override {
    // The slot is cleared in the posted turn: resume() may be running inside the slot's own
    // function.
    asio::post(executor, [handler = std::move(handler_), ec]() mutable {
      asio::get_associated_cancellation_slot(handler).clear();
      std::move(handler)(ec);
    });
  }

 private:
  Handler handler_;
};

}  // namespace

struct WaitList::State : std::enable_shared_from_this<WaitList::State> {
  explicit State(asio::any_io_executor e) : executor(std::move(e)) {}

  template <class Handler>
  void add(Handler handler) {
    const std::uint64_t id = next_id++;
    auto slot = asio::get_associated_cancellation_slot(handler);
    waiters.emplace(id, std::make_unique<WaiterOf<Handler>>(std::move(handler)));
    if (slot.is_connected()) {
      slot.assign([weak = weak_from_this(), id](asio::cancellation_type type) {
        const auto self = weak.lock();
        if (self && type != asio::cancellation_type::none) self->cancel(id);
      });
    }
  }
  void cancel(std::uint64_t id) {
    const auto found = waiters.find(id);
    if (found == waiters.end()) return;  // already woken
    const std::unique_ptr<Waiter> waiter = std::move(found->second);
    waiters.erase(found);
    waiter->resume(executor, asio::error::operation_aborted);
  }

  asio::any_io_executor executor;
  std::map<std::uint64_t, std::unique_ptr<Waiter>> waiters;  // by age: woken in the order they came
  std::uint64_t next_id = 0;
};

WaitList::WaitList(asio::any_io_executor executor)
    : state_(std::make_shared<State>(std::move(executor))) {}
WaitList::WaitList(WaitList&&) noexcept = default;
WaitList::~WaitList() {
  if (state_) wake_all();
}

Task<void> WaitList::wait() {
  const std::shared_ptr<State> state = state_;
  auto initiate = [state](auto handler) { state->add(std::move(handler)); };
  co_await asio::async_initiate<const asio::use_awaitable_t<>, void(error_code)>(
      initiate, asio::use_awaitable);
}

void WaitList::wake_all() {
  auto woken = std::exchange(state_->waiters, {});
  for (auto& [id, waiter] : woken) waiter->resume(state_->executor, {});
}

std::size_t WaitList::size() const {
  return state_->waiters.size();
}

}  // namespace swarmfs::storage
