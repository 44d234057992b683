// The simulated DHT: a population of scripted nodes whose tables are filled from the whole truth,
// with what is wrong with real ones: silent, slow, leaving, limited, unreachable and lying nodes.
//
// Threads: one. Memory: about 10 kB a node. Errors: complaints() about what the watched program
// sent. Lifetime: loop and net outlive it, and the loop does not run after it is gone.
#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "tests/sim/sim_dht_node.h"

namespace swarmfs::sim {

struct DhtSpec {
  std::uint64_t seed = 1;
  std::size_t nodes = 1000;    // in each family that there is
  bool v4 = true, v6 = false;  // both: every host has both
  // Shares of the nodes.
  double silent = 0.2, slow = 0.03, churning = 0, limited = 0.03, behind_nat = 0.05;
  double poison = 0;      // in equal parts of each kind
  Duration stay = 10min;  // of a churning node in the mean, and as long away
  // What each node does of its own accord: a ping, or a lookup of a few steps.
  double errands_per_minute = 1;
};

class SimDht {
 public:
  SimDht(SimLoop& loop, DatagramNet& net, const DhtSpec& spec);
  ~SimDht();
  SimDht(const SimDht&) = delete;
  SimDht& operator=(const SimDht&) = delete;

  // Two honest nodes of each family, which never leave.
  [[nodiscard]] std::vector<UdpEndpoint> routers() const;
  // As if each of `peers` had announced itself: to the closest nodes that answer, of which one in
  // ten missed it.
  void announce(const DhtId& info_hash, std::span<const UdpEndpoint> peers);
  // Nodes that would tell.
  [[nodiscard]] std::size_t holders(const DhtId& info_hash, const UdpEndpoint& peer) const;
  // Nodes with `endpoint` in their tables.
  [[nodiscard]] std::size_t known_by(const UdpEndpoint& endpoint) const;
  [[nodiscard]] const std::map<UdpEndpoint, const SimDhtNode*>& everybody() const {
    return by_endpoint_;
  }
  [[nodiscard]] const SimDhtNode* node_at(const UdpEndpoint& endpoint) const;

  // From now on the nodes judge what this endpoint sends.
  void watch(const UdpEndpoint& endpoint) { watched_.insert(endpoint); }
  [[nodiscard]] const std::vector<std::string>& complaints() const { return complaints_; }
  // Under which id it last spoke; all zero: it has not.
  [[nodiscard]] DhtId id_of_watched(const UdpEndpoint& endpoint) const;

 private:
  friend class SimDhtNode;
  using Nodes = std::vector<std::unique_ptr<SimDhtNode>>;
  void populate(bool v6);
  void fill_tables(const Nodes& nodes);
  [[nodiscard]] std::vector<Conduct> conducts();
  void complain(const UdpEndpoint& about, const std::string& what);
  void heard(const UdpEndpoint& endpoint, const DhtId& id);

  SimLoop& loop_;
  DatagramNet& net_;
  DhtSpec spec_;
  Rng rng_;
  std::array<Nodes, 2> nodes_;  // IPv4, IPv6
  std::map<UdpEndpoint, const SimDhtNode*> by_endpoint_;
  std::array<std::unique_ptr<Poison>, 2> poison_;
  std::set<UdpEndpoint> watched_;
  std::map<UdpEndpoint, DhtId> heard_;
  std::vector<std::string> complaints_;
};

}  // namespace swarmfs::sim
