// The bytes of pieces in memory, and which of them can be taken back.
//
// Threads: engine thread only; a worker may hash the blocks of a piece that someone else keeps
// alive. Memory: blocks of the owner's pool. Errors: none. Lifetime: the layout outlives it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "storage/block_pool.h"
#include "storage/hash.h"
#include "storage/layout.h"

namespace swarmfs::storage {

struct BufferedPiece {
  BufferedPiece(const Layout& l, PieceIndex p);
  // What padding reads as is zeros.
  [[nodiscard]] std::span<const std::byte> block_bytes(std::uint32_t block) const;

  const Layout& layout;
  PieceIndex piece;
  std::vector<Block> blocks;  // empty Block: not received, or padding
  std::vector<bool> present;
  std::uint32_t missing = 0;
  std::uint32_t hashed = 0;  // blocks already fed to the hasher, in order
  bool hashing = false;      // a worker has the hasher
  Sha1 hasher;
  bool is_kept = false;
  std::list<PieceIndex>::iterator kept;  // in PieceMemory when is_kept
};

class PieceMemory {
 public:
  explicit PieceMemory(const Layout& layout) : layout_(layout) {}
  // Null: not in memory.
  [[nodiscard]] std::shared_ptr<BufferedPiece> find(PieceIndex piece) const;
  [[nodiscard]] bool contains(PieceIndex piece) const { return pieces_.contains(piece); }
  // With padding in its place.
  [[nodiscard]] std::shared_ptr<BufferedPiece> open(PieceIndex piece);
  // What is read or hashed at the moment keeps its own reference.
  void erase(PieceIndex piece);
  void clear();

  // From now on its memory can be taken back. It counts as just used.
  void keep(BufferedPiece& piece);
  void touch(BufferedPiece& piece);
  // Drops the piece that can be and was not used for longest; empty: there is none.
  std::optional<PieceIndex> take_back();

 private:
  const Layout& layout_;
  std::map<PieceIndex, std::shared_ptr<BufferedPiece>> pieces_;
  std::list<PieceIndex> kept_;  // least recently used first
};

}  // namespace swarmfs::storage
