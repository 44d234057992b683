// The one UDP port that DHT, UDP trackers and uTP share: sends for all of them, and gives what
// arrives to the one it is for.
//
// Threads: engine thread only. Memory: one receive buffer. Errors: sending never fails visibly, a
// lost datagram is the caller's timeout; a family without a socket is said by can_reach().
// Lifetime: co_await stop() before destruction; listeners must stay callable until then or until
// their Subscription is gone.
#pragma once
#include <boost/asio/any_io_executor.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "net/datagram.h"
#include "net/local_interface.h"

namespace swarmfs::net {

// Larger than any datagram of the protocols we speak over an Ethernet path (1,500 bytes), smaller
// than what fragments could carry: what is longer is not for us.
inline constexpr std::size_t kMaxDatagram = 2048;
// Datagrams taken in one turn of the event loop, so that a flood at the port (100,000 a second are
// easily sent) delays a read by well under a millisecond and not for as long as it lasts.
inline constexpr std::size_t kMaxDatagramsPerTurn = 32;

class UdpPort {
 public:
  // True when the datagram was for this listener: the next ones are not asked. It may subscribe,
  // unsubscribe and send. The bytes are gone when it returns. Empty datagrams are not delivered.
  using Listener = std::function<bool(std::span<const std::byte>, const UdpEndpoint& from)>;
  // Unsubscribes when destroyed.
  class Subscription {
   public:
    Subscription() = default;
    explicit Subscription(std::function<void()> end) : end_(std::move(end)) {}
    Subscription(Subscription&& other) noexcept : end_(std::exchange(other.end_, nullptr)) {}
    Subscription& operator=(Subscription&& other) noexcept {
      std::swap(end_, other.end_);
      return *this;
    }
    ~Subscription() {
      if (end_) end_();
    }

   private:
    std::function<void()> end_;
  };

  // One socket a family at the most.
  UdpPort(asio::any_io_executor executor, std::vector<std::unique_ptr<Datagram>> sockets);
  ~UdpPort();
  UdpPort(const UdpPort&) = delete;
  UdpPort& operator=(const UdpPort&) = delete;

  void start();
  [[nodiscard]] Subscription listen(Listener listener);
  void send(std::span<const std::byte> payload, const UdpEndpoint& to);
  [[nodiscard]] bool can_reach(const UdpEndpoint& to) const;  // has a socket of its family
  // Where we are reached: what the sockets are bound to, in the order given. Empty after stop().
  [[nodiscard]] std::vector<UdpEndpoint> local() const;
  [[nodiscard]] Task<void> stop();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

// A port of both families, where the host and the interface have both, with the same number:
// `port`, or a free one (0, or when it is taken, which `log` is told). What cannot be opened at all
// is told too, and shows in can_reach().
[[nodiscard]] std::unique_ptr<UdpPort> open_udp_port(
    asio::any_io_executor executor, std::uint16_t port, const LocalInterface& interface,
    const std::function<void(const std::string&)>& log);

}  // namespace swarmfs::net
