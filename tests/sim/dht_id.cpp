#include "tests/sim/dht_id.h"

#include <algorithm>
#include <bit>
#include <span>

namespace swarmfs::sim {
namespace {

// CRC-32C, bit by bit: 0x82f63b78 is the Castagnoli polynomial 0x1edc6f41 reflected.
std::uint32_t castagnoli(std::span<const std::uint8_t> bytes) {
  std::uint32_t crc = ~0U;
  for (const std::uint8_t byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1U) != 0 ? crc >> 1 ^ 0x82f63b78U : crc >> 1;
  }
  return ~crc;
}

template <std::size_t N>
std::uint32_t masked_crc(std::span<const std::uint8_t> address,
                         const std::array<std::uint8_t, N>& mask, std::uint8_t random) {
  std::array<std::uint8_t, N> bytes{};
  for (std::size_t i = 0; i < N; ++i) bytes[i] = address[i] & mask[i];
  bytes[0] = static_cast<std::uint8_t>(bytes[0] | (random & 7U) << 5);
  return castagnoli(bytes);
}

// First octets of IPv4 that are all open internet; enough of them for any population.
constexpr std::array<std::uint8_t, 12> kNetworks{5, 24, 46, 62, 78, 81, 90, 93, 109, 151, 178, 213};

}  // namespace

DhtId random_dht_id(Rng& rng) {
  DhtId id;
  for (std::uint8_t& byte : id) byte = static_cast<std::uint8_t>(rng.next());
  return id;
}

DhtId random_dht_id_near(const DhtId& id, int bits, Rng& rng) {
  DhtId near = random_dht_id(rng);
  const auto whole = static_cast<std::size_t>(bits / 8);
  std::copy_n(id.begin(), whole, near.begin());
  const unsigned flip = 0x80U >> (bits % 8);
  const unsigned keep = 0xffU & ~(2 * flip - 1);  // the bits before it
  const unsigned rest = flip - 1;
  near[whole] =
      static_cast<std::uint8_t>((id[whole] & keep) | (~id[whole] & flip) | (near[whole] & rest));
  return near;
}

int shared_prefix(const DhtId& a, const DhtId& b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    const auto differ = static_cast<std::uint8_t>(a[i] ^ b[i]);
    if (differ != 0) return static_cast<int>(8 * i) + std::countl_zero(differ);
  }
  return 160;
}

bool nearer(const DhtId& target, const DhtId& a, const DhtId& b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] != b[i]) return (a[i] ^ target[i]) < (b[i] ^ target[i]);
  }
  return false;
}

std::uint32_t crc_of_address(const asio::ip::address& address, std::uint8_t random) {
  if (address.is_v4()) {
    constexpr std::array<std::uint8_t, 4> kMask{0x03, 0x0f, 0x3f, 0xff};
    return masked_crc(address.to_v4().to_bytes(), kMask, random);
  }
  constexpr std::array<std::uint8_t, 8> kMask{0x01, 0x03, 0x07, 0x0f, 0x1f, 0x3f, 0x7f, 0xff};
  return masked_crc(address.to_v6().to_bytes(), kMask, random);
}

DhtId id_fitting(const asio::ip::address& address, Rng& rng) {
  DhtId id = random_dht_id(rng);
  const std::uint32_t crc = crc_of_address(address, id[19]);
  id[0] = static_cast<std::uint8_t>(crc >> 24);
  id[1] = static_cast<std::uint8_t>(crc >> 16);
  id[2] = static_cast<std::uint8_t>((crc >> 8 & 0xf8U) | (id[2] & 7U));
  return id;
}

bool fits_address(const DhtId& id, const asio::ip::address& address) {
  const std::uint32_t crc = crc_of_address(address, id[19]);
  const std::uint32_t has = static_cast<std::uint32_t>(id[0]) << 24 |
                            static_cast<std::uint32_t>(id[1]) << 16 |
                            static_cast<std::uint32_t>(id[2]) << 8;
  return (crc ^ has) >> 11 == 0;
}

std::string_view text_of(const DhtId& id) {
  return {reinterpret_cast<const char*>(id.data()), id.size()};
}

std::optional<DhtId> id_of(std::string_view text) {
  DhtId id;
  if (text.size() != id.size()) return std::nullopt;
  std::transform(text.begin(), text.end(), id.begin(),
                 [](char c) { return static_cast<std::uint8_t>(c); });
  return id;
}

DhtId id_of(const storage::Sha1Digest& digest) {
  return std::bit_cast<DhtId>(digest.bytes);
}

storage::Sha1Digest digest_of(const DhtId& id) {
  return {std::bit_cast<std::array<std::byte, 20>>(id)};
}

std::string compact(const UdpEndpoint& endpoint) {
  std::string text;
  if (endpoint.address().is_v4()) {
    for (const auto byte : endpoint.address().to_v4().to_bytes())
      text.push_back(static_cast<char>(byte));
  } else {
    for (const auto byte : endpoint.address().to_v6().to_bytes())
      text.push_back(static_cast<char>(byte));
  }
  text.push_back(static_cast<char>(endpoint.port() >> 8));
  text.push_back(static_cast<char>(endpoint.port() & 0xff));
  return text;
}

std::optional<UdpEndpoint> endpoint_of(std::string_view compact) {
  if (compact.size() != 6 && compact.size() != 18) return std::nullopt;
  const auto byte = [compact](std::size_t i) { return static_cast<std::uint8_t>(compact[i]); };
  const std::size_t length = compact.size() - 2;
  const auto port = static_cast<std::uint16_t>(byte(length) << 8 | byte(length + 1));
  if (length == 4) {
    asio::ip::address_v4::bytes_type bytes;
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = byte(i);
    return UdpEndpoint(asio::ip::address_v4(bytes), port);
  }
  asio::ip::address_v6::bytes_type bytes;
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = byte(i);
  return UdpEndpoint(asio::ip::address_v6(bytes), port);
}

std::string compact(const DhtContact& contact) {
  return std::string(text_of(contact.id)) + compact(contact.endpoint);
}

std::optional<std::vector<DhtContact>> contacts_of(std::string_view compact, bool v6) {
  const std::size_t size = v6 ? 38 : 26;
  if (compact.size() % size != 0) return std::nullopt;
  std::vector<DhtContact> contacts;
  for (; !compact.empty(); compact.remove_prefix(size))
    contacts.push_back(
        {*id_of(compact.substr(0, 20)), *endpoint_of(compact.substr(20, size - 20))});
  return contacts;
}

UdpEndpoint random_home(Rng& rng, bool v6) {
  const auto port = static_cast<std::uint16_t>(rng.between(1024, 65'535));
  if (!v6) {
    asio::ip::address_v4::bytes_type bytes;
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(rng.next());
    bytes[0] = kNetworks[rng.below(kNetworks.size())];
    return {asio::ip::address_v4(bytes), port};
  }
  asio::ip::address_v6::bytes_type bytes;
  for (auto& byte : bytes) byte = static_cast<std::uint8_t>(rng.next());
  bytes[0] = 0x2a;  // 2a00::/11: given out by RIPE
  bytes[1] = static_cast<std::uint8_t>(bytes[1] & 0x0fU);
  return {asio::ip::address_v6(bytes), port};
}

}  // namespace swarmfs::sim
