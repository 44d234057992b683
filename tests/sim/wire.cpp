#include "tests/sim/wire.h"

#include <algorithm>
#include <cstring>
#include <string>

namespace swarmfs::sim::wire {
namespace {

constexpr std::string_view kProtocol =
    "\x13"  // length 19
    "BitTorrent protocol";

void put_text(Bytes& out, std::string_view text) {
  for (const char c : text) out.push_back(static_cast<std::byte>(c));
}

}  // namespace

void put_u32(Bytes& out, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8)
    out.push_back(static_cast<std::byte>((value >> shift) & 0xffU));
}

std::uint32_t get_u32(std::span<const std::byte> bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i)
    value = value << 8 | std::to_integer<std::uint32_t>(bytes[at + i]);
  return value;
}

void put_handshake(Bytes& out, const Handshake& handshake, std::uint64_t peer_id) {
  put_text(out, kProtocol);
  std::byte reserved[8] = {};
  if (handshake.extended) reserved[5] |= std::byte{0x10};
  if (handshake.fast) reserved[7] |= std::byte{0x04};
  out.insert(out.end(), std::begin(reserved), std::end(reserved));
  out.insert(out.end(), handshake.info_hash.bytes.begin(), handshake.info_hash.bytes.end());
  std::string id = std::to_string(peer_id);
  id.insert(0, 12 - std::min<std::size_t>(12, id.size()), '0');
  put_text(out, "-SIM000-");
  put_text(out, std::string_view(id).substr(id.size() - 12));
}

void put(Bytes& out, Id id, std::initializer_list<std::uint32_t> numbers) {
  put_u32(out, static_cast<std::uint32_t>(1 + 4 * numbers.size()));
  out.push_back(static_cast<std::byte>(id));
  for (const std::uint32_t number : numbers) put_u32(out, number);
}

void put_body(Bytes& out, Id id, std::span<const std::byte> body) {
  put_u32(out, static_cast<std::uint32_t>(1 + body.size()));
  out.push_back(static_cast<std::byte>(id));
  out.insert(out.end(), body.begin(), body.end());
}

void put_extended_handshake(Bytes& out, std::uint32_t reqq, std::uint32_t metadata_size) {
  Bytes body;
  body.push_back(std::byte{0});
  const std::string limit = "4:reqqi" + std::to_string(reqq) + "ee";
  if (metadata_size == 0) {
    put_text(body, "d1:mde" + limit);
  } else {
    put_text(body, "d1:md11:ut_metadatai" + std::to_string(kMetadataId) + "ee13:metadata_sizei" +
                       std::to_string(metadata_size) + "e" + limit);
  }
  put_body(out, kExtended, body);
}

void put_metadata(Bytes& out, std::uint8_t id, std::uint32_t type, std::uint32_t piece,
                  std::uint32_t total_size, std::span<const std::byte> data) {
  Bytes body;
  body.push_back(static_cast<std::byte>(id));
  put_text(body, "d8:msg_typei" + std::to_string(type) + "e5:piecei" + std::to_string(piece) + "e");
  if (type == 1) put_text(body, "10:total_sizei" + std::to_string(total_size) + "e");
  put_text(body, "e");
  body.insert(body.end(), data.begin(), data.end());
  put_body(out, kExtended, body);
}

std::uint32_t find_integer(std::span<const std::byte> text, std::string_view key,
                           std::uint32_t otherwise) {
  const std::string_view view(reinterpret_cast<const char*>(text.data()), text.size());
  const std::size_t at = view.find(key);
  if (at == std::string_view::npos) return otherwise;
  std::uint32_t value = 0;
  for (std::size_t i = at + key.size(); i < view.size() && view[i] >= '0' && view[i] <= '9'; ++i) {
    value = value * 10 + static_cast<std::uint32_t>(view[i] - '0');
  }
  return value;
}

std::size_t Splitter::take_one(std::span<const std::byte> bytes) {
  if (!greeted_) {
    if (bytes.size() < kHandshakeSize) return 0;
    if (std::memcmp(bytes.data(), kProtocol.data(), kProtocol.size()) != 0) {
      broken_ = true;
      return 0;
    }
    Handshake handshake;
    handshake.extended = (bytes[25] & std::byte{0x10}) != std::byte{};
    handshake.fast = (bytes[27] & std::byte{0x04}) != std::byte{};
    std::copy_n(bytes.begin() + 28, 20, handshake.info_hash.bytes.begin());
    greeted_ = true;
    if (on_handshake) on_handshake(handshake);
    return kHandshakeSize;
  }
  if (bytes.size() < 4) return 0;
  const std::size_t length = get_u32(bytes, 0);
  if (length > kMaxBody) {
    broken_ = true;
    return 0;
  }
  if (bytes.size() < 4 + length) return 0;
  if (length > 0 && on_message)
    on_message(std::to_integer<std::uint8_t>(bytes[4]), bytes.subspan(5, length - 1));
  return 4 + length;
}

void Splitter::feed(std::span<const std::byte> bytes) {
  if (broken_) return;
  pending_.insert(pending_.end(), bytes.begin(), bytes.end());
  std::size_t at = 0;
  while (!broken_) {
    const std::size_t n = take_one(std::span<const std::byte>(pending_).subspan(at));
    if (n == 0) break;
    at += n;
  }
  pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(at));
}

}  // namespace swarmfs::sim::wire
