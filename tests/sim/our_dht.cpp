#include "tests/sim/our_dht.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>

namespace swarmfs::sim {
namespace {

constexpr Duration kStopDeadline = 10s;  // of virtual time
constexpr std::size_t kPeersOfATorrent = 20;

// Names of the simulated world are addresses.
Task<Result<std::vector<net::Endpoint>>> read_address(std::string host, std::uint16_t port) {
  error_code ec;
  const auto address = asio::ip::make_address(host, ec);
  if (ec) co_return ec;
  co_return std::vector{net::Endpoint(address, port)};
}

Duration share_of(std::vector<Duration> sorted, double share) {
  if (sorted.empty()) return {};
  const auto last = static_cast<double>(sorted.size() - 1);
  return sorted[static_cast<std::size_t>(last * share + 0.5)];
}

}  // namespace

OurDht::OurDht(SimLoop& loop, DatagramNet& net, const Config& config)
    : loop_(loop), net_(net), at_(config.at), tasks_(loop.executor()) {
  std::vector<std::unique_ptr<net::Datagram>> sockets;
  for (const UdpEndpoint& local : at_) sockets.push_back(net.open(local));
  udp_ = std::make_unique<net::UdpPort>(loop.executor(), std::move(sockets));
  udp_->start();
  std::vector<storage::HostPort> bootstrap;
  for (const UdpEndpoint& router : config.routers)
    bootstrap.push_back({router.address().to_string(), router.port()});
  net::Dht::Parts parts{.executor = loop.executor(),
                        .clock = loop.clock(),
                        .udp = *udp_,
                        .seed = config.seed,
                        .bootstrap = std::move(bootstrap),
                        .saved = config.saved,
                        .allow_local = false,
                        .log = [](int, const std::string&) {},
                        .look_up = read_address};
  dht_ = std::make_unique<net::Dht>(std::move(parts));
  dht_->start();
}

Task<void> OurDht::stop(OurDht& self, bool& stopped) {
  co_await self.dht_->stop();
  co_await self.udp_->stop();
  stopped = true;
}

OurDht::~OurDht() {
  bool stopped = false;
  tasks_.spawn(stop(*this, stopped));
  if (!loop_.run_until([&] { return stopped && tasks_.size() == 0; },
                       loop_.now() + kStopDeadline)) {
    std::fprintf(stderr, "Dht::stop() does not end\n");
    std::abort();
  }
}

Traffic OurDht::traffic() const {
  Traffic all;
  for (const UdpEndpoint& endpoint : at_) {
    const Traffic one = net_.traffic(endpoint);
    all.messages_sent += one.messages_sent;
    all.bytes_sent += one.bytes_sent;
    all.messages_received += one.messages_received;
    all.bytes_received += one.bytes_received;
  }
  return all;
}

Looked OurDht::look_up(const DhtId& info_hash, const std::set<net::Endpoint>& truth,
                       std::optional<std::uint16_t> announce, Duration at_most) {
  Looked looked;
  const TimePoint began = loop_.now();
  const Traffic before = traffic();
  net::DhtSearchRequest request;
  request.info_hash = digest_of(info_hash);
  request.announce_port = announce;
  request.found = [&](std::span<const net::Endpoint> peers) {
    for (const net::Endpoint& peer : peers) {
      if (!looked.found.insert(peer).second || !truth.contains(peer)) continue;
      ++looked.true_peers;
      if (!looked.first) looked.first = loop_.now() - began;
    }
  };
  request.pass_done = [&](const net::DhtPass& pass) {
    if (looked.took) return;
    looked.took = loop_.now() - began;
    looked.pass = pass;
  };
  const net::DhtSearch search = dht_->search(std::move(request));
  loop_.run_until([&] { return looked.took.has_value(); }, began + at_most);
  looked.messages = (traffic() - before).messages_sent;
  return looked;
}

Torrent announced_torrent(SimDht& dht, Rng& rng, bool v4, bool v6) {
  Torrent torrent;
  torrent.info_hash = random_dht_id(rng);
  for (std::size_t i = 0; i < kPeersOfATorrent; ++i) {
    if (v4) torrent.announced.push_back(random_home(rng, false));
    if (v6) torrent.announced.push_back(random_home(rng, true));
  }
  for (const UdpEndpoint& peer : torrent.announced)
    torrent.peers.emplace(peer.address(), peer.port());
  dht.announce(torrent.info_hash, torrent.announced);
  return torrent;
}

LookupFigures figures_of(std::vector<Looked> lookups) {
  LookupFigures figures;
  std::vector<Duration> first, end;
  for (const Looked& one : lookups) {
    first.push_back(one.first.value_or(1h));
    end.push_back(one.took.value_or(1h));
    figures.without_peer += one.first ? 0 : 1;
    figures.messages += static_cast<double>(one.messages);
    figures.peers += static_cast<double>(one.true_peers);
  }
  std::sort(first.begin(), first.end());
  std::sort(end.begin(), end.end());
  figures.lookups = lookups.size();
  figures.median = share_of(first, 0.5);
  figures.p95 = share_of(first, 0.95);
  figures.end_median = share_of(end, 0.5);
  figures.end_p95 = share_of(end, 0.95);
  figures.messages /= static_cast<double>(lookups.size());
  figures.peers /= static_cast<double>(lookups.size());
  return figures;
}

std::string describe(const LookupFigures& f) {
  std::array<char, 300> line{};
  std::snprintf(line.data(), line.size(),
                "%zu lookups: first true peer median %.0f ms, p95 %.0f ms, none %zu; end median "
                "%.0f ms, p95 %.0f ms; %.1f messages sent, %.1f of 20 peers",
                f.lookups, to_ms(f.median), to_ms(f.p95), f.without_peer, to_ms(f.end_median),
                to_ms(f.end_p95), f.messages, f.peers);
  return line.data();
}

LookupFigures measure_lookups(const DhtSpec& spec) {
  SimLoop loop;
  Rng rng(spec.seed);
  DatagramNet net(loop, rng.next());
  SimDht dht(loop, net, spec);
  OurDht::Config config;
  config.seed = rng.next();
  if (spec.v4) config.at.push_back(random_home(rng, false));
  if (spec.v6) config.at.push_back(random_home(rng, true));
  config.routers = dht.routers();
  OurDht ours(loop, net, config);
  loop.run_for(kWarmUp);
  std::vector<Looked> lookups;
  for (std::size_t i = 0; i < kMeasuredLookups; ++i) {
    const Torrent torrent = announced_torrent(dht, rng, spec.v4, spec.v6);
    lookups.push_back(ours.look_up(torrent.info_hash, torrent.peers));
    loop.run_for(1s);
  }
  return figures_of(std::move(lookups));
}

void print_dht_figures(std::uint64_t first, std::uint64_t count) {
  const auto show = [](const char* what, const DhtSpec& spec) {
    std::printf("seed %llu, %s: %s\n", static_cast<unsigned long long>(spec.seed), what,
                describe(measure_lookups(spec)).c_str());
    std::fflush(stdout);
  };
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    show("20 % silent", {.seed = seed});
    show("20 % silent, 10 % poison", {.seed = seed, .poison = 0.1});
    show("20 % silent, 30 % churn", {.seed = seed, .churning = 0.3});
    show("20 % silent, IPv6", {.seed = seed, .v4 = false, .v6 = true});
  }
}

}  // namespace swarmfs::sim
