// A set of pieces, as peers send it (BEP 3 bitfield: high bit of the first byte is piece 0).
//
// Threads: plain value. Memory: one bit a piece. Errors: from_wire refuses a wrong length.
#pragma once
#include <optional>
#include <span>
#include <vector>

#include "storage/units.h"

namespace swarmfs::storage {

class Bitfield {
 public:
  explicit Bitfield(std::uint32_t piece_count = 0)
      : size_(piece_count), words_((piece_count + 63) / 64) {}
  // Empty when the length is not exactly (piece_count + 7) / 8 bytes. Spare bits are masked:
  // clients differ on them.
  [[nodiscard]] static std::optional<Bitfield> from_wire(std::span<const std::byte> bytes,
                                                         std::uint32_t piece_count);
  [[nodiscard]] std::vector<std::byte> to_wire() const;

  [[nodiscard]] std::uint32_t size() const { return size_; }
  [[nodiscard]] bool test(PieceIndex piece) const {
    return (words_[piece.value() / 64] >> (piece.value() % 64)) & 1U;
  }
  // Each returns true when the bit changed.
  bool set(PieceIndex piece);
  bool reset(PieceIndex piece);
  void set_all();
  void reset_all();
  [[nodiscard]] std::uint32_t count() const { return count_; }
  // Set bits among pieces [first, last], both included.
  [[nodiscard]] std::uint32_t count(PieceIndex first, PieceIndex last) const;
  [[nodiscard]] bool all() const { return count_ == size_; }
  [[nodiscard]] bool none() const { return count_ == 0; }
  bool operator==(const Bitfield&) const = default;

 private:
  std::uint32_t size_;
  std::uint32_t count_ = 0;
  std::vector<std::uint64_t> words_;
};

}  // namespace swarmfs::storage
