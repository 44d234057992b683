#include "tests/sim/world.h"

#include <algorithm>
#include <boost/asio/ip/address_v4.hpp>
#include <cstdio>
#include <cstdlib>

#include "tests/sim/oracle.h"

namespace swarmfs::sim {
namespace {

constexpr std::size_t kMaxLogLines = 200;
constexpr Duration kStopDeadline =
    60s;  // of virtual time; stop() has nothing to wait for that takes longer

storage::InfoHash peer_id_of(std::uint64_t seed) {
  storage::InfoHash id;
  for (std::size_t i = 0; i < id.bytes.size(); ++i)
    id.bytes[i] = static_cast<std::byte>(mix(seed + i) & 0xffU);
  return id;
}

}  // namespace

World::World(WorldSpec spec)
    : spec_(std::move(spec)),
      rng_(spec_.seed),
      truth_(storage::Layout(spec_.total, spec_.piece_length, spec_.pads), spec_.seed),
      ledger_(loop_, truth_),
      net_(loop_, spec_.line_rate, rng_.next()),
      pool_(spec_.pool_blocks),
      workers_(loop_.executor(), 0),
      tasks_(loop_.executor()) {
  if (spec_.disk) disk_ = std::make_unique<SimDisk>(loop_, *spec_.disk, rng_.next());
  const auto note = [this](const std::string& line) {
    if (log_.size() < kMaxLogLines)
      log_.push_back(std::to_string(to_ms(loop_.elapsed())) + " ms: " + line);
  };
  store_ = std::make_unique<storage::PieceStore>(
      storage::PieceStore::Parts{loop_.executor(), truth_.layout(), truth_.piece_hashes(), pool_,
                                 workers_, disk_.get(), note, leave_behind()});
  ledger_.watch(store_.get());
  net_.set_tap([this](const Endpoint& remote) { return ledger_.tap(remote); });
  net::Connections::Config config;
  config.info_hash = truth_.info_hash();
  config.peer_id = peer_id_of(spec_.seed);
  config.allow_local = false;
  config.seed = rng_.next();
  const auto log = [note](int, const std::string& line) { note(line); };
  connections_ = std::make_unique<net::Connections>(loop_.executor(), loop_.clock(), net_.dialer(),
                                                    pool_, config, log);
  swarm_ = std::make_unique<net::Swarm>(loop_.executor(), loop_.clock(), *connections_, *store_,
                                        pool_, log);
  add_peers();
}

World::~World() = default;

Endpoint World::endpoint_of(std::size_t peer) {
  const auto address = 0x0a090000U + static_cast<std::uint32_t>(peer) + 1;  // 10.9.0.1 ...
  return {asio::ip::address_v4(address), 6881};
}

void World::add_peers() {
  std::vector<Endpoint> endpoints;
  for (std::size_t i = 0; i < spec_.peers.size(); ++i) {
    endpoints.push_back(endpoint_of(i));
    peers_.push_back(std::make_unique<SimPeer>(loop_, net_, truth_, spec_.peers[i],
                                               endpoints.back(), rng_.next()));
  }
  connections_->add_peers(endpoints, net::PeerSource::tracker);
}

Duration World::oracle(storage::ByteRange range) const {
  const storage::Layout& layout = truth_.layout();
  std::size_t missing = 0;
  for (auto p = std::optional(layout.piece_of(range.begin));
       p && layout.range(*p).begin < range.end; p = layout.next(*p)) {
    for (std::uint32_t b = 0; b < layout.block_count(*p); ++b)
      missing += store_->has_block({*p, b}) ? 0 : 1;
  }
  std::vector<std::shared_ptr<Pipe>> links;
  for (const auto& peer : peers_) {
    if (!peer->spec().dependable()) continue;
    if (auto pipe = net_.downstream(peer->endpoint())) links.push_back(std::move(pipe));
  }
  return least_time(links, net_.line(), missing, loop_.now()).value_or(Duration{});
}

storage::Bitfield World::leave_behind() {
  const storage::Layout& layout = truth_.layout();
  storage::Bitfield claimed(layout.piece_count());
  if (!spec_.leftover || !disk_) return claimed;
  for (auto p = std::optional(layout.first_piece()); p; p = layout.next(*p)) {
    if (!rng_.chance(spec_.leftover->claimed)) continue;
    claimed.set(*p);
    std::vector<std::byte> bytes(layout.piece_size(*p));
    truth_.fill(layout.range(*p).begin, bytes);
    if (!rng_.chance(spec_.leftover->right)) {
      if (rng_.chance(0.5)) continue;
      bytes[rng_.below(bytes.size())] ^= std::byte{0x10};
    }
    disk_->preset(layout.range(*p).begin, bytes);
  }
  return claimed;
}

Task<void> World::evict_some() {
  Rng rng(mix(spec_.seed));
  const storage::Layout& layout = truth_.layout();
  while (true) {
    co_await loop_.clock().sleep(spec_.evict_every);
    const auto piece = layout.piece_at(static_cast<std::uint32_t>(rng.below(layout.piece_count())));
    if (!spec_.evict_wanted && ledger_.wanted(piece->value())) continue;
    if (store_->may_evict(*piece)) (void)co_await store_->evict(*piece);
  }
}

void World::run() {
  if (disk_ && spec_.evict_every > Duration{}) tasks_.spawn(evict_some());
  connections_->start();
  loop_.run_for(spec_.warm_up);
  read_all();
  check_reads();
  if (violations().empty()) rest();
  status_ = swarm_->status();
  shut_down();
}

// Nobody reads any more. What was asked is cancelled at once (a peer may keep the one block that is
// on its way), in the end nothing is owed, and nothing new is asked (audit.cpp).
void World::rest() {
  const Duration soon = std::min<Duration>(spec_.quiet, 500ms);
  loop_.run_for(soon);
  const std::size_t connected = swarm_->status().connected;
  if (soon == 500ms && ledger_.outstanding() > connected) {
    ledger_.violation(std::to_string(ledger_.outstanding()) + " requests on " +
                      std::to_string(connected) +
                      " connections are not cancelled though nobody reads");
  }
  loop_.run_for(spec_.quiet - soon);
  if (ledger_.outstanding() > 0) {
    ledger_.violation(std::to_string(ledger_.outstanding()) +
                      " requests are neither answered nor cancelled though nobody reads");
  }
}

void World::read_all() {
  Bench bench{loop_, truth_, *store_, *swarm_, ledger_, {}};
  if (spec_.ask_oracle) bench.oracle = [this](storage::ByteRange range) { return oracle(range); };
  const TimePoint began = loop_.clock().now();
  for (const ReaderSpec& reader : spec_.readers) {
    const auto id = static_cast<std::uint32_t>(readers_.size() + 1);
    readers_.push_back(std::make_unique<Reader>(bench, reader, rng_.next(), id));
    tasks_.spawn(readers_.back()->run());
  }
  const auto all_done = [this] {
    return std::all_of(readers_.begin(), readers_.end(),
                       [](const auto& reader) { return reader->done(); });
  };
  if (!loop_.run_until(all_done, began + spec_.horizon))
    ledger_.violation("the readers are not done in time");
  took_ = loop_.clock().now() - began;
}

std::string World::what_is_missing(storage::ByteRange range) const {
  const storage::Layout& layout = truth_.layout();
  std::string text;
  for (auto p = std::optional(layout.piece_of(range.begin));
       p && layout.range(*p).begin < range.end; p = layout.next(*p)) {
    if (store_->verified().test(*p)) continue;
    std::uint32_t there = 0, pads = 0;
    for (std::uint32_t b = 0; b < layout.block_count(*p); ++b) {
      there += store_->has_block({*p, b}) ? 1 : 0;
      pads += layout.is_padding({*p, b}) ? 1 : 0;
    }
    text += "\n    piece " + std::to_string(p->value()) +
            " is not verified: " + std::to_string(there) + " of " +
            std::to_string(layout.block_count(*p)) + " blocks are there (" + std::to_string(pads) +
            " are padding)" + ledger_.describe(p->value());
  }
  return text;
}

void World::check_reads() {
  const TimePoint now = loop_.clock().now();
  for (std::size_t r = 0; r < readers_.size(); ++r) {
    for (const ReadResult& read : readers_[r]->results()) {
      if (read.given_up) continue;
      const Duration waited = read.took.value_or(now - read.began);
      if (waited <= spec_.read_bound && (read.took || readers_[r]->done())) continue;
      ledger_.violation("reader " + std::to_string(r) + "'s read of [" +
                        std::to_string(read.range.begin) + ", " + std::to_string(read.range.end) +
                        ") from " + std::to_string(to_ms(read.began - loop_.start())) + " ms " +
                        (read.took ? "took " : "still waits after ") +
                        std::to_string(to_ms(waited)) + " ms" +
                        (read.took ? "" : what_is_missing(read.range)));
    }
  }
}

Task<void> World::stop(World& world, bool& stopped) {
  co_await world.connections_->stop();
  co_await world.swarm_->stop();
  co_await world.store_->stop();
  stopped = true;
}

void World::shut_down() {
  tasks_.cancel();
  loop_.run_until([this] { return tasks_.size() == 0; }, loop_.clock().now() + 1s);
  if (tasks_.size() != 0) ledger_.violation("a cancelled reader does not end");
  bool stopped = false;
  tasks_.spawn(stop(*this, stopped));
  if (!loop_.run_until([&] { return stopped; }, loop_.clock().now() + kStopDeadline)) {
    // Nothing can be taken apart safely now.
    std::fprintf(stderr, "stop() does not end; repeat with: scripts/sim --seed %llu\n",
                 static_cast<unsigned long long>(spec_.seed));
    for (const std::string& what : violations()) std::fprintf(stderr, "  %s\n", what.c_str());
    std::abort();
  }
  loop_.settle();
  // 5: everything is given back exactly once.
  if (pool_.in_use() != 0)
    ledger_.violation(std::to_string(pool_.in_use()) + " blocks are not given back after stop()");
  swarm_.reset();
  connections_.reset();
  peers_.clear();
  loop_.settle();
}

}  // namespace swarmfs::sim
