// Our net/dht as one more node of the simulated DHT, and what a lookup of it takes.
//
// Threads: one. Errors: a stop() that does not end ends the program. Lifetime: loop and net outlive
// it; the destructor stops everything.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "net/dht.h"
#include "net/udp_port.h"
#include "storage/task_group.h"
#include "tests/sim/dht_id.h"
#include "tests/sim/sim_datagram.h"
#include "tests/sim/sim_dht.h"

namespace swarmfs::sim {

// How one pass of a search went, from the call on, as the network saw it.
struct Looked {
  std::optional<Duration> first;  // until the first true peer
  std::optional<Duration> took;   // until the pass ended
  std::uint64_t messages = 0;     // that we sent meanwhile, of whatever kind
  std::set<net::Endpoint> found;
  std::size_t true_peers = 0;  // of found
  net::DhtPass pass;           // as the program counts
};

class OurDht {
 public:
  struct Config {
    std::uint64_t seed = 1;
    std::vector<UdpEndpoint> at;  // one a family
    std::vector<UdpEndpoint> routers;
    net::DhtState saved;
  };
  OurDht(SimLoop& loop, DatagramNet& net, const Config& config);
  ~OurDht();
  OurDht(const OurDht&) = delete;
  OurDht& operator=(const OurDht&) = delete;
  [[nodiscard]] net::Dht& dht() { return *dht_; }
  [[nodiscard]] Traffic traffic() const;  // of all families
  // Runs the loop until one pass has ended, or for that long.
  [[nodiscard]] Looked look_up(const DhtId& info_hash, const std::set<net::Endpoint>& truth,
                               std::optional<std::uint16_t> announce = {}, Duration at_most = 120s);

 private:
  [[nodiscard]] static Task<void> stop(OurDht& self, bool& stopped);

  SimLoop& loop_;
  DatagramNet& net_;
  std::vector<UdpEndpoint> at_;
  std::unique_ptr<net::UdpPort> udp_;
  std::unique_ptr<net::Dht> dht_;
  storage::TaskGroup tasks_;
};

// Torrents of 20 peers each, announced.
struct Torrent {
  DhtId info_hash{};
  std::vector<UdpEndpoint> announced;
  std::set<net::Endpoint> peers;  // the same
};
[[nodiscard]] Torrent announced_torrent(SimDht& dht, Rng& rng, bool v4 = true, bool v6 = false);

struct LookupFigures {
  std::size_t lookups = 0, without_peer = 0;
  Duration median{}, p95{};          // until the first true peer; what found none counts as an hour
  Duration end_median{}, end_p95{};  // until the pass has ended
  double messages = 0;               // sent, mean
  double peers = 0;                  // true ones found of 20, mean
};
[[nodiscard]] LookupFigures figures_of(std::vector<Looked> lookups);
[[nodiscard]] std::string describe(const LookupFigures& figures);

// 200 lookups one after the other, the table warm after ten minutes.
inline constexpr std::size_t kMeasuredLookups = 200;
inline constexpr Duration kWarmUp = 10min;
[[nodiscard]] LookupFigures measure_lookups(const DhtSpec& spec);
// `--dht`: the figures of seeds `first`, first + 1, ...
void print_dht_figures(std::uint64_t first, std::uint64_t count);

}  // namespace swarmfs::sim
