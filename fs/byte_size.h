// Amounts of memory and disk as users write them: 20G, 512M, 1.5T, 10%.
//
// Threads: any; pure. Memory: none. Errors: empty for what is no amount.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace swarmfs::fs {

// Bytes: a decimal number with K, M, G or T for powers of 1024 (KiB and KB, in any case, are the
// same); a fraction needs one of them. Empty for anything else, for 0, and past the largest file
// size (2^63 - 1).
[[nodiscard]] std::optional<std::uint64_t> parse_bytes(std::string_view text);

// So many bytes, or a share of what a file system holds.
class Amount {
 public:
  // Bytes, or a percentage above 0 and up to 100, as in 12.5%.
  [[nodiscard]] static std::optional<Amount> parse(std::string_view text);
  [[nodiscard]] static Amount of_bytes(std::uint64_t bytes) { return {bytes, 0}; }
  [[nodiscard]] static Amount of_percent(double percent) { return {0, percent}; }
  // Of a file system of `total` bytes.
  [[nodiscard]] std::uint64_t resolve(std::uint64_t total) const;
  bool operator==(const Amount&) const = default;

 private:
  Amount(std::uint64_t bytes, double percent) : bytes_(bytes), percent_(percent) {}
  std::uint64_t bytes_;
  double percent_;  // 0: `bytes_` counts
};

// For messages: the shortest of "1.5 GiB", "20 MiB", "512 bytes" that is right to a tenth.
[[nodiscard]] std::string bytes_text(std::uint64_t bytes);

}  // namespace swarmfs::fs
