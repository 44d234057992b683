#include "storage/eviction.h"

#include <algorithm>
#include <optional>

namespace swarmfs::storage {
namespace {

// By piece: what overlaps one of `ranges`.
Bitfield pieces_under(const Layout& layout, std::span<const ByteRange> ranges) {
  Bitfield pieces(layout.piece_count());
  for (const ByteRange& range : ranges) {
    const std::uint64_t end = std::min(range.end, layout.total_size());
    if (range.begin >= end) continue;
    std::optional<PieceIndex> piece = layout.piece_of(range.begin);
    for (; piece && layout.range(*piece).begin < end; piece = layout.next(*piece))
      pieces.set(*piece);
  }
  return pieces;
}

struct Candidate {
  bool pinned;
  UseTime used;
  PieceIndex piece;
  auto operator<=>(const Candidate&) const = default;
};

std::vector<Candidate> candidates(const Evictable& cache) {
  const Bitfield open = pieces_under(cache.layout, cache.windows);
  const Bitfield pinned = pieces_under(cache.layout, cache.pinned);
  std::vector<Candidate> all;
  std::optional<PieceIndex> piece = cache.layout.first_piece();
  for (; piece; piece = cache.layout.next(*piece)) {
    if (!cache.stored.test(*piece) || open.test(*piece)) continue;
    const UseTime used = cache.last_used[piece->value()];
    if (used < cache.used_before) all.push_back({pinned.test(*piece), used, *piece});
  }
  return all;
}

}  // namespace

std::vector<PieceIndex> first_to_leave(const Evictable& cache, std::uint64_t bytes) {
  std::vector<Candidate> all = candidates(cache);
  std::sort(all.begin(), all.end());
  std::vector<PieceIndex> leaving;
  std::uint64_t freed = 0;
  for (const Candidate& next : all) {
    if (freed >= bytes) break;
    freed += cache.layout.piece_size(next.piece);
    leaving.push_back(next.piece);
  }
  return leaving;
}

UseTime oldest_use(const Evictable& cache) {
  UseTime oldest = kNeverUsed;
  for (const Candidate& one : candidates(cache)) oldest = std::min(oldest, one.used);
  return oldest;
}

std::vector<ByteRange> pinned_ranges(std::span<const FileEntry> files) {
  std::vector<ByteRange> pinned;
  for (const FileEntry& file : files) {
    const std::uint64_t end = file.offset + file.length;
    if (file.length <= kPinnedHead + kPinnedTail) {
      if (file.length > 0) pinned.push_back({file.offset, end});
      continue;
    }
    pinned.push_back({file.offset, file.offset + kPinnedHead});
    pinned.push_back({end - kPinnedTail, end});
  }
  return pinned;
}

}  // namespace swarmfs::storage
