#include "net/secret_random.h"

#include <algorithm>
#include <random>

#include "storage/hash.h"

namespace swarmfs::net {

SecretRandom::result_type SecretRandom::operator()() {
  std::array<std::byte, 8> bytes{};
  fill(bytes);
  result_type value = 0;
  for (const std::byte b : bytes) value = value << 8 | std::to_integer<result_type>(b);
  return value;
}

std::uint64_t SecretRandom::below(std::uint64_t limit) {
  return (*this)() % limit;  // the bias is below limit / 2^64
}

void SecretRandom::fill(std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    std::array<std::byte, 16> input{};
    for (std::size_t i = 0; i < 8; ++i) {
      input[i] = static_cast<std::byte>(seed_ >> (8 * i));
      input[8 + i] = static_cast<std::byte>(counter_ >> (8 * i));
    }
    ++counter_;
    const storage::Sha1Digest digest = storage::sha1(input);
    const std::size_t taken = std::min(bytes.size(), digest.bytes.size());
    std::copy_n(digest.bytes.begin(), taken, bytes.begin());
    bytes = bytes.subspan(taken);
  }
}

std::uint64_t draw_seed() {
  std::random_device source;
  return std::uint64_t{source()} << 32 | source();
}

}  // namespace swarmfs::net
