// The DHT's messages (KRPC of BEP 5, with BEP 32, 42 and 43) as the simulated nodes read and write
// them: straight on bencode and independent of net/krpc. Reading is strict where the documents are:
// the nodes judge what our program sends.
//
// Threads: any; pure. Memory: the message. Errors: one sentence that says what is wrong.
#pragma once
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "storage/bencode.h"
#include "tests/sim/dht_id.h"

namespace swarmfs::sim {

enum class DhtMethod : std::uint8_t { ping, find_node, get_peers, announce_peer, unknown };

struct DhtQuery {
  std::string transaction;
  DhtMethod method = DhtMethod::unknown;
  DhtId id{};
  DhtId target{};  // or the info-hash
  bool want4 = false, want6 = false;
  bool named_a_family = false;  // has a `want`
  bool read_only = false;       // BEP 43
  std::string token;
  std::uint16_t port = 0;
  bool implied_port = false;
};

struct DhtReply {
  std::string transaction;
  DhtId id{};
  std::optional<std::vector<DhtContact>> nodes4, nodes6;
  std::optional<std::vector<UdpEndpoint>> values;
  std::string token;
  std::optional<UdpEndpoint> your_address;  // BEP 42: who the sender thinks we are
};

struct DhtError {
  std::string transaction;
  std::int64_t code = 0;
};

struct Wrong {
  std::string what;
};
using DhtMessage = std::variant<DhtQuery, DhtReply, DhtError, Wrong>;

[[nodiscard]] DhtMessage read_dht_message(std::span<const std::byte> payload);
[[nodiscard]] std::string write(const DhtQuery& query);
[[nodiscard]] std::string write(const DhtReply& reply);
[[nodiscard]] std::string write_error(std::string_view transaction, int code,
                                      std::string_view text);

}  // namespace swarmfs::sim
