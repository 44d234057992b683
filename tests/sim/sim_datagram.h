// The simulated network of datagrams: every message takes the delay of its pair of hosts, and some
// are lost. Between any two hosts lies the open network, unless one is put behind a NAT.
//
// The round trip of a pair is drawn once and stays: 80 ms in the median, 10 to 400 ms. A message
// arrives up to a fifth of its delay later than that, so that messages overtake each other. Lost
// messages are counted as sent.
//
// Threads: one. Memory: what is on its way, and kReceiveBuffer a socket. Errors: as a kernel would
// give them. Lifetime: DatagramNet outlives its sockets.
#pragma once
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "net/datagram.h"
#include "storage/wait_list.h"
#include "tests/sim/rng.h"
#include "tests/sim/sim_clock.h"

namespace swarmfs::sim {

using net::UdpEndpoint;
using Bytes = std::vector<std::byte>;

// What a socket may owe its reader; what comes beyond it is dropped. Linux: net.core.rmem_default.
inline constexpr std::size_t kReceiveBuffer = 212'992;
// 65,535 less the headers of IPv4 and UDP: what is longer a kernel refuses to send.
inline constexpr std::size_t kLargestDatagram = 65'507;
// Headers of UDP and IP, for traffic as an access line sees it.
inline constexpr std::size_t kHeaders4 = 28, kHeaders6 = 48;

struct Weather {
  double loss = 0.02;
  double jitter = 0.2;  // of the one-way delay, at most
};

struct Traffic {
  std::uint64_t messages_sent = 0;
  std::uint64_t bytes_sent = 0;  // payload
  std::uint64_t messages_received = 0;
  std::uint64_t bytes_received = 0;
  bool operator==(const Traffic&) const = default;
};
[[nodiscard]] Traffic operator-(const Traffic& later, const Traffic& earlier);

class DatagramNet {
 public:
  using Arrival = std::function<void(std::span<const std::byte>, const UdpEndpoint& from)>;
  struct Message {
    TimePoint when;  // it was sent
    UdpEndpoint from, to;
    std::span<const std::byte> payload;
  };

  DatagramNet(SimLoop& loop, std::uint64_t seed, Weather weather = {});
  DatagramNet(const DatagramNet&) = delete;
  DatagramNet& operator=(const DatagramNet&) = delete;

  // A socket for the engine. One socket an endpoint.
  [[nodiscard]] std::unique_ptr<net::Datagram> open(const UdpEndpoint& local);
  // A scripted host: no socket, a function that is called with what arrives.
  void attach(const UdpEndpoint& local, Arrival on_arrival);
  void detach(const UdpEndpoint& local);
  // From now on `endpoint` hears only from hosts that it wrote to in the last kMapping.
  void put_behind_nat(const UdpEndpoint& endpoint) { behind_nat_[endpoint]; }
  static constexpr Duration kMapping = 5min;  // RFC 4787
  // Nobody checks that `from` is the sender's own: whoever floods forges it.
  void send(const UdpEndpoint& from, const UdpEndpoint& to, std::span<const std::byte> payload);

  // Of the whole run, also after a socket closed and opened again.
  [[nodiscard]] Traffic traffic(const UdpEndpoint& endpoint) const;
  [[nodiscard]] Duration round_trip(const UdpEndpoint& a, const UdpEndpoint& b) const;
  // Sees every message as it is sent, the lost ones too.
  void set_tap(std::function<void(const Message&)> tap) { tap_ = std::move(tap); }
  // Stands for every message of the run so far: when, whence, whither and what.
  [[nodiscard]] std::uint64_t trace() const { return trace_; }

 private:
  void arrive(const UdpEndpoint& from, const UdpEndpoint& to, const Bytes& payload);
  void note(const UdpEndpoint& from, const UdpEndpoint& to, std::span<const std::byte> payload);

  SimLoop& loop_;
  Weather weather_;
  Rng rng_;
  std::uint64_t distances_;  // seeds the delays of pairs
  std::map<UdpEndpoint, Arrival> hosts_;
  std::map<UdpEndpoint, Traffic> traffic_;
  std::map<UdpEndpoint, std::map<UdpEndpoint, TimePoint>> behind_nat_;  // when it wrote to whom
  std::function<void(const Message&)> tap_;
  std::uint64_t trace_ = 0;
};

class SimDatagram final : public net::Datagram {
 public:
  SimDatagram(const asio::any_io_executor& executor, DatagramNet& net, const UdpEndpoint& local);
  ~SimDatagram() override;
  [[nodiscard]] Result<void> send_now(std::span<const std::byte> payload,
                                      const UdpEndpoint& to) override;
  [[nodiscard]] Result<net::Received> receive_now(std::span<std::byte> into) override;
  [[nodiscard]] Task<void> wait_readable() override;
  void close() override;
  [[nodiscard]] UdpEndpoint local() const override { return local_; }

 private:
  struct Waiting {
    Bytes payload;
    UdpEndpoint from;
  };
  DatagramNet& net_;
  UdpEndpoint local_;
  std::deque<Waiting> queue_;
  std::size_t queued_ = 0;  // bytes of it
  storage::WaitList readable_;
  bool closed_ = false;
};

}  // namespace swarmfs::sim
