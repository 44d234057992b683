// The peers that one pass of a search has found, each once, and when the next pass is due.
//
// Threads: any; pure. Memory: kMaxHarvest endpoints. Errors: none.
#pragma once
#include <cstddef>
#include <map>
#include <set>
#include <span>
#include <vector>

#include "net/clock.h"
#include "net/host_key.h"
#include "net/stream.h"

namespace swarmfs::net {

// Peers taken in one pass: what the address book of a torrent holds.
inline constexpr std::size_t kMaxHarvest = 2000;
// Peers of one site (net/host_key): no network is all that a torrent hears of, and a hosting
// company's honest boxes still get in.
inline constexpr std::size_t kMaxHarvestPerSite = 16;

class DhtHarvest {
 public:
  explicit DhtHarvest(bool allow_local) : allow_local_(allow_local) {}
  // Those of `named` that are new in this pass and may be connected to.
  [[nodiscard]] std::vector<Endpoint> take(std::span<const Endpoint> named);
  [[nodiscard]] std::size_t size() const { return taken_.size(); }
  void clear();  // a new pass

 private:
  bool allow_local_;
  std::set<Endpoint> taken_;
  std::map<HostKey, std::size_t> per_site_;
};

// After a pass that found nobody: soon, because the first one may have met a young table and the
// first peer may be coming now; doubled each time.
inline constexpr Duration kFirstFruitlessPause = std::chrono::seconds(5);
inline constexpr Duration kMaxFruitlessPause = std::chrono::minutes(5);
// After one that found peers: longer each time, up to how often we must announce ourselves (nodes
// forget a peer after 30 minutes or so).
inline constexpr Duration kSearchPause = std::chrono::minutes(5);
inline constexpr Duration kMaxSearchPause = std::chrono::minutes(15);
// The pause after `passes` (at least 1) passes in a row that found peers, or that found nobody.
[[nodiscard]] Duration pause_after(std::size_t passes, bool found);

}  // namespace swarmfs::net
