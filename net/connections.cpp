#include "net/connections.h"

#include <algorithm>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <chrono>
#include <map>
#include <utility>

#include "net/early_messages.h"
#include "net/host_key.h"
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
// Nobody has wanted anything for this long: rest. Sooner than the minute after which libtorrent
// drops whoever is interested, unchoked and asks for nothing.
constexpr Duration kRestAfter = 45s;
// At rest one address is dialled at a time, and only as long as there are few peers. A dial costs
// about 1.5 KB with all headers and greetings, and 20 peers' keep-alives 30 bytes a second:
// together under 100 of the 200 that an idle mount may use (the DHT has the others).
constexpr Duration kRestDialPause = 30s;
constexpr std::size_t kWarmPeers = 20;
// Who unchokes this soon after we are interested (and a round trip or two) has a free slot, and
// will do so again when a reader comes. Others (Transmission) do it every ten seconds.
constexpr Duration kPromptUnchoke = 300ms;
// Connections that others opened, of all: the other half is for peers we chose.
constexpr std::size_t kIncomingShare = 2;
// Of these, from one host: several people may share an address.
constexpr std::size_t kMaxIncomingPerHost = 3;
// What we take for the round trip to a peer that came to us, until it is measured.
constexpr Duration kUnknownRoundTrip = 100ms;
// Two that dial each other at one time see both connections within a handshake's time.
constexpr Duration kCollision = kHandshakeDeadline;

struct Connection {
  Connected info;
  PeerId peer_id;
  TimePoint since;
  std::unique_ptr<PeerConnection> link;
  EarlyMessages early;
  std::optional<TimePoint> interested_since;  // empty: we are not
  bool prompt = false;                        // unchoked us at once
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
        rest_check(c, [this] { check_rest(); }),
        housekeeping(c, [this] { keep_house(); }) {
    if (!config.external) return;
    address = config.external->follow([this](const auto& ours) { list.external_address(ours); });
  }

  // -- a connection's life
  void dial_more();
  Task<void> run_peer(Endpoint endpoint);
  Task<Result<Handshake>> establish(std::shared_ptr<Connection> c);
  Task<void> run_guest(std::unique_ptr<Stream> stream, Handshake theirs);
  Task<void> run_web_seed(std::unique_ptr<Stream> stream, Duration round_trip);
  [[nodiscard]] bool has_room_for(const Endpoint& guest) const;
  error_code judge(const Result<Handshake>& theirs, Connection& c);
  error_code settle_twin(const Connection& c);
  Task<void> serve(std::shared_ptr<Connection> c);
  static Task<void> write(std::shared_ptr<Connection> c) { co_await c->link->write_loop(); }
  PeerConnection::Handlers handlers_of(Connection& c);
  void greet(Connection& c);
  void send_extensions(Connection& c);
  void keep_house();

  // -- rest
  void check_rest();
  void wake();
  [[nodiscard]] bool may_dial() const;
  static void set_interest(Connection& c, std::optional<TimePoint> since);
  void on_unchoke(Connection& c);

  // -- messages
  error_code on_message(Connection& c, const Message& message);
  error_code on_extended(Connection& c, const Extended& message);
  error_code on_dont_have(Connection& c, std::span<const std::byte> payload);
  error_code on_early_message(Connection& c, const Message& message);
  void introduce(Connection& c);

  [[nodiscard]] Connection* find(PeerKey key) const {
    const auto found = connections.find(key);
    return found == connections.end() ? nullptr : found->second.get();
  }
  void say(int level, const std::string& line) const {
    if (log) log(level, line);
  }
  [[nodiscard]] std::string name_of(const Endpoint& endpoint) const {
    const auto web_seed = web_seeds.find(endpoint);
    return web_seed == web_seeds.end() ? endpoint.address().to_string() : web_seed->second;
  }

  asio::any_io_executor executor;
  Clock& clock;
  Dialer dialer;
  storage::BlockPool& pool;
  Config config;
  Log log;
  PeerList list;
  ExternalAddress::Following address;
  Receiver receiver;
  std::map<ExtensionId, Listener> listeners;
  storage::TaskGroup tasks;
  Timer redial;
  Timer rest_check;
  Timer housekeeping;
  std::map<PeerKey, std::shared_ptr<Connection>> connections;
  std::map<Endpoint, std::string> web_seeds;  // their names
  PeerKey next_key = 1;                       // 0 means nobody
  std::size_t dialling = 0;
  std::size_t banned = 0;
  bool resting = false;
  TimePoint wanted_at;       // when somebody wanted something last, as far as we looked
  TimePoint next_rest_dial;  // while resting
  bool started = false;
  bool stopping = false;
};

// -- a connection's life

bool Connections::State::may_dial() const {
  if (dialling >= kMaxDialling) return false;
  const std::size_t all = connections.size() + dialling;
  if (!resting) return all < config.max_connections;
  return all < kWarmPeers && clock.now() >= next_rest_dial;
}

void Connections::State::dial_more() {
  if (!started || stopping) return;
  while (may_dial()) {
    const std::optional<Endpoint> endpoint = list.next_to_dial(clock.now());
    if (!endpoint) break;
    ++dialling;
    next_rest_dial = clock.now() + kRestDialPause;
    tasks.spawn(run_peer(*endpoint));
  }
  if (const std::optional<TimePoint> next = list.next_dial_time()) {
    const TimePoint earliest =
        resting ? std::max(next_rest_dial, clock.now() + 1s) : clock.now() + 100ms;
    redial.arm(std::max(*next, earliest));
  }
}

Task<Result<Handshake>> Connections::State::establish(std::shared_ptr<Connection> c) {
  const TimePoint started_at = clock.now();
  Result<std::unique_ptr<Stream>> stream = co_await dialer(c->info.endpoint);
  if (!stream) co_return stream.error();
  c->info.connect_time = clock.now() - started_at;
  c->link = std::make_unique<PeerConnection>(executor, clock, std::move(*stream));
  c->link->send(our_handshake(config.info_hash, config.peer_id));
  co_return co_await c->link->receive_handshake();
}

// Whether we want to talk to the one who shook hands.
error_code Connections::State::judge(const Result<Handshake>& theirs, Connection& c) {
  if (!theirs) return theirs.error();
  if (theirs->info_hash != config.info_hash) return NetErrc::wrong_torrent;
  if (theirs->peer_id == config.peer_id) return NetErrc::self_connection;
  c.peer_id = theirs->peer_id;
  c.info.fast = theirs->fast();
  c.info.extensions = theirs->extensions();
  return settle_twin(c);
}

// Who is connected already stays, and the newcomer goes. But two that dialled each other at one
// time would each hang up on the other: of these connections both keep the one that the larger peer
// id dialled. Only there, for peer ids can be copied.
error_code Connections::State::settle_twin(const Connection& c) {
  const auto found = std::find_if(connections.begin(), connections.end(), [&c](const auto& other) {
    return !other.second->info.web_seed && other.second->peer_id == c.peer_id;
  });
  if (found == connections.end()) return {};
  Connection& twin = *found->second;
  const bool collision = twin.info.incoming != c.info.incoming &&
                         twin.info.endpoint.address() == c.info.endpoint.address() &&
                         clock.now() - twin.since < kCollision;
  const bool ours_counts = config.peer_id.bytes > c.peer_id.bytes;
  if (!collision || ours_counts == c.info.incoming) return NetErrc::duplicate_peer;
  twin.link->close(NetErrc::duplicate_peer);
  return {};
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

bool Connections::State::has_room_for(const Endpoint& guest) const {
  const HostKey host = host_key({guest.address(), guest.port()});
  std::size_t incoming = 0, of_host = 0;
  for (const auto& [key, c] : connections) {
    if (!c->info.incoming) continue;
    ++incoming;
    const Endpoint& other = c->info.endpoint;
    if (host_key({other.address(), other.port()}) == host) ++of_host;
  }
  return connections.size() < config.max_connections && of_host < kMaxIncomingPerHost &&
         incoming < config.max_connections / kIncomingShare;
}

Task<void> Connections::State::run_guest(std::unique_ptr<Stream> stream, Handshake theirs) {
  const auto self = shared_from_this();
  const Endpoint endpoint = normalised(stream->remote());
  if (stopping || list.is_banned(endpoint) || !has_room_for(endpoint)) co_return;
  auto connection = std::make_shared<Connection>();
  connection->info.key = next_key++;
  connection->info.endpoint = endpoint;
  connection->info.incoming = true;
  connection->info.connect_time = kUnknownRoundTrip;
  if (const error_code why = judge(theirs, *connection)) {
    say(0, endpoint.address().to_string() + " came to us: " + why.message());
    co_return;
  }
  say(0, endpoint.address().to_string() + " came to us");
  connection->link = std::make_unique<PeerConnection>(executor, clock, std::move(stream));
  connection->link->send(our_handshake(config.info_hash, config.peer_id));
  co_await serve(connection);
  // It may be had back where it listens, on its own word.
  if (const auto port = connection->info.said.listen_port) {
    list.add({endpoint.address(), *port}, PeerSource::pex, clock.now());
  }
  dial_more();
}

Task<void> Connections::State::run_web_seed(std::unique_ptr<Stream> stream, Duration round_trip) {
  const auto self = shared_from_this();
  const Endpoint endpoint = stream->remote();
  if (stopping || list.is_banned(endpoint)) co_return;
  auto connection = std::make_shared<Connection>();
  connection->info.key = next_key++;
  connection->info.endpoint = endpoint;
  connection->info.web_seed = true;
  connection->info.connect_time = round_trip;
  connection->info.fast = true;
  connection->link = std::make_unique<PeerConnection>(executor, clock, std::move(stream));
  co_await serve(connection);
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
  c->since = clock.now();
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
  say(0, name_of(c->info.endpoint) + ": disconnected: " + why.message());
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
  set_interest(c, clock.now());
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

// -- rest

// Before there is a receiver there is the metainfo to be found: no rest.
void Connections::State::check_rest() {
  const TimePoint now = clock.now();
  if (!receiver.on_open || (receiver.wants && receiver.wants())) wanted_at = now;
  if (now - wanted_at < kRestAfter) return rest_check.arm(wanted_at + kRestAfter);
  resting = true;  // until wake()
  next_rest_dial = now + kRestDialPause;
  for (const auto& [key, c] : connections) {
    if (!c->prompt) continue;
    set_interest(*c, std::nullopt);
    c->link->flush();
  }
}

void Connections::State::wake() {
  wanted_at = clock.now();
  if (!std::exchange(resting, false)) return;
  for (const auto& [key, c] : connections) {
    set_interest(*c, clock.now());
    c->link->flush();
  }
  rest_check.arm(wanted_at + kRestAfter);
  dial_more();
}

// Not flushed.
void Connections::State::set_interest(Connection& c, std::optional<TimePoint> since) {
  if (c.interested_since.has_value() == since.has_value()) return;
  c.interested_since = since;
  c.link->send(since ? Message(Interested{}) : Message(NotInterested{}));
}

// A peer that lets us wait is asked to keep our place; one that does not gets it back.
void Connections::State::on_unchoke(Connection& c) {
  if (!c.interested_since) return;
  const Duration patience = kPromptUnchoke + 2 * c.info.connect_time;
  c.prompt = clock.now() - *c.interested_since <= patience;
  if (!resting || !c.prompt) return;
  set_interest(c, std::nullopt);
  c.link->flush();
}

// -- messages

error_code Connections::State::on_message(Connection& c, const Message& message) {
  if (std::holds_alternative<Unchoke>(message)) on_unchoke(c);
  if (const auto* extended = std::get_if<Extended>(&message)) return on_extended(c, *extended);
  if (receiver.on_message) return receiver.on_message(c.info.key, message);
  return on_early_message(c, message);
}

error_code Connections::State::on_extended(Connection& c, const Extended& message) {
  const auto id = static_cast<ExtensionId>(message.id);
  if (id == ExtensionId::handshake) {
    const ExtensionHandshake said = parse_extension_handshake(message.payload);
    c.info.said.update(said);
    // Whoever wants us to believe something can come to us from many networks.
    if (said.our_address && config.external && !c.info.incoming) {
      config.external->on_seen(c.info.endpoint.address(), *said.our_address);
    }
    if (receiver.on_extensions) receiver.on_extensions(c.info);
    for (const auto& [extension, listener] : listeners) {
      if (listener.on_extensions) listener.on_extensions(c.info);
    }
    return {};
  }
  if (id == ExtensionId::dont_have) return on_dont_have(c, message.payload);
  const auto found = listeners.find(id);
  if (found == listeners.end() || !found->second.on_message) return {};  // a number we never gave
  return found->second.on_message(c.info, message.payload);
}

error_code Connections::State::on_dont_have(Connection& c, std::span<const std::byte> payload) {
  const std::optional<std::uint32_t> index = parse_dont_have(payload);
  if (!index) return NetErrc::protocol_error;
  if (receiver.on_dont_have) return receiver.on_dont_have(c.info.key, *index);
  c.early.on_dont_have(*index);
  return {};
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
  error_code ec =
      early.replay([this, &c](const Message& m) { return receiver.on_message(c.info.key, m); });
  for (const std::uint32_t index : early.lost()) {
    if (!ec && receiver.on_dont_have) ec = receiver.on_dont_have(c.info.key, index);
  }
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
  state_->wanted_at = state_->clock.now();
  state_->rest_check.arm(state_->wanted_at + kRestAfter);
  state_->dial_more();
  state_->housekeeping.arm(state_->clock.now() + kHousekeeping);
}

void Connections::accept(std::unique_ptr<Stream> stream, const Handshake& theirs) {
  if (!state_->started || state_->stopping) return;
  state_->tasks.spawn(state_->run_guest(std::move(stream), theirs));
}

void Connections::wake() {
  state_->wake();
}

void Connections::add_web_seed(std::unique_ptr<Stream> stream, const std::string& name,
                               Duration round_trip) {
  if (state_->stopping) return;
  state_->web_seeds.insert_or_assign(stream->remote(), name);
  state_->tasks.spawn(state_->run_web_seed(std::move(stream), round_trip));
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
  // Whoever came to us may have had our address from anybody.
  for (const auto& [key, c] : state_->connections) {
    if (c->info.incoming) c->link->close();
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
  s.say(2, s.name_of(endpoint) + " banned: " + why);
  s.list.ban(endpoint);
  ++s.banned;
  for (const auto& [key, c] : s.connections) {
    if (s.list.is_banned(c->info.endpoint)) c->link->close();
  }
}

bool Connections::is_banned(const Endpoint& endpoint) const {
  return state_->list.is_banned(endpoint);
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
  s->rest_check.disarm();
  s->housekeeping.disarm();
  for (const auto& [key, c] : s->connections) c->link->close();
  s->tasks.cancel();
  co_await s->tasks.join();
}

}  // namespace swarmfs::net
