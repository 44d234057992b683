#include "net/peer_list.h"

#include <algorithm>
#include <cassert>
#include <tuple>

#include "net/peer_priority.h"

namespace swarmfs::net {
namespace {

// SplitMix64 (Steele, Lea, Flood 2014): one step, uniform in [0, 1).
double next_fraction(std::uint64_t& state) {
  state += 0x9e3779b97f4a7c15ULL;
  std::uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  z ^= z >> 31;
  return static_cast<double>(z >> 11) / 9007199254740992.0;  // 2^53
}

Endpoint ban_key(const Endpoint& endpoint) {
  const Endpoint plain = normalised(endpoint);
  if (scope_of(plain.address()) == Scope::loopback) return plain;
  return {plain.address(), 0};
}

// BEP 27: who may name peers of a private torrent.
bool may_name_private(PeerSource source) {
  return source == PeerSource::user || source == PeerSource::tracker ||
         source == PeerSource::local_tracker;
}

}  // namespace

PeerList::Rank PeerList::rank_of(const Entry& entry) {
  if (entry.source == PeerSource::user) return kGiven;
  if (entry.useful) return kUseful;
  return entry.failures == 0 ? kFresh : kFailed;
}

void PeerList::enqueue(const Endpoint& endpoint, const Entry& entry) {
  assert(!entry.in_use);
  const Rank rank = rank_of(entry);
  idle_[rank].emplace(std::pair(entry.not_before, entry.order), endpoint);
  if (rank == kFresh) fresh_.emplace(priority_key(entry), endpoint);
}

void PeerList::dequeue(const Entry& entry) {
  [[maybe_unused]] const std::size_t gone =
      idle_[rank_of(entry)].erase({entry.not_before, entry.order});
  assert(gone == 1);
  if (rank_of(entry) == kFresh) fresh_.erase(priority_key(entry));
}

std::uint32_t PeerList::priority_of(const Endpoint& endpoint) const {
  const auto& external = endpoint.address().is_v4() ? external4_ : external6_;
  return external ? peer_priority({*external, 0}, endpoint) : 0;
}

void PeerList::external_address(const asio::ip::address& address) {
  const asio::ip::address plain = normalised(address);
  std::optional<asio::ip::address>& external = plain.is_v4() ? external4_ : external6_;
  if (external == plain || scope_of(plain) != Scope::global) return;
  external = plain;
  fresh_.clear();
  for (auto& [endpoint, entry] : entries_) {
    entry.priority = priority_of(endpoint);
    if (!entry.in_use && rank_of(entry) == kFresh) fresh_.emplace(priority_key(entry), endpoint);
  }
}

bool PeerList::by_priority_next() {
  const bool helps = (external4_ || external6_) && entries_.size() > max_connections_;
  priority_had_last_ = helps && !priority_had_last_;
  return priority_had_last_;
}

bool PeerList::make_room(Rank for_rank) {
  if (entries_.size() < kMaxAddresses) return true;
  for (std::size_t rank = kFailed; rank > for_rank; --rank) {
    if (idle_[rank].empty()) continue;
    const auto last = std::prev(idle_[rank].end());  // due last: failed most often, or the newest
    const auto entry = entries_.find(last->second);
    dequeue(entry->second);
    entries_.erase(entry);
    return true;
  }
  return false;
}

bool PeerList::add(const Endpoint& endpoint, PeerSource source, TimePoint now) {
  const Endpoint plain = normalised(endpoint);
  if (!may_connect(plain, source, allow_local_) || is_banned(plain)) return false;
  if (private_ && !may_name_private(source)) return false;
  if (const auto known = entries_.find(plain); known != entries_.end()) {
    if (may_name_private(source) && !may_name_private(known->second.source)) {
      if (!known->second.in_use) dequeue(known->second);
      known->second.source = source;
      if (!known->second.in_use) enqueue(plain, known->second);
    }
    return false;
  }
  Entry entry;
  entry.source = source;
  entry.useful = source == PeerSource::remembered;
  entry.not_before = now;
  entry.order = next_order_++;
  entry.priority = priority_of(plain);
  if (!make_room(rank_of(entry))) return false;
  enqueue(plain, entry);
  entries_.emplace(plain, entry);
  return true;
}

std::optional<Endpoint> PeerList::next_to_dial(TimePoint now) {
  for (const Queue& queue : idle_) {
    if (queue.empty() || queue.begin()->first.first > now) continue;
    const bool fresh = &queue == &idle_[kFresh];
    const Endpoint endpoint =
        fresh && by_priority_next() ? fresh_.begin()->second : queue.begin()->second;
    Entry& entry = entries_.at(endpoint);
    dequeue(entry);
    entry.in_use = true;
    entry.useful_now = false;
    entry.connected_at.reset();
    ++in_use_;
    return endpoint;
  }
  return std::nullopt;
}

std::optional<TimePoint> PeerList::next_dial_time() const {
  std::optional<TimePoint> earliest;
  for (const Queue& queue : idle_) {
    if (queue.empty()) continue;
    const TimePoint due = queue.begin()->first.first;
    earliest = earliest ? std::min(*earliest, due) : due;
  }
  return earliest;
}

PeerList::Entry* PeerList::find_in_use(const Endpoint& endpoint) {
  const auto found = entries_.find(normalised(endpoint));
  return found != entries_.end() && found->second.in_use ? &found->second : nullptr;
}

void PeerList::on_connected(const Endpoint& endpoint, TimePoint now) {
  if (Entry* entry = find_in_use(endpoint)) entry->connected_at = now;
}

void PeerList::on_useful(const Endpoint& endpoint, TimePoint) {
  Entry* entry = find_in_use(endpoint);
  if (!entry) return;
  entry->useful = entry->useful_now = true;
  entry->failures = 0;
}

void PeerList::on_gone(const Endpoint& endpoint, TimePoint now) {
  const Endpoint plain = normalised(endpoint);
  Entry* entry = find_in_use(plain);
  if (!entry) return;
  --in_use_;
  entry->in_use = false;
  if (is_banned(plain) || (private_ && !may_name_private(entry->source))) {
    entries_.erase(plain);
    return;
  }
  if (entry->useful_now) {
    entry->not_before = now + kUsefulBackOff;
  } else {
    if (entry->connected_at && now - *entry->connected_at >= kStableConnection) entry->failures = 0;
    ++entry->failures;
    entry->not_before = now + back_off(entry->failures);
  }
  enqueue(plain, *entry);
}

std::vector<Endpoint> PeerList::useful() const {
  using Place = std::tuple<bool, std::uint32_t, std::uint64_t>;  // in this connection not, ...
  std::vector<std::pair<Place, Endpoint>> found;
  for (const auto& [endpoint, entry] : entries_) {
    if (!entry.useful) continue;
    found.push_back({{!entry.useful_now, entry.failures, entry.order}, endpoint});
  }
  std::ranges::sort(found);
  std::vector<Endpoint> endpoints;
  for (const auto& [place, endpoint] : found) endpoints.push_back(endpoint);
  return endpoints;
}

void PeerList::ban(const Endpoint& endpoint) {
  const Endpoint key = ban_key(endpoint);
  if (!banned_.insert(key).second) return;
  ban_order_.push_back(key);
  if (ban_order_.size() > kMaxBans) {
    banned_.erase(ban_order_.front());
    ban_order_.pop_front();
  }
  const bool whole_host = key.port() == 0;
  for (auto at = entries_.lower_bound(key);
       at != entries_.end() &&
       (whole_host ? at->first.address() == key.address() : at->first == key);) {
    if (at->second.in_use) {  // leaves the list when its connection ends
      ++at;
      continue;
    }
    dequeue(at->second);
    at = entries_.erase(at);
  }
}

bool PeerList::is_banned(const Endpoint& endpoint) const {
  return banned_.contains(ban_key(endpoint));
}

std::vector<Endpoint> PeerList::make_private() {
  private_ = true;
  std::vector<Endpoint> in_use;
  for (auto at = entries_.begin(); at != entries_.end();) {
    const auto& [endpoint, entry] = *at;
    if (may_name_private(entry.source) || entry.in_use) {
      if (!may_name_private(entry.source)) in_use.push_back(endpoint);
      ++at;
      continue;
    }
    dequeue(entry);
    at = entries_.erase(at);
  }
  return in_use;
}

Duration PeerList::back_off(std::uint32_t failures) {
  // 2^9 x 5 s is past the longest back-off: more doublings change nothing.
  const std::uint32_t doublings = std::min<std::uint32_t>(failures - 1, 9);
  const double spread = 0.8 + 0.4 * next_fraction(state_);  // +-20 %: peers lost together part ways
  const double length = static_cast<double>(kFirstBackOff.count() << doublings) * spread;
  return std::min(kMaxBackOff, Duration(static_cast<Duration::rep>(length)));
}

}  // namespace swarmfs::net
