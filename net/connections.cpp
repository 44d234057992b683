#include "net/connections.h"

#include <algorithm>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <chrono>
#include <map>
#include <utility>

#include "net/early_messages.h"
#include "net/peer_connection.h"
#include "storage/task_group.h"

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;

// Dialling, TCP and handshake together: a peer that takes longer would be useless for a blocked
// read.
constexpr Duration kHandshakeDeadline = 10s;
// Dials at once. A cold start wants many quickly; home routers choke on hundreds of half-open
// connections.
constexpr std::size_t kMaxDialling = 60;
// BEP 3: keep-alives about every two minutes; peers drop us after that long without one.
constexpr Duration kKeepAlive = 100s;
// A peer silent for two of its keep-alive intervals is gone.
constexpr Duration kIdleLimit = 250s;
constexpr Duration kHousekeeping = 20s;

struct Connection {
  Connected info;
  PeerId peer_id;
  std::unique_ptr<PeerConnection> link;
  EarlyMessages early;
};

}  // namespace

struct Connections::State : std::enable_shared_from_this<Connections::State> {
  State(asio::any_io_executor e, Clock& c, Dialer d, storage::BlockPool& p, const Config& cfg,
        Log l)
      : executor(e),
        clock(c),
        dialer(std::move(d)),
        pool(p),
        config(cfg),
        log(std::move(l)),
        list(config.allow_local, config.seed, config.max_connections),
        tasks(e),
        redial(c, [this] { dial_more(); }),
        housekeeping(c, [this] { keep_house(); }) {}

  // -- a connection's life
  void dial_more();
  Task<void> run_peer(Endpoint endpoint);
  Task<Result<Handshake>> establish(std::shared_ptr<Connection> c);
  error_code judge(const Result<Handshake>& theirs, Connection& c) const;
  Task<void> serve(std::shared_ptr<Connection> c);
  static Task<void> write(std::shared_ptr<Connection> c) { co_await c->link->write_loop(); }
  PeerConnection::Handlers handlers_of(Connection& c);
  void greet(Connection& c);
  void send_extensions(Connection& c);
  void keep_house();

  // -- messages
  error_code on_message(Connection& c, const Message& message);
  error_code on_extended(Connection& c, const Extended& message);
  error_code on_early_message(Connection& c, const Message& message);
  void introduce(Connection& c);

  [[nodiscard]] Connection* find(PeerKey key) const {
    const auto found = connections.find(key);
    return found == connections.end() ? nullptr : found->second.get();
  }
  void say(int level, const std::string& line) const {
    if (log) log(level, line);
  }

  asio::any_io_executor executor;
  Clock& clock;
  Dialer dialer;
  storage::BlockPool& pool;
  Config config;
  Log log;
  PeerList list;
  Receiver receiver;
  std::map<ExtensionId, Listener> listeners;
  storage::TaskGroup tasks;
  Timer redial;
  Timer housekeeping;
  std::map<PeerKey, std::shared_ptr<Connection>> connections;
  PeerKey next_key = 1;  // 0 means nobody
  std::size_t dialling = 0;
  std::size_t banned = 0;
  bool started = false;
  bool stopping = false;
};

// -- a connection's life

void Connections::State::dial_more() {
  if (!started || stopping) return;
  while (dialling < kMaxDialling && connections.size() + dialling < config.max_connections) {
    const std::optional<Endpoint> endpoint = list.next_to_dial(clock.now());
    if (!endpoint) break;
    ++dialling;
    tasks.spawn(run_peer(*endpoint));
  }
  if (const std::optional<TimePoint> next = list.next_dial_time()) {
    redial.arm(std::max(*next, clock.now() + 100ms));
  }
}

Task<Result<Handshake>> Connections::State::establish(std::shared_ptr<Connection> c) {
  const TimePoint started_at = clock.now();
  Result<std::unique_ptr<Stream>> stream = co_await dialer(c->info.endpoint);
  if (!stream) co_return stream.error();
  c->info.connect_time = clock.now() - started_at;
  c->link = std::make_unique<PeerConnection>(executor, clock, std::move(*stream));
  co_return co_await c->link->handshake(our_handshake(config.info_hash, config.peer_id));
}

// Whether we want to talk to the one who answered.
error_code Connections::State::judge(const Result<Handshake>& theirs, Connection& c) const {
  if (!theirs) return theirs.error();
  if (theirs->info_hash != config.info_hash) return NetErrc::wrong_torrent;
  if (theirs->peer_id == config.peer_id) return NetErrc::self_connection;
  c.peer_id = theirs->peer_id;
  c.info.fast = theirs->fast();
  c.info.extensions = theirs->extensions();
  const bool twin = std::any_of(connections.begin(), connections.end(), [&](const auto& other) {
    return other.second->peer_id == c.peer_id;
  });
  return twin ? error_code(NetErrc::duplicate_peer) : error_code();
}

Task<void> Connections::State::run_peer(Endpoint endpoint) {
  const auto self = shared_from_this();
  auto connection = std::make_shared<Connection>();
  connection->info.key = next_key++;
  connection->info.endpoint = endpoint;
  error_code why = NetErrc::timed_out;
  {
    using namespace asio::experimental::awaitable_operators;
    const auto attempt = co_await (establish(connection) || clock.sleep(kHandshakeDeadline));
    if (attempt.index() == 0) why = judge(std::get<0>(attempt), *connection);
  }
  --dialling;
  if (!why && !stopping) {
    co_await serve(connection);
  } else if (!stopping) {
    say(0, endpoint.address().to_string() + ": " + why.message());
    if (why == NetErrc::self_connection || why == NetErrc::wrong_torrent) list.ban(endpoint);
  }
  list.on_gone(endpoint, clock.now());
  dial_more();
}

PeerConnection::Handlers Connections::State::handlers_of(Connection& c) {
  PeerConnection::Handlers handlers;
  handlers.in.on_message = [this, &c](const Message& m) { return on_message(c, m); };
  handlers.in.on_block = [this, key = c.info.key](std::uint32_t index, std::uint32_t begin,
                                                  std::uint32_t length, storage::Block block) {
    // Before there is a receiver nothing was ever asked for.
    if (!receiver.on_block) return error_code(NetErrc::protocol_error);
    return receiver.on_block(key, index, begin, length, std::move(block));
  };
  handlers.expected_blocks = [this, key = c.info.key] {
    return receiver.expected_blocks ? receiver.expected_blocks(key) : 0;
  };
  return handlers;
}

Task<void> Connections::State::serve(std::shared_ptr<Connection> c) {
  const auto self = shared_from_this();
  const PeerKey key = c->info.key;
  connections.emplace(key, c);
  if (receiver.on_open) receiver.on_open(c->info);
  list.on_connected(c->info.endpoint, clock.now());
  greet(*c);
  const std::uint64_t writer = tasks.spawn(write(c));
  error_code why;
  try {
    // The largest bitfield there is (kMaxPieces) is a quarter of kMaxMessageSize.
    why = co_await c->link->read_loop(pool, kMaxMessageSize, handlers_of(*c));
  } catch (const boost::system::system_error& e) {
    why = e.code();
  }
  c->link->close();
  tasks.cancel_one(writer);
  say(0, c->info.endpoint.address().to_string() + ": disconnected: " + why.message());
  connections.erase(key);
  if (receiver.on_closed) receiver.on_closed(key);
  for (const auto& [id, listener] : listeners) {
    if (listener.on_closed) listener.on_closed(key);
  }
}

// In one segment: what we have (BEP 6: first), what we speak, and that we want. An unchoke can take
// 10 s, so ask at once, even while the metainfo is missing.
void Connections::State::greet(Connection& c) {
  if (c.info.fast) c.link->send(HaveNone{});
  send_extensions(c);
  c.link->send(Interested{});
  c.link->flush();
}

void Connections::State::send_extensions(Connection& c) {
  if (!c.info.extensions) return;
  const std::vector<std::byte> payload = extension_handshake(c.info.endpoint, config.offer);
  c.link->send(Extended{static_cast<std::uint8_t>(ExtensionId::handshake), payload});
}

void Connections::State::keep_house() {
  const TimePoint now = clock.now();
  for (const auto& [key, c] : connections) {
    if (now - c->link->last_received() > kIdleLimit) {
      c->link->close();
    } else if (now - c->link->last_sent() > kKeepAlive) {
      c->link->send(KeepAlive{});
      c->link->flush();
    }
  }
  housekeeping.arm(now + kHousekeeping);
}

// -- messages

error_code Connections::State::on_message(Connection& c, const Message& message) {
  if (const auto* extended = std::get_if<Extended>(&message)) return on_extended(c, *extended);
  if (receiver.on_message) return receiver.on_message(c.info.key, message);
  return on_early_message(c, message);
}

error_code Connections::State::on_extended(Connection& c, const Extended& message) {
  const auto id = static_cast<ExtensionId>(message.id);
  if (id == ExtensionId::handshake) {
    c.info.said.update(parse_extension_handshake(message.payload));
    if (receiver.on_extensions) receiver.on_extensions(c.info);
    for (const auto& [extension, listener] : listeners) {
      if (listener.on_extensions) listener.on_extensions(c.info);
    }
    return {};
  }
  const auto found = listeners.find(id);
  if (found == listeners.end() || !found->second.on_message) return {};  // a number we never gave
  return found->second.on_message(c.info, message.payload);
}

error_code Connections::State::on_early_message(Connection& c, const Message& message) {
  if (const auto* request = std::get_if<Request>(&message)) {
    // BEP 6: a choked peer's request is answered with a reject.
    if (c.info.fast) c.link->send(Reject{request->index, request->begin, request->length});
    c.link->flush();
    return {};
  }
  return c.early.on_message(message);
}

// Tells the receiver of a connection that was there before it.
void Connections::State::introduce(Connection& c) {
  receiver.on_open(c.info);
  receiver.on_extensions(c.info);
  const EarlyMessages early = std::exchange(c.early, {});
  const error_code ec =
      early.replay([this, &c](const Message& m) { return receiver.on_message(c.info.key, m); });
  if (ec) c.link->close(ec);
}

// -- the public face

Connections::Connections(asio::any_io_executor executor, Clock& clock, Dialer dialer,
                         storage::BlockPool& pool, const Config& config, Log log)
    : state_(std::make_shared<State>(executor, clock, std::move(dialer), pool, config,
                                     std::move(log))) {}

Connections::~Connections() = default;

void Connections::start() {
  state_->started = true;
  state_->dial_more();
  state_->housekeeping.arm(state_->clock.now() + kHousekeeping);
}

void Connections::add_peers(std::span<const Endpoint> endpoints, PeerSource source) {
  for (const Endpoint& endpoint : endpoints)
    state_->list.add(endpoint, source, state_->clock.now());
  state_->dial_more();
}

void Connections::set_receiver(Receiver receiver) {
  State& s = *state_;
  s.receiver = std::move(receiver);
  if (!s.receiver.on_open) return;
  for (const auto& [key, c] : s.connections) s.introduce(*c);
}

void Connections::set_listener(ExtensionId extension, Listener listener) {
  state_->listeners[extension] = std::move(listener);
}

void Connections::set_offer(const ExtensionOffer& offer) {
  state_->config.offer = offer;
  for (const auto& [key, c] : state_->connections) {
    state_->send_extensions(*c);
    c->link->flush();
  }
}

void Connections::make_private() {
  for (const Endpoint& endpoint : state_->list.make_private()) {
    for (const auto& [key, c] : state_->connections) {
      if (normalised(c->info.endpoint) == endpoint) c->link->close();
    }
  }
}

void Connections::send(PeerKey key, const Message& message) {
  if (Connection* c = state_->find(key)) c->link->send(message);
}

void Connections::flush(PeerKey key) {
  if (Connection* c = state_->find(key)) c->link->flush();
}

std::size_t Connections::unsent(PeerKey key) const {
  const Connection* c = state_->find(key);
  return c == nullptr ? 0 : c->link->unsent();
}

void Connections::mark_useful(PeerKey key) {
  if (const Connection* c = state_->find(key)) {
    state_->list.on_useful(c->info.endpoint, state_->clock.now());
  }
}

void Connections::close(PeerKey key, error_code why) {
  if (Connection* c = state_->find(key)) c->link->close(why);
}

void Connections::ban(const Endpoint& endpoint, const char* why) {
  State& s = *state_;
  if (s.list.is_banned(endpoint)) return;
  s.say(2, endpoint.address().to_string() + " banned: " + why);
  s.list.ban(endpoint);
  ++s.banned;
  for (const auto& [key, c] : s.connections) {
    if (s.list.is_banned(c->info.endpoint)) c->link->close();
  }
}

const Connected* Connections::find(PeerKey key) const {
  const Connection* c = state_->find(key);
  return c == nullptr ? nullptr : &c->info;
}

std::vector<const Connected*> Connections::all() const {
  std::vector<const Connected*> all;
  for (const auto& [key, c] : state_->connections) all.push_back(&c->info);
  return all;
}

std::vector<Endpoint> Connections::useful_peers() const {
  return state_->list.useful();
}

Connections::Counts Connections::counts() const {
  return {state_->list.size(), state_->dialling, state_->connections.size(), state_->banned};
}

Task<void> Connections::stop() {
  const std::shared_ptr<State> s = state_;
  s->stopping = true;
  s->redial.disarm();
  s->housekeeping.disarm();
  for (const auto& [key, c] : s->connections) c->link->close();
  s->tasks.cancel();
  co_await s->tasks.join();
}

}  // namespace swarmfs::net
