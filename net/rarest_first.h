// What to fetch when nobody waits: of the pieces wanted, the one that fewest peers have.
//
// Threads: engine thread; pure. Memory: four bytes a piece. Errors: none.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "storage/bitfield.h"
#include "storage/layout.h"

namespace swarmfs::net {

class RarestFirst {
 public:
  explicit RarestFirst(const storage::Layout& layout)
      : layout_(layout), holders_(layout.piece_count(), 0) {}

  // A peer's pieces are what they were `before`, and are `after` now.
  void on_pieces(const storage::Bitfield& before, const storage::Bitfield& after);
  void on_piece(storage::PieceIndex piece) { ++holders_[piece.value()]; }       // one more has it
  void on_piece_gone(storage::PieceIndex piece) { --holders_[piece.value()]; }  // one less
  [[nodiscard]] std::uint32_t holders(storage::PieceIndex piece) const {
    return holders_[piece.value()];
  }

  // Of `wanted` without `have`, a piece that `may` be fetched; of equally rare ones the first.
  [[nodiscard]] std::optional<storage::PieceIndex> pick(
      const storage::Bitfield& wanted, const storage::Bitfield& have,
      const std::function<bool(storage::PieceIndex)>& may) const;

 private:
  const storage::Layout& layout_;
  std::vector<std::uint32_t> holders_;
};

}  // namespace swarmfs::net
