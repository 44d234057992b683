// Whether strangers can ask us, or only those we wrote to first, through whose answer a NAT lets
// more in. A node that strangers cannot reach says so (BEP 43: read-only) and is not put into
// tables for nothing.
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

// How long a NAT may let a host in to which we wrote: RFC 4787 asks for 5 minutes and more.
inline constexpr Duration kMappingLife = std::chrono::minutes(20);
// Hosts remembered. We write to 2 a second at our busiest; one forgotten too early counts as a
// stranger.
inline constexpr std::size_t kMaxContacted = 4096;
// A reachable node in the tables of others hears of strangers every few seconds.
inline constexpr Duration kReachableFor = std::chrono::hours(1);

class Reachability {
 public:
  void on_sent(const UdpEndpoint& to, TimePoint now);
  void on_query(const UdpEndpoint& from, TimePoint now);
  [[nodiscard]] bool reachable(TimePoint now) const;
  void forget() { asked_by_stranger_.reset(); }  // our address is another one

 private:
  std::map<HostKey, TimePoint> contacted_;
  std::set<std::pair<TimePoint, HostKey>> by_age_;
  std::optional<TimePoint> asked_by_stranger_;
};

}  // namespace swarmfs::net
