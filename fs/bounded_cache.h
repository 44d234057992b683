// The cache file of this mount within its limits: what is written has room, what is not needed
// gives it, and what is spare may be filled (--prefetch).
//
// Threads:  engine thread; what blocks runs on the WorkerPool.
// Memory:   eight bytes a piece.
// Errors:   none: without room, or a way to count it, nothing is kept on disk, and one line says
//           so.
// Lifetime: the disk outlives it; it outlives the store that writes to disk(), and watch();
//           co_await stop() before destruction.
#pragma once
#include <boost/asio/any_io_executor.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "fs/budgeted_disk.h"
#include "fs/cache_budget.h"
#include "fs/own_pieces.h"
#include "fs/prefetcher.h"
#include "net/clock.h"
#include "storage/disk.h"
#include "storage/worker_pool.h"

namespace swarmfs::fs {

class BoundedCache {
 public:
  struct Parts {
    asio::any_io_executor executor;
    net::Clock& clock;
    storage::WorkerPool& workers;
    storage::Disk& disk;
    std::string root;  // the cache directory
    CacheLimits limits;
    std::function<void(const std::string&)> warn;
  };
  explicit BoundedCache(Parts parts);
  ~BoundedCache();
  BoundedCache(const BoundedCache&) = delete;
  BoundedCache& operator=(const BoundedCache&) = delete;

  // What the store is to write to.
  [[nodiscard]] storage::Disk& disk();

  // The torrent is known. `last_used`: see OwnPieces.
  void attach(OwnPieces::Parts own, std::span<const std::uint32_t> last_used);
  // Once attached: fetch `files` as long as there is room, and the disk takes what is written.
  // `in_flight`: bytes that may be on their way.
  void prefetch(std::function<net::Demand(net::Wish)> want,
                std::function<std::vector<storage::ByteRange>()> files, std::uint64_t in_flight);
  void on_used(storage::PieceIndex piece);
  // Both until cancelled.
  [[nodiscard]] Task<void> watch();
  [[nodiscard]] Task<void> look_for_prefetch();
  // When nothing is written any more.
  [[nodiscard]] Task<void> stop();
  // No more wishes: the readers are gone.
  void stop_prefetch() { prefetcher_.reset(); }

 private:
  [[nodiscard]] CacheBudget::Parts budget_parts();
  [[nodiscard]] Task<std::uint64_t> give_up(std::uint64_t bytes, storage::UseTime used_before);

  Parts parts_;
  std::uint64_t chunk_;
  storage::PieceStore* store_ = nullptr;
  std::optional<OwnPieces> own_;
  std::optional<Prefetcher> prefetcher_;
  std::uint64_t spare_ = 0;
  std::optional<CacheBudget> budget_;  // none: there is no ledger
  std::unique_ptr<storage::Disk> disk_;
};

}  // namespace swarmfs::fs
