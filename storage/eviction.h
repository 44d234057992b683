// Which pieces leave the cache file first when room is needed. Pure.
//
// Whole pieces, least recently used first; never what overlaps a reader's window; what is pinned
// (the heads and tails of files, where programs look for what a file is and for its index) only
// when nothing else is left. Pieces used at the same time leave in the order they lie in, which is
// the order a reader goes through them.
//
// Threads: any; pure. Memory: one entry a candidate while it runs. Errors: none.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "storage/bitfield.h"
#include "storage/layout.h"
#include "storage/metainfo.h"
#include "storage/units.h"

namespace swarmfs::storage {

// A point in time at which pieces were used: Unix minutes, which outlive a process, and in the
// lower half the order of what one process used within a minute.
using UseTime = std::uint64_t;
inline constexpr UseTime kNeverUsed = UINT64_MAX;
[[nodiscard]] constexpr UseTime use_time(std::uint32_t minutes, std::uint32_t order = 0) {
  return UseTime{minutes} << 32U | order;
}
[[nodiscard]] constexpr std::uint32_t minutes_of(UseTime time) {
  return static_cast<std::uint32_t>(time >> 32U);
}

struct Evictable {
  const Layout& layout;
  const Bitfield& stored;                   // whose bytes are in the file
  std::span<const UseTime> last_used;       // by piece; a larger number is later
  std::span<const ByteRange> windows = {};  // torrent offsets
  std::span<const ByteRange> pinned = {};
  // Pieces used at this time or later stay. For giving room to others.
  UseTime used_before = kNeverUsed;
};

// The first ones, enough to free `bytes`, or all that may go.
[[nodiscard]] std::vector<PieceIndex> first_to_leave(const Evictable& cache, std::uint64_t bytes);
// When the first of them was used; kNeverUsed: none may go.
[[nodiscard]] UseTime oldest_use(const Evictable& cache);

// Players and ffprobe read up to 700 KiB of a file's head before they decide (measured), and find
// an index (moov, cues, a ZIP's directory) in the last one or two MiB.
inline constexpr std::uint64_t kPinnedHead = 1024 * 1024;
inline constexpr std::uint64_t kPinnedTail = 2 * 1024 * 1024;
[[nodiscard]] std::vector<ByteRange> pinned_ranges(std::span<const FileEntry> files);

}  // namespace swarmfs::storage
