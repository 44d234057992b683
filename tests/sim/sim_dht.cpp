#include "tests/sim/sim_dht.h"

#include <algorithm>

namespace swarmfs::sim {
namespace {

constexpr std::size_t kRouters = 2;  // in each family
constexpr std::size_t kMaxComplaints = 20;
constexpr double kKnown = 0.9;   // share of those a node could know that it has met
constexpr double kMissed = 0.1;  // announcements that never arrived

}  // namespace

SimDht::SimDht(SimLoop& loop, DatagramNet& net, const DhtSpec& spec)
    : loop_(loop), net_(net), spec_(spec), rng_(spec.seed) {
  if (spec_.v4) populate(false);
  if (spec_.v6) populate(true);
  for (std::size_t i = 0; i < std::min(nodes_[0].size(), nodes_[1].size()); ++i) {
    nodes_[0][i]->set_twin(*nodes_[1][i]);
    nodes_[1][i]->set_twin(*nodes_[0][i]);
  }
}

SimDht::~SimDht() {
  for (const auto& [endpoint, node] : by_endpoint_) net_.detach(endpoint);
}

void SimDht::populate(bool v6) {
  Nodes& nodes = nodes_[v6];
  std::vector<UdpEndpoint> accomplices;
  for (const Conduct conduct : conducts()) {
    const UdpEndpoint home = random_home(rng_, v6);
    const DhtContact self{id_fitting(home.address(), rng_), home};
    nodes.push_back(std::make_unique<SimDhtNode>(*this, self, conduct, rng_.fork(nodes.size())));
    by_endpoint_.emplace(home, nodes.back().get());
    if (conduct == Conduct::names_accomplices) accomplices.push_back(home);
  }
  poison_[v6] = std::make_unique<Poison>(v6, std::move(accomplices), rng_.fork(v6));
  fill_tables(nodes);
  for (const auto& node : nodes) {
    const bool away = node->conduct() == Conduct::churning && rng_.chance(0.5);
    away ? node->leave() : node->come();
  }
}

// The first are the routers, and honest.
std::vector<Conduct> SimDht::conducts() {
  std::vector<Conduct> all;
  const auto add = [&](Conduct conduct, double share) {
    all.insert(all.end(), static_cast<std::size_t>(static_cast<double>(spec_.nodes) * share + 0.5),
               conduct);
  };
  add(Conduct::silent, spec_.silent);
  add(Conduct::slow, spec_.slow);
  add(Conduct::churning, spec_.churning);
  add(Conduct::limited, spec_.limited);
  add(Conduct::behind_nat, spec_.behind_nat);
  for (int kind = kFirstPoison; kind < kConducts; ++kind)
    add(static_cast<Conduct>(kind), spec_.poison / (kConducts - kFirstPoison));
  all.resize(std::max(all.size(), spec_.nodes), Conduct::honest);
  for (std::size_t i = all.size(); i > 1; --i) std::swap(all[i - 1], all[rng_.below(i)]);
  all.insert(all.begin(), kRouters, Conduct::honest);
  return all;
}

void SimDht::fill_tables(const Nodes& nodes) {
  for (const auto& node : nodes) {
    const std::size_t start = rng_.below(nodes.size());
    std::array<std::size_t, 160> taken{};
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      const SimDhtNode& other = *nodes[(start + i) % nodes.size()];
      if (&other == node.get() || other.conduct() == Conduct::behind_nat) continue;
      std::size_t& bucket =
          taken[static_cast<std::size_t>(shared_prefix(node->self().id, other.self().id))];
      if (bucket == kBucket || !rng_.chance(kKnown)) continue;
      ++bucket;
      node->know(other.self(), false);
    }
  }
}

std::vector<UdpEndpoint> SimDht::routers() const {
  std::vector<UdpEndpoint> all;
  for (const Nodes& nodes : nodes_) {
    for (std::size_t i = 0; i < std::min(kRouters, nodes.size()); ++i)
      all.push_back(nodes[i]->self().endpoint);
  }
  return all;
}

void SimDht::announce(const DhtId& info_hash, std::span<const UdpEndpoint> peers) {
  for (const bool v6 : {false, true}) {
    std::vector<SimDhtNode*> answering;
    for (const auto& node : nodes_[v6]) {
      const bool answers = is_truthful(node->conduct()) || is_poison(node->conduct());
      if (answers && node->present()) answering.push_back(node.get());
    }
    const std::size_t count = std::min(kBucket, answering.size());
    std::partial_sort(answering.begin(), answering.begin() + static_cast<std::ptrdiff_t>(count),
                      answering.end(), [&](const SimDhtNode* a, const SimDhtNode* b) {
                        return nearer(info_hash, a->self().id, b->self().id);
                      });
    answering.resize(count);
    for (const UdpEndpoint& peer : peers) {
      if (peer.address().is_v6() != v6) continue;
      for (SimDhtNode* node : answering) {
        if (!rng_.chance(kMissed)) node->store(info_hash, peer);
      }
    }
  }
}

std::size_t SimDht::holders(const DhtId& info_hash, const UdpEndpoint& peer) const {
  std::size_t count = 0;
  for (const auto& [endpoint, node] : by_endpoint_) count += node->holds(info_hash, peer) ? 1 : 0;
  return count;
}

std::size_t SimDht::known_by(const UdpEndpoint& endpoint) const {
  std::size_t count = 0;
  for (const auto& [at, node] : by_endpoint_) count += node->knows(endpoint) ? 1 : 0;
  return count;
}

const SimDhtNode* SimDht::node_at(const UdpEndpoint& endpoint) const {
  const auto found = by_endpoint_.find(endpoint);
  return found == by_endpoint_.end() ? nullptr : found->second;
}

DhtId SimDht::id_of_watched(const UdpEndpoint& endpoint) const {
  const auto found = heard_.find(endpoint);
  return found == heard_.end() ? DhtId{} : found->second;
}

void SimDht::complain(const UdpEndpoint& about, const std::string& what) {
  if (watched_.contains(about) && complaints_.size() < kMaxComplaints)
    complaints_.push_back(std::to_string(to_seconds(loop_.elapsed())) + " s: " + what);
}

void SimDht::heard(const UdpEndpoint& endpoint, const DhtId& id) {
  if (watched_.contains(endpoint)) heard_[endpoint] = id;
}

}  // namespace swarmfs::sim
