// Our node in the DHT (BEP 5, 32, 42, 43): finds peers of info-hashes, announces us, keeps a table
// of nodes that answered, and answers others. Queries and answers go through the shared UdpPort.
//
// Threads:  engine thread only.
// Memory:   bounded by the limits of routing_table, dht_store, dht_limits and kMaxDhtSearches; a
//           query in flight is a small record, and there are at most kMaxQueries.
// Errors:   none; a silent node is forgotten, a DHT without nodes finds nothing and keeps trying.
// Lifetime: co_await stop() before destruction; `found` must stay callable until then or until its
//           DhtSearch is gone. Clock and UdpPort outlive the Dht.
#pragma once
#include <boost/asio/any_io_executor.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "net/clock.h"
#include "net/dht_state.h"
#include "net/external_address.h"
#include "net/stream.h"
#include "net/udp_port.h"
#include "storage/metainfo_sources.h"

namespace swarmfs::net {

// The routers that most programs start from. Asked only while our table is empty.
[[nodiscard]] std::vector<storage::HostPort> default_dht_routers();

// A search in force: looks at once and again every few minutes. Destroying it ends the search. May
// outlive its Dht.
class DhtSearch {
 public:
  DhtSearch() = default;
  explicit DhtSearch(std::function<void()> end) : end_(std::move(end)) {}
  DhtSearch(DhtSearch&& other) noexcept : end_(std::exchange(other.end_, nullptr)) {}
  DhtSearch& operator=(DhtSearch&& other) noexcept {
    std::swap(end_, other.end_);
    return *this;
  }
  ~DhtSearch() {
    if (end_) end_();
  }

 private:
  std::function<void()> end_;
};

// How one pass of a search went.
struct DhtPass {
  Duration took{};
  std::size_t messages = 0;   // datagrams we sent, announces included
  std::size_t responded = 0;  // nodes that answered
  std::size_t peers = 0;      // distinct ones
  std::size_t announced = 0;  // nodes told about us
};

struct DhtSearchRequest {
  storage::InfoHash info_hash;
  // Peers as they come, those the connect policy allows, each once a pass. Must not destroy the
  // Dht.
  std::function<void(std::span<const Endpoint>)> found;
  std::optional<std::uint16_t> announce_port;  // announce that we are a peer at this TCP port
  std::function<void(const DhtPass&)> pass_done = {};  // after each pass; may be empty
};

struct DhtStatus {
  std::size_t good_nodes = 0;   // IPv4 and IPv6
  std::size_t good_nodes6 = 0;  // IPv6 of these
  bool bootstrapped = false;    // the first look for our own neighbours has ended with some found
  bool reachable = false;       // somebody we never contacted has asked us: we answer (BEP 43)
  std::size_t searches = 0;
  std::size_t stored_peers = 0;  // announced to us
};

class Dht {
 public:
  using Lookup = std::function<Task<Result<std::vector<Endpoint>>>(std::string, std::uint16_t)>;
  struct Parts {
    asio::any_io_executor executor;
    Clock& clock;
    UdpPort& udp;
    std::uint64_t seed = 1;  // of every random choice; secret, where strangers matter
    std::vector<storage::HostPort> bootstrap;  // asked while the table is empty
    DhtState saved;
    bool allow_local = false;  // loopback and link-local nodes and peers, for tests
    std::function<void(int level, const std::string& line)> log;  // as Swarm::Log
    Lookup look_up = {};                                          // empty: net/name_lookup
    // Where the others see us. Never null.
    std::shared_ptr<ExternalAddress> external = std::make_shared<ExternalAddress>();
  };
  explicit Dht(Parts parts);
  ~Dht();
  Dht(const Dht&) = delete;
  Dht& operator=(const Dht&) = delete;

  void start();
  // A node somebody named (a torrent's `nodes`, a PORT message): asked once, kept when it answers.
  void add_node(const UdpEndpoint& endpoint);
  [[nodiscard]] DhtSearch search(DhtSearchRequest request);
  [[nodiscard]] NodeId id() const;
  [[nodiscard]] DhtState save() const;
  [[nodiscard]] DhtStatus status() const;
  [[nodiscard]] Task<void> stop();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace swarmfs::net
