#include "net/open_piece.h"

#include <algorithm>
#include <cassert>

namespace swarmfs::net {

OpenPiece::OpenPiece(const storage::Layout& layout, storage::PieceIndex piece) {
  const std::uint32_t count = layout.block_count(piece);
  states_.assign(count, State::free);
  copies_.assign(count, 0);
  senders_.assign(count, 0);
  free_ = count;
  for (std::uint32_t i = 0; i < count; ++i) {
    if (!layout.is_padding({piece, i})) continue;
    states_[i] = State::received;
    --free_;
  }
}

std::optional<std::uint32_t> OpenPiece::first_free() {
  if (free_ == 0) return std::nullopt;
  while (states_[search_from_] != State::free) ++search_from_;
  return search_from_;
}

std::optional<std::uint32_t> OpenPiece::first_asked() const {
  const auto found = std::find(states_.begin(), states_.end(), State::asked);
  if (found == states_.end()) return std::nullopt;
  return static_cast<std::uint32_t>(found - states_.begin());
}

void OpenPiece::set_free(std::uint32_t block) {
  states_[block] = State::free;
  ++free_;
  search_from_ = std::min(search_from_, block);
}

void OpenPiece::ask(std::uint32_t block) {
  if (states_[block] == State::free) {
    states_[block] = State::asked;
    --free_;
    ++asked_;
  }
  ++copies_[block];
}

void OpenPiece::release(std::uint32_t block) {
  assert(copies_[block] > 0);
  if (--copies_[block] > 0 || states_[block] != State::asked) return;
  --asked_;
  set_free(block);
}

void OpenPiece::receive(std::uint32_t block, PeerKey sender) {
  assert(states_[block] != State::received);
  --(states_[block] == State::free ? free_ : asked_);
  states_[block] = State::received;
  senders_[block] = sender;
}

void OpenPiece::lose(std::uint32_t block) {
  assert(states_[block] == State::received);
  senders_[block] = 0;
  set_free(block);
}

}  // namespace swarmfs::net
