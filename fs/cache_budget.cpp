#include "fs/cache_budget.h"

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

namespace swarmfs::fs {
namespace {

using namespace std::chrono_literals;

// How soon another mount's need is heard; costs reading one page of memory.
constexpr net::Duration kLookAround = 1s;
// How often room is counted though nothing is written: other programs fill disks, too. It looks at
// every file of the cache.
constexpr int kCountEvery = 5;

// A cache that is too small is full again and again.
constexpr net::Duration kComplainEvery = 10min;

// The turn at the ledger.
class Turn {
 public:
  Turn(bool& busy, storage::WaitList& waiting) : busy_(busy), waiting_(waiting) { busy_ = true; }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  ~Turn() {
    busy_ = false;
    waiting_.wake_all();
  }

 private:
  bool& busy_;
  storage::WaitList& waiting_;
};

std::uint64_t missing(std::int64_t room, std::uint64_t wish) {
  if (room >= 0 && static_cast<std::uint64_t>(room) >= wish) return 0;
  return room >= 0 ? wish - static_cast<std::uint64_t>(room)
                   : wish + static_cast<std::uint64_t>(-room);
}

}  // namespace

CacheBudget::CacheBudget(Parts parts)
    : parts_(std::move(parts)), tasks_(parts_.executor), turn_(parts_.executor) {}

Task<error_code> CacheBudget::room(std::uint64_t bytes) {
  used_ = true;
  while (free_ < bytes && busy_) co_await turn_.wait();
  if (free_ < bytes) co_await refill(bytes);
  if (free_ < bytes) {
    if (error_) co_return error_;
    complain();
    co_return storage::StorageErrc::cache_full;
  }
  free_ -= bytes;
  in_flight_ += bytes;
  // Holes are made while what there is room for is written.
  if (crowded_ && !busy_ && free_ < parts_.chunk) tasks_.spawn(refill(2 * parts_.chunk));
  co_return error_code();
}

Task<void> CacheBudget::stop() {
  co_await tasks_.join();
}

void CacheBudget::settle(std::uint64_t bytes) {
  in_flight_ -= bytes;
}

// Leaves at least `bytes` free, if that can be done.
Task<void> CacheBudget::refill(std::uint64_t bytes) {
  const Turn turn(busy_, turn_);
  const std::uint64_t wish = std::max(bytes, parts_.chunk);
  Answer answer = co_await ask(bytes - std::min(bytes, free_), wish);
  if (answer.error) co_return;
  const std::uint64_t shortage = missing(answer.room, wish);
  if (shortage > 0) short_ += shortage;
  crowded_ = answer.granted == 0;
  if (crowded_) {
    const std::uint64_t freed = co_await parts_.give_up(shortage, storage::kNeverUsed);
    crowded_ = freed > 0;
    // Others may have taken of free_ meanwhile.
    if (freed > 0) answer = co_await ask(bytes - std::min(bytes, free_), wish);
  }
  free_ += answer.granted;
}

Task<CacheBudget::Answer> CacheBudget::ask(std::uint64_t least, std::uint64_t wish) {
  auto answer = std::make_shared<Answer>();
  const std::uint64_t held = free_ + in_flight_;
  std::function<void()> job = [answer, ledger = parts_.ledger, idle = parts_.give_up_idle, least,
                               wish, held] {
    Result<CacheLedger::Count> count = ledger->count();
    if (!count) {
      answer->error = count.error();
      return;
    }
    answer->room = count->room(held);
    if (const std::uint64_t shortage = missing(answer->room, wish);
        shortage > 0 && idle(shortage) > 0) {
      answer->room = count->room(held);
    }
    const std::uint64_t there =
        answer->room > 0 ? static_cast<std::uint64_t>(answer->room) : std::uint64_t{0};
    if (there >= least) answer->granted = std::min(there, wish);
    answer->error = count->reserve(held + answer->granted);
    if (answer->error) answer->granted = 0;
    answer->wants = ledger->wanted_by_others();
  };
  co_await parts_.workers.run(std::move(job));
  error_ = answer->error;
  if (!error_) {
    const std::int64_t left = answer->room - static_cast<std::int64_t>(answer->granted);
    parts_.spare(free_ + answer->granted +
                 static_cast<std::uint64_t>(std::max<std::int64_t>(left, 0)));
  }
  co_return std::move(*answer);
}

void CacheBudget::complain() {
  const net::TimePoint now = parts_.clock.now();
  if (complain_next_ && now < *complain_next_) return;
  complain_next_ = now + kComplainEvery;
  parts_.warn(
      "the cache is full of what is being read now (see --cache-size and --min-free); reading goes "
      "on from memory, what does not fit is fetched again");
}

// -- the others, and time

Task<void> CacheBudget::watch() {
  for (int turns = 0;; ++turns) {
    co_await parts_.clock.sleep(kLookAround);
    while (busy_) co_await turn_.wait();
    co_await look_around(turns % kCountEvery == 0);
  }
}

Task<void> CacheBudget::look_around(bool count) {
  const Turn turn(busy_, turn_);
  co_await tell_others();
  const bool give_back = !std::exchange(used_, false) && free_ > 0;
  if (give_back) free_ = 0;
  std::vector<CacheLedger::Want> wants;
  if (count || give_back) {
    const Answer answer = co_await ask(0, 0);
    const std::uint64_t over = missing(answer.room, 0);
    if (over > 0) co_await parts_.give_up(over, storage::kNeverUsed);
    wants = answer.wants;
  } else {
    auto heard = std::make_shared<std::vector<CacheLedger::Want>>();
    std::function<void()> job = [heard, ledger = parts_.ledger] {
      *heard = ledger->wanted_by_others();
    };
    co_await parts_.workers.run(std::move(job));
    wants = std::move(*heard);
  }
  co_await give_to_others(wants);
}

// They take it as soon as it is there: nothing is promised.
Task<void> CacheBudget::give_to_others(const std::vector<CacheLedger::Want>& wants) {
  for (const CacheLedger::Want& want : wants) {
    const storage::UseTime theirs = storage::use_time(want.oldest);
    if (parts_.oldest() >= theirs) continue;
    const Answer answer = co_await ask(0, 0);
    const std::uint64_t shortage = !answer.error ? missing(answer.room, want.bytes) : 0;
    if (shortage > 0) co_await parts_.give_up(shortage, theirs);
  }
}

Task<void> CacheBudget::tell_others() {
  const std::uint64_t bytes = std::exchange(short_, 0);
  if (bytes == 0 && !told_) co_return;
  told_ = bytes > 0;
  const CacheLedger::Want want{bytes, told_ ? storage::minutes_of(parts_.oldest()) : 0};
  std::function<void()> job = [want, ledger = parts_.ledger] {
    // That it cannot be written costs only what the others would have given.
    static_cast<void>(ledger->want(want));
  };
  co_await parts_.workers.run(std::move(job));
}

}  // namespace swarmfs::fs
