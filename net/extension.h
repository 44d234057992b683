// The extension protocol's handshake (BEP 10), ours and theirs.
//
// Threads: pure. Memory: bounded by the message. Errors: none: a malformed handshake says nothing,
// and costs nothing.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "net/stream.h"

namespace swarmfs::net {

// What we say we queue of a peer's requests (libtorrent's 250 was the field's number before reqq,
// and is the default).
inline constexpr int kServedRequests = 250;

struct ExtensionHandshake {
  std::optional<std::uint32_t> request_limit;  // "reqq": requests the peer queues
};

// The bencoded payload of message 20/0 to `remote`: our version, the requests we would queue, and
// the address we see.
[[nodiscard]] std::vector<std::byte> extension_handshake(const Endpoint& remote);
[[nodiscard]] ExtensionHandshake parse_extension_handshake(std::span<const std::byte> payload);

}  // namespace swarmfs::net
