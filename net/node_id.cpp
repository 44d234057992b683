#include "net/node_id.h"

#include <array>
#include <bit>

#include "net/connect_policy.h"
#include "storage/crc32c.h"

namespace swarmfs::net {
namespace {

// BEP 42: the number whose first 21 bits start a valid id.
std::uint32_t id_prefix(const asio::ip::address& address, std::uint8_t rand) {
  constexpr std::array<std::uint8_t, 4> kMask4 = {0x03, 0x0f, 0x3f, 0xff};
  constexpr std::array<std::uint8_t, 8> kMask6 = {0x01, 0x03, 0x07, 0x0f, 0x1f, 0x3f, 0x7f, 0xff};
  std::array<std::byte, 8> masked{};
  const auto take = [&masked, rand](const auto& bytes, const auto& mask) {
    for (std::size_t i = 0; i < mask.size(); ++i) {
      masked[i] = static_cast<std::byte>(bytes[i] & mask[i]);
    }
    masked[0] |= static_cast<std::byte>((rand & 7) << 5);
    return storage::crc32c(std::span(masked).first(mask.size()));
  };
  const asio::ip::address plain = normalised(address);
  if (plain.is_v4()) return take(plain.to_v4().to_bytes(), kMask4);
  return take(plain.to_v6().to_bytes(), kMask6);
}

}  // namespace

NodeId distance(const NodeId& a, const NodeId& b) {
  NodeId result;
  for (std::size_t i = 0; i < result.bytes.size(); ++i) result.bytes[i] = a.bytes[i] ^ b.bytes[i];
  return result;
}

bool is_closer(const NodeId& target, const NodeId& a, const NodeId& b) {
  return distance(target, a) < distance(target, b);
}

int shared_bits(const NodeId& a, const NodeId& b) {
  for (std::size_t i = 0; i < a.bytes.size(); ++i) {
    const auto differing = std::to_integer<std::uint8_t>(a.bytes[i] ^ b.bytes[i]);
    if (differing != 0) return static_cast<int>(i) * 8 + std::countl_zero(differing);
  }
  return kIdBits;
}

NodeId random_id(SecretRandom& random) {
  NodeId id;
  random.fill(id.bytes);
  return id;
}

NodeId random_id_beside(const NodeId& id, int bits, SecretRandom& random) {
  NodeId result = random_id(random);
  for (int bit = 0; bit <= bits; ++bit) {
    const auto at = static_cast<std::size_t>(bit / 8);
    const auto mask = std::byte{0x80} >> (bit % 8);
    const std::byte wanted = bit < bits ? id.bytes[at] : ~id.bytes[at];
    result.bytes[at] = (result.bytes[at] & ~mask) | (wanted & mask);
  }
  return result;
}

NodeId id_for(const asio::ip::address& address, SecretRandom& random) {
  return id_for(address, static_cast<std::uint8_t>(random.below(256)), random);
}

NodeId id_for(const asio::ip::address& address, std::uint8_t rand, SecretRandom& random) {
  NodeId id = random_id(random);
  const std::uint32_t prefix = id_prefix(address, rand);
  id.bytes[0] = static_cast<std::byte>(prefix >> 24);
  id.bytes[1] = static_cast<std::byte>(prefix >> 16);
  id.bytes[2] = (static_cast<std::byte>(prefix >> 8) & std::byte{0xf8}) |
                (id.bytes[2] & std::byte{0x07});  // 21 bits
  id.bytes[19] = static_cast<std::byte>(rand);
  return id;
}

bool is_valid_id(const NodeId& id, const asio::ip::address& address) {
  if (scope_of(address) != Scope::global) return true;
  const std::uint32_t prefix = id_prefix(address, std::to_integer<std::uint8_t>(id.bytes[19]));
  const auto byte = [&id](std::size_t i) { return std::to_integer<std::uint32_t>(id.bytes[i]); };
  const std::uint32_t actual = byte(0) << 24 | byte(1) << 16 | byte(2) << 8;
  return ((prefix ^ actual) & 0xfffff800) == 0;  // 21 bits
}

}  // namespace swarmfs::net
