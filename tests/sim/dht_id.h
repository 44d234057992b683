// Ids, addresses and their compact forms as the DHT's documents have them (BEP 5, 32, 42), written
// for the simulated nodes and independent of net/: two readings of one text check each other.
//
// Threads: any; pure. Memory: none. Errors: what cannot be read is empty.
#pragma once
#include <array>
#include <boost/asio/ip/address.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/datagram.h"
#include "storage/hash.h"
#include "tests/sim/rng.h"

namespace swarmfs::sim {

using net::UdpEndpoint;
using DhtId = std::array<std::uint8_t, 20>;  // of a node or a torrent

struct DhtContact {
  DhtId id{};
  UdpEndpoint endpoint;
  bool operator==(const DhtContact&) const = default;
};

[[nodiscard]] DhtId random_dht_id(Rng& rng);
// Shares `bits` leading bits with id, and differs in the next; bits < 160.
[[nodiscard]] DhtId random_dht_id_near(const DhtId& id, int bits, Rng& rng);
[[nodiscard]] int shared_prefix(const DhtId& a, const DhtId& b);  // bits
[[nodiscard]] bool nearer(const DhtId& target, const DhtId& a, const DhtId& b);

// BEP 42: the CRC of which the first 21 bits stand in the id of a node at `address`.
[[nodiscard]] std::uint32_t crc_of_address(const asio::ip::address& address, std::uint8_t random);
[[nodiscard]] DhtId id_fitting(const asio::ip::address& address, Rng& rng);
[[nodiscard]] bool fits_address(const DhtId& id, const asio::ip::address& address);

[[nodiscard]] std::string_view text_of(const DhtId& id);
[[nodiscard]] std::optional<DhtId> id_of(std::string_view text);  // exactly 20 bytes
[[nodiscard]] DhtId id_of(const storage::Sha1Digest& digest);
[[nodiscard]] storage::Sha1Digest digest_of(const DhtId& id);
// 6 bytes or 18.
[[nodiscard]] std::string compact(const UdpEndpoint& endpoint);
[[nodiscard]] std::optional<UdpEndpoint> endpoint_of(std::string_view compact);
// 26 bytes or 38.
[[nodiscard]] std::string compact(const DhtContact& contact);
// Empty unless all of it is whole contacts of that family.
[[nodiscard]] std::optional<std::vector<DhtContact>> contacts_of(std::string_view compact, bool v6);

// An address of the open internet and a port, as homes have them.
[[nodiscard]] UdpEndpoint random_home(Rng& rng, bool v6);

}  // namespace swarmfs::sim
