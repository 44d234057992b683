// Announcements to the local network as bytes (BEP 14): an HTTP request header, alone in a
// datagram. No sockets, no clock.
//
// Threads: any; pure. Memory: proportional to the datagram, which is kMaxLsdMessage at the most.
// Errors: what is not an announcement is nothing at all.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "storage/hash.h"

namespace swarmfs::net {

// BEP 14: longer ones "should not" be sent, because they might be cut into fragments.
inline constexpr std::size_t kMaxLsdMessage = 1400;
// Real cookies are 8 to 20 characters. Longer ones are ours to remember, so they are refused.
inline constexpr std::size_t kMaxLsdCookie = 64;

struct LsdAnnounce {
  std::uint16_t port = 0;                      // where the sender takes connections
  std::vector<storage::InfoHash> info_hashes;  // at least one, none twice
  std::string cookie;                          // by which a sender knows its own; may be empty
  bool operator==(const LsdAnnounce&) const = default;
};

// The announcement in a datagram; empty: it is none. Header names in any case, unknown ones
// ignored; a Host, Port or cookie said twice, or one number or digit too many, makes it none.
[[nodiscard]] std::optional<LsdAnnounce> parse_lsd(std::span<const std::byte> datagram);

// A datagram for `group` ("239.192.152.143:6771") with as many of the info-hashes, from the first
// on, as fit: see lsd_capacity().
[[nodiscard]] std::string encode_lsd(const LsdAnnounce& announce, std::string_view group);
// How many info-hashes one datagram takes.
[[nodiscard]] std::size_t lsd_capacity(std::string_view group, std::string_view cookie);

}  // namespace swarmfs::net
