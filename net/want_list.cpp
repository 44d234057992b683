#include "net/want_list.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

namespace swarmfs::net {

WishKey WantList::want(const Wish& wish, TimePoint now) {
  changed_ = true;
  background_changed_ = background_changed_ || wish.urgency == Urgency::background;
  wishes_.emplace(next_, Active{wish, now});
  return next_++;
}

void WantList::withdraw(WishKey key) {
  const auto found = wishes_.find(key);
  if (found == wishes_.end()) return;
  background_changed_ = background_changed_ || found->second.wish.urgency == Urgency::background;
  wishes_.erase(found);
  changed_ = true;
}

void WantList::add(WishKey key, const Active& active, const storage::Bitfield& have,
                   double throughput) {
  const Wish& wish = active.wish;
  if (wish.range.empty()) return;
  double pace = wish.pace;
  if (throughput > 0) pace = pace > 0 ? std::min(pace, throughput) : throughput;
  std::optional<storage::PieceIndex> piece = layout_.piece_of(wish.range.begin);
  for (; piece && layout_.range(*piece).begin < wish.range.end; piece = layout_.next(*piece)) {
    if (have.test(*piece) || for_reader(*piece) || layout_.is_padding(*piece)) continue;
    mark_[piece->value()] = round_;
    const std::uint64_t begin = std::max(layout_.range(*piece).begin, wish.range.begin);
    const double seconds = pace > 0 ? static_cast<double>(begin - wish.range.begin) / pace : 0;
    const TimePoint deadline =
        active.since + std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
    pieces_.push_back(
        {*piece, key, wish.urgency == Urgency::now, deadline, active.since, wish.reader});
  }
}

void WantList::collect_background() {
  if (!std::exchange(background_changed_, false)) return;
  background_.reset_all();
  for (const auto& [key, active] : wishes_) {
    const storage::ByteRange range = active.wish.range;
    if (active.wish.urgency != Urgency::background || range.empty()) continue;
    std::optional<storage::PieceIndex> piece = layout_.piece_of(range.begin);
    for (; piece && layout_.range(*piece).begin < range.end; piece = layout_.next(*piece))
      background_.set(*piece);
  }
}

bool WantList::refresh(const storage::Bitfield& have, double throughput) {
  if (!changed_) return false;
  changed_ = false;
  pieces_.clear();
  ++round_;
  collect_background();
  for (const auto& [key, active] : wishes_) {
    if (active.wish.urgency == Urgency::now) add(key, active, have, throughput);
  }
  const auto ahead = static_cast<std::ptrdiff_t>(pieces_.size());
  for (const auto& [key, active] : wishes_) {
    if (active.wish.urgency == Urgency::readahead) add(key, active, have, throughput);
  }
  std::stable_sort(pieces_.begin() + ahead, pieces_.end(),
                   [](const Wanted& a, const Wanted& b) { return a.deadline < b.deadline; });
  return true;
}

}  // namespace swarmfs::net
