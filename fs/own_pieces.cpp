#include "fs/own_pieces.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace swarmfs::fs {

using storage::PieceIndex;

OwnPieces::OwnPieces(Parts parts, std::span<const std::uint32_t> last_used)
    : parts_(std::move(parts)),
      evictions_(parts_.executor),
      used_(parts_.store.layout().piece_count(), 0) {
  for (std::size_t i = 0; i < std::min(used_.size(), last_used.size()); ++i)
    used_[i] = storage::use_time(last_used[i]);
}

void OwnPieces::on_used(PieceIndex piece) {
  used_[piece.value()] = storage::use_time(parts_.minutes(), ++order_);
}

// What came since, and was not read yet, is as good as read now: somebody wanted it.
void OwnPieces::note_new() {
  const storage::Layout& layout = parts_.store.layout();
  const storage::Bitfield& in_file = parts_.store.in_file();
  const storage::UseTime now = storage::use_time(parts_.minutes(), ++order_);
  std::optional<PieceIndex> piece = layout.first_piece();
  for (; piece; piece = layout.next(*piece)) {
    storage::UseTime& used = used_[piece->value()];
    if (used == 0 && in_file.test(*piece)) used = now;
  }
}

storage::Bitfield OwnPieces::leavable() const {
  const storage::Layout& layout = parts_.store.layout();
  storage::Bitfield pieces = parts_.store.in_file();
  std::optional<PieceIndex> piece = layout.first_piece();
  for (; piece; piece = layout.next(*piece)) {
    if (pieces.test(*piece) && !parts_.store.may_evict(*piece)) pieces.reset(*piece);
  }
  return pieces;
}

Task<std::uint64_t> OwnPieces::give_up(std::uint64_t bytes, storage::UseTime used_before) {
  note_new();
  const storage::Bitfield stored = leavable();
  const std::vector<storage::ByteRange> windows = parts_.windows();
  const std::vector<PieceIndex> leaving = storage::first_to_leave({.layout = parts_.store.layout(),
                                                                   .stored = stored,
                                                                   .last_used = used_,
                                                                   .windows = windows,
                                                                   .pinned = parts_.pinned,
                                                                   .used_before = used_before},
                                                                  bytes);
  // All at once: each hole is a job that waits its turn among the writes.
  const auto freed = std::make_shared<std::uint64_t>(0);
  for (const PieceIndex piece : leaving) evictions_.spawn(evict(piece, freed));
  co_await evictions_.join();
  co_return *freed;
}

Task<void> OwnPieces::stop() {
  co_await evictions_.join();
}

Task<void> OwnPieces::evict(PieceIndex piece, std::shared_ptr<std::uint64_t> freed) {
  const error_code ec = co_await parts_.store.evict(piece);
  if (ec) co_return;
  used_[piece.value()] = 0;
  *freed += parts_.store.layout().piece_size(piece);
}

storage::UseTime OwnPieces::oldest() {
  note_new();
  const storage::Bitfield stored = leavable();
  const std::vector<storage::ByteRange> windows = parts_.windows();
  return storage::oldest_use({.layout = parts_.store.layout(),
                              .stored = stored,
                              .last_used = used_,
                              .windows = windows,
                              .pinned = parts_.pinned});
}

}  // namespace swarmfs::fs
