// Piece and block arithmetic of one torrent: sizes, offsets, and the only door through which a
// number from the wire becomes a PieceIndex or a BlockId.
//
// Threads: immutable after construction. Memory: the pad ranges. Errors: none; empty optionals for
// what does not exist.
#pragma once
#include <optional>
#include <vector>

#include "storage/units.h"

namespace swarmfs::storage {

class Layout {
 public:
  // Requires: total > 0, piece_length > 0, at most 2^32-1 pieces. `pads`: BEP 47 pad ranges,
  // sorted, disjoint.
  Layout(std::uint64_t total, std::uint32_t piece_length, std::vector<ByteRange> pads = {});

  [[nodiscard]] std::uint64_t total_size() const { return total_; }
  [[nodiscard]] std::uint32_t piece_length() const { return piece_length_; }
  [[nodiscard]] std::uint32_t piece_count() const { return piece_count_; }
  // Most blocks any piece has.
  [[nodiscard]] std::uint32_t blocks_per_piece() const {
    return (piece_length_ - 1) / kBlockSize + 1;
  }

  // Empty: no such piece; the peer made it up.
  [[nodiscard]] std::optional<PieceIndex> piece_at(std::uint32_t wire_index) const;
  // Requires offset < total_size().
  [[nodiscard]] PieceIndex piece_of(std::uint64_t offset) const;
  [[nodiscard]] PieceIndex first_piece() const { return PieceIndex(0); }
  [[nodiscard]] std::optional<PieceIndex> next(PieceIndex piece) const {
    return piece_at(piece.value() + 1);
  }
  // Bytes; only the last piece may be shorter than piece_length().
  [[nodiscard]] std::uint32_t piece_size(PieceIndex piece) const;
  [[nodiscard]] ByteRange range(PieceIndex piece) const;

  [[nodiscard]] std::uint32_t block_count(PieceIndex piece) const;
  [[nodiscard]] std::uint32_t block_size(BlockId id) const;
  [[nodiscard]] ByteRange range(BlockId id) const;
  // The block that a wire (index, begin, length) triple names exactly; empty when it is not on our
  // grid.
  [[nodiscard]] std::optional<BlockId> block_at(std::uint32_t index, std::uint32_t begin,
                                                std::uint32_t length) const;
  // True when every byte of the block is padding: known to be zero, never requested.
  [[nodiscard]] bool is_padding(BlockId id) const { return is_padding(range(id)); }
  [[nodiscard]] bool is_padding(PieceIndex piece) const {
    return !pads_.empty() && is_padding(range(piece));
  }
  [[nodiscard]] const std::vector<ByteRange>& pads() const { return pads_; }

 private:
  [[nodiscard]] bool is_padding(ByteRange bytes) const;
  std::uint64_t total_;
  std::uint32_t piece_length_;
  std::uint32_t piece_count_;
  std::vector<ByteRange> pads_;
};

}  // namespace swarmfs::storage
