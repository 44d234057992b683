// The strong types of torrent arithmetic: a piece index in hand is in range, a byte range is
// ordered.
//
// Threads: plain values. Errors: none; out-of-range input is refused where a value is made
// (Layout).
#pragma once
#include <algorithm>
#include <compare>
#include <cstddef>
#include <cstdint>

namespace swarmfs::storage {

// Bytes in a block, the unit of a request. BEP 3: "all current implementations use 2^14 (16 kiB),
// and close connections which request an amount greater than that".
inline constexpr std::uint32_t kBlockSize = 16 * 1024;

// Half-open range of bytes, in torrent offsets (the concatenation of all files, pads included)
// unless a name says otherwise.
struct ByteRange {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  [[nodiscard]] std::uint64_t size() const { return end - begin; }
  [[nodiscard]] bool empty() const { return begin >= end; }
  [[nodiscard]] bool contains(std::uint64_t offset) const {
    return begin <= offset && offset < end;
  }
  [[nodiscard]] bool intersects(ByteRange other) const {
    return begin < other.end && other.begin < end;
  }
  [[nodiscard]] ByteRange intersection(ByteRange other) const {
    const std::uint64_t low = std::max(begin, other.begin);
    return {low, std::max(low, std::min(end, other.end))};
  }
  bool operator==(const ByteRange&) const = default;
};

// In hand means in range: only a Layout (or a Bitfield) makes one.
class PieceIndex {
 public:
  [[nodiscard]] std::uint32_t value() const { return value_; }
  auto operator<=>(const PieceIndex&) const = default;

 private:
  friend class Layout;
  friend class Bitfield;
  explicit PieceIndex(std::uint32_t value) : value_(value) {}
  std::uint32_t value_;
};

// One request unit: block number `block` of `piece`. Made by Layout::block_at or within
// Layout::block_count.
struct BlockId {
  PieceIndex piece;
  std::uint32_t block;
  auto operator<=>(const BlockId&) const = default;
};

}  // namespace swarmfs::storage
