#include "net/dht_limits.h"

#include <algorithm>

namespace swarmfs::net {

bool DhtLimits::on_query(const UdpEndpoint& from, TimePoint now) {
  const HostKey key = host_key(from);
  auto at = hosts_.find(key);
  if (at == hosts_.end()) {
    if (hosts_.size() >= kMaxCountedHosts) {
      hosts_.erase(by_age_.begin()->second);
      by_age_.erase(by_age_.begin());
    }
    at = hosts_.emplace(key, Host{.window = now, .heard = now}).first;
  } else {
    by_age_.erase({at->second.heard, key});
  }
  Host& host = at->second;
  host.heard = now;
  by_age_.emplace(now, key);
  if (now < host.banned_until) return false;
  if (now - host.window >= kQueryWindow) {
    host.window = now;
    host.queries = 0;
  }
  if (++host.queries < kMaxQueriesPerWindow) return true;
  host.banned_until = now + kQueryBan;
  return false;
}

bool DhtLimits::may_answer(std::size_t bytes, TimePoint now) {
  const double passed = std::chrono::duration<double>(now - budget_at_).count();
  budget_ = std::min<double>(kAnswerBurst, budget_ + passed * kAnswerRate);
  budget_at_ = now;
  if (budget_ < static_cast<double>(bytes)) return false;
  budget_ -= static_cast<double>(bytes);
  return true;
}

}  // namespace swarmfs::net
