#include "net/swarm.h"

#include <algorithm>
#include <boost/asio/error.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <deque>
#include <utility>

#include "net/blame.h"
#include "net/extension.h"
#include "net/peer_connection.h"
#include "storage/task_group.h"

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;
using storage::BlockId;
using storage::PieceIndex;

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
// Blocks nobody asked for (any more) that are put up with: late answers to forgotten cancels.
constexpr std::uint32_t kMaxUnrequested = 256;
// Pool blocks never promised to open pieces: what connections read into, and short pieces on their
// way to disk.
constexpr std::size_t kReservedBlocks = 8 * 1024 * 1024 / storage::kBlockSize;
constexpr Duration kRateWindow = 3s;
// Connections whose address is remembered for blame after they ended; a piece is open for seconds,
// not for thousands of them.
constexpr std::size_t kMaxSenders = 4096;

struct Connection {
  Connection(PeerKey k, const Endpoint& e) : key(k), endpoint(e) {}
  PeerKey key;
  Endpoint endpoint;
  std::unique_ptr<PeerConnection> link;
  Handshake remote;
  std::uint32_t unrequested = 0;
  bool useful = false;
  bool touched = false;  // has messages to flush
};

}  // namespace

struct Swarm::State : std::enable_shared_from_this<Swarm::State> {
  State(asio::any_io_executor e, Clock& c, Dialer d, storage::PieceStore& s, storage::BlockPool& p,
        Config cfg, Log l)
      : executor(e),
        clock(c),
        dialer(std::move(d)),
        store(s),
        pool(p),
        config(std::move(cfg)),
        log(std::move(l)),
        picker(store.layout(), 0),
        list(config.allow_local, config.seed, config.max_connections),
        tasks(e),
        wake(c, [this] { run_schedule(); }),
        redial(c, [this] { dial_more(); }),
        housekeeping(c, [this] { keep_house(); }) {}

  // -- connections
  void dial_more();
  Task<void> run_peer(Endpoint endpoint);
  Task<Result<std::unique_ptr<PeerConnection>>> establish(Endpoint endpoint, Handshake* remote,
                                                          Duration* connect_time);
  Task<void> serve(std::shared_ptr<Connection> c, Duration connect_time);
  static Task<void> write(std::shared_ptr<Connection> c) { co_await c->link->write_loop(); }
  void greet(Connection& c);
  void ban(const Endpoint& endpoint, const char* why);
  void keep_house();

  // -- messages
  error_code on_message(Connection& c, const Message& message);
  error_code on_block(Connection& c, std::uint32_t index, std::uint32_t begin, std::uint32_t length,
                      storage::Block block);
  Task<void> verify(PieceIndex piece);

  // -- decisions
  void schedule_soon();
  void run_schedule();

  void say(int level, const std::string& line) const {
    if (log) log(level, line);
  }

  asio::any_io_executor executor;
  Clock& clock;
  Dialer dialer;
  storage::PieceStore& store;
  storage::BlockPool& pool;
  Config config;
  Log log;
  PiecePicker picker;
  PeerList list;
  Blame blame;
  storage::TaskGroup tasks;
  Timer wake;
  Timer redial;
  Timer housekeeping;
  std::map<PeerKey, std::shared_ptr<Connection>> connections;
  std::map<PeerKey, Endpoint> senders;  // of everyone who sent a block of an open piece
  PeerKey next_key = 1;                 // 0 means nobody
  std::size_t dialling = 0;
  bool started = false;
  bool stopping = false;
  bool schedule_posted = false;
  SwarmStatus counters;
  std::deque<std::pair<TimePoint, std::uint64_t>> recent;  // received bytes, for the rate
};

// -- connections

void Swarm::State::dial_more() {
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

Task<Result<std::unique_ptr<PeerConnection>>> Swarm::State::establish(Endpoint endpoint,
                                                                      Handshake* remote,
                                                                      Duration* connect_time) {
  const TimePoint started_at = clock.now();
  Result<std::unique_ptr<Stream>> stream = co_await dialer(endpoint);
  if (!stream) co_return stream.error();
  *connect_time = clock.now() - started_at;
  auto link = std::make_unique<PeerConnection>(executor, clock, std::move(*stream));
  const Result<Handshake> theirs =
      co_await link->handshake(our_handshake(config.info_hash, config.peer_id));
  if (!theirs) co_return theirs.error();
  if (theirs->info_hash != config.info_hash) co_return NetErrc::wrong_torrent;
  if (theirs->peer_id == config.peer_id) co_return NetErrc::self_connection;
  *remote = *theirs;
  co_return link;
}

Task<void> Swarm::State::run_peer(Endpoint endpoint) {
  const auto self = shared_from_this();
  auto connection = std::make_shared<Connection>(next_key++, endpoint);
  Duration connect_time{};
  error_code why = NetErrc::timed_out;
  {
    using namespace asio::experimental::awaitable_operators;
    auto attempt = co_await (establish(endpoint, &connection->remote, &connect_time) ||
                             clock.sleep(kHandshakeDeadline));
    if (attempt.index() == 0) {
      Result<std::unique_ptr<PeerConnection>>& link = std::get<0>(attempt);
      if (link) {
        connection->link = std::move(*link);
        why = {};
      } else {
        why = link.error();
      }
    }
  }
  --dialling;
  const bool twin = !why && std::any_of(connections.begin(), connections.end(), [&](const auto& c) {
    return c.second->remote.peer_id == connection->remote.peer_id;
  });
  if (twin) why = NetErrc::duplicate_peer;
  if (!why && !stopping) {
    co_await serve(connection, connect_time);
  } else if (!stopping) {
    say(0, endpoint.address().to_string() + ": " + why.message());
    if (why == NetErrc::self_connection || why == NetErrc::wrong_torrent) list.ban(endpoint);
  }
  list.on_gone(endpoint, clock.now());
  dial_more();
}

Task<void> Swarm::State::serve(std::shared_ptr<Connection> c, Duration connect_time) {
  const auto self = shared_from_this();
  connections.emplace(c->key, c);
  senders[c->key] = c->endpoint;
  if (senders.size() > kMaxSenders) {
    std::erase_if(senders, [this](const auto& s) { return !connections.contains(s.first); });
  }
  picker.add_peer(c->key, connect_time, c->remote.fast());
  list.on_connected(c->endpoint, clock.now());
  greet(*c);
  PeerConnection::Handlers handlers;
  handlers.in.on_message = [this, raw = c.get()](const Message& m) { return on_message(*raw, m); };
  handlers.in.on_block = [this, raw = c.get()](std::uint32_t index, std::uint32_t begin,
                                               std::uint32_t length, storage::Block block) {
    return on_block(*raw, index, begin, length, std::move(block));
  };
  handlers.expected_blocks = [this, key = c->key] { return picker.peer(key).requests().size(); };
  const std::uint32_t max_message = std::max(kMaxMessageSize, store.layout().piece_count() / 8 + 2);
  const std::uint64_t writer = tasks.spawn(write(c));
  error_code why;
  try {
    why = co_await c->link->read_loop(pool, max_message, std::move(handlers));
  } catch (const boost::system::system_error& e) {
    why = e.code();
  }
  c->link->close();
  tasks.cancel_one(writer);
  say(0, c->endpoint.address().to_string() + ": disconnected: " + why.message());
  connections.erase(c->key);
  picker.remove_peer(c->key);
  schedule_soon();
}

// In one segment: what we have (BEP 6: first), what we speak, and that we want. An unchoke can take
// 10 s, so ask at once.
void Swarm::State::greet(Connection& c) {
  if (c.remote.fast()) c.link->send(HaveNone{});
  if (c.remote.extensions()) {
    const std::vector<std::byte> payload = extension_handshake(c.endpoint);
    c.link->send(Extended{0, payload});
  }
  c.link->send(Interested{});
  c.link->flush();
}

void Swarm::State::ban(const Endpoint& endpoint, const char* why) {
  if (list.is_banned(endpoint)) return;
  say(2, endpoint.address().to_string() + " banned: " + why);
  list.ban(endpoint);
  ++counters.banned;
  for (const auto& [key, c] : connections) {
    if (list.is_banned(c->endpoint)) c->link->close();
  }
}

void Swarm::State::keep_house() {
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

error_code Swarm::State::on_message(Connection& c, const Message& message) {
  const storage::Layout& layout = store.layout();
  const auto visitor = [&]<class T>(const T& m) -> error_code {
    if constexpr (std::is_same_v<T, Choke>) {
      picker.on_choke(c.key);
    } else if constexpr (std::is_same_v<T, Unchoke>) {
      picker.on_unchoke(c.key);
    } else if constexpr (std::is_same_v<T, Have>) {
      const auto piece = layout.piece_at(m.index);
      if (!piece) return NetErrc::protocol_error;
      picker.on_have(c.key, *piece);
    } else if constexpr (std::is_same_v<T, BitfieldMessage>) {
      auto pieces = storage::Bitfield::from_wire(m.bytes, layout.piece_count());
      if (!pieces) return NetErrc::protocol_error;
      picker.on_bitfield(c.key, std::move(*pieces));
    } else if constexpr (std::is_same_v<T, HaveAll>) {
      if (!c.remote.fast()) return NetErrc::protocol_error;
      picker.on_have_all(c.key);
    } else if constexpr (std::is_same_v<T, Request>) {
      // We choke everyone in this version. BEP 6: a choked peer's request is answered with a
      // reject.
      if (c.remote.fast()) c.link->send(Reject{m.index, m.begin, m.length});
      c.link->flush();
    } else if constexpr (std::is_same_v<T, Reject>) {
      const auto block = layout.block_at(m.index, m.begin, m.length);
      if (!c.remote.fast() || !block) return NetErrc::protocol_error;
      picker.on_reject(c.key, *block, clock.now());
    } else if constexpr (std::is_same_v<T, AllowedFast>) {
      const auto piece = layout.piece_at(m.index);
      if (!c.remote.fast() || !piece) return NetErrc::protocol_error;
      picker.on_allowed_fast(c.key, *piece);
    } else if constexpr (std::is_same_v<T, Extended>) {
      if (m.id != 0) return {};
      const ExtensionHandshake theirs = parse_extension_handshake(m.payload);
      if (theirs.request_limit) picker.limit_requests(c.key, *theirs.request_limit);
      return {};
    } else {
      return {};  // keep-alives, interest, what peers suggest or speak beyond us
    }
    schedule_soon();
    return {};
  };
  return std::visit(visitor, message);
}

error_code Swarm::State::on_block(Connection& c, std::uint32_t index, std::uint32_t begin,
                                  std::uint32_t length, storage::Block block) {
  const std::optional<BlockId> id = store.layout().block_at(index, begin, length);
  if (!id) return NetErrc::protocol_error;
  const TimePoint now = clock.now();
  counters.received_bytes += length;
  if (recent.empty() || now - recent.back().first > 100ms) recent.emplace_back(now, 0);
  recent.back().second += length;
  while (now - recent.front().first > kRateWindow) recent.pop_front();
  schedule_soon();
  switch (picker.on_block(c.key, *id, now)) {
    case PiecePicker::Arrival::unrequested:
      counters.redundant_bytes += length;
      if (++c.unrequested > kMaxUnrequested) return NetErrc::protocol_error;
      return {};
    case PiecePicker::Arrival::redundant:
      counters.redundant_bytes += length;
      return {};
    case PiecePicker::Arrival::wanted:
      break;
  }
  if (!block) {  // the pool was used up while it came
    counters.redundant_bytes += length;
    picker.on_block_lost(*id);
    return {};
  }
  if (store.put_block(*id, std::move(block)) == storage::PieceStore::Put::piece_complete) {
    tasks.spawn(verify(id->piece));
  }
  return {};
}

Task<void> Swarm::State::verify(PieceIndex piece) {
  const auto self = shared_from_this();
  std::vector<storage::Sha1Digest> digests;
  const storage::PieceStore::Verdict verdict = co_await store.verify(piece, &digests);
  const std::vector<PeerKey> from = picker.senders(piece);
  std::set<Endpoint> guilty;
  if (verdict == storage::PieceStore::Verdict::good) {
    picker.on_piece_verified(piece);
    if (blame.remembers(piece)) guilty = blame.on_verified(piece, store.block_digests(piece));
    for (const PeerKey key : std::set<PeerKey>(from.begin(), from.end())) {
      const auto found = connections.find(key);
      if (found != connections.end() && !std::exchange(found->second->useful, true)) {
        list.on_useful(found->second->endpoint, clock.now());
      }
    }
  } else {
    counters.corrupt_bytes += store.layout().piece_size(piece);
    say(1, "piece " + std::to_string(piece.value()) + " failed its hash; fetching it again");
    std::vector<Blame::Sent> blocks;
    for (std::size_t i = 0; i < from.size(); ++i) {
      const auto sender = senders.find(from[i]);
      blocks.push_back({sender == senders.end() ? Endpoint() : sender->second, digests[i]});
    }
    guilty = blame.on_corrupt(piece, std::move(blocks));
    picker.on_piece_corrupt(piece);
  }
  for (const Endpoint& endpoint : guilty) ban(endpoint, "sent corrupt data");
  schedule_soon();
}

// -- decisions

// Once per turn of the event loop, after everything that is ready has been taken in.
void Swarm::State::schedule_soon() {
  if (schedule_posted || stopping) return;
  schedule_posted = true;
  asio::post(executor, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->run_schedule();
  });
}

void Swarm::State::run_schedule() {
  schedule_posted = false;
  if (stopping) return;
  const std::size_t pinned =
      std::min(kReservedBlocks, pool.capacity() / 8) + store.unwritten_blocks();
  picker.limit_open_blocks(pool.capacity() > pinned ? pool.capacity() - pinned : 0);
  const TimePoint now = clock.now();
  std::vector<Connection*> touched;
  for (const PiecePicker::Order& order : picker.schedule(now)) {
    if (order.kind == PiecePicker::Order::Kind::forget) {
      store.forget(order.block.piece);
      continue;
    }
    const auto found = connections.find(order.peer);
    if (found == connections.end()) continue;
    Connection& c = *found->second;
    const storage::ByteRange piece = store.layout().range(order.block.piece);
    const auto begin =
        static_cast<std::uint32_t>(store.layout().range(order.block).begin - piece.begin);
    const std::uint32_t index = order.block.piece.value();
    const std::uint32_t length = store.layout().block_size(order.block);
    if (order.kind == PiecePicker::Order::Kind::request) {
      c.link->send(Request{index, begin, length});
    } else {
      c.link->send(Cancel{index, begin, length});
    }
    if (!std::exchange(c.touched, true)) touched.push_back(&c);
  }
  for (Connection* c : touched) {
    c->touched = false;
    c->link->flush();
  }
  if (const std::optional<TimePoint> next = picker.next_wake(now)) {
    wake.arm(*next);
  } else {
    wake.disarm();
  }
}

// -- the public face

Swarm::Swarm(asio::any_io_executor executor, Clock& clock, Dialer dialer,
             storage::PieceStore& store, storage::BlockPool& pool, Config config, Log log)
    : state_(std::make_shared<State>(executor, clock, std::move(dialer), store, pool,
                                     std::move(config), std::move(log))) {
  store.on_lost([weak = std::weak_ptr(state_)](PieceIndex piece) {
    const auto state = weak.lock();
    if (!state) return;
    state->picker.on_piece_lost(piece);
    state->schedule_soon();
  });
}

Swarm::~Swarm() {
  state_->store.on_lost(nullptr);
}

void Swarm::start() {
  state_->started = true;
  state_->dial_more();
  state_->housekeeping.arm(state_->clock.now() + kHousekeeping);
}

void Swarm::add_peers(std::span<const Endpoint> endpoints, PeerSource source) {
  for (const Endpoint& endpoint : endpoints)
    state_->list.add(endpoint, source, state_->clock.now());
  state_->dial_more();
}

Demand Swarm::want(Wish wish) {
  const WishKey key = state_->picker.want(wish, state_->clock.now());
  state_->schedule_soon();
  return Demand([weak = std::weak_ptr(state_), key] {
    const auto state = weak.lock();
    if (!state) return;
    state->picker.withdraw(key);
    state->schedule_soon();
  });
}

SwarmStatus Swarm::status() const {
  const State& s = *state_;
  SwarmStatus status = s.counters;
  status.known_addresses = s.list.size();
  status.dialling = s.dialling;
  status.connected = s.connections.size();
  for (const auto& [key, c] : s.connections) {
    if (!s.picker.peer(key).choking) ++status.unchoked;
  }
  std::uint64_t bytes = 0;
  const TimePoint now = s.clock.now();
  for (const auto& [when, n] : s.recent) {
    if (now - when <= kRateWindow) bytes += n;
  }
  status.bytes_per_second =
      static_cast<double>(bytes) / std::chrono::duration<double>(kRateWindow).count();
  return status;
}

bool Swarm::reachable(storage::ByteRange range) const {
  const storage::Layout& layout = state_->store.layout();
  if (range.empty()) return true;
  std::optional<PieceIndex> piece = layout.piece_of(range.begin);
  for (; piece && layout.range(*piece).begin < range.end; piece = layout.next(*piece)) {
    if (!state_->store.verified().test(*piece) && !state_->picker.available(*piece)) return false;
  }
  return true;
}

Task<void> Swarm::stop() {
  const std::shared_ptr<State> s = state_;
  s->stopping = true;
  s->wake.disarm();
  s->redial.disarm();
  s->housekeeping.disarm();
  for (const auto& [key, c] : s->connections) c->link->close();
  s->tasks.cancel();
  co_await s->tasks.join();
}

}  // namespace swarmfs::net
