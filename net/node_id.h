// The DHT's 160-bit space (BEP 5): node ids, info-hashes and the distance between them, and ids
// tied to addresses (BEP 42).
//
// Threads: any; pure. Memory: none. Errors: none.
#pragma once
#include <boost/asio/ip/address.hpp>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>

#include "net/datagram.h"
#include "net/secret_random.h"
#include "storage/hash.h"

namespace swarmfs::net {

// Nodes and torrents live in one space, so they share a type.
using NodeId = storage::Sha1Digest;
inline constexpr int kIdBits = 160;

// A node and where it is reached. IPv4 is never written as IPv6.
struct NodeContact {
  NodeId id;
  UdpEndpoint endpoint;
  bool operator==(const NodeContact&) const = default;
};

// XOR; smaller is closer (BEP 5), and so is `<` of two distances.
[[nodiscard]] NodeId distance(const NodeId& a, const NodeId& b);
[[nodiscard]] bool is_closer(const NodeId& target, const NodeId& a, const NodeId& b);
// Leading bits that a and b share: 0 to 160.
[[nodiscard]] int shared_bits(const NodeId& a, const NodeId& b);

[[nodiscard]] NodeId random_id(SecretRandom& random);
// Shares exactly `bits` leading bits with `id`; bits < 160.
[[nodiscard]] NodeId random_id_beside(const NodeId& id, int bits, SecretRandom& random);

// An id that a node at `address` may have (BEP 42).
[[nodiscard]] NodeId id_for(const asio::ip::address& address, SecretRandom& random);
// The same, with the random number that goes into the id's last byte given.
[[nodiscard]] NodeId id_for(const asio::ip::address& address, std::uint8_t rand,
                            SecretRandom& random);
// True when a node at `address` may have this id. Every id may live at an address that is not
// global (BEP 42: "local network address").
[[nodiscard]] bool is_valid_id(const NodeId& id, const asio::ip::address& address);

}  // namespace swarmfs::net
