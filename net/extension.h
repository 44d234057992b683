// The extension protocol's handshake (BEP 10), ours and theirs, and its smallest message (BEP 54).
//
// Threads: pure. Memory: bounded by the message. Errors: none: what is malformed says nothing, and
// costs nothing.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "net/stream.h"

namespace swarmfs::net {

// What we say we queue of a peer's requests (libtorrent's 250 was the field's number before reqq,
// and is the default).
inline constexpr int kServedRequests = 250;
// Largest info dictionary fetched from peers (design section 8): twice what libtorrent takes. With
// pieces of 1 MiB it describes 400 GB.
inline constexpr std::uint32_t kMaxMetadataSize = 8 * 1024 * 1024;
// Of the name a peer gives its program, in bytes. BEP 10 names none; real ones have about 20.
inline constexpr std::size_t kMaxClientName = 64;

// The numbers under which peers send us what an extension says: ours to choose (BEP 10), and the
// same for every peer.
enum class ExtensionId : std::uint8_t { handshake = 0, pex = 1, metadata = 2, dont_have = 3 };

// What we say of ourselves; that we listen to lt_donthave (BEP 54), too. Never upload_only: peers
// would stop serving us (BEP 21).
struct ExtensionOffer {
  enum class Pex : std::uint8_t { never, on, withdrawn };  // withdrawn: it had been on
  bool metadata = false;                                   // we speak ut_metadata (BEP 9)
  std::optional<std::uint32_t> metadata_size = {};         // and have it all
  Pex pex = Pex::never;                                    // ut_pex (BEP 11)
  std::uint16_t port = 0;                                  // what we listen on; 0: nothing
};

// What a peer said. A handshake may come again, to change some of it: what it does not name is
// missing here, and stays as it was.
struct ExtensionHandshake {
  std::optional<std::uint32_t> request_limit;    // "reqq": requests the peer queues
  std::optional<std::uint8_t> metadata_id;       // what to send ut_metadata under; 0: it takes none
  std::optional<std::uint8_t> pex_id;            // the same for ut_pex
  std::optional<std::uint32_t> metadata_size;    // 1 to kMaxMetadataSize
  std::optional<asio::ip::address> our_address;  // "yourip": where it sees us
  std::optional<std::uint16_t> listen_port;      // "p": where it takes connections
  std::string client;                            // "v", escaped for a terminal; empty: not named

  void update(const ExtensionHandshake& later);
};

// The bencoded payload of message 20/0 to `remote`, with the address we see it at ("yourip").
[[nodiscard]] std::vector<std::byte> extension_handshake(const Endpoint& remote,
                                                         const ExtensionOffer& offer);
[[nodiscard]] ExtensionHandshake parse_extension_handshake(std::span<const std::byte> payload);
// The piece that a peer says it has no longer (lt_donthave, BEP 54), as it is on the wire. Empty:
// the payload is no index.
[[nodiscard]] std::optional<std::uint32_t> parse_dont_have(std::span<const std::byte> payload);

}  // namespace swarmfs::net
