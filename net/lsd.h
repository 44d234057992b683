// Local service discovery (BEP 14): tells the networks this host is on which torrents we take part
// in, and hears who else does.
//
// Threads:  engine thread only.
// Memory:   a record a torrent, with at most kMaxLsdHeard senders; one buffer.
// Errors:   none: a network that cannot be used is tried again at the next announcement.
// Lifetime: co_await stop() before destruction; `found` and `log` stay callable until then.
#pragma once
#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "net/clock.h"
#include "net/lsd_sockets.h"
#include "net/stream.h"
#include "storage/hash.h"

namespace swarmfs::net {

// BEP 14: a torrent is announced every five minutes, and nobody sends more than once a minute. Up
// to kLsdSpread later, so that hosts that woke together part ways.
inline constexpr Duration kLsdInterval = std::chrono::minutes(5);
inline constexpr Duration kLsdMinInterval = std::chrono::minutes(1);
inline constexpr Duration kLsdSpread = std::chrono::seconds(20);
// An answer to a newcomer waits up to this, so that a hundred hosts do not answer at once.
inline constexpr Duration kLsdAnswerSpread = std::chrono::seconds(1);
// Addresses believed from one sender, and in all, in a minute. A sender has one address and any
// number of ports; a household has a few clients on one host.
inline constexpr std::size_t kMaxLsdPeersPerSource = 8;
inline constexpr std::size_t kMaxLsdPeers = 100;
// Senders remembered for one torrent, to tell newcomers, who are answered, from those who repeat
// themselves. Where there are more nobody needs our answer.
inline constexpr std::size_t kMaxLsdHeard = 64;

class Lsd {
 public:
  using Found =
      std::function<void(const storage::InfoHash& torrent, std::span<const Endpoint> peers)>;
  struct Parts {
    asio::any_io_executor executor;
    Clock& clock;
    // Called at start and again every few minutes, because networks come and go. See
    // open_lsd_sockets().
    std::function<std::vector<LsdSocket>()> open_sockets;
    std::uint16_t port = 0;  // where peers reach us; 0: nowhere, so we only listen
    std::uint64_t seed = 1;  // another one in each process: our cookie comes from it
    Found found;             // for PeerSource::lsd
    std::function<void(const std::string& line)> log;
  };
  explicit Lsd(Parts parts);
  ~Lsd();
  Lsd(const Lsd&) = delete;
  Lsd& operator=(const Lsd&) = delete;

  void start();
  // Takes part for this torrent from now on, before start() or after: never for a private one
  // (BEP 27). What is announced in one turn of the event loop goes out together.
  void announce(const storage::InfoHash& torrent);
  void withdraw(const storage::InfoHash& torrent);
  [[nodiscard]] Task<void> stop();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace swarmfs::net
