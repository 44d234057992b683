// How much the mounts that share a cache directory may still write, held together: a small file,
// `budget`, in which each process writes down what it is about to use before it uses it.
//
//   32 bytes a process: reserved, wanted (bytes), oldest use of what it could give up (Unix
//   minutes), nothing; little-endian. A process holds a lock on its 32 bytes (F_OFD_SETLK) as long
//   as it lives: what stands there without a lock is void, so nobody has to clean up after a
//   crash. One more lock, behind the last slot, is held while the room is counted.
//
// The room counted is what the limits leave of what the disk says is used (st_blocks of every
// torrent's files) and of what others have reserved. So the sum holds however many mounts write,
// also if each has limits of its own.
//
// Threads: any, one at a time: it blocks on the disk. Memory: one descriptor. Errors: an errno; a
// process that cannot lock gets no room. What stands in the file is trusted no further than
// whoever may write to the cache directory.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "fs/byte_size.h"
#include "fs/cache_usage.h"
#include "storage/disk.h"
#include "storage/result.h"

namespace swarmfs::fs {

// Mounts that can share a cache directory; more keep nothing on disk.
inline constexpr std::size_t kMaxLedgerSlots = 256;

struct CacheLimits {
  std::optional<Amount> size;      // of all torrents together; empty: any
  std::optional<Amount> min_free;  // left to others; empty: kDefaultFreeShare, kMostDefaultFree
};

// A disk that is full to the last byte breaks other programs. 5 % is what ext4 keeps for root;
// beyond 1 GiB, which is room for any log and any editor, it would only be waste.
inline constexpr double kDefaultFreePercent = 5;
inline constexpr std::uint64_t kMostDefaultFree = 1024ULL * 1024 * 1024;

// Bytes that may still be written; negative: so many must go. `reserved`: promised already, and not
// counted in `used` yet.
[[nodiscard]] std::int64_t room_left(const CacheLimits& limits, const DiskSpace& disk,
                                     std::uint64_t used, std::uint64_t reserved);

class CacheLedger {
 public:
  // What another process is short of.
  struct Want {
    std::uint64_t bytes = 0;
    std::uint32_t oldest = 0;  // it has given up what was used before this itself
  };

  // Makes what is missing; takes a slot.
  [[nodiscard]] static Result<CacheLedger> open(const std::string& root, CacheLimits limits);

  // Holds the lock under which room is counted, while it exists.
  class Count {
   public:
    Count(Count&& other) noexcept : ledger_(std::exchange(other.ledger_, nullptr)) {}
    Count& operator=(Count&&) = delete;
    ~Count();
    // Bytes this process may reserve on top of the `held` ones, as room_left() has it.
    [[nodiscard]] std::int64_t room(std::uint64_t held) const;
    // From now on this process has `bytes` reserved in all.
    [[nodiscard]] error_code reserve(std::uint64_t bytes);

   private:
    friend class CacheLedger;
    explicit Count(CacheLedger& ledger) : ledger_(&ledger) {}
    CacheLedger* ledger_;
  };
  // Waits a short while for another process; StorageErrc::... an errno when that takes too long.
  [[nodiscard]] Result<Count> count();

  // Tells the others that this process is short of `bytes`, and how old what it has itself is.
  [[nodiscard]] error_code want(Want want);
  // What the others have said, without those that want nothing.
  [[nodiscard]] std::vector<Want> wanted_by_others() const;

  [[nodiscard]] const std::string& root() const { return root_; }

 private:
  struct Slot {
    std::uint64_t reserved = 0;
    std::uint64_t wanted = 0;
    std::uint32_t oldest = 0;
  };
  CacheLedger(std::string root, CacheLimits limits, storage::UniqueFd file, std::size_t slot)
      : root_(std::move(root)), limits_(limits), file_(std::move(file)), slot_(slot) {}
  [[nodiscard]] std::vector<Slot> others() const;  // living ones
  [[nodiscard]] error_code write_slot() const;

  std::string root_;
  CacheLimits limits_;
  storage::UniqueFd file_;
  std::size_t slot_;
  Slot own_;
};

}  // namespace swarmfs::fs
