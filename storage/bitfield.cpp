#include "storage/bitfield.h"

#include <bit>

namespace swarmfs::storage {

std::optional<Bitfield> Bitfield::from_wire(std::span<const std::byte> bytes,
                                            std::uint32_t piece_count) {
  if (bytes.size() != (std::size_t{piece_count} + 7) / 8) return std::nullopt;
  Bitfield field(piece_count);
  for (std::uint32_t i = 0; i < piece_count; ++i) {
    if ((std::to_integer<unsigned>(bytes[i / 8]) >> (7 - i % 8)) & 1U) field.set(PieceIndex(i));
  }
  return field;
}

std::vector<std::byte> Bitfield::to_wire() const {
  std::vector<std::byte> bytes((std::size_t{size_} + 7) / 8);
  for (std::uint32_t i = 0; i < size_; ++i) {
    if (test(PieceIndex(i))) bytes[i / 8] |= std::byte{1} << (7 - i % 8);
  }
  return bytes;
}

bool Bitfield::set(PieceIndex piece) {
  std::uint64_t& word = words_[piece.value() / 64];
  const std::uint64_t bit = std::uint64_t{1} << (piece.value() % 64);
  if (word & bit) return false;
  word |= bit;
  ++count_;
  return true;
}

bool Bitfield::reset(PieceIndex piece) {
  std::uint64_t& word = words_[piece.value() / 64];
  const std::uint64_t bit = std::uint64_t{1} << (piece.value() % 64);
  if (!(word & bit)) return false;
  word &= ~bit;
  --count_;
  return true;
}

void Bitfield::set_all() {
  for (std::uint64_t& word : words_) word = ~std::uint64_t{0};
  if (size_ % 64 != 0) words_.back() = (std::uint64_t{1} << (size_ % 64)) - 1;
  count_ = size_;
}

void Bitfield::reset_all() {
  for (std::uint64_t& word : words_) word = 0;
  count_ = 0;
}

std::uint32_t Bitfield::count(PieceIndex first, PieceIndex last) const {
  std::uint32_t total = 0;
  for (std::uint32_t w = first.value() / 64; w <= last.value() / 64; ++w) {
    std::uint64_t word = words_[w];
    if (w == first.value() / 64) word &= ~std::uint64_t{0} << (first.value() % 64);
    if (w == last.value() / 64) word &= ~std::uint64_t{0} >> (63 - last.value() % 64);
    total += static_cast<std::uint32_t>(std::popcount(word));
  }
  return total;
}

}  // namespace swarmfs::storage
