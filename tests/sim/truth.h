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
  // `filler`: bytes of a key nobody knows in the info dictionary, to make it large.
  Truth(storage::Layout layout, std::uint64_t seed, std::size_t filler = 0);
  [[nodiscard]] const storage::Layout& layout() const { return layout_; }
  void fill(std::uint64_t offset, std::span<std::byte> out) const;
  [[nodiscard]] bool matches(std::uint64_t offset, std::span<const std::byte> bytes) const;
  [[nodiscard]] const std::vector<storage::Sha1Digest>& piece_hashes() const { return hashes_; }
  // The info dictionary (of one file, without the padding).
  [[nodiscard]] const std::vector<std::byte>& info() const { return info_; }
  [[nodiscard]] const storage::InfoHash& info_hash() const { return info_hash_; }

 private:
  storage::Layout layout_;
  std::uint64_t seed_;
  std::vector<storage::Sha1Digest> hashes_;
  std::vector<std::byte> info_;
  storage::InfoHash info_hash_;
};

}  // namespace swarmfs::sim
