#include "storage/piece_memory.h"

#include <utility>

namespace swarmfs::storage {
namespace {

alignas(4096) std::byte zero_block[kBlockSize];  // what padding reads as; written like a block

}  // namespace

BufferedPiece::BufferedPiece(const Layout& l, PieceIndex p)
    : layout(l), piece(p), blocks(l.block_count(p)), present(blocks.size(), false) {
  missing = l.block_count(p);
  for (std::uint32_t i = 0; i < l.block_count(p); ++i) {
    if (l.is_padding({p, i})) {
      present[i] = true;
      --missing;
    }
  }
}

std::span<const std::byte> BufferedPiece::block_bytes(std::uint32_t block) const {
  const std::byte* data = blocks[block] ? blocks[block].data() : zero_block;
  return {data, layout.block_size({piece, block})};
}

std::shared_ptr<BufferedPiece> PieceMemory::find(PieceIndex piece) const {
  const auto found = pieces_.find(piece);
  return found == pieces_.end() ? nullptr : found->second;
}

std::shared_ptr<BufferedPiece> PieceMemory::open(PieceIndex piece) {
  return pieces_.emplace(piece, std::make_shared<BufferedPiece>(layout_, piece)).first->second;
}

void PieceMemory::erase(PieceIndex piece) {
  const auto found = pieces_.find(piece);
  if (found == pieces_.end()) return;
  if (std::exchange(found->second->is_kept, false)) kept_.erase(found->second->kept);
  pieces_.erase(found);
}

void PieceMemory::clear() {
  kept_.clear();
  for (const auto& [piece, buffered] : pieces_) buffered->is_kept = false;
  pieces_.clear();
}

void PieceMemory::keep(BufferedPiece& piece) {
  piece.kept = kept_.insert(kept_.end(), piece.piece);
  piece.is_kept = true;
}

void PieceMemory::touch(BufferedPiece& piece) {
  if (piece.is_kept) kept_.splice(kept_.end(), kept_, piece.kept);
}

std::optional<PieceIndex> PieceMemory::take_back() {
  if (kept_.empty()) return std::nullopt;
  const PieceIndex piece = kept_.front();
  erase(piece);
  return piece;
}

}  // namespace swarmfs::storage
