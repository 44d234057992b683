#include "net/peer_priority.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "net/connect_policy.h"
#include "storage/crc32c.h"

namespace swarmfs::net {
namespace {

template <class Bytes>
std::uint32_t hash_sorted(const Bytes& a, const Bytes& b) {
  const auto& [first, second] = std::minmax(a, b);
  std::array<std::byte, 2 * std::tuple_size_v<Bytes>> both;
  const auto middle = std::transform(first.begin(), first.end(), both.begin(),
                                     [](unsigned char byte) { return std::byte{byte}; });
  std::transform(second.begin(), second.end(), middle,
                 [](unsigned char byte) { return std::byte{byte}; });
  return storage::crc32c(both);
}

// Masks all but the first `whole` bytes with 55; where these are the same in both, all but as many
// as are the same and one more.
template <class Bytes>
std::uint32_t hash_masked(Bytes a, Bytes b, std::size_t whole) {
  const auto same =
      static_cast<std::size_t>(std::mismatch(a.begin(), a.end(), b.begin()).first - a.begin());
  if (same >= whole) whole = same + 1;
  for (std::size_t i = whole; i < a.size(); ++i) {
    a[i] &= 0x55;
    b[i] &= 0x55;
  }
  return hash_sorted(a, b);
}

}  // namespace

std::uint32_t peer_priority(const Endpoint& a, const Endpoint& b) {
  const Endpoint one = normalised(a), two = normalised(b);
  if (one.address().is_v4() != two.address().is_v4()) return 0;
  if (one.address() == two.address()) {
    const auto bytes = [](std::uint16_t port) {
      return std::array{static_cast<unsigned char>(port >> 8),
                        static_cast<unsigned char>(port & 0xff)};
    };
    return hash_sorted(bytes(one.port()), bytes(two.port()));
  }
  if (one.address().is_v4()) {
    return hash_masked(one.address().to_v4().to_bytes(), two.address().to_v4().to_bytes(), 2);
  }
  return hash_masked(one.address().to_v6().to_bytes(), two.address().to_v6().to_bytes(), 6);
}

}  // namespace swarmfs::net
