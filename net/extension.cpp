#include "net/extension.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <limits>
#include <string_view>

#include "net/peer_wire.h"
#include "storage/bencode.h"

namespace swarmfs::net {
namespace bencode = storage::bencode;
namespace {

std::string packed(const asio::ip::address& address) {
  std::string text;
  const auto append = [&text](const auto& bytes) {
    for (const unsigned char b : bytes) text += static_cast<char>(b);
  };
  if (address.is_v4()) {
    append(address.to_v4().to_bytes());
  } else {
    append(address.to_v6().to_bytes());
  }
  return text;
}

template <class Address>
Address unpacked(std::string_view text) {
  typename Address::bytes_type bytes;
  std::transform(text.begin(), text.end(), bytes.begin(),
                 [](char c) { return static_cast<unsigned char>(c); });
  return Address(bytes);
}

std::optional<asio::ip::address> parse_address(std::string_view text) {
  if (text.size() == 4) return unpacked<asio::ip::address_v4>(text);
  if (text.size() == 16) return unpacked<asio::ip::address_v6>(text);
  return std::nullopt;
}

std::string escaped_name(std::string_view text) {
  std::string shown;
  for (const char c : text) {
    std::string next(1, c);
    if (c < 0x20 || c > 0x7e) {
      std::array<char, 5> code{};
      std::snprintf(code.data(), code.size(), "\\x%02x", static_cast<unsigned char>(c));
      next = code.data();
    }
    if (shown.size() + next.size() > kMaxClientName) break;
    shown += next;
  }
  return shown;
}

std::optional<std::uint32_t> unsigned_in(bencode::Value value, std::int64_t low,
                                         std::int64_t high) {
  const std::optional<std::int64_t> number = value.integer(low, high);
  if (!number) return std::nullopt;
  return static_cast<std::uint32_t>(*number);
}

std::optional<std::uint8_t> message_id(bencode::Value value) {
  const auto id = unsigned_in(value, 0, std::numeric_limits<std::uint8_t>::max());
  if (!id) return std::nullopt;
  return static_cast<std::uint8_t>(*id);
}

template <class T>
void replace(std::optional<T>& old, const std::optional<T>& later) {
  if (later) old = later;
}

}  // namespace

void ExtensionHandshake::update(const ExtensionHandshake& later) {
  replace(request_limit, later.request_limit);
  replace(metadata_id, later.metadata_id);
  replace(pex_id, later.pex_id);
  replace(metadata_size, later.metadata_size);
  replace(our_address, later.our_address);
  replace(listen_port, later.listen_port);
  if (!later.client.empty()) client = later.client;
}

std::vector<std::byte> extension_handshake(const Endpoint& remote, const ExtensionOffer& offer) {
  bencode::Dictionary messages;
  messages.add("lt_donthave", static_cast<int>(ExtensionId::dont_have));
  if (offer.metadata) messages.add("ut_metadata", static_cast<int>(ExtensionId::metadata));
  if (offer.pex == ExtensionOffer::Pex::on) {
    messages.add("ut_pex", static_cast<int>(ExtensionId::pex));
  } else if (offer.pex == ExtensionOffer::Pex::withdrawn) {
    messages.add("ut_pex", std::int64_t{0});
  }
  bencode::Dictionary handshake;
  handshake.add("m", messages);
  if (offer.metadata_size) handshake.add("metadata_size", std::int64_t{*offer.metadata_size});
  if (offer.port != 0) handshake.add("p", std::int64_t{offer.port});
  handshake.add("reqq", std::int64_t{kServedRequests});
  handshake.add("v", "swarmfs " SWARMFS_VERSION);
  handshake.add("yourip", packed(remote.address()));
  const std::string text = handshake.encode();
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

ExtensionHandshake parse_extension_handshake(std::span<const std::byte> payload) {
  ExtensionHandshake handshake;
  const auto document =
      bencode::Document::read(payload, bencode::kMessageLimits, bencode::Mode::lenient);
  if (!document) return handshake;
  const bencode::Value root = document->root();
  handshake.request_limit = unsigned_in(root["reqq"], 1, std::numeric_limits<std::int32_t>::max());
  handshake.metadata_id = message_id(root["m"]["ut_metadata"]);
  handshake.pex_id = message_id(root["m"]["ut_pex"]);
  handshake.metadata_size = unsigned_in(root["metadata_size"], 1, kMaxMetadataSize);
  handshake.our_address = parse_address(root["yourip"].string().value_or(""));
  if (const auto port = unsigned_in(root["p"], 1, std::numeric_limits<std::uint16_t>::max())) {
    handshake.listen_port = static_cast<std::uint16_t>(*port);
  }
  handshake.client = escaped_name(root["v"].string().value_or(""));
  return handshake;
}

std::optional<std::uint32_t> parse_dont_have(std::span<const std::byte> payload) {
  if (payload.size() != 4) return std::nullopt;
  return read_u32(payload.first<4>());
}

}  // namespace swarmfs::net
