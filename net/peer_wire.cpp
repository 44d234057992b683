#include "net/peer_wire.h"

#include <algorithm>
#include <string_view>

namespace swarmfs::net {
namespace {

constexpr std::string_view kProtocolName = "BitTorrent protocol";

void append(std::vector<std::byte>& out, std::span<const std::byte> bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}
void append_u32(std::vector<std::byte>& out, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8)
    out.push_back(static_cast<std::byte>(value >> shift));
}
void append_header(std::vector<std::byte>& out, MessageId id, std::size_t payload) {
  append_u32(out, static_cast<std::uint32_t>(payload + 1));
  out.push_back(static_cast<std::byte>(id));
}

std::uint32_t u32_at(std::span<const std::byte> bytes, std::size_t at) {
  return read_u32(bytes.subspan(at).first<4>());
}

template <class T>
Result<Message> bare(std::span<const std::byte> payload) {
  if (!payload.empty()) return NetErrc::protocol_error;
  return Message(T{});
}
template <class T>
Result<Message> indexed(std::span<const std::byte> payload) {
  if (payload.size() != 4) return NetErrc::protocol_error;
  return Message(T{u32_at(payload, 0)});
}
template <class T>
Result<Message> ranged(std::span<const std::byte> payload) {
  if (payload.size() != 12) return NetErrc::protocol_error;
  return Message(T{u32_at(payload, 0), u32_at(payload, 4), u32_at(payload, 8)});
}

struct Encoder {
  std::vector<std::byte>& out;

  void bare(MessageId id) const { append_header(out, id, 0); }
  void indexed(MessageId id, std::uint32_t index) const {
    append_header(out, id, 4);
    append_u32(out, index);
  }
  void ranged(MessageId id, std::uint32_t index, std::uint32_t begin, std::uint32_t length) const {
    append_header(out, id, 12);
    append_u32(out, index);
    append_u32(out, begin);
    append_u32(out, length);
  }

  void operator()(KeepAlive) const { append_u32(out, 0); }
  void operator()(Choke) const { bare(MessageId::choke); }
  void operator()(Unchoke) const { bare(MessageId::unchoke); }
  void operator()(Interested) const { bare(MessageId::interested); }
  void operator()(NotInterested) const { bare(MessageId::not_interested); }
  void operator()(Have m) const { indexed(MessageId::have, m.index); }
  void operator()(BitfieldMessage m) const {
    append_header(out, MessageId::bitfield, m.bytes.size());
    append(out, m.bytes);
  }
  void operator()(Request m) const { ranged(MessageId::request, m.index, m.begin, m.length); }
  void operator()(Piece m) const {
    append_header(out, MessageId::piece, 8 + m.data.size());
    append_u32(out, m.index);
    append_u32(out, m.begin);
    append(out, m.data);
  }
  void operator()(Cancel m) const { ranged(MessageId::cancel, m.index, m.begin, m.length); }
  void operator()(Port m) const {
    append_header(out, MessageId::port, 2);
    out.push_back(static_cast<std::byte>(m.port >> 8));
    out.push_back(static_cast<std::byte>(m.port & 0xff));
  }
  void operator()(Suggest m) const { indexed(MessageId::suggest, m.index); }
  void operator()(HaveAll) const { bare(MessageId::have_all); }
  void operator()(HaveNone) const { bare(MessageId::have_none); }
  void operator()(Reject m) const { ranged(MessageId::reject, m.index, m.begin, m.length); }
  void operator()(AllowedFast m) const { indexed(MessageId::allowed_fast, m.index); }
  void operator()(Extended m) const {
    append_header(out, MessageId::extended, 1 + m.payload.size());
    out.push_back(static_cast<std::byte>(m.id));
    append(out, m.payload);
  }
  void operator()(Unknown m) const {
    append_u32(out, 1);
    out.push_back(static_cast<std::byte>(m.id));
  }
};

}  // namespace

std::uint32_t read_u32(std::span<const std::byte, 4> bytes) {
  std::uint32_t value = 0;
  for (const std::byte b : bytes) value = (value << 8) | std::to_integer<std::uint32_t>(b);
  return value;
}

Handshake our_handshake(const storage::InfoHash& info_hash, const PeerId& peer_id) {
  Handshake handshake{{}, info_hash, peer_id};
  handshake.reserved[5] = std::byte{0x10};
  handshake.reserved[7] = std::byte{0x04};
  return handshake;
}

void encode(const Handshake& handshake, std::vector<std::byte>& out) {
  out.push_back(static_cast<std::byte>(kProtocolName.size()));
  append(out, std::as_bytes(std::span(kProtocolName)));
  append(out, handshake.reserved);
  append(out, handshake.info_hash.bytes);
  append(out, handshake.peer_id.bytes);
}

Result<Handshake> decode_handshake(std::span<const std::byte, kHandshakeSize> bytes) {
  const auto name = std::as_bytes(std::span(kProtocolName));
  if (bytes[0] != static_cast<std::byte>(name.size())) return NetErrc::protocol_error;
  if (!std::equal(name.begin(), name.end(), bytes.begin() + 1)) return NetErrc::protocol_error;
  Handshake handshake;
  std::copy_n(bytes.begin() + 20, 8, handshake.reserved.begin());
  std::copy_n(bytes.begin() + 28, 20, handshake.info_hash.bytes.begin());
  std::copy_n(bytes.begin() + 48, 20, handshake.peer_id.bytes.begin());
  return handshake;
}

Result<Message> decode(std::span<const std::byte> body) {
  if (body.empty()) return Message(KeepAlive{});
  const auto payload = body.subspan(1);
  switch (static_cast<MessageId>(body[0])) {
    case MessageId::choke:
      return bare<Choke>(payload);
    case MessageId::unchoke:
      return bare<Unchoke>(payload);
    case MessageId::interested:
      return bare<Interested>(payload);
    case MessageId::not_interested:
      return bare<NotInterested>(payload);
    case MessageId::have:
      return indexed<Have>(payload);
    case MessageId::bitfield:
      return Message(BitfieldMessage{payload});
    case MessageId::request:
      return ranged<Request>(payload);
    case MessageId::piece:
      if (payload.size() < 8) return NetErrc::protocol_error;
      return Message(Piece{u32_at(payload, 0), u32_at(payload, 4), payload.subspan(8)});
    case MessageId::cancel:
      return ranged<Cancel>(payload);
    case MessageId::port:
      if (payload.size() != 2) return NetErrc::protocol_error;
      return Message(Port{static_cast<std::uint16_t>((std::to_integer<unsigned>(payload[0]) << 8) |
                                                     std::to_integer<unsigned>(payload[1]))});
    case MessageId::suggest:
      return indexed<Suggest>(payload);
    case MessageId::have_all:
      return bare<HaveAll>(payload);
    case MessageId::have_none:
      return bare<HaveNone>(payload);
    case MessageId::reject:
      return ranged<Reject>(payload);
    case MessageId::allowed_fast:
      return indexed<AllowedFast>(payload);
    case MessageId::extended:
      if (payload.empty()) return NetErrc::protocol_error;
      return Message(Extended{std::to_integer<std::uint8_t>(payload[0]), payload.subspan(1)});
  }
  return Message(Unknown{std::to_integer<std::uint8_t>(body[0])});
}

void encode(const Message& message, std::vector<std::byte>& out) {
  std::visit(Encoder{out}, message);
}

}  // namespace swarmfs::net
