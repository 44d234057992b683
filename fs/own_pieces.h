// What this mount has in the cache file: when it was used, and which of it goes first.
//
// Threads:  engine thread only.
// Memory:   eight bytes a piece.
// Errors:   none: a piece that cannot be punched out stays.
// Lifetime: the store and what is called outlive it; co_await stop() before destruction.
#pragma once
#include <boost/asio/any_io_executor.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "storage/eviction.h"
#include "storage/piece_store.h"
#include "storage/result.h"
#include "storage/task_group.h"

namespace swarmfs::fs {

class OwnPieces {
 public:
  struct Parts {
    asio::any_io_executor executor;
    storage::PieceStore& store;
    std::vector<storage::ByteRange> pinned;
    std::function<std::vector<storage::ByteRange>()> windows;  // of all readers, now
    std::function<std::uint32_t()> minutes;                    // Unix time
  };
  // `last_used`: Unix minutes by piece, from an earlier run; may be empty.
  OwnPieces(Parts parts, std::span<const std::uint32_t> last_used);

  void on_used(storage::PieceIndex piece);
  // Punches out what was used before `used_before`, until `bytes` are free or nothing may go any
  // more. Bytes freed.
  [[nodiscard]] Task<std::uint64_t> give_up(std::uint64_t bytes, storage::UseTime used_before);
  // Waits for what is under way.
  [[nodiscard]] Task<void> stop();
  // kNeverUsed: nothing may go.
  [[nodiscard]] storage::UseTime oldest();

 private:
  [[nodiscard]] storage::Bitfield leavable() const;
  void note_new();
  [[nodiscard]] Task<void> evict(storage::PieceIndex piece, std::shared_ptr<std::uint64_t> freed);

  Parts parts_;
  storage::TaskGroup evictions_;
  std::vector<storage::UseTime> used_;  // 0: not in the file when we last looked
  std::uint32_t order_ = 0;
};

}  // namespace swarmfs::fs
