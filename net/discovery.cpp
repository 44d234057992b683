#include "net/discovery.h"

#include "net/lsd_sockets.h"
#include "net/name_lookup.h"
#include "net/secret_random.h"

namespace swarmfs::net {
struct Discovery::State {
  explicit State(Parts p)
      : parts(std::move(p)),
        udp(open_udp_port(parts.executor, parts.port, parts.interface,
                          [log = parts.log](const std::string& line) { log(1, line); })),
        lookups(parts.executor) {
    if (parts.dht) make_dht();
    if (parts.lsd) make_lsd();
  }

  void make_dht() {
    std::vector<storage::HostPort> routers = default_dht_routers();
    routers.insert(routers.begin(), parts.routers.begin(), parts.routers.end());
    dht = std::make_unique<Dht>(Dht::Parts{.executor = parts.executor,
                                           .clock = parts.clock,
                                           .udp = *udp,
                                           .seed = draw_seed(),
                                           .bootstrap = std::move(routers),
                                           .saved = parts.saved,
                                           .allow_local = parts.allow_local,
                                           .log = parts.log,
                                           .external = external});
  }

  void make_lsd() {
    const auto sockets = [executor = parts.executor, only = parts.interface] {
      return open_lsd_sockets(executor, only);
    };
    const auto heard = [this](const storage::InfoHash& torrent, std::span<const Endpoint> peers) {
      const auto found = searching.find(torrent);
      if (found != searching.end()) found->second(peers, PeerSource::lsd);
    };
    lsd = std::make_unique<Lsd>(
        Lsd::Parts{.executor = parts.executor,
                   .clock = parts.clock,
                   .open_sockets = sockets,
                   .port = parts.peer_port,
                   .seed = draw_seed(),
                   .found = heard,
                   .log = [log = parts.log](const std::string& line) { log(0, line); }});
  }

  // A node that a torrent names is a hint: looked up once.
  static Task<void> meet(std::shared_ptr<State> self, storage::HostPort node) {
    const Result<std::vector<Endpoint>> found = co_await look_up(node.host, node.port);
    if (!found || !self->dht) co_return;
    for (const Endpoint& endpoint : *found) {
      if (!may_connect(endpoint, PeerSource::dht, self->parts.allow_local)) continue;
      self->dht->add_node(UdpEndpoint(endpoint.address(), endpoint.port()));
    }
  }

  Parts parts;
  std::shared_ptr<ExternalAddress> external = std::make_shared<ExternalAddress>();
  std::unique_ptr<UdpPort> udp;
  std::unique_ptr<Dht> dht;
  std::unique_ptr<Lsd> lsd;
  std::map<storage::InfoHash, Found> searching;  // who LSD finds peers for
  storage::TaskGroup lookups;
};

Discovery::Discovery(Parts parts) : state_(std::make_shared<State>(std::move(parts))) {}

Discovery::~Discovery() = default;

void Discovery::start() {
  state_->udp->start();
  if (state_->dht) state_->dht->start();
  if (state_->lsd) state_->lsd->start();
}

Discovery::Search Discovery::search(const storage::InfoHash& torrent,
                                    const std::vector<storage::HostPort>& nodes, Found found) {
  Search search;
  State& s = *state_;
  if (s.dht) {
    for (const storage::HostPort& node : nodes) s.lookups.spawn(State::meet(state_, node));
    const auto from_dht = [found](std::span<const Endpoint> peers) {
      found(peers, PeerSource::dht);
    };
    std::optional<std::uint16_t> announce;
    if (s.parts.peer_port != 0) announce = s.parts.peer_port;
    search.dht_ =
        s.dht->search({.info_hash = torrent, .found = from_dht, .announce_port = announce});
  }
  if (s.lsd) {
    s.searching[torrent] = std::move(found);
    s.lsd->announce(torrent);
    search.lsd_ = std::shared_ptr<void>(nullptr, [weak = std::weak_ptr(state_), torrent](void*) {
      const auto state = weak.lock();
      if (!state) return;
      state->lsd->withdraw(torrent);
      state->searching.erase(torrent);
    });
  }
  return search;
}

UdpPort& Discovery::udp() {
  return *state_->udp;
}

const std::shared_ptr<ExternalAddress>& Discovery::external() const {
  return state_->external;
}

std::optional<DhtState> Discovery::dht_state() const {
  if (!state_->dht) return std::nullopt;
  return state_->dht->save();
}

std::string Discovery::status() const {
  if (!state_->dht) return {};
  const std::size_t nodes = state_->dht->status().good_nodes;
  return "DHT: " + std::to_string(nodes) + (nodes == 1 ? " node" : " nodes");
}

Task<void> Discovery::stop() {
  const std::shared_ptr<State> s = state_;
  s->lookups.cancel();
  co_await s->lookups.join();
  if (s->lsd) co_await s->lsd->stop();
  if (s->dht) co_await s->dht->stop();
  co_await s->udp->stop();
}

}  // namespace swarmfs::net
