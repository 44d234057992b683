#include "net/dht_harvest.h"

#include <algorithm>

#include "net/connect_policy.h"

namespace swarmfs::net {

std::vector<Endpoint> DhtHarvest::take(std::span<const Endpoint> named) {
  std::vector<Endpoint> fresh;
  for (const Endpoint& peer : named) {
    if (taken_.size() >= kMaxHarvest || taken_.contains(peer)) continue;
    if (!may_connect(peer, PeerSource::dht, allow_local_)) continue;
    std::size_t& of_site = per_site_[site_key(UdpEndpoint(peer.address(), peer.port()))];
    if (of_site >= kMaxHarvestPerSite) continue;
    ++of_site;
    taken_.insert(peer);
    fresh.push_back(peer);
  }
  return fresh;
}

void DhtHarvest::clear() {
  taken_.clear();
  per_site_.clear();
}

Duration pause_after(std::size_t passes, bool found) {
  if (found) {
    const auto steps = static_cast<Duration::rep>(std::min<std::size_t>(passes, 3));
    return std::min(kSearchPause * steps, kMaxSearchPause);
  }
  const auto doublings = static_cast<Duration::rep>(std::min<std::size_t>(passes - 1, 16));
  return std::min(kFirstFruitlessPause * (Duration::rep{1} << doublings), kMaxFruitlessPause);
}

}  // namespace swarmfs::net
