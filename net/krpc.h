// The DHT's messages as values and as bytes (BEP 5, 32, 42, 43): no sockets, no clock, no table.
//
// Threads: any; pure. Memory: a message of at most kMaxReceived bytes gives at most kMaxNodes nodes
// a family and kMaxValues peers. Errors: NetErrc::protocol_error for what deserves no answer;
// nothing a stranger sends throws.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "net/name_lookup.h"
#include "net/node_id.h"
#include "net/stream.h"
#include "storage/result.h"

namespace swarmfs::net::krpc {

// Longest message that is read: an Ethernet frame's payload. BEP 32 allows 1,024 bytes; some
// programs send more.
inline constexpr std::size_t kMaxReceived = 1500;
// Longest message that we send, below BEP 32's 1,024: what a get_peers reply may cost a victim
// whose address was forged stays near ten times the query.
inline constexpr std::size_t kMaxSent = 1000;
// A transaction id is echoed to whoever sent it: 2 to 4 bytes in the wild, 20 at most in what we
// have seen.
inline constexpr std::size_t kMaxTransaction = 32;
// A token is kept for the announce: 4 (libtorrent) to 20 bytes (uTorrent) in the wild.
inline constexpr std::size_t kMaxToken = 64;
// Nodes read from a reply, for each family: K of BEP 5. Who sends more does not get to fill our
// search.
inline constexpr std::size_t kMaxNodes = 8;
// Peers read from a reply; 1,500 bytes would hold 180.
inline constexpr std::size_t kMaxValues = 100;
inline constexpr std::size_t kMaxErrorText = 100;  // shown in the log only
inline constexpr std::size_t kMaxVersion = 8;      // 4 in practice
// `v` of what we send: two letters and a version, as programs do.
inline constexpr std::string_view kOurVersion{"SW\0\1", 4};

enum ErrorCode : std::int64_t {  // BEP 5
  kGenericError = 201,
  kProtocolError = 203,
  kMethodUnknown = 204,
};

// Which nodes a reply should name (BEP 32); neither: those of the family it travels by.
struct Want {
  bool n4 = false;
  bool n6 = false;
  bool operator==(const Want&) const = default;
};

struct Ping {
  bool operator==(const Ping&) const = default;
};
struct FindNode {
  NodeId target;
  Want want;
  bool operator==(const FindNode&) const = default;
};
struct GetPeers {
  NodeId info_hash;
  Want want;
  bool operator==(const GetPeers&) const = default;
};
struct AnnouncePeer {
  NodeId info_hash;
  std::uint16_t port = 0;
  bool implied_port = false;  // the datagram's source port is meant
  std::string token;
  bool operator==(const AnnouncePeer&) const = default;
};
using Question = std::variant<Ping, FindNode, GetPeers, AnnouncePeer>;

struct Query {
  NodeId id;  // of the sender
  Question question;
  bool read_only = false;  // BEP 43: do not put the sender into a table
  bool operator==(const Query&) const = default;
};
struct Reply {
  NodeId id;
  std::vector<NodeContact> nodes;  // IPv4 and IPv6
  std::vector<Endpoint> values;
  std::string token;
  bool operator==(const Reply&) const = default;
};
struct Error {
  std::int64_t code = 0;
  std::string text;
  bool operator==(const Error&) const = default;
};
// A query that can only be answered with this error. Never encoded.
struct BadQuery {
  std::int64_t code = 0;
  bool operator==(const BadQuery&) const = default;
};

struct Message {
  std::string transaction;
  std::variant<Query, Reply, Error, BadQuery> body;
  std::optional<UdpEndpoint> ip = {};  // BEP 42: where the receiver is, as the sender sees it
  std::string version = {};
  bool operator==(const Message&) const = default;
};

[[nodiscard]] Result<Message> decode(std::span<const std::byte> datagram);
[[nodiscard]] std::string encode(const Message& message);

// Compact node info (BEP 5, BEP 32): the nodes of one family, 26 or 38 bytes each.
[[nodiscard]] std::string compact_nodes(std::span<const NodeContact> nodes, Family family);
// Appends at most `limit` nodes. Whole records only; nodes with port 0 or an address of the other
// family are left out.
void read_compact_nodes(std::string_view records, Family family, std::size_t limit,
                        std::vector<NodeContact>& out);

}  // namespace swarmfs::net::krpc
