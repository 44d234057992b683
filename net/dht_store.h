// The peers that other nodes announced to us: what we answer get_peers with.
//
// Threads: engine thread only; pure (time is given). Memory: kMaxStoredPeers entries in all; each
// limit below makes room by dropping what is oldest. Errors: none.
#pragma once
#include <cstddef>
#include <map>
#include <set>
#include <tuple>
#include <vector>

#include "net/clock.h"
#include "net/host_key.h"
#include "net/node_id.h"
#include "net/stream.h"

namespace swarmfs::net {

// libtorrent's limits. The total, about 3 MiB, binds first: we are a mount, not a tracker.
inline constexpr std::size_t kMaxStoredTorrents = 2000;
inline constexpr std::size_t kMaxStoredPerTorrent = 500;
inline constexpr std::size_t kMaxStoredPeers = 20'000;
// What one host may announce. A client with 10,000 torrents has fewer than one of them near us in a
// DHT of millions of nodes; small test networks have more.
inline constexpr std::size_t kMaxStoredPerHost = 100;
// Clients announce every 15 minutes or less often: twice that.
inline constexpr Duration kStoredFor = std::chrono::minutes(30);

class DhtStore {
 public:
  void announce(const NodeId& info_hash, const Endpoint& peer, TimePoint now);
  // At most `limit` peers of the family, a random choice when there are more.
  [[nodiscard]] std::vector<Endpoint> peers(const NodeId& info_hash, bool v6, std::size_t limit,
                                            SecretRandom& random, TimePoint now);
  [[nodiscard]] std::size_t size() const { return by_age_.size(); }

 private:
  using Torrent = std::map<Endpoint, TimePoint>;  // when announced
  void erase(const NodeId& info_hash, const Endpoint& peer);
  void expire(TimePoint now);
  void drop_oldest_of(const NodeId& info_hash);

  std::map<NodeId, Torrent> torrents_;
  std::set<std::tuple<TimePoint, NodeId, Endpoint>> by_age_;
  std::map<HostKey, std::size_t> per_host_;
};

}  // namespace swarmfs::net
