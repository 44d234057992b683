#include "net/torrent_session.h"

#include <algorithm>
#include <chrono>
#include <random>
#include <string_view>

#include "net/metadata_exchange.h"
#include "net/name_lookup.h"
#include "net/peer_exchange.h"
#include "net/secret_random.h"
#include "net/web_seeds.h"
#include "storage/bencode.h"
#include "storage/block_pool.h"
#include "storage/task_group.h"
#include "storage/wait_list.h"

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMiB = 1024 * 1024;
// What the swarm keeps out of open pieces for its connections.
constexpr std::size_t kPoolReserve = 8 * kMiB;

// A name that is not found is looked up again: the network may come up after the mount.
constexpr Duration kFirstLookupPause = 2s;
constexpr Duration kLongestLookupPause = 60s;
// The same for names in a link, of which there may be a hundred that never were.
constexpr Duration kLongestHintPause = 30min;

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

// What is announced as left while nobody knows: trackers take 0 for a seed and give it no seeds,
// and libtorrent says the same.
constexpr std::uint64_t kUnknownLeft = 16 * 1024;

// The info dictionary as it stands in a .torrent; empty: there is none.
std::vector<std::byte> info_of(std::span<const std::byte> torrent) {
  const auto document = storage::bencode::Document::read(torrent, storage::bencode::kTorrentLimits,
                                                         storage::bencode::Mode::lenient);
  if (!document) return {};
  const storage::bencode::Value info = document->root()["info"];
  if (!info) return {};
  return {info.raw().begin(), info.raw().end()};
}

// A .torrent to keep. `info` stands in it as it came: its bytes are what the info-hash is of.
std::vector<std::byte> torrent_of(std::span<const std::byte> info,
                                  const std::vector<std::vector<std::string>>& trackers,
                                  const std::vector<std::string>& web_seeds) {
  storage::bencode::List tiers;
  for (const std::vector<std::string>& tier : trackers) {
    storage::bencode::List urls;
    for (const std::string& url : tier) urls.add(url);
    tiers.add(urls);
  }
  storage::bencode::Dictionary torrent;
  if (!trackers.empty()) torrent.add("announce-list", tiers);
  torrent.add_encoded("info", {reinterpret_cast<const char*>(info.data()), info.size()});
  storage::bencode::List urls;
  for (const std::string& url : web_seeds) urls.add(url);
  if (!web_seeds.empty()) torrent.add("url-list", urls);
  const std::string text = torrent.encode();
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

}  // namespace

struct TorrentSession::State {
  explicit State(Parts p);

  [[nodiscard]] Connections::Config connections_config() const;
  [[nodiscard]] Announcer::Parts announcer_parts();
  [[nodiscard]] ExtensionOffer offer() const;
  [[nodiscard]] std::uint16_t listen_port() const {
    return parts.listener == nullptr ? std::uint16_t{0} : parts.listener->port();
  }
  void open_door();    // for those who come to us
  void look_around();  // in the DHT and on the local network
  // Looks `name` up until it is found, and adds what it stands for.
  [[nodiscard]] Task<void> find_peer(storage::HostPort name, PeerSource source);

  // -- from the metadata to the metainfo
  // `info` matches the info-hash: makes a torrent of it, or says why it is none.
  [[nodiscard]] Task<void> adopt(std::vector<std::byte> info);
  [[nodiscard]] Task<Result<storage::Metainfo>> parse(
      std::shared_ptr<const std::vector<std::byte>> torrent);
  // There is a metainfo: from here on there are a store and a swarm.
  void begin_data();
  void serve_info(std::vector<std::byte> info);
  void fail(error_code why);
  [[nodiscard]] static Task<Result<void>> wait(std::shared_ptr<State> self);

  Parts parts;
  PeerId peer_id;
  storage::BlockPool pool{0};  // grows when the piece length is known
  Connections connections;
  MetadataExchange metadata;
  std::optional<PeerExchange> pex;
  std::optional<storage::PieceStore> store;
  std::optional<Swarm> swarm;
  std::optional<WebSeeds> web_seeds;
  Announcer announcer;
  Discovery::Search search;
  Listener::Registration guests;
  storage::TaskGroup tasks;  // name lookups, and the way from metadata to metainfo
  storage::WaitList decided;
  std::optional<error_code> failure;
  std::size_t info_size = 0;  // of what peers can have from us
  bool stopping = false;
};

TorrentSession::State::State(Parts p)
    : parts(std::move(p)),
      peer_id(make_peer_id()),
      connections(parts.executor, parts.clock, parts.dialer, pool, connections_config(), parts.log),
      metadata(parts.executor, parts.clock, connections),
      announcer(announcer_parts()),
      tasks(parts.executor),
      decided(parts.executor) {
  if (parts.metainfo && parts.metainfo->is_private) parts.pex = false;  // and peers are never told
  if (parts.pex) pex.emplace(parts.clock, connections);
  if (parts.metainfo) begin_data();
  serve_info(info_of(std::exchange(parts.torrent, {})));
}

Connections::Config TorrentSession::State::connections_config() const {
  Connections::Config config;
  config.info_hash = parts.info_hash;
  config.peer_id = peer_id;
  config.allow_local = parts.allow_local;
  config.seed = draw_seed();
  if (parts.discovery != nullptr) config.external = parts.discovery->external();
  return config;
}

ExtensionOffer TorrentSession::State::offer() const {
  ExtensionOffer offer;
  offer.metadata = !parts.metainfo || info_size > 0;
  offer.port = listen_port();
  if (info_size > 0) offer.metadata_size = static_cast<std::uint32_t>(info_size);
  if (pex) {
    offer.pex = ExtensionOffer::Pex::on;
  } else if (parts.pex) {  // until we learned that the torrent is private
    offer.pex = ExtensionOffer::Pex::withdrawn;
  }
  return offer;
}

Announcer::Parts TorrentSession::State::announcer_parts() {
  AnnounceRequest identity;
  identity.info_hash = parts.info_hash;
  identity.peer_id = peer_id;
  // Trackers take no 0, and some drop who says it.
  identity.port = listen_port() != 0 ? listen_port() : parts.port;
  identity.key = static_cast<std::uint32_t>(draw_seed());
  const auto progress = [this] {
    if (!store) return std::pair(std::uint64_t{0}, kUnknownLeft);
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
          .log = log,
          .udp = parts.discovery != nullptr ? &parts.discovery->udp() : nullptr,
          .seed = draw_seed(),
          .user_tiers = parts.user_tiers,
          .interface = parts.interface,
          .seen_at = [this](const asio::ip::address& witness, const asio::ip::address& seen) {
            if (parts.discovery != nullptr) parts.discovery->external()->on_seen(witness, seen);
          }};
}

void TorrentSession::State::look_around() {
  if (parts.discovery == nullptr || (parts.metainfo && parts.metainfo->is_private)) return;
  const auto found = [this](std::span<const Endpoint> peers, PeerSource source) {
    connections.add_peers(peers, source);
  };
  const std::vector<storage::HostPort> nodes =
      parts.metainfo ? parts.metainfo->nodes : std::vector<storage::HostPort>();
  search = parts.discovery->search(parts.info_hash, nodes, found);
}

void TorrentSession::State::open_door() {
  if (parts.listener == nullptr) return;
  const auto take = [this](std::unique_ptr<Stream> stream, const Handshake& theirs) {
    connections.accept(std::move(stream), theirs);
  };
  guests = parts.listener->expect(parts.info_hash, take);
}

Task<void> TorrentSession::State::find_peer(storage::HostPort name, PeerSource source) {
  const bool user = source == PeerSource::user;
  const Duration longest = user ? kLongestLookupPause : kLongestHintPause;
  for (Duration pause = kFirstLookupPause;; pause = std::min(2 * pause, longest)) {
    const Result<std::vector<Endpoint>> found = co_await look_up(name.host, name.port);
    if (found && !found->empty()) {
      connections.add_peers(*found, source);
      co_return;
    }
    const std::string why = found ? "no address" : found.error().message();
    parts.log(user ? 2 : 0, "peer " + name.host + ": " + why + "; trying again");
    co_await parts.clock.sleep(pause);
  }
}

// -- from the metadata to the metainfo

Task<Result<storage::Metainfo>> TorrentSession::State::parse(
    std::shared_ptr<const std::vector<std::byte>> torrent) {
  // 8 MiB take longer than `ls` should wait.
  auto parsed = std::make_shared<std::optional<Result<storage::Metainfo>>>();
  const auto job = [torrent, parsed] { parsed->emplace(storage::parse_metainfo(*torrent)); };
  co_await parts.hashers.run(job);
  co_return std::move(**parsed);
}

Task<void> TorrentSession::State::adopt(std::vector<std::byte> info) {
  const auto torrent =
      std::make_shared<const std::vector<std::byte>>(torrent_of(info, parts.trackers, parts.web_seeds));
  Result<storage::Metainfo> metainfo = co_await parse(torrent);
  if (stopping) co_return;
  if (!metainfo) co_return fail(metainfo.error());
  // Bytes that are not one dictionary may have come out as another torrent.
  if (metainfo->info_hash != parts.info_hash) co_return fail(storage::StorageErrc::not_a_torrent);
  parts.metainfo = std::move(*metainfo);
  begin_data();
  web_seeds->start();
  serve_info(std::move(info));
  if (parts.on_metadata) parts.on_metadata(*torrent);
  decided.wake_all();
}

void TorrentSession::State::fail(error_code why) {
  parts.log(2, "what peers have under this info-hash is no torrent we can serve: " + why.message());
  failure = why;
  decided.wake_all();
}

void TorrentSession::State::begin_data() {
  const storage::Metainfo& metainfo = *parts.metainfo;
  if (metainfo.is_private) {  // BEP 27
    search = {};
    pex.reset();
    connections.make_private();
  }
  pool.grow(pool_size(metainfo.layout.piece_length(), parts.memory_limit) / storage::kBlockSize);
  store.emplace(storage::PieceStore::Parts{
      .executor = parts.executor,
      .layout = metainfo.layout,
      .piece_hashes = metainfo.piece_hashes,
      .pool = pool,
      .hashers = parts.hashers,
      .disk = parts.disk,
      .warn = [this](const std::string& line) { parts.log(2, line); },
      .claimed = parts.claimed ? parts.claimed(metainfo) : storage::Bitfield()});
  swarm.emplace(parts.executor, parts.clock, connections, *store, pool, parts.log);
  web_seeds.emplace(WebSeeds::Parts{.executor = parts.executor,
                                    .clock = parts.clock,
                                    .connections = connections,
                                    .metainfo = metainfo,
                                    .urls = parts.web_seeds,
                                    .allow_local = parts.allow_local,
                                    .interface = parts.interface,
                                    .log = parts.log});
}

// Peers learn from it, too, that we have the metadata now, and what a private torrent ends.
void TorrentSession::State::serve_info(std::vector<std::byte> info) {
  if (info.size() <= kMaxMetadataSize) info_size = info.size();
  metadata.serve(std::move(info));
  connections.set_offer(offer());
}

Task<Result<void>> TorrentSession::State::wait(std::shared_ptr<State> self) {
  while (!self->swarm && !self->failure) co_await self->decided.wait();
  if (self->failure) co_return *self->failure;
  co_return Result<void>();
}

// -- the public face

std::size_t pool_size(std::uint32_t piece_length, std::uint64_t memory_limit) {
  const std::uint64_t left = memory_limit - std::min(memory_limit, kMemoryBesideBlocks);
  return std::max<std::size_t>(left, 2 * std::size_t{piece_length} + kPoolReserve);
}

TorrentSession::TorrentSession(Parts parts) : state_(std::make_shared<State>(std::move(parts))) {}

TorrentSession::~TorrentSession() = default;

void TorrentSession::start() {
  State& s = *state_;
  if (!s.swarm) {
    s.metadata.fetch(s.parts.info_hash, [&s](std::vector<std::byte> info) {
      s.tasks.spawn(s.adopt(std::move(info)));
    });
  }
  s.connections.start();
  if (s.web_seeds) s.web_seeds->start();
  s.open_door();
  s.look_around();
  for (const storage::HostPort& peer : s.parts.peers) {
    s.tasks.spawn(s.find_peer(peer, PeerSource::user));
  }
  for (const storage::HostPort& peer : s.parts.hinted_peers) {
    s.tasks.spawn(s.find_peer(peer, PeerSource::tracker));
  }
  s.announcer.start();
}

Task<void> TorrentSession::stop() {
  const std::shared_ptr<State> s = state_;
  s->stopping = true;
  if (!s->swarm && !s->failure) s->failure = storage::StorageErrc::closed;
  s->decided.wake_all();
  s->search = {};
  s->guests = {};
  if (s->store) s->store->close();
  s->tasks.cancel();
  storage::TaskGroup both(s->parts.executor);
  both.spawn(s->announcer.stop());
  both.spawn(s->connections.stop());
  if (s->web_seeds) both.spawn(s->web_seeds->stop());
  co_await both.join();
  co_await s->tasks.join();
  if (!s->swarm) co_return;
  co_await s->swarm->stop();
  co_await s->store->stop();
}

bool TorrentSession::has_metadata() const {
  return state_->swarm.has_value();
}

Task<Result<void>> TorrentSession::wait_metadata() {
  return State::wait(state_);
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
  if (!state_->swarm) return {};
  return state_->swarm->want(wish);
}

bool TorrentSession::reachable(storage::ByteRange range) const {
  return state_->swarm && state_->swarm->reachable(range);
}

SwarmStatus TorrentSession::status() const {
  if (state_->swarm) {
    SwarmStatus status = state_->swarm->status();
    const WebSeeds::Counts web = state_->web_seeds->counts();
    status.known_addresses += web.known;
    status.dialling += web.dialling;
    return status;
  }
  const Connections::Counts counts = state_->connections.counts();
  const MetadataFetch::Progress progress = state_->metadata.progress();
  SwarmStatus status;
  status.known_addresses = counts.known_addresses;
  status.dialling = counts.dialling;
  status.connected = counts.connected;
  status.banned = counts.banned;
  status.metadata_bytes = progress.bytes;
  status.metadata_size = progress.size;
  return status;
}

std::vector<Endpoint> TorrentSession::peers_to_remember() const {
  if (!has_metadata() || metainfo().is_private) return {};
  return state_->connections.useful_peers();
}

std::string TorrentSession::trackers_status() const {
  return state_->announcer.status();
}

}  // namespace swarmfs::net
