#include "net/dht_store.h"

#include <algorithm>

namespace swarmfs::net {
namespace {

HostKey host_of(const Endpoint& peer) {
  return host_key(UdpEndpoint(peer.address(), peer.port()));
}

}  // namespace

void DhtStore::announce(const NodeId& info_hash, const Endpoint& peer, TimePoint now) {
  expire(now);
  erase(info_hash, peer);
  const auto owned = per_host_.find(host_of(peer));
  if (owned != per_host_.end() && owned->second >= kMaxStoredPerHost) return;
  const auto known = torrents_.find(info_hash);
  if (known == torrents_.end()) {
    while (torrents_.size() >= kMaxStoredTorrents) {  // a torrent goes with its last peer
      drop_oldest_of(std::get<NodeId>(*by_age_.begin()));
    }
  } else if (known->second.size() >= kMaxStoredPerTorrent) {
    drop_oldest_of(info_hash);
  }
  if (by_age_.size() >= kMaxStoredPeers) drop_oldest_of(std::get<NodeId>(*by_age_.begin()));
  torrents_[info_hash][peer] = now;
  by_age_.emplace(now, info_hash, peer);
  ++per_host_[host_of(peer)];
}

std::vector<Endpoint> DhtStore::peers(const NodeId& info_hash, bool v6, std::size_t limit,
                                      SecretRandom& random, TimePoint now) {
  expire(now);
  std::vector<Endpoint> peers;
  const auto torrent = torrents_.find(info_hash);
  if (torrent == torrents_.end()) return peers;
  for (const auto& [peer, announced] : torrent->second) {
    if (peer.address().is_v6() == v6) peers.push_back(peer);
  }
  for (std::size_t i = 0; i < std::min(limit, peers.size()); ++i) {
    std::swap(peers[i], peers[i + random.below(peers.size() - i)]);
  }
  if (peers.size() > limit) peers.resize(limit);
  return peers;
}

void DhtStore::erase(const NodeId& info_hash, const Endpoint& peer) {
  const auto torrent = torrents_.find(info_hash);
  if (torrent == torrents_.end()) return;
  const auto entry = torrent->second.find(peer);
  if (entry == torrent->second.end()) return;
  by_age_.erase({entry->second, info_hash, peer});
  torrent->second.erase(entry);
  if (torrent->second.empty()) torrents_.erase(torrent);
  const auto owned = per_host_.find(host_of(peer));
  if (--owned->second == 0) per_host_.erase(owned);
}

void DhtStore::expire(TimePoint now) {
  while (!by_age_.empty() && now - std::get<TimePoint>(*by_age_.begin()) >= kStoredFor) {
    const auto [announced, info_hash, peer] = *by_age_.begin();
    erase(info_hash, peer);
  }
}

void DhtStore::drop_oldest_of(const NodeId& info_hash) {
  const Torrent& torrent = torrents_.at(info_hash);
  const auto oldest =
      std::min_element(torrent.begin(), torrent.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; });
  erase(NodeId(info_hash), Endpoint(oldest->first));
}

}  // namespace swarmfs::net
