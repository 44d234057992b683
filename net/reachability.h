// Whether strangers can ask us, or only those we wrote to first, whom a NAT lets in. A node that
// strangers cannot reach says so (BEP 43: read-only) and is not put into tables for nothing. But no
// stranger hears of a node that says so: so it does not say it for a while, and sees who comes.
//
// Threads: engine thread only; pure (time is given). Memory: kMaxContacted addresses. Errors: none.
#pragma once
#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "net/clock.h"
#include "net/host_key.h"

namespace swarmfs::net {

// How long after our last word, a question or an answer, a NAT may still let a host in: RFC 4787
// recommends 5 minutes, and most have less.
inline constexpr Duration kMappingLife = std::chrono::minutes(6);
// Hosts remembered. We write to 2 a second at our busiest; one forgotten too early counts as a
// stranger.
inline constexpr std::size_t kMaxContacted = 4096;
// A reachable node in the tables of others hears of strangers every few seconds.
inline constexpr Duration kReachableFor = std::chrono::hours(1);

// The trial: nodes that we ask put us into their tables, name us to others, and ask us themselves
// after 15 minutes of silence. It is repeated because NATs and addresses change.
inline constexpr Duration kTrial = std::chrono::minutes(30);
inline constexpr Duration kTrialEvery = std::chrono::hours(3);

class Reachability {
 public:
  explicit Reachability(TimePoint now) : trials_since_(now) {}
  void on_sent(const UdpEndpoint& to, TimePoint now);
  void on_query(const UdpEndpoint& from, TimePoint now);
  [[nodiscard]] bool reachable(TimePoint now) const;
  [[nodiscard]] bool read_only(TimePoint now) const;
  void forget(TimePoint now);  // our address is another one

 private:
  std::map<HostKey, TimePoint> contacted_;
  std::set<std::pair<TimePoint, HostKey>> by_age_;
  std::optional<TimePoint> asked_by_stranger_;
  TimePoint trials_since_;
};

}  // namespace swarmfs::net
