// What a UDP tracker says and hears, as bytes written by hand from BEP 15.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "net/stream.h"

namespace swarmfs::net::packets {

inline std::string big_endian(std::uint64_t value, int size) {
  std::string bytes;
  for (int shift = 8 * (size - 1); shift >= 0; shift -= 8) {
    bytes += static_cast<char>(value >> shift & 0xff);
  }
  return bytes;
}
inline std::uint64_t number_at(std::string_view bytes, std::size_t at, std::size_t size) {
  std::uint64_t value = 0;
  for (const char c : bytes.substr(at, size)) value = value << 8 | static_cast<unsigned char>(c);
  return value;
}
inline std::string compact_peer(const Endpoint& peer) {
  std::string record;
  const auto append = [&record](const auto& bytes) {
    record.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  };
  if (peer.address().is_v4()) append(peer.address().to_v4().to_bytes());
  if (peer.address().is_v6()) append(peer.address().to_v6().to_bytes());
  return record + big_endian(peer.port(), 2);
}
inline std::string compact_peers(const std::vector<Endpoint>& peers) {
  std::string records;
  for (const Endpoint& peer : peers) records += compact_peer(peer);
  return records;
}

// ---- Requests
inline bool is_connect(std::string_view request) {
  return request.size() == 16 && number_at(request, 0, 8) == 0x41727101980 &&
         number_at(request, 8, 4) == 0;
}
inline bool is_announce(std::string_view request) {
  return request.size() >= 98 && number_at(request, 8, 4) == 1;
}
inline std::uint32_t transaction_of(std::string_view request) {
  return static_cast<std::uint32_t>(number_at(request, 12, 4));
}
inline std::uint64_t event_of(std::string_view announce) {
  return number_at(announce, 80, 4);
}

// ---- Replies
inline std::string connected(std::uint32_t transaction, std::uint64_t id) {
  return big_endian(0, 4) + big_endian(transaction, 4) + big_endian(id, 8);
}
inline std::string announced(std::uint32_t transaction, std::uint32_t interval,
                             const std::string& peers) {
  return big_endian(1, 4) + big_endian(transaction, 4) + big_endian(interval, 4) +
         big_endian(3, 4) + big_endian(4, 4) + peers;
}
inline std::string refused(std::uint32_t transaction, const std::string& why) {
  return big_endian(3, 4) + big_endian(transaction, 4) + why;
}

}  // namespace swarmfs::net::packets
