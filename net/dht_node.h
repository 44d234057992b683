// Our node among the others: asks them, answers them, and keeps a table of them for each address
// family (two DHTs, BEP 32). What it is asked for, searches and getting in, is net/dht's.
//
// Threads:  engine thread only.
// Memory:   two RoutingTables, DhtQueries, DhtAnswers, and kMaxProbes probes.
// Errors:   none.
// Lifetime: Clock, UdpPort, ExternalAddress and SecretRandom outlive it. After stop() nothing is
//           called any more.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>

#include "net/clock.h"
#include "net/dht_answers.h"
#include "net/dht_queries.h"
#include "net/dht_state.h"
#include "net/external_address.h"
#include "net/krpc.h"
#include "net/name_lookup.h"
#include "net/reachability.h"
#include "net/routing_table.h"
#include "net/udp_port.h"

namespace swarmfs::net {

// Strangers' words that are checked at one time, so that nobody makes us busy: nodes named by
// others for a bucket with room, and nodes that asked us.
inline constexpr std::size_t kMaxProbes = 8;
// Routers' addresses kept of each family: each name has a few.
inline constexpr std::size_t kMaxEntrances = 32;
// A table with fewer nodes than this asks the other family's nodes, too (BEP 32, bootstrapping).
inline constexpr std::size_t kYoungTable = 16;

class DhtNode {
 public:
  struct Parts {
    Clock& clock;
    UdpPort& udp;
    SecretRandom& random;
    ExternalAddress& external;  // nodes bear witness, and our id follows it (BEP 42)
    DhtState saved;
    bool allow_local = false;
    std::function<void(Family)> first_node;  // a family's table had no good node, and has one now
    std::function<void(Family)> moved;       // our id is another one
    std::function<void(int level, const std::string& line)> log;
  };
  explicit DhtNode(Parts parts);

  void start();
  void stop();

  // -- asking
  // True when a node at `endpoint`, named by anybody, may be written to.
  [[nodiscard]] bool may_ask(const UdpEndpoint& endpoint) const;
  // False: not sent, and `then` (may be empty) is not called. Not before this returns.
  bool ask(const UdpEndpoint& to, const krpc::Question& question, DhtQueries::Answer then);
  // Asks a node whether it is there, if the table would take it.
  void probe(const NodeContact& node);
  // One question that keeps the family's table fresh, when one is due.
  void keep_fresh(Family family);
  [[nodiscard]] Duration patience() const { return queries_.patience(); }
  // Whose nodes a question to this family is to be answered with.
  [[nodiscard]] krpc::Want want_of(Family family) const;

  // -- what we know
  [[nodiscard]] bool usable(Family family) const;  // has a socket
  [[nodiscard]] const RoutingTable& table(Family family) const { return side(family).table; }
  [[nodiscard]] std::size_t good_count(Family family) const;
  // Routers: they are asked while we know nobody, and never enter the table.
  [[nodiscard]] bool add_entrance(const UdpEndpoint& endpoint);  // true: it is new
  [[nodiscard]] const std::set<UdpEndpoint>& entrances(Family family) const {
    return side(family).entrances;
  }
  [[nodiscard]] DhtState save() const;
  [[nodiscard]] bool reachable() const { return reachability_.reachable(parts_.clock.now()); }
  [[nodiscard]] std::size_t stored_peers() const { return answers_.stored_peers(); }

 private:
  struct Side {
    explicit Side(const NodeId& id) : table(id) {}
    RoutingTable table;
    std::set<UdpEndpoint> entrances;
  };
  [[nodiscard]] Side& side(Family family) { return family == Family::ipv4 ? ipv4_ : ipv6_; }
  [[nodiscard]] const Side& side(Family family) const {
    return family == Family::ipv4 ? ipv4_ : ipv6_;
  }
  void live_at(const asio::ip::address& address);
  void learn_from(const UdpEndpoint& from, const DhtQueries::Outcome& outcome, bool pinged);
  void meet(const NodeContact& node, bool pinged);
  [[nodiscard]] bool on_datagram(std::span<const std::byte> bytes, const UdpEndpoint& from);
  void on_query(const krpc::Message& message, std::size_t size, const UdpEndpoint& from);

  Parts parts_;
  Side ipv4_;
  Side ipv6_;
  DhtAnswers answers_;
  DhtQueries queries_;
  Reachability reachability_;
  std::set<UdpEndpoint> probing_;
  bool running_ = false;
  UdpPort::Subscription subscription_;
  ExternalAddress::Following address_;
};

}  // namespace swarmfs::net
