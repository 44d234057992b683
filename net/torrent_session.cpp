#include "net/torrent_session.h"

#include <algorithm>
#include <chrono>
#include <random>
#include <string_view>

#include "net/name_lookup.h"
#include "storage/block_pool.h"
#include "storage/task_group.h"

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMiB = 1024 * 1024;
// Ten seconds at 40 Mbit/s, the window of one reader of the largest films, is 48 MiB.
constexpr std::size_t kUsualPool = 48 * kMiB;
// What the swarm keeps out of open pieces for its connections.
constexpr std::size_t kPoolReserve = 8 * kMiB;

// A name that is not found is looked up again: the network may come up after the mount.
constexpr Duration kFirstLookupPause = 2s;
constexpr Duration kLongestLookupPause = 60s;

std::uint64_t random_number() {
  std::random_device source;  // the kernel's generator
  return std::uint64_t{source()} << 32 | source();
}

// BEP 20: "-SW", four digits of version, "-", then random characters.
PeerId make_peer_id() {
  constexpr std::string_view kPrefix = "-SW0100-";
  constexpr std::string_view kAlphabet = "0123456789abcdefghijklmnopqrstuvwxyz";
  std::random_device source;
  std::uniform_int_distribution<std::size_t> pick(0, kAlphabet.size() - 1);
  PeerId id;
  for (std::size_t i = 0; i < id.bytes.size(); ++i) {
    const char c = i < kPrefix.size() ? kPrefix[i] : kAlphabet[pick(source)];
    id.bytes[i] = static_cast<std::byte>(c);
  }
  return id;
}

}  // namespace

std::size_t pool_size(std::uint32_t piece_length) {
  return std::max(kUsualPool, 2 * std::size_t{piece_length} + kPoolReserve);
}

struct TorrentSession::State {
  explicit State(Parts p);

  [[nodiscard]] Connections::Config connections_config() const;
  [[nodiscard]] Announcer::Parts announcer_parts();
  void on_metainfo();
  // Looks `name` up until it is found, and adds what it stands for.
  [[nodiscard]] Task<void> find_peer(PeerName name);

  Parts parts;
  PeerId peer_id;
  storage::BlockPool pool;
  Connections connections;
  std::unique_ptr<storage::PieceStore> store;
  std::unique_ptr<Swarm> swarm;
  Announcer announcer;
  storage::TaskGroup lookups;
};

TorrentSession::State::State(Parts p)
    : parts(std::move(p)),
      peer_id(make_peer_id()),
      pool(pool_size(parts.metainfo->layout.piece_length()) / storage::kBlockSize),
      connections(parts.executor, parts.clock, parts.dialer, pool, connections_config(), parts.log),
      announcer(announcer_parts()),
      lookups(parts.executor) {
  on_metainfo();
}

void TorrentSession::State::on_metainfo() {
  store = std::make_unique<storage::PieceStore>(
      storage::PieceStore::Parts{.executor = parts.executor,
                                 .layout = parts.metainfo->layout,
                                 .piece_hashes = parts.metainfo->piece_hashes,
                                 .pool = pool,
                                 .hashers = parts.hashers,
                                 .disk = parts.disk,
                                 .warn = [this](const std::string& line) { parts.log(2, line); }});
  swarm =
      std::make_unique<Swarm>(parts.executor, parts.clock, connections, *store, pool, parts.log);
}

Connections::Config TorrentSession::State::connections_config() const {
  Connections::Config config;
  config.info_hash = parts.info_hash;
  config.peer_id = peer_id;
  config.allow_local = parts.allow_local;
  config.seed = random_number();
  return config;
}

Announcer::Parts TorrentSession::State::announcer_parts() {
  AnnounceRequest identity;
  identity.info_hash = parts.info_hash;
  identity.peer_id = peer_id;
  identity.port = parts.port;
  identity.key = static_cast<std::uint32_t>(random_number());
  const auto progress = [this] {
    const std::uint64_t total = store->layout().total_size();
    return std::pair(swarm->status().received_bytes, total - store->verified_bytes({0, total}));
  };
  const auto found = [this](std::span<const Endpoint> peers, PeerSource source) {
    connections.add_peers(peers, source);
  };
  const auto log = [this](const std::string& line) { parts.log(1, line); };
  return {.executor = parts.executor,
          .clock = parts.clock,
          .tiers = parts.trackers,
          .allow_local = parts.allow_local,
          .identity = identity,
          .progress = progress,
          .found = found,
          .log = log};
}

Task<void> TorrentSession::State::find_peer(PeerName name) {
  for (Duration pause = kFirstLookupPause;; pause = std::min(2 * pause, kLongestLookupPause)) {
    const Result<std::vector<Endpoint>> found = co_await look_up(name.host, name.port);
    if (found && !found->empty()) {
      connections.add_peers(*found, PeerSource::user);
      co_return;
    }
    const std::string why = found ? "no address" : found.error().message();
    parts.log(2, "--peer " + name.host + ": " + why + "; trying again");
    co_await parts.clock.sleep(pause);
  }
}

TorrentSession::TorrentSession(Parts parts) : state_(std::make_shared<State>(std::move(parts))) {}

TorrentSession::~TorrentSession() = default;

void TorrentSession::start() {
  State& s = *state_;
  s.connections.start();
  for (const PeerName& peer : s.parts.peers) s.lookups.spawn(s.find_peer(peer));
  s.announcer.start();
}

Task<void> TorrentSession::stop() {
  const std::shared_ptr<State> s = state_;
  s->store->close();
  s->lookups.cancel();
  storage::TaskGroup both(s->parts.executor);
  both.spawn(s->announcer.stop());
  both.spawn(s->connections.stop());
  co_await both.join();
  co_await s->lookups.join();
  co_await s->swarm->stop();
  co_await s->store->stop();
}

bool TorrentSession::has_metadata() const {
  return true;
}
Task<Result<void>> TorrentSession::wait_metadata() {
  co_return Result<void>();
}
const storage::Metainfo& TorrentSession::metainfo() const {
  return *state_->parts.metainfo;
}
storage::PieceStore& TorrentSession::store() {
  return *state_->store;
}
void TorrentSession::add_peers(std::span<const Endpoint> endpoints, PeerSource source) {
  state_->connections.add_peers(endpoints, source);
}
Demand TorrentSession::want(Wish wish) {
  return state_->swarm->want(wish);
}
bool TorrentSession::reachable(storage::ByteRange range) const {
  return state_->swarm->reachable(range);
}
SwarmStatus TorrentSession::status() const {
  return state_->swarm->status();
}
std::string TorrentSession::trackers_status() const {
  return state_->announcer.status();
}

}  // namespace swarmfs::net
