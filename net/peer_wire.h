// Peer messages as bytes: no sockets, no clock, no swarm. Integers are big-endian (BEP 3, BEP 6
// fast, BEP 10 extensions).
//
// Threads: pure. Memory: views into the input. Errors: NetErrc::protocol_error for anything whose
// length does not fit its id.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <variant>
#include <vector>

#include "net/error.h"
#include "storage/hash.h"

namespace swarmfs::net {

using PeerId = storage::Sha1Digest;  // 20 opaque bytes, BEP 20 style

inline constexpr std::size_t kHandshakeSize =
    1 + 19 + 8 + 20 + 20;  // BEP 3: length, name, reserved, hash, id
static_assert(kHandshakeSize == 68);
inline constexpr std::size_t kLengthPrefixSize = 4;
// Length prefix, id, index, begin: what stands before a block's bytes on the wire.
inline constexpr std::size_t kPieceHeaderSize = 13;
// Largest message we accept, in bytes after the length prefix, unless the torrent's bitfield is
// larger. A block is 16 KiB + 9.
inline constexpr std::uint32_t kMaxMessageSize = 1024 * 1024;

struct Handshake {
  std::array<std::byte, 8> reserved{};
  storage::InfoHash info_hash;
  PeerId peer_id;
  [[nodiscard]] bool fast() const {
    return (reserved[7] & std::byte{0x04}) != std::byte{0};
  }  // BEP 6
  [[nodiscard]] bool extensions() const {
    return (reserved[5] & std::byte{0x10}) != std::byte{0};
  }  // BEP 10
};
// What we send: fast extension and extension protocol on.
[[nodiscard]] Handshake our_handshake(const storage::InfoHash& info_hash, const PeerId& peer_id);
void encode(const Handshake& handshake, std::vector<std::byte>& out);
// protocol_error when the protocol name differs.
[[nodiscard]] Result<Handshake> decode_handshake(std::span<const std::byte, kHandshakeSize> bytes);

enum class MessageId : std::uint8_t {
  choke = 0,
  unchoke = 1,
  interested = 2,
  not_interested = 3,
  have = 4,
  bitfield = 5,
  request = 6,
  piece = 7,
  cancel = 8,
  port = 9,      // BEP 5
  suggest = 13,  // BEP 6 from here
  have_all = 14,
  have_none = 15,
  reject = 16,
  allowed_fast = 17,
  extended = 20,  // BEP 10
};

struct KeepAlive {};
struct Choke {};
struct Unchoke {};
struct Interested {};
struct NotInterested {};
struct Have {
  std::uint32_t index;
};
struct BitfieldMessage {
  std::span<const std::byte> bytes;
};
struct Request {  // BEP 3 names; begin and length in bytes
  std::uint32_t index, begin, length;
};
struct Piece {
  std::uint32_t index, begin;
  std::span<const std::byte> data;
};
struct Cancel {
  std::uint32_t index, begin, length;
};
struct Port {
  std::uint16_t port;
};
struct Suggest {
  std::uint32_t index;
};
struct HaveAll {};
struct HaveNone {};
struct Reject {
  std::uint32_t index, begin, length;
};
struct AllowedFast {
  std::uint32_t index;
};
struct Extended {
  std::uint8_t id;  // 0: the extension handshake
  std::span<const std::byte> payload;
};
struct Unknown {  // an id we do not know; ignored
  std::uint8_t id;
};
using Message = std::variant<KeepAlive, Choke, Unchoke, Interested, NotInterested, Have,
                             BitfieldMessage, Request, Piece, Cancel, Port, Suggest, HaveAll,
                             HaveNone, Reject, AllowedFast, Extended, Unknown>;

// Reads one message, length prefix already removed. Views in the result point into `body`.
[[nodiscard]] Result<Message> decode(std::span<const std::byte> body);
void encode(const Message& message, std::vector<std::byte>& out);  // appends, prefix included

[[nodiscard]] std::uint32_t read_u32(std::span<const std::byte, 4> bytes);

}  // namespace swarmfs::net
