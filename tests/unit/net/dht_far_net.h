// A UDP port on a network in memory, in time turned by hand: what our DHT code sends goes to nodes
// that a test made, and what they say comes back after their delay.
#pragma once
#include <boost/asio/io_context.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "net/clock.h"
#include "net/krpc.h"
#include "net/udp_port.h"
#include "tests/unit/net/loopback_server.h"
#include "tests/unit/net/manual_clock.h"
#include "tests/unit/net/scripted_datagram.h"

namespace swarmfs::net {

class DhtFarNet {
 public:
  // A query that arrived at a node; its answer, or nothing.
  using Node = std::function<std::optional<krpc::Message>(const krpc::Message&)>;
  struct Sent {
    krpc::Message message;
    UdpEndpoint to;
    TimePoint when;
  };
  static constexpr Duration kDelay = std::chrono::milliseconds(100);  // there and back

  explicit DhtFarNet(bool ipv6 = false) {
    std::vector<std::unique_ptr<Datagram>> sockets;
    const auto add = [&](const char* local) {
      far.push_back(std::make_shared<FarNet>(io.get_executor()));
      sockets.push_back(std::make_unique<ScriptedDatagram>(far.back(), udp_at(local, 6881)));
    };
    add("0.0.0.0");
    if (ipv6) add("::");
    udp = std::make_unique<UdpPort>(io.get_executor(), std::move(sockets));
    udp->start();
    settle();
  }
  ~DhtFarNet() {
    for (const auto& each : far) each->closed = true;
    for (const auto& each : far) each->readable.wake_all();
    run_task(io, udp->stop());
  }
  DhtFarNet(const DhtFarNet&) = delete;
  DhtFarNet& operator=(const DhtFarNet&) = delete;

  // Runs what is ready; time stands still.
  void settle() {
    io.restart();
    do {
      deliver();
    } while (io.poll() > 0);
  }
  void run_for(Duration duration) {
    const TimePoint end = clock.now() + duration;
    settle();
    while (const auto next = clock.earliest_timer()) {
      if (*next > end) break;
      clock.advance_to(*next);
      settle();
    }
    clock.advance_to(end);
    settle();
  }
  // Somebody sends us this now.
  void arrive(const krpc::Message& message, const UdpEndpoint& from) {
    arrive_bytes(krpc::encode(message), from);
  }
  void arrive_bytes(const std::string& bytes, const UdpEndpoint& from) {
    bytes_received += bytes.size();
    far[from.address().is_v6() ? 1 : 0]->arrive(bytes, from);
    settle();
  }
  // What we sent since the last call.
  std::vector<Sent> taken() { return std::exchange(sent, {}); }

  asio::io_context io{1};
  ManualClock clock;
  std::vector<std::shared_ptr<FarNet>> far;
  std::unique_ptr<UdpPort> udp;
  std::map<UdpEndpoint, Node> nodes;  // who is not here is silent
  std::vector<Sent> sent;
  std::size_t bytes_sent = 0;
  std::size_t bytes_received = 0;

 private:
  void deliver() {
    for (const auto& each : far) {
      for (const auto& datagram : std::exchange(each->sent, {})) hand_over(datagram);
    }
  }
  void hand_over(const FarNet::Sent& datagram) {
    bytes_sent += datagram.payload.size();
    const auto message = krpc::decode(std::as_bytes(std::span(datagram.payload)));
    ASSERT_TRUE(message) << datagram.payload;
    EXPECT_LE(datagram.payload.size(), krpc::kMaxSent);
    sent.push_back({*message, datagram.to, clock.now()});
    const auto node = nodes.find(datagram.to);
    if (node == nodes.end() || !std::holds_alternative<krpc::Query>(message->body)) return;
    if (const auto answer = node->second(*message)) {
      clock.schedule(clock.now() + kDelay, [this, answer = *answer, from = datagram.to] {
        const std::string bytes = krpc::encode(answer);
        bytes_received += bytes.size();
        far[from.address().is_v6() ? 1 : 0]->arrive(bytes, from);
      });
    }
  }
};

}  // namespace swarmfs::net
