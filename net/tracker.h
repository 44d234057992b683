// Announcing one torrent to its trackers, over HTTP and UDP. At the start all of them are asked at
// once, because somebody waits for the first byte; from then on BEP 12 holds: whoever answers moves
// to the front of its tier, and only one a tier keeps announcing, until it fails. Where a host has
// addresses of both families, both hear of us (BEP 7, BEP 15).
//
// Threads: engine thread only. Memory: replies are capped (kMaxHttpBody, kMaxPeersPerReply), and so
// is the number of trackers (kMaxTrackers). Errors: a failing tracker is logged once per change of
// state and retried with back-off; it never fails the torrent. Lifetime: co_await stop() before
// destruction, and before that of the Clock and the UdpPort.
#pragma once
#include <boost/asio/ip/address.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "net/announce.h"
#include "net/clock.h"
#include "net/connect_policy.h"
#include "net/http.h"
#include "net/local_interface.h"
#include "net/stream.h"
#include "net/udp_port.h"

namespace swarmfs::net {

// Trackers announced to. Lists in the wild reach about 200, most of them dead; each is a connection
// or a datagram at start.
inline constexpr std::size_t kMaxTrackers = 100;
// What "stopped" may cost at the end: the whole shutdown takes less than a second. A tracker that
// misses it forgets us after an interval anyway.
inline constexpr Duration kStopDeadline = std::chrono::milliseconds(800);

class Announcer {
 public:
  using Fetch = std::function<Task<Result<HttpReply>>(HttpRequest)>;
  struct Parts {
    asio::any_io_executor executor;
    Clock& clock;
    std::vector<std::vector<std::string>> tiers;
    bool allow_local = false;
    AnnounceRequest identity;  // event, downloaded, left filled in per announce
    std::function<std::pair<std::uint64_t, std::uint64_t>()> progress;  // downloaded, left
    std::function<void(std::span<const Endpoint>, PeerSource)> found;   // new peers
    std::function<void(const std::string&)> log;                        // one line
    Fetch fetch = {};                                                   // empty: http_get
    UdpPort* udp = nullptr;                                             // null: no UDP trackers
    std::uint64_t seed = 0;                                             // of UDP transaction ids
    std::size_t user_tiers = 0;     // how many tiers, the first ones, the user typed
    LocalInterface interface = {};  // HTTP leaves by it; `udp` is bound already
    // What a tracker (`witness`) says our address is (BEP 24). A claim, no fact.
    std::function<void(const asio::ip::address& witness, const asio::ip::address& seen)> seen_at =
        {};
  };
  explicit Announcer(Parts parts);
  ~Announcer();
  Announcer(const Announcer&) = delete;
  Announcer& operator=(const Announcer&) = delete;
  void start();
  // Says "stopped" where "started" was heard, for at most kStopDeadline, and ends.
  [[nodiscard]] Task<void> stop();
  // One line for the user: what the trackers last said ("2 of 3 trackers answered, 14 peers").
  [[nodiscard]] std::string status() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace swarmfs::net
