// Random numbers from a seed of which nobody who has seen some can tell the others: ids,
// transaction numbers and secrets that strangers must not guess, and still the same run for the
// same seed. SHA-1 of the seed and a counter.
//
// Threads: engine thread only. Memory: none to speak of. Errors: none.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

namespace swarmfs::net {

class SecretRandom {
 public:
  // A UniformRandomBitGenerator. (Distributions of the library differ between versions: below().)
  using result_type = std::uint64_t;
  static constexpr result_type min() { return 0; }
  static constexpr result_type max() { return std::numeric_limits<result_type>::max(); }

  explicit SecretRandom(std::uint64_t seed) : seed_(seed) {}
  result_type operator()();
  [[nodiscard]] std::uint64_t below(std::uint64_t limit);  // [0, limit); limit > 0
  void fill(std::span<std::byte> bytes);

 private:
  std::uint64_t seed_;
  std::uint64_t counter_ = 0;
};

// From the kernel's generator: another one each time.
[[nodiscard]] std::uint64_t draw_seed();

}  // namespace swarmfs::net
