// Host names to addresses.
//
// Threads: engine thread only (Asio asks getaddrinfo() on a thread of its own). Memory: one lookup.
// Errors: the resolver's. Lifetime: cancellable at any point; a lookup that was given up ends in
// the background, and until then its io_context cannot be destroyed without waiting.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "net/stream.h"
#include "storage/result.h"

namespace swarmfs::net {

enum class Family : std::uint8_t { any, ipv4, ipv6 };

[[nodiscard]] Family family_of(const asio::ip::address& address);  // never any
[[nodiscard]] bool is_of(const Endpoint& endpoint, Family family);

// IPv6 and IPv4 in turns, so that one broken family delays by one timeout (RFC 8305, section 4).
// An address, written without brackets, is itself, at once.
[[nodiscard]] Task<Result<std::vector<Endpoint>>> look_up(std::string host, std::uint16_t port);

}  // namespace swarmfs::net
