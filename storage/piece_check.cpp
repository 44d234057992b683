#include "storage/piece_check.h"

#include <algorithm>
#include <memory>

namespace swarmfs::storage {

PieceChecks::PieceChecks(Parts parts) : parts_(std::move(parts)), tasks_(parts_.executor) {}

PieceChecks::Wish::Wish(PieceChecks& checks, std::vector<PieceIndex> pieces)
    : checks_(checks), pieces_(std::move(pieces)) {
  for (const PieceIndex piece : pieces_) {
    ++checks_.wanted_[piece];
    if (!checks_.is_due(piece)) checks_.queue_.push_back(piece);
  }
  checks_.pump();
}

PieceChecks::Wish::~Wish() {
  for (const PieceIndex piece : pieces_) {
    const auto found = checks_.wanted_.find(piece);
    if (--found->second > 0) continue;
    checks_.wanted_.erase(found);
    checks_.queue_.remove(piece);
  }
}

bool PieceChecks::is_due(PieceIndex piece) const {
  return is_checking(piece) || std::ranges::find(queue_, piece) != queue_.end();
}

void PieceChecks::pump() {
  queue_.remove_if([this](PieceIndex p) { return parts_.table.state(p) != PieceState::claimed; });
  while (running_.size() < kMaxChecks && !closed_) {
    const auto next = std::ranges::find_if(queue_, parts_.may_check);
    if (next == queue_.end()) return;
    const PieceIndex piece = *next;
    queue_.erase(next);
    running_.insert(piece);
    tasks_.spawn(check(piece));  // it may end in here
  }
}

Task<void> PieceChecks::check(PieceIndex piece) {
  error_code ec;
  std::uint64_t doubts = 0;
  do {
    doubts = doubts_;
    ec = co_await hash_piece(piece);
  } while (doubts != doubts_ && ec != StorageErrc::short_read && !closed_);
  running_.erase(piece);
  if (!closed_) parts_.done(piece, ec);
  pump();
}

Task<error_code> PieceChecks::hash_piece(PieceIndex piece) {
  const ByteRange range = parts_.layout.range(piece);
  const auto buffer = parts_.buffers.take(
      static_cast<std::size_t>(std::min<std::uint64_t>(range.size(), kReadBufferSize)));
  Sha1 hasher;
  for (std::uint64_t at = range.begin; at < range.end && !closed_;) {
    const auto size =
        static_cast<std::size_t>(std::min<std::uint64_t>(range.end - at, kReadBufferSize));
    const std::span<std::byte> chunk(buffer.get(), size);
    const error_code ec = co_await parts_.disk->read(at, chunk);
    if (ec) co_return ec;
    auto job = [&hasher, chunk] { hasher.update(chunk); };
    co_await parts_.hashers.run(job);
    at += size;
  }
  const bool good = !closed_ && hasher.finish() == parts_.piece_hashes[piece.value()];
  co_return good ? error_code() : make_error_code(StorageErrc::piece_damaged);
}

void PieceChecks::close() {
  closed_ = true;
}

Task<void> PieceChecks::stop() {
  close();
  co_await tasks_.join();
}

}  // namespace swarmfs::storage
