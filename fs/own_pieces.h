// What this mount has in the cache file: when it was used, and which of it goes first.
//
// Threads:  engine thread only.
// Memory:   eight bytes a piece.
// Errors:   none: a piece that cannot be punched out stays.
// Lifetime: the store and what is called outlive it.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "storage/eviction.h"
#include "storage/piece_store.h"
#include "storage/result.h"

namespace swarmfs::fs {

class OwnPieces {
 public:
  struct Parts {
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
  // kNeverUsed: nothing may go.
  [[nodiscard]] storage::UseTime oldest();

 private:
  [[nodiscard]] storage::Bitfield leavable() const;
  void note_new();

  Parts parts_;
  std::vector<storage::UseTime> used_;  // 0: not in the file when we last looked
  std::uint32_t order_ = 0;
};

}  // namespace swarmfs::fs
