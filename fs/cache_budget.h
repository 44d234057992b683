// The disk budget of this mount: room is asked for before a piece is written, and made when there
// is none. In this order: torrents that nobody has mounted, our own pieces, what other mounts give
// up when they hear that we are short. Together with the other mounts on the cache directory the
// limits hold while data comes in (cache_ledger).
//
// Threads:  engine thread only; what blocks runs on the WorkerPool.
// Memory:   constant.
// Errors:   StorageErrc::cache_full: there is no room, and the piece is kept in memory only; the
// errno
//           of the ledger's file: it cannot be known.
// Lifetime: outlives every room() under way, and watch(); co_await stop() before destruction.
#pragma once
#include <boost/asio/any_io_executor.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fs/cache_ledger.h"
#include "net/clock.h"
#include "storage/eviction.h"
#include "storage/result.h"
#include "storage/task_group.h"
#include "storage/wait_list.h"
#include "storage/worker_pool.h"

namespace swarmfs::fs {

class CacheBudget {
 public:
  struct Parts {
    asio::any_io_executor executor;
    net::Clock& clock;
    storage::WorkerPool& workers;
    std::shared_ptr<CacheLedger> ledger;
    // Bytes that are reserved at a time, so that not every piece is a turn with the others.
    std::uint64_t chunk;
    // Punches out at least `bytes` of this mount's pieces that were used before `used_before`, or
    // as many as there are. Bytes freed.
    std::function<Task<std::uint64_t>(std::uint64_t bytes, storage::UseTime used_before)> give_up;
    // When the first of them was used; kNeverUsed: nothing could be given up.
    std::function<storage::UseTime()> oldest;
    // The same for torrents that nobody has mounted. Runs on a worker, and blocks.
    std::function<std::uint64_t(std::uint64_t bytes)> give_up_idle;
    // Bytes that could be written without giving anything up, when that was counted.
    std::function<void(std::uint64_t)> spare;
    std::function<void(const std::string&)> warn;
  };
  explicit CacheBudget(Parts parts);

  // No error: `bytes` may be written now, and settle() is called when they were, or could not be.
  [[nodiscard]] Task<error_code> room(std::uint64_t bytes);
  void settle(std::uint64_t bytes);

  // Waits for what is under way; no room() may follow.
  [[nodiscard]] Task<void> stop();

  // Until cancelled: gives back what is not needed, makes room when somebody else fills the disk,
  // and hears what other mounts are short of.
  [[nodiscard]] Task<void> watch();

 private:
  struct Answer {
    std::uint64_t granted = 0;
    std::int64_t room = 0;  // before the grant; negative: over the limit
    error_code error = {};  // then it is not known
    std::vector<CacheLedger::Want> wants;
  };
  [[nodiscard]] Task<Answer> ask(std::uint64_t least, std::uint64_t wish);
  [[nodiscard]] Task<void> refill(std::uint64_t bytes);
  [[nodiscard]] Task<void> look_around(bool count);
  [[nodiscard]] Task<void> give_to_others(const std::vector<CacheLedger::Want>& wants);
  [[nodiscard]] Task<void> tell_others();
  void complain();

  Parts parts_;
  storage::TaskGroup tasks_;  // refills ahead of need
  storage::WaitList turn_;
  bool busy_ = false;            // somebody is at the ledger
  bool crowded_ = false;         // the last refill had to make room, and could
  std::uint64_t free_ = 0;       // reserved, and not promised to a write
  std::uint64_t in_flight_ = 0;  // of writes that are not settled
  std::uint64_t short_ = 0;      // since the others were told
  bool told_ = false;            // they know of a shortage
  bool used_ = false;            // since watch() looked
  error_code error_ = {};        // of the last turn at the ledger
  std::optional<net::TimePoint> complain_next_;
};

}  // namespace swarmfs::fs
