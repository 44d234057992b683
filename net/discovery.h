// How peers are found without a tracker, for all torrents of the process: the DHT and local service
// discovery, on the UDP port that UDP trackers use too.
//
// Threads:  engine thread only.
// Memory:   that of Dht and Lsd.
// Errors:   none; what cannot be used is logged once and done without.
// Lifetime: co_await stop() before destruction. A Search may outlive it.
#pragma once
#include <boost/asio/any_io_executor.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "net/clock.h"
#include "net/connect_policy.h"
#include "net/dht.h"
#include "net/external_address.h"
#include "net/local_interface.h"
#include "net/lsd.h"
#include "net/stream.h"
#include "net/udp_port.h"
#include "storage/hash.h"
#include "storage/metainfo_sources.h"
#include "storage/task_group.h"

namespace swarmfs::net {

class Discovery {
 public:
  using Found = std::function<void(std::span<const Endpoint>, PeerSource)>;
  using Log = std::function<void(int level, const std::string& line)>;  // as Connections::Log

  struct Parts {
    asio::any_io_executor executor;
    Clock& clock;
    std::uint16_t port = 0;       // of UDP; another one when it is taken
    std::uint16_t peer_port = 0;  // of TCP, where peers reach us: announced; 0: nowhere
    LocalInterface interface = {};
    bool dht = true;
    bool lsd = true;
    std::vector<storage::HostPort> routers;  // of the DHT, besides the usual ones
    DhtState saved = {};                     // what an earlier run knew
    bool allow_local = false;
    Log log;
  };

  // The search for one torrent's peers; destroying it ends it.
  class Search {
   public:
    Search() = default;
    Search(Search&&) = default;
    Search& operator=(Search&&) = default;

   private:
    friend class Discovery;
    DhtSearch dht_;
    std::shared_ptr<void> lsd_;
  };

  explicit Discovery(Parts parts);
  ~Discovery();
  Discovery(const Discovery&) = delete;
  Discovery& operator=(const Discovery&) = delete;

  void start();
  // Never for a private torrent (BEP 27). `nodes`: of the DHT, named by the torrent. `found` must
  // stay callable until the Search is gone.
  [[nodiscard]] Search search(const storage::InfoHash& torrent,
                              const std::vector<storage::HostPort>& nodes, Found found);
  [[nodiscard]] UdpPort& udp();
  // Where the others see us, for all torrents. Never null.
  [[nodiscard]] const std::shared_ptr<ExternalAddress>& external() const;
  // To be given back as Parts::saved; empty without a DHT.
  [[nodiscard]] std::optional<DhtState> dht_state() const;
  // For the user: "DHT: 57 nodes"; empty without one.
  [[nodiscard]] std::string status() const;
  [[nodiscard]] Task<void> stop();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace swarmfs::net
