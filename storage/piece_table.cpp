#include "storage/piece_table.h"

#include <cassert>
#include <optional>

namespace swarmfs::storage {
namespace {

[[maybe_unused]] bool may_follow(PieceState now, PieceState next) {
  switch (next) {
    case PieceState::missing:
      return now != PieceState::missing;
    case PieceState::open:
      return now == PieceState::missing;
    case PieceState::complete:
      return now == PieceState::open;
    case PieceState::verified:
      return now == PieceState::complete;
    case PieceState::stored:
      return now == PieceState::verified || now == PieceState::claimed;
    case PieceState::claimed:
      return now == PieceState::stored;
  }
  return false;
}

bool put(Bitfield& set, PieceIndex piece, bool in) {
  return in ? set.set(piece) : set.reset(piece);
}

}  // namespace

PieceTable::PieceTable(const Layout& layout, const Bitfield& claimed)
    : layout_(layout),
      states_(layout.piece_count(), PieceState::missing),
      verified_(layout.piece_count()),
      present_(layout.piece_count()),
      in_file_(layout.piece_count()) {
  if (claimed.size() != layout.piece_count()) return;
  for (std::optional<PieceIndex> p = layout.first_piece(); p; p = layout.next(*p)) {
    // Padding is known without a file.
    if (!claimed.test(*p) || layout.is_padding(*p)) continue;
    states_[p->value()] = PieceState::claimed;
    present_.set(*p);
    in_file_.set(*p);
  }
}

void PieceTable::set_state(PieceIndex piece, PieceState next) {
  assert(may_follow(state(piece), next));
  states_[piece.value()] = next;
  const bool verified = next == PieceState::verified || next == PieceState::stored;
  put(verified_, piece, verified);
  put(present_, piece, verified || next == PieceState::claimed);
  const bool in_file = next == PieceState::stored || next == PieceState::claimed;
  if (put(in_file_, piece, in_file)) ++file_changes_;
}

std::uint64_t PieceTable::bytes_of(const Bitfield& pieces, ByteRange range) const {
  if (range.empty() || pieces.none()) return 0;
  const PieceIndex first = layout_.piece_of(range.begin);
  const PieceIndex last = layout_.piece_of(range.end - 1);
  // Whole pieces by counting bits, then what the range cuts off at both ends.
  std::uint64_t total = std::uint64_t{pieces.count(first, last)} * layout_.piece_length();
  if (pieces.test(last))
    total -= layout_.range(first).begin +
             std::uint64_t{last.value() - first.value() + 1} * layout_.piece_length() - range.end;
  if (pieces.test(first)) total -= range.begin - layout_.range(first).begin;
  return total;
}

}  // namespace swarmfs::storage
