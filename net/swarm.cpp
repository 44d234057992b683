#include "net/swarm.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <chrono>
#include <deque>
#include <utility>

#include "net/blame.h"
#include "storage/task_group.h"

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;
using storage::BlockId;
using storage::PieceIndex;

// Blocks nobody asked for (any more) that are put up with: late answers to forgotten cancels.
constexpr std::uint32_t kMaxUnrequested = 256;
// Pool blocks never promised to open pieces: what connections read into, and short pieces on their
// way to disk.
constexpr std::size_t kReservedBlocks = 8 * 1024 * 1024 / storage::kBlockSize;
constexpr Duration kRateWindow = 3s;
// Connections whose address is remembered for blame after they ended; a piece is open for seconds,
// not for thousands of them.
constexpr std::size_t kMaxSenders = 4096;

// What we keep of a connection besides the picker's model of it.
struct Contact {
  std::uint32_t unrequested = 0;
  bool useful = false;
  bool touched = false;  // has messages to flush
};

// Of the pool, those that open pieces and what waits to be written may hold.
std::size_t blocks_for_pieces(const storage::BlockPool& pool) {
  return pool.capacity() - std::min(kReservedBlocks, pool.capacity() / 8);
}

}  // namespace

struct Swarm::State : std::enable_shared_from_this<Swarm::State> {
  State(asio::any_io_executor e, Clock& c, Connections& all, storage::PieceStore& s,
        storage::BlockPool& p, Connections::Log l)
      : executor(e),
        clock(c),
        connections(all),
        store(s),
        pool(p),
        log(std::move(l)),
        picker(store.layout(), blocks_for_pieces(pool)),
        tasks(e),
        wake(c, [this] { run_schedule(); }) {}

  // -- peers
  Connections::Receiver receiver();
  void on_open(const Connected& peer);
  void on_closed(PeerKey key);

  // -- messages
  error_code on_message(PeerKey key, const Message& message);
  error_code on_dont_have(PeerKey key, std::uint32_t index);
  error_code on_block(PeerKey key, std::uint32_t index, std::uint32_t begin, std::uint32_t length,
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
  Connections& connections;
  storage::PieceStore& store;
  storage::BlockPool& pool;
  Connections::Log log;
  PiecePicker picker;
  Blame blame;
  storage::TaskGroup tasks;
  Timer wake;
  std::map<PeerKey, Contact> contacts;
  std::map<PeerKey, Endpoint> senders;  // of everyone who sent a block of an open piece
  bool stopping = false;
  bool schedule_posted = false;
  SwarmStatus counters;
  std::deque<std::pair<TimePoint, std::uint64_t>> recent;  // received bytes, for the rate
};

// -- peers

Connections::Receiver Swarm::State::receiver() {
  Connections::Receiver receiver;
  receiver.on_open = [this](const Connected& peer) { on_open(peer); };
  receiver.on_extensions = [this](const Connected& peer) {
    if (peer.said.request_limit) picker.limit_requests(peer.key, *peer.said.request_limit);
  };
  receiver.on_message = [this](PeerKey key, const Message& m) { return on_message(key, m); };
  receiver.on_dont_have = [this](PeerKey key, std::uint32_t i) { return on_dont_have(key, i); };
  receiver.on_block = [this](PeerKey key, std::uint32_t index, std::uint32_t begin,
                             std::uint32_t length, storage::Block block) {
    return on_block(key, index, begin, length, std::move(block));
  };
  receiver.expected_blocks = [this](PeerKey key) { return picker.peer(key).requests().size(); };
  receiver.on_closed = [this](PeerKey key) { on_closed(key); };
  receiver.wants = [this] { return picker.wants_any(); };
  return receiver;
}

void Swarm::State::on_open(const Connected& peer) {
  contacts.emplace(peer.key, Contact());
  senders[peer.key] = peer.endpoint;
  if (senders.size() > kMaxSenders) {
    std::erase_if(senders, [this](const auto& s) { return !contacts.contains(s.first); });
  }
  picker.add_peer(peer.key, peer.connect_time, peer.fast);
}

void Swarm::State::on_closed(PeerKey key) {
  contacts.erase(key);
  picker.remove_peer(key);
  schedule_soon();
}

// -- messages

error_code Swarm::State::on_message(PeerKey key, const Message& message) {
  const storage::Layout& layout = store.layout();
  const bool fast = picker.peer(key).fast();
  const auto visitor = [&]<class T>(const T& m) -> error_code {
    if constexpr (std::is_same_v<T, Choke>) {
      picker.on_choke(key);
    } else if constexpr (std::is_same_v<T, Unchoke>) {
      picker.on_unchoke(key);
    } else if constexpr (std::is_same_v<T, Have>) {
      const auto piece = layout.piece_at(m.index);
      if (!piece) return NetErrc::protocol_error;
      picker.on_have(key, *piece);
    } else if constexpr (std::is_same_v<T, BitfieldMessage>) {
      auto pieces = storage::Bitfield::from_wire(m.bytes, layout.piece_count());
      if (!pieces) return NetErrc::protocol_error;
      picker.on_bitfield(key, std::move(*pieces));
    } else if constexpr (std::is_same_v<T, HaveAll>) {
      if (!fast) return NetErrc::protocol_error;
      picker.on_have_all(key);
    } else if constexpr (std::is_same_v<T, Request>) {
      // We choke everyone in this version. BEP 6: a choked peer's request is answered with a
      // reject.
      if (fast) connections.send(key, Reject{m.index, m.begin, m.length});
      connections.flush(key);
    } else if constexpr (std::is_same_v<T, Reject>) {
      const auto block = layout.block_at(m.index, m.begin, m.length);
      if (!fast || !block) return NetErrc::protocol_error;
      picker.on_reject(key, *block, clock.now());
    } else if constexpr (std::is_same_v<T, AllowedFast>) {
      const auto piece = layout.piece_at(m.index);
      if (!fast || !piece) return NetErrc::protocol_error;
      picker.on_allowed_fast(key, *piece);
    } else {
      return {};  // keep-alives, interest, what peers suggest or speak beyond us
    }
    schedule_soon();
    return {};
  };
  return std::visit(visitor, message);
}

error_code Swarm::State::on_dont_have(PeerKey key, std::uint32_t index) {
  const auto piece = store.layout().piece_at(index);
  if (!piece) return NetErrc::protocol_error;
  picker.on_dont_have(key, *piece);
  schedule_soon();
  return {};
}

error_code Swarm::State::on_block(PeerKey key, std::uint32_t index, std::uint32_t begin,
                                  std::uint32_t length, storage::Block block) {
  const std::optional<BlockId> id = store.layout().block_at(index, begin, length);
  if (!id) return NetErrc::protocol_error;
  const TimePoint now = clock.now();
  counters.received_bytes += length;
  if (recent.empty() || now - recent.back().first > 100ms) recent.emplace_back(now, 0);
  recent.back().second += length;
  while (now - recent.front().first > kRateWindow) recent.pop_front();
  schedule_soon();
  switch (picker.on_block(key, *id, now)) {
    case PiecePicker::Arrival::unrequested:
      counters.redundant_bytes += length;
      if (++contacts.at(key).unrequested > kMaxUnrequested) return NetErrc::protocol_error;
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
      const auto found = contacts.find(key);
      if (found != contacts.end() && !std::exchange(found->second.useful, true)) {
        connections.mark_useful(key);
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
  for (const Endpoint& endpoint : guilty) connections.ban(endpoint, "sent corrupt data");
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
  const std::size_t all = blocks_for_pieces(pool);
  picker.limit_open_blocks(all - std::min(all, store.unwritten_blocks()));
  const TimePoint now = clock.now();
  std::vector<PeerKey> touched;
  for (const PiecePicker::Order& order : picker.schedule(now)) {
    if (order.kind == PiecePicker::Order::Kind::forget) {
      store.forget(order.block.piece);
      continue;
    }
    const auto found = contacts.find(order.peer);
    if (found == contacts.end()) continue;
    const storage::ByteRange piece = store.layout().range(order.block.piece);
    const auto begin =
        static_cast<std::uint32_t>(store.layout().range(order.block).begin - piece.begin);
    const std::uint32_t index = order.block.piece.value();
    const std::uint32_t length = store.layout().block_size(order.block);
    if (order.kind == PiecePicker::Order::Kind::request) {
      connections.send(order.peer, Request{index, begin, length});
    } else {
      connections.send(order.peer, Cancel{index, begin, length});
    }
    if (!std::exchange(found->second.touched, true)) touched.push_back(order.peer);
  }
  for (const PeerKey key : touched) {
    contacts.at(key).touched = false;
    connections.flush(key);
  }
  if (const std::optional<TimePoint> next = picker.next_wake(now)) {
    wake.arm(*next);
  } else {
    wake.disarm();
  }
}

// -- the public face

Swarm::Swarm(asio::any_io_executor executor, Clock& clock, Connections& connections,
             storage::PieceStore& store, storage::BlockPool& pool, Connections::Log log)
    : state_(std::make_shared<State>(executor, clock, connections, store, pool, std::move(log))) {
  store.on_lost([weak = std::weak_ptr(state_)](PieceIndex piece) {
    const auto state = weak.lock();
    if (!state) return;
    state->picker.on_piece_lost(piece);
    state->schedule_soon();
  });
  const storage::Layout& layout = store.layout();
  for (auto piece = std::optional(layout.first_piece()); piece; piece = layout.next(*piece)) {
    if (store.present().test(*piece)) state_->picker.on_piece_present(*piece);
  }
  connections.set_receiver(state_->receiver());
}

Swarm::~Swarm() {
  state_->connections.set_receiver({});
  state_->store.on_lost(nullptr);
}

Demand Swarm::want(Wish wish) {
  state_->connections.wake();
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
  const Connections::Counts counts = s.connections.counts();
  status.known_addresses = counts.known_addresses;
  status.dialling = counts.dialling;
  status.connected = counts.connected;
  status.banned = counts.banned;
  for (const auto& [key, contact] : s.contacts) {
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
    if (!state_->store.present().test(*piece) && !state_->picker.available(*piece)) return false;
  }
  return true;
}

Task<void> Swarm::stop() {
  const std::shared_ptr<State> s = state_;
  s->stopping = true;
  s->wake.disarm();
  s->tasks.cancel();
  co_await s->tasks.join();
}

}  // namespace swarmfs::net
