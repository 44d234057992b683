// Who comes to us: takes connections on the process's one TCP port, reads their handshake, and
// hands each to the torrent it names. Whoever does not say at once which that is costs us a socket
// for a moment, and nobody else a place.
//
// Threads:  engine thread only.
// Memory:   at most kMaxGuests sockets that have not said a handshake; nothing is buffered.
// Errors:   none; what cannot be taken is dropped. A port that cannot be had is said by port().
// Lifetime: co_await stop() before destruction. A Registration may outlive it; its Take must stay
//           callable until it is dropped.
#pragma once
#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "net/clock.h"
#include "net/local_interface.h"
#include "net/peer_wire.h"
#include "net/stream.h"

namespace swarmfs::net {

// Connections that have not said their handshake (design section 8). One more, and the one that has
// been silent longest goes: a peer says it with its first segment, a flood says nothing.
inline constexpr std::size_t kMaxGuests = 64;
// Of these, from one host: a household behind one address has a few clients.
inline constexpr std::size_t kMaxGuestsPerHost = 8;
// From the connection to the whole handshake, however it is dripped (design section 8).
inline constexpr Duration kGuestDeadline = std::chrono::seconds(10);
// Other numbers tried when the wanted port is taken, before a free one is.
inline constexpr std::uint16_t kPortTries = 10;

// A TCP port of both families, where the host and the interface have both.
struct TcpPort {
  std::vector<Acceptor> acceptors;
  std::uint16_t number = 0;  // 0: none could be had
};
// `port`, the next free one when it is taken, or any free one (0). `log` is told what cannot be
// had.
[[nodiscard]] TcpPort open_tcp_port(const asio::any_io_executor& executor, std::uint16_t port,
                                    const LocalInterface& interface,
                                    const std::function<void(const std::string&)>& log);

class Listener {
 public:
  struct Parts {
    asio::any_io_executor executor;
    Clock& clock;
    TcpPort at;
  };
  // A peer of the torrent, and what it said. Nothing has been said to it.
  using Take = std::function<void(std::unique_ptr<Stream>, const Handshake&)>;
  using Registration = std::shared_ptr<void>;  // ends when it is dropped

  explicit Listener(Parts parts);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  void start();
  // Who names any other torrent is disconnected.
  [[nodiscard]] Registration expect(const storage::InfoHash& torrent, Take take);
  [[nodiscard]] std::uint16_t port() const;  // where peers reach us; 0: nowhere
  [[nodiscard]] std::size_t guests() const;  // that have not said their handshake
  [[nodiscard]] Task<void> stop();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace swarmfs::net
