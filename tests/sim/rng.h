// The random numbers of the simulator: one seed decides every choice of a run. Own arithmetic,
// because the standard distributions are not the same everywhere and a seed must mean the same run
// on every machine.
//
// Threads: plain value. Errors: none.
#pragma once
#include <cstdint>

#include "net/clock.h"

namespace swarmfs::sim {

// SplitMix64's finaliser: a bijection of 64 bits that looks random.
[[nodiscard]] constexpr std::uint64_t mix(std::uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9U;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}

class Rng {
 public:
  explicit Rng(std::uint64_t seed) : state_(mix(seed + kGolden)) {}
  // A generator of its own, so that what one part draws does not change what another part gets.
  [[nodiscard]] Rng fork(std::uint64_t salt) { return Rng(next() ^ mix(salt)); }
  std::uint64_t next() { return mix(state_ += kGolden); }
  // In [0, bound); bound > 0.
  std::uint64_t below(std::uint64_t bound) { return next() % bound; }
  // In [low, high], both included.
  std::uint64_t between(std::uint64_t low, std::uint64_t high) {
    return low + below(high - low + 1);
  }
  double real() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }  // in [0, 1)
  double real(double low, double high) { return low + (high - low) * real(); }
  bool chance(double probability) { return real() < probability; }
  net::Duration duration(net::Duration low, net::Duration high) {
    const auto span = static_cast<std::uint64_t>((high - low).count());
    return low + net::Duration(static_cast<std::int64_t>(below(span + 1)));
  }

 private:
  static constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15U;
  std::uint64_t state_;
};

}  // namespace swarmfs::sim
