// The peer protocol as the simulated peers and the auditor speak it (BEP 3, 6, 10): written from
// the specification and on purpose not from net/peer_wire, so that a misreading there does not
// agree with itself here.
//
// Threads: plain values. Errors: Splitter stops at a length no message has.
#pragma once
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <span>
#include <string_view>
#include <vector>

#include "storage/hash.h"

namespace swarmfs::sim::wire {

using Bytes = std::vector<std::byte>;

enum Id : std::uint8_t {
  kChoke = 0,
  kUnchoke = 1,
  kInterested = 2,
  kNotInterested = 3,
  kHave = 4,
  kBitfield = 5,
  kRequest = 6,
  kPiece = 7,
  kCancel = 8,
  kSuggest = 13,
  kHaveAll = 14,
  kHaveNone = 15,
  kReject = 16,
  kAllowedFast = 17,
  kExtended = 20,
};

inline constexpr std::size_t kHandshakeSize = 68;
inline constexpr std::size_t kMaxBody =
    2 * 1024 * 1024;  // no peer of ours sends more, no correct engine either

struct Handshake {
  storage::InfoHash info_hash;
  bool fast = false;      // BEP 6: reserved[7] & 4
  bool extended = false;  // BEP 10: reserved[5] & 16
};
void put_handshake(Bytes& out, const Handshake& handshake, std::uint64_t peer_id);

void put_u32(Bytes& out, std::uint32_t value);
[[nodiscard]] std::uint32_t get_u32(std::span<const std::byte> bytes, std::size_t at);
// A message of id and 32-bit numbers: have, request, cancel, reject, allowed fast; none for the
// empty ones.
void put(Bytes& out, Id id, std::initializer_list<std::uint32_t> numbers = {});
void put_body(Bytes& out, Id id, std::span<const std::byte> body);
// BEP 10 handshake that announces `reqq`, and with `metadata_size` (not 0) ut_metadata under
// kMetadataId.
inline constexpr std::uint8_t kMetadataId = 3;
void put_extended_handshake(Bytes& out, std::uint32_t reqq, std::uint32_t metadata_size = 0);
// BEP 9: type 0 request, 1 data, 2 reject.
void put_metadata(Bytes& out, std::uint8_t id, std::uint32_t type, std::uint32_t piece,
                  std::uint32_t total_size, std::span<const std::byte> data);
// The integer after `key` ("4:reqqi") in a bencoded text, or `otherwise`.
[[nodiscard]] std::uint32_t find_integer(std::span<const std::byte> text, std::string_view key,
                                         std::uint32_t otherwise);

// Cuts a byte stream into a handshake and messages.
class Splitter {
 public:
  std::function<void(const Handshake&)> on_handshake;
  std::function<void(std::uint8_t id, std::span<const std::byte> body)>
      on_message;  // body without the id
  void feed(std::span<const std::byte> bytes);
  [[nodiscard]] bool broken() const { return broken_; }

 private:
  std::size_t take_one(std::span<const std::byte> bytes);
  Bytes pending_;
  bool greeted_ = false;
  bool broken_ = false;
};

}  // namespace swarmfs::sim::wire
