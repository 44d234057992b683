#include "net/dht_state.h"

#include <algorithm>

#include "net/krpc.h"
#include "storage/bencode.h"

namespace swarmfs::net {
namespace {

namespace bencode = storage::bencode;

constexpr std::int64_t kVersion = 1;
constexpr bencode::Limits kStateLimits{2, 20};

std::optional<NodeId> read_id(bencode::Value value) {
  const auto bytes = value.bytes();
  NodeId id;
  if (!bytes || bytes->size() != id.bytes.size()) return std::nullopt;
  std::copy(bytes->begin(), bytes->end(), id.bytes.begin());
  return id;
}

}  // namespace

std::string encode_dht_state(const DhtState& state) {
  bencode::Dictionary root;
  root.add("version", kVersion);
  if (state.id) root.add("id", state.id->bytes);
  if (state.id6) root.add("id6", state.id6->bytes);
  root.add("nodes", krpc::compact_nodes(state.nodes, Family::ipv4));
  root.add("nodes6", krpc::compact_nodes(state.nodes, Family::ipv6));
  return root.encode();
}

DhtState decode_dht_state(std::span<const std::byte> bytes) {
  DhtState state;
  const auto document = bencode::Document::read(bytes, kStateLimits, bencode::Mode::strict);
  if (!document || !document->trailing().empty()) return state;
  const bencode::Value root = document->root();
  if (root["version"].integer() != kVersion) return state;
  state.id = read_id(root["id"]);
  state.id6 = read_id(root["id6"]);
  for (const auto& [key, family] :
       {std::pair("nodes", Family::ipv4), std::pair("nodes6", Family::ipv6)}) {
    krpc::read_compact_nodes(root[key].string().value_or(""), family, kMaxSavedNodes, state.nodes);
  }
  return state;
}

}  // namespace swarmfs::net
