// The one UDP port that DHT, UDP trackers and uTP share: sends for all of them, and gives what
// arrives to the one it is for.
//
// Threads: engine thread only. Memory: one receive buffer. Errors: sending never fails visibly, a
// lost datagram is the caller's timeout; a family without a socket is said by can_reach(). Lifetime:
// co_await stop() before destruction; listeners must stay callable until then or until their
// Subscription is gone.
#pragma once
#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "net/datagram.h"

namespace swarmfs::net {

// Larger than any datagram of the protocols we speak over an Ethernet path (1,500 bytes), smaller
// than what fragments could carry: what is longer is not for us.
inline constexpr std::size_t kMaxDatagram = 2048;

class UdpPort {
 public:
  // True when the datagram was for this listener: the next ones are not asked.
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
  [[nodiscard]] Task<void> stop();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace swarmfs::net
