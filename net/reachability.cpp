#include "net/reachability.h"

namespace swarmfs::net {

void Reachability::on_sent(const UdpEndpoint& to, TimePoint now) {
  const HostKey host = host_key(to);
  const auto [at, is_new] = contacted_.try_emplace(host, now);
  if (!is_new) {
    by_age_.erase({at->second, host});
    at->second = now;
  }
  by_age_.emplace(now, host);
  while (contacted_.size() > kMaxContacted || now - by_age_.begin()->first > kMappingLife) {
    contacted_.erase(by_age_.begin()->second);
    by_age_.erase(by_age_.begin());
  }
}

void Reachability::on_query(const UdpEndpoint& from, TimePoint now) {
  const auto at = contacted_.find(host_key(from));
  if (at == contacted_.end() || now - at->second > kMappingLife) asked_by_stranger_ = now;
}

bool Reachability::reachable(TimePoint now) const {
  return asked_by_stranger_ && now - *asked_by_stranger_ < kReachableFor;
}

bool Reachability::read_only(TimePoint now) const {
  return !reachable(now) && (now - trials_since_) % kTrialEvery >= kTrial;
}

void Reachability::forget(TimePoint now) {
  asked_by_stranger_.reset();
  trials_since_ = now;
}

}  // namespace swarmfs::net
