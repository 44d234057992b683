#include "net/rarest_first.h"

namespace swarmfs::net {

using storage::PieceIndex;

void RarestFirst::on_pieces(const storage::Bitfield& before, const storage::Bitfield& after) {
  if (before.none() && after.none()) return;
  std::optional<PieceIndex> piece = layout_.first_piece();
  for (; piece; piece = layout_.next(*piece)) {
    if (before.test(*piece)) --holders_[piece->value()];
    if (after.test(*piece)) ++holders_[piece->value()];
  }
}

std::optional<PieceIndex> RarestFirst::pick(const storage::Bitfield& wanted,
                                            const storage::Bitfield& have,
                                            const std::function<bool(PieceIndex)>& may) const {
  std::optional<PieceIndex> rarest;
  std::optional<PieceIndex> piece = layout_.first_piece();
  for (; piece; piece = layout_.next(*piece)) {
    if (!wanted.test(*piece) || have.test(*piece)) continue;
    if (rarest && holders(*piece) >= holders(*rarest)) continue;
    if (may(*piece)) rarest = piece;
  }
  return rarest;
}

}  // namespace swarmfs::net
