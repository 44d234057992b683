#include "net/metadata_exchange.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <chrono>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <utility>

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;
using Type = MetadataMessage::Type;

// Pieces we owe one peer at the most; beyond them it is told no (Transmission's number).
constexpr std::size_t kMaxQueued = 64;
// How often one connection may have each piece: once, and again after a whole that failed its hash
// for another's lie. BEP 9 suggests such a factor against floods.
constexpr std::size_t kServings = 3;
// All peers together: 1 MiB a second, with as much at once after a pause. What readers wait for
// comes in, not out; a home's uplink is the scarce side.
constexpr double kServeRate = 64.0;  // pieces per second
// Bytes that one peer may leave unread before it has to wait: below kMaxUnsent by a good margin.
constexpr std::size_t kUnsentLimit = 128 * 1024;
static_assert(kUnsentLimit + 2 * kMetadataPiece < 256 * 1024);
constexpr Duration kServeTick = 100ms;

struct Asking {
  std::deque<std::uint32_t> queue;
  std::size_t served = 0;
};

}  // namespace

struct MetadataExchange::State : std::enable_shared_from_this<MetadataExchange::State> {
  State(asio::any_io_executor e, Clock& c, Connections& all)
      : executor(e),
        clock(c),
        connections(all),
        wake(c, [this] { run_schedule(); }),
        serve_more(c, [this] { serve_queued(); }) {}

  Connections::Listener listener();
  void on_extensions(const Connected& peer);
  error_code on_message(const Connected& peer, std::span<const std::byte> payload);
  void on_closed(PeerKey key);
  bool send(PeerKey key, const MetadataMessage& message);

  // -- fetching
  void schedule_soon();
  void run_schedule();
  void hand_over();

  // -- serving
  void on_request(PeerKey key, std::uint32_t piece);
  void serve_queued();
  void refill();
  [[nodiscard]] bool may_serve(PeerKey key) const {
    return allowance >= 1 && connections.unsent(key) < kUnsentLimit;
  }
  void serve_piece(PeerKey key, Asking& asking);
  [[nodiscard]] std::size_t piece_count() const {
    return (metadata.size() + kMetadataPiece - 1) / kMetadataPiece;
  }

  asio::any_io_executor executor;
  Clock& clock;
  Connections& connections;
  std::unique_ptr<MetadataFetch> fetch;
  Found found;
  Timer wake;
  bool schedule_posted = false;
  std::vector<std::byte> metadata;  // empty: nothing to serve
  std::map<PeerKey, Asking> asking;
  double allowance = kServeRate;  // pieces
  TimePoint refilled;
  Timer serve_more;
};

Connections::Listener MetadataExchange::State::listener() {
  Connections::Listener listener;
  listener.on_extensions = [this](const Connected& peer) { on_extensions(peer); };
  listener.on_message = [this](const Connected& peer, std::span<const std::byte> payload) {
    return on_message(peer, payload);
  };
  listener.on_closed = [this](PeerKey key) { on_closed(key); };
  return listener;
}

void MetadataExchange::State::on_extensions(const Connected& peer) {
  if (!fetch) return;
  if (peer.said.metadata_id.value_or(0) == 0) {
    fetch->on_gone(peer.key);  // it takes no requests (any more)
  } else {
    fetch->on_peer(peer.key, peer.endpoint, peer.connect_time, peer.said.metadata_size,
                   clock.now());
  }
  schedule_soon();
}

error_code MetadataExchange::State::on_message(const Connected& peer,
                                               std::span<const std::byte> payload) {
  const std::optional<MetadataMessage> message = decode_metadata(payload);
  if (!message) return {};
  if (message->type == Type::request) {
    on_request(peer.key, message->piece);
    return {};
  }
  if (!fetch) return {};
  schedule_soon();
  if (message->type == Type::data) return fetch->on_data(peer.key, *message, clock.now());
  fetch->on_reject(peer.key, message->piece, clock.now());
  return {};
}

void MetadataExchange::State::on_closed(PeerKey key) {
  asking.erase(key);
  if (!fetch) return;
  fetch->on_gone(key);
  schedule_soon();
}

// False: it is gone, or takes none.
bool MetadataExchange::State::send(PeerKey key, const MetadataMessage& message) {
  const Connected* peer = connections.find(key);
  const std::uint8_t id = peer == nullptr ? std::uint8_t{0} : peer->said.metadata_id.value_or(0);
  if (id == 0) return false;
  const std::vector<std::byte> payload = encode(message);
  connections.send(key, Extended{id, payload});
  return true;
}

// -- fetching

// Once per turn of the event loop, after everything that is ready has been taken in.
void MetadataExchange::State::schedule_soon() {
  if (std::exchange(schedule_posted, true)) return;
  asio::post(executor, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->run_schedule();
  });
}

void MetadataExchange::State::run_schedule() {
  schedule_posted = false;
  if (!fetch) return;
  for (const Endpoint& liar : fetch->take_liars()) {
    connections.ban(liar, "sent metadata that does not match the info-hash");
  }
  if (fetch->done()) return hand_over();
  const TimePoint now = clock.now();
  std::set<PeerKey> touched;
  for (const MetadataFetch::Ask& ask : fetch->schedule(now)) {
    if (send(ask.peer, {.type = Type::request, .piece = ask.piece})) touched.insert(ask.peer);
  }
  for (const PeerKey key : touched) connections.flush(key);
  if (const std::optional<TimePoint> next = fetch->next_wake(now)) {
    wake.arm(*next);
  } else {
    wake.disarm();
  }
}

void MetadataExchange::State::hand_over() {
  wake.disarm();
  std::vector<std::byte> whole = fetch->take_metadata();
  fetch.reset();
  const Found then = std::exchange(found, nullptr);
  then(std::move(whole));
}

// -- serving

void MetadataExchange::State::on_request(PeerKey key, std::uint32_t piece) {
  Asking& peer = asking[key];
  // What we do not have, and what is too much, is refused.
  if (piece >= piece_count() || peer.queue.size() >= kMaxQueued ||
      peer.served + peer.queue.size() >= kServings * piece_count()) {
    if (connections.unsent(key) < kUnsentLimit) {
      send(key, {.type = Type::reject, .piece = piece});
      connections.flush(key);
    }
    return;
  }
  peer.queue.push_back(piece);
  serve_queued();
}

void MetadataExchange::State::refill() {
  const TimePoint now = clock.now();
  const double passed = std::chrono::duration<double>(now - refilled).count();
  allowance = std::min(kServeRate, allowance + passed * kServeRate);
  refilled = now;
}

void MetadataExchange::State::serve_piece(PeerKey key, Asking& peer) {
  const std::uint32_t piece = peer.queue.front();
  peer.queue.pop_front();
  ++peer.served;
  allowance -= 1;
  const std::size_t begin = std::size_t{piece} * kMetadataPiece;
  const auto bytes = std::span<const std::byte>(metadata).subspan(
      begin, std::min<std::size_t>(kMetadataPiece, metadata.size() - begin));
  send(key, {.type = Type::data,
             .piece = piece,
             .total_size = static_cast<std::uint32_t>(metadata.size()),
             .data = bytes});
  connections.flush(key);
}

// A piece a peer in turn, so that one that asks for all does not keep out one that asks for little.
void MetadataExchange::State::serve_queued() {
  refill();
  for (bool served = true; served;) {
    served = false;
    for (auto& [key, peer] : asking) {
      if (peer.queue.empty() || !may_serve(key)) continue;
      serve_piece(key, peer);
      served = true;
    }
  }
  const bool waiting = std::any_of(asking.begin(), asking.end(),
                                   [](const auto& a) { return !a.second.queue.empty(); });
  if (waiting) {
    serve_more.arm(clock.now() + kServeTick);
  } else {
    serve_more.disarm();
  }
}

// -- the public face

MetadataExchange::MetadataExchange(asio::any_io_executor executor, Clock& clock,
                                   Connections& connections)
    : state_(std::make_shared<State>(executor, clock, connections)) {
  state_->refilled = clock.now();
  connections.set_listener(ExtensionId::metadata, state_->listener());
}

MetadataExchange::~MetadataExchange() {
  state_->connections.set_listener(ExtensionId::metadata, {});
}

void MetadataExchange::fetch(const storage::InfoHash& info_hash, Found found) {
  state_->found = std::move(found);
  state_->fetch = std::make_unique<MetadataFetch>(info_hash);
  for (const Connected* peer : state_->connections.all()) state_->on_extensions(*peer);
}

MetadataFetch::Progress MetadataExchange::progress() const {
  return state_->fetch ? state_->fetch->progress() : MetadataFetch::Progress();
}

void MetadataExchange::serve(std::vector<std::byte> metadata) {
  if (metadata.size() > kMaxMetadataSize) return;
  state_->metadata = std::move(metadata);
}

}  // namespace swarmfs::net
