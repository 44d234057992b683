#include "net/torrent_session.h"

#include <algorithm>
#include <chrono>
#include <random>
#include <string_view>

#include "net/name_lookup.h"

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

TorrentSession::TorrentSession(Parts parts)
    : parts_(std::move(parts)),
      peer_id_(make_peer_id()),
      pool_(pool_size(parts_.metainfo.layout.piece_length()) / storage::kBlockSize),
      store_({.executor = parts_.executor,
              .layout = parts_.metainfo.layout,
              .piece_hashes = parts_.metainfo.piece_hashes,
              .pool = pool_,
              .hashers = parts_.hashers,
              .disk = parts_.disk,
              .warn = [this](const std::string& line) { parts_.log(2, line); }}),
      swarm_(parts_.executor, parts_.clock, parts_.dialer, store_, pool_, swarm_config(),
             parts_.log),
      announcer_(announcer_parts()),
      lookups_(parts_.executor) {}

Swarm::Config TorrentSession::swarm_config() const {
  Swarm::Config config;
  config.info_hash = parts_.metainfo.info_hash;
  config.peer_id = peer_id_;
  config.allow_local = parts_.allow_local;
  config.seed = random_number();
  return config;
}

Announcer::Parts TorrentSession::announcer_parts() {
  AnnounceRequest identity;
  identity.info_hash = parts_.metainfo.info_hash;
  identity.peer_id = peer_id_;
  identity.port = parts_.port;
  identity.key = static_cast<std::uint32_t>(random_number());
  const auto progress = [this] {
    const std::uint64_t total = store_.layout().total_size();
    return std::pair(swarm_.status().received_bytes, total - store_.verified_bytes({0, total}));
  };
  const auto found = [this](std::span<const Endpoint> peers, PeerSource source) {
    swarm_.add_peers(peers, source);
  };
  const auto log = [this](const std::string& line) { parts_.log(1, line); };
  return {.executor = parts_.executor,
          .clock = parts_.clock,
          .tiers = parts_.metainfo.trackers,
          .allow_local = parts_.allow_local,
          .identity = identity,
          .progress = progress,
          .found = found,
          .log = log,
          .udp = parts_.udp,
          .seed = random_number()};
}

void TorrentSession::start() {
  swarm_.start();
  for (const PeerName& peer : parts_.peers) lookups_.spawn(find_peer(peer));
  announcer_.start();
}

Task<void> TorrentSession::find_peer(PeerName name) {
  for (Duration pause = kFirstLookupPause;; pause = std::min(2 * pause, kLongestLookupPause)) {
    const Result<std::vector<Endpoint>> found = co_await look_up(name.host, name.port);
    if (found && !found->empty()) {
      swarm_.add_peers(*found, PeerSource::user);
      co_return;
    }
    const std::string why = found ? "no address" : found.error().message();
    parts_.log(2, "--peer " + name.host + ": " + why + "; trying again");
    co_await parts_.clock.sleep(pause);
  }
}

Task<void> TorrentSession::stop() {
  store_.close();
  lookups_.cancel();
  storage::TaskGroup both(parts_.executor);
  both.spawn(announcer_.stop());
  both.spawn(swarm_.stop());
  co_await both.join();
  co_await lookups_.join();
  co_await store_.stop();
}

}  // namespace swarmfs::net
