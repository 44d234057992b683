// The part of a .torrent that says where to look for peers: trackers (BEP 3, 12), web seeds (BEP
// 19), DHT nodes (BEP 5). None of it is needed to read the torrent, so nothing here fails: what is
// wrong is left out, with a warning. Whether an address may be connected to is decided after
// resolution, by the connect policy of net/.
//
// Threads: any. Memory: the limits below. Errors: none.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "storage/bencode.h"
#include "storage/warning_list.h"

namespace swarmfs::storage {

// Longer URLs than HTTP servers commonly accept are no use; real announce URLs with passkeys have
// about 100 bytes.
inline constexpr std::size_t kMaxUrlSize = 2048;
// Public lists that people paste into torrents have up to about 100 trackers; each is announced to.
inline constexpr std::size_t kMaxTrackers = 100;
inline constexpr std::size_t kMaxWebSeeds = 50;
// BEP 5 suggests the K closest nodes, K = 8.
inline constexpr std::size_t kMaxNodes = 100;
// RFC 1035, 2.3.4, as text.
inline constexpr std::size_t kMaxHostSize = 253;

// As somebody wrote it down: an address or a name that has yet to be looked up.
struct HostPort {
  std::string host;  // IPv6 without brackets
  std::uint16_t port = 0;
  bool operator==(const HostPort&) const = default;
};

struct MetainfoSources {
  std::vector<std::vector<std::string>> trackers;  // tiers; no URL twice
  std::vector<std::string> web_seeds;
  std::vector<HostPort> nodes;
};

[[nodiscard]] MetainfoSources read_sources(bencode::Value root, WarningList& warnings);

// http, https or udp, with a host, without control characters and spaces, at most kMaxUrlSize
// bytes.
[[nodiscard]] bool is_tracker_url(std::string_view url);
// The same for http and https.
[[nodiscard]] bool is_web_seed_url(std::string_view url);

// HOST:PORT, with IPv6 addresses in brackets. Empty: it is not that.
[[nodiscard]] std::optional<HostPort> parse_host_port(std::string_view text);

}  // namespace swarmfs::storage
