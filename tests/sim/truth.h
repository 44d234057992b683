// What the torrent really contains: a pure function of (seed, offset), so that any byte can be
// checked anywhere without keeping the data.
//
// Threads: plain value. Memory: none but the hashes. Errors: none.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "storage/hash.h"
#include "storage/layout.h"

namespace swarmfs::sim {

class Truth {
 public:
  Truth(storage::Layout layout, std::uint64_t seed);
  [[nodiscard]] const storage::Layout& layout() const { return layout_; }
  void fill(std::uint64_t offset, std::span<std::byte> out) const;
  [[nodiscard]] bool matches(std::uint64_t offset, std::span<const std::byte> bytes) const;
  [[nodiscard]] const std::vector<storage::Sha1Digest>& piece_hashes() const { return hashes_; }
  [[nodiscard]] storage::InfoHash info_hash() const;

 private:
  storage::Layout layout_;
  std::uint64_t seed_;
  std::vector<storage::Sha1Digest> hashes_;
};

}  // namespace swarmfs::sim
