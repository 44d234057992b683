#include "net/udp_port.h"

#include <algorithm>
#include <array>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <map>

#include "storage/task_group.h"

namespace swarmfs::net {

struct UdpPort::State {
  State(asio::any_io_executor e, std::vector<std::unique_ptr<Datagram>> s)
      : executor(std::move(e)), sockets(std::move(s)), tasks(executor) {}

  // By value and by reference: TaskGroup keeps both alive until stop() has joined it.
  static Task<void> receive(std::shared_ptr<State> self, Datagram& socket);
  void deliver(std::span<const std::byte> payload, const UdpEndpoint& from);
  [[nodiscard]] Datagram* socket_to(const UdpEndpoint& to) const;

  asio::any_io_executor executor;
  std::vector<std::unique_ptr<Datagram>> sockets;
  bool closed = false;
  std::map<std::uint64_t, std::shared_ptr<const Listener>> listeners;  // in order of listen()
  std::uint64_t next_listener = 0;
  std::array<std::byte, kMaxDatagram> buffer{};
  storage::TaskGroup tasks;
};

Task<void> UdpPort::State::receive(std::shared_ptr<State> self, Datagram& socket) {
  for (;;) {
    co_await socket.wait_readable();
    std::size_t taken = 0;
    for (; taken < kMaxDatagramsPerTurn; ++taken) {
      const Result<Received> received = socket.receive_now(self->buffer);
      if (!received && received.error() != asio::error::would_block) co_return;
      if (!received) break;
      const auto payload = std::span<const std::byte>(self->buffer).first(received->size);
      if (!payload.empty()) self->deliver(payload, received->from);
    }
    // More may wait: everybody else first.
    if (taken == kMaxDatagramsPerTurn) co_await asio::post(self->executor, asio::use_awaitable);
  }
}

void UdpPort::State::deliver(std::span<const std::byte> payload, const UdpEndpoint& from) {
  // Listeners come and go while one is called.
  for (auto next = listeners.begin(); next != listeners.end();) {
    const std::uint64_t id = next->first;
    const std::shared_ptr<const Listener> listener = next->second;
    if ((*listener)(payload, from)) return;
    next = listeners.upper_bound(id);
  }
}

Datagram* UdpPort::State::socket_to(const UdpEndpoint& to) const {
  if (closed) return nullptr;
  const auto found = std::find_if(sockets.begin(), sockets.end(), [&to](const auto& socket) {
    return socket->local().protocol() == to.protocol();
  });
  return found == sockets.end() ? nullptr : found->get();
}

UdpPort::UdpPort(asio::any_io_executor executor, std::vector<std::unique_ptr<Datagram>> sockets)
    : state_(std::make_shared<State>(std::move(executor), std::move(sockets))) {}

UdpPort::~UdpPort() = default;

void UdpPort::start() {
  for (const auto& socket : state_->sockets) state_->tasks.spawn(State::receive(state_, *socket));
}

UdpPort::Subscription UdpPort::listen(Listener listener) {
  const std::uint64_t id = state_->next_listener++;
  state_->listeners.emplace(id, std::make_shared<const Listener>(std::move(listener)));
  return Subscription([weak = std::weak_ptr(state_), id] {
    if (const auto state = weak.lock()) state->listeners.erase(id);
  });
}

void UdpPort::send(std::span<const std::byte> payload, const UdpEndpoint& to) {
  Datagram* const socket = state_->socket_to(to);
  if (socket) (void)socket->send_now(payload, to);  // lost, like any other
}

bool UdpPort::can_reach(const UdpEndpoint& to) const {
  return state_->socket_to(to) != nullptr;
}

std::vector<UdpEndpoint> UdpPort::local() const {
  std::vector<UdpEndpoint> endpoints;
  if (state_->closed) return endpoints;
  for (const auto& socket : state_->sockets) endpoints.push_back(socket->local());
  return endpoints;
}

Task<void> UdpPort::stop() {
  const std::shared_ptr<State> state = state_;
  state->closed = true;
  for (const auto& socket : state->sockets) socket->close();
  state->tasks.cancel();
  co_await state->tasks.join();
}

// ---- Opening

namespace {

using Log = std::function<void(const std::string&)>;

// One socket a family, both of one number, which the first chooses when `port` is 0.
struct Opened {
  std::vector<std::unique_ptr<Datagram>> sockets;
  std::vector<std::pair<const char*, error_code>> failures;
  bool taken = false;  // the number, by another program
};

Opened open_families(const asio::any_io_executor& executor, std::uint16_t port,
                     const LocalInterface& interface) {
  Opened opened;
  for (const bool v6 : {false, true}) {
    const auto address = local_address(interface, v6);
    if (!address) continue;  // the user chose the other family
    auto socket = open_datagram(executor, UdpEndpoint(*address, port), interface);
    if (socket) {
      port = (*socket)->local().port();
      opened.sockets.push_back(std::move(*socket));
      continue;
    }
    opened.taken = opened.taken || socket.error() == asio::error::address_in_use;
    opened.failures.emplace_back(v6 ? "IPv6" : "IPv4", socket.error());
  }
  return opened;
}

}  // namespace

std::unique_ptr<UdpPort> open_udp_port(asio::any_io_executor executor, std::uint16_t port,
                                       const LocalInterface& interface, const Log& log) {
  // A free number of one family is rarely taken in the other.
  constexpr int kTries = 8;
  Opened opened = open_families(executor, port, interface);
  const bool wanted_is_taken = opened.taken && port != 0;
  for (int i = 0; opened.taken && i < kTries; ++i) opened = open_families(executor, 0, interface);
  if (wanted_is_taken && !opened.sockets.empty()) {
    log("UDP port " + std::to_string(port) + " is taken: using " +
        std::to_string(opened.sockets.front()->local().port()));
  }
  for (const auto& [family, ec] : opened.failures) {
    // A host without the family has no use for it.
    if (ec == asio::error::address_family_not_supported) continue;
    log(std::string("no UDP over ") + family + ": " + ec.message());
  }
  return std::make_unique<UdpPort>(std::move(executor), std::move(opened.sockets));
}

}  // namespace swarmfs::net
