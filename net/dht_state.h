// What a DHT node remembers between runs: its id and the nodes that answered it, as a value and as
// bytes for a file.
//
//   d 2:id 20:<id> 3:id6 20:<id> 5:nodes <26 bytes a node> 6:nodes6 <38 bytes a node> 7:version i1e
//   e
//
// Threads: any; pure. Memory: kMaxSavedNodes a family. Errors: none: what cannot be read is nothing
// remembered.
#pragma once
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "net/node_id.h"

namespace swarmfs::net {

// Nodes kept of each family. A table of a DHT of 10 million nodes holds about 200 (20 buckets of
// 8, and the larger ones near the top).
inline constexpr std::size_t kMaxSavedNodes = 400;

struct DhtState {
  std::optional<NodeId> id;        // of our IPv4 node
  std::optional<NodeId> id6;       // of our IPv6 node: each fits its address (BEP 42)
  std::vector<NodeContact> nodes;  // both families
  bool operator==(const DhtState&) const = default;
};

[[nodiscard]] std::string encode_dht_state(const DhtState& state);
// Bytes of another version, damaged or foreign: an empty state.
[[nodiscard]] DhtState decode_dht_state(std::span<const std::byte> bytes);

}  // namespace swarmfs::net
