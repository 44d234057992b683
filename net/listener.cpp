#include "net/listener.h"

#include <algorithm>
#include <boost/asio/error.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <limits>
#include <map>
#include <utility>

#include "net/host_key.h"
#include "net/peer_connection.h"
#include "storage/task_group.h"

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;

// The process has no descriptors left, say: waiting is all there is to do.
constexpr Duration kAcceptPause = 1s;

struct Guest {
  HostKey host;
  std::uint64_t task = 0;
};

}  // namespace

struct Listener::State : std::enable_shared_from_this<Listener::State> {
  explicit State(Parts p) : parts(std::move(p)), tasks(parts.executor) {}

  static Task<void> receive(std::shared_ptr<State> self, Acceptor acceptor);
  void admit(std::unique_ptr<Stream> stream);
  static Task<void> hear(std::shared_ptr<State> self, std::uint64_t number,
                         std::unique_ptr<Stream> stream);
  void leave(std::uint64_t number);

  Parts parts;
  storage::TaskGroup tasks;
  std::map<storage::InfoHash, std::shared_ptr<const Take>> torrents;
  std::map<std::uint64_t, Guest> guests;  // by number: the oldest first
  std::uint64_t next_number = 0;
};

Task<void> Listener::State::receive(std::shared_ptr<State> self, Acceptor acceptor) {
  for (;;) {
    Result<std::unique_ptr<Stream>> stream = co_await acceptor();
    if (stream) {
      self->admit(std::move(*stream));
    } else if (stream.error() != asio::error::connection_aborted) {
      co_await self->parts.clock.sleep(kAcceptPause);
    }
  }
}

void Listener::State::admit(std::unique_ptr<Stream> stream) {
  const Endpoint remote = stream->remote();
  const HostKey host = host_key({remote.address(), remote.port()});
  const auto same_host = std::count_if(guests.begin(), guests.end(), [&host](const auto& guest) {
    return guest.second.host == host;
  });
  if (static_cast<std::size_t>(same_host) >= kMaxGuestsPerHost) return;
  if (guests.size() >= kMaxGuests) leave(guests.begin()->first);
  const std::uint64_t number = next_number++;
  guests[number].host = host;
  const std::uint64_t task = tasks.spawn(hear(shared_from_this(), number, std::move(stream)));
  const auto guest = guests.find(number);
  if (guest != guests.end()) guest->second.task = task;  // it is not over yet
}

void Listener::State::leave(std::uint64_t number) {
  const auto guest = guests.find(number);
  if (guest == guests.end()) return;
  const std::uint64_t task = guest->second.task;
  guests.erase(guest);
  tasks.cancel_one(task);
}

Task<void> Listener::State::hear(std::shared_ptr<State> self, std::uint64_t number,
                                 std::unique_ptr<Stream> stream) {
  using namespace asio::experimental::awaitable_operators;
  const auto heard = co_await (read_handshake(*stream) || self->parts.clock.sleep(kGuestDeadline));
  self->guests.erase(number);
  if (heard.index() != 0) co_return;
  const Result<Handshake>& handshake = std::get<0>(heard);
  if (!handshake) co_return;
  const auto torrent = self->torrents.find(handshake->info_hash);
  if (torrent == self->torrents.end()) co_return;
  const std::shared_ptr<const Take> take = torrent->second;
  (*take)(std::move(stream), *handshake);
}

Listener::Listener(Parts parts) : state_(std::make_shared<State>(std::move(parts))) {}
Listener::~Listener() = default;

void Listener::start() {
  for (const Acceptor& acceptor : state_->parts.at.acceptors) {
    state_->tasks.spawn(State::receive(state_, acceptor));
  }
}

Listener::Registration Listener::expect(const storage::InfoHash& torrent, Take take) {
  const auto shared = std::make_shared<const Take>(std::move(take));
  state_->torrents[torrent] = shared;
  return {nullptr, [weak = std::weak_ptr(state_), torrent](void*) {
            if (const auto state = weak.lock()) state->torrents.erase(torrent);
          }};
}

std::uint16_t Listener::port() const {
  return state_->parts.at.number;
}

std::size_t Listener::guests() const {
  return state_->guests.size();
}

Task<void> Listener::stop() {
  const std::shared_ptr<State> state = state_;
  state->parts.at.acceptors.clear();
  state->tasks.cancel();
  co_await state->tasks.join();
}

// ---- Opening

TcpPort open_tcp_port(const asio::any_io_executor& executor, std::uint16_t port,
                      const LocalInterface& interface,
                      const std::function<void(const std::string&)>& log) {
  std::vector<std::uint16_t> numbers{port};
  constexpr std::uint16_t kHighest = std::numeric_limits<std::uint16_t>::max();
  for (std::uint16_t i = 1; port != 0 && i <= kPortTries && port <= kHighest - i; ++i) {
    numbers.push_back(static_cast<std::uint16_t>(port + i));
  }
  // A free number of one family is rarely taken in the other.
  for (std::uint16_t i = 0; i < kPortTries; ++i) numbers.push_back(0);
  error_code why;
  for (const std::uint16_t number : numbers) {
    TcpPort at{{}, number};
    bool taken = false;
    for (const bool v6 : {false, true}) {
      const auto address = local_address(interface, v6);
      if (!address) continue;  // the user chose the other family
      const auto opened = open_acceptor(executor, {*address, at.number}, interface);
      if (opened) {
        at.number = opened->second;
        at.acceptors.push_back(opened->first);
      } else {
        taken = taken || opened.error() == asio::error::address_in_use;
        why = opened.error();
      }
    }
    if (taken) continue;
    if (at.acceptors.empty()) break;
    if (port != 0 && at.number != port) {
      log("TCP port " + std::to_string(port) + " is taken: using " + std::to_string(at.number));
    }
    return at;
  }
  log("no peer can connect to us: " + why.message());
  return {};
}

}  // namespace swarmfs::net
