#include "fs/prefetcher.h"

#include <algorithm>
#include <utility>

namespace swarmfs::fs {

std::vector<storage::ByteRange> joined(std::vector<storage::ByteRange> ranges) {
  std::erase_if(ranges, [](const storage::ByteRange& r) { return r.empty(); });
  std::sort(ranges.begin(), ranges.end(),
            [](const auto& a, const auto& b) { return a.begin < b.begin; });
  std::vector<storage::ByteRange> runs;
  for (const storage::ByteRange& range : ranges) {
    if (!runs.empty() && range.begin <= runs.back().end) {
      runs.back().end = std::max(runs.back().end, range.end);
    } else {
      runs.push_back(range);
    }
  }
  return runs;
}

void Prefetcher::on_spare(std::uint64_t bytes) {
  // Twice the margin to begin again, or it would begin and end with every piece.
  const bool room = bytes >= (room_ ? parts_.margin : 2 * parts_.margin);
  if (room == std::exchange(room_, room)) return;
  look();
}

void Prefetcher::look() {
  std::vector<storage::ByteRange> wanted;
  if (room_) wanted = joined(parts_.files());
  std::erase_if(wanted, parts_.is_there);
  if (wanted == wanted_) return;
  // The new wishes before the old ones go: what is on its way for both is not cancelled.
  std::vector<net::Demand> demands;
  for (const storage::ByteRange& range : wanted)
    demands.push_back(parts_.want({.range = range, .urgency = net::Urgency::background}));
  demands_ = std::move(demands);
  wanted_ = std::move(wanted);
}

}  // namespace swarmfs::fs
