#include "storage/layout.h"

#include <cassert>
#include <utility>

namespace swarmfs::storage {

Layout::Layout(std::uint64_t total, std::uint32_t piece_length, std::vector<ByteRange> pads)
    : total_(total),
      piece_length_(piece_length),
      piece_count_(static_cast<std::uint32_t>((total - 1) / piece_length + 1)),
      pads_(std::move(pads)) {
  assert(total > 0 && piece_length > 0);
}

std::optional<PieceIndex> Layout::piece_at(std::uint32_t wire_index) const {
  if (wire_index >= piece_count_) return std::nullopt;
  return PieceIndex(wire_index);
}

PieceIndex Layout::piece_of(std::uint64_t offset) const {
  assert(offset < total_);
  return PieceIndex(static_cast<std::uint32_t>(offset / piece_length_));
}

std::uint32_t Layout::piece_size(PieceIndex piece) const {
  const ByteRange r = range(piece);
  return static_cast<std::uint32_t>(r.size());
}

ByteRange Layout::range(PieceIndex piece) const {
  const std::uint64_t begin = std::uint64_t{piece.value()} * piece_length_;
  return {begin, std::min(begin + piece_length_, total_)};
}

std::uint32_t Layout::block_count(PieceIndex piece) const {
  return (piece_size(piece) - 1) / kBlockSize + 1;
}

std::uint32_t Layout::block_size(BlockId id) const {
  return static_cast<std::uint32_t>(range(id).size());
}

ByteRange Layout::range(BlockId id) const {
  const ByteRange piece = range(id.piece);
  const std::uint64_t begin = piece.begin + std::uint64_t{id.block} * kBlockSize;
  return {begin, std::min(begin + kBlockSize, piece.end)};
}

std::optional<BlockId> Layout::block_at(std::uint32_t index, std::uint32_t begin,
                                        std::uint32_t length) const {
  const std::optional<PieceIndex> piece = piece_at(index);
  if (!piece || begin % kBlockSize != 0 || begin >= piece_size(*piece)) return std::nullopt;
  const BlockId id{*piece, begin / kBlockSize};
  if (length != block_size(id)) return std::nullopt;
  return id;
}

bool Layout::is_padding(ByteRange bytes) const {
  if (pads_.empty()) return false;
  std::uint64_t at = bytes.begin;  // everything before `at` is padding
  auto pad =
      std::upper_bound(pads_.begin(), pads_.end(), at,
                       [](std::uint64_t offset, const ByteRange& r) { return offset < r.end; });
  for (; pad != pads_.end() && pad->begin <= at && at < bytes.end; ++pad) at = pad->end;
  return at >= bytes.end;
}

}  // namespace swarmfs::storage
