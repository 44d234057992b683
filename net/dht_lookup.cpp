#include "net/dht_lookup.h"

#include <algorithm>

namespace swarmfs::net {

void DhtLookup::add_known(const NodeContact& node) {
  add(node, nullptr);
}

void DhtLookup::add_entrance(const UdpEndpoint& endpoint) {
  const bool waiting =
      std::find(entrances_.begin(), entrances_.end(), endpoint) != entrances_.end();
  if (waiting || entered_.contains(endpoint) || by_endpoint_.contains(endpoint)) return;
  entrances_.push_back(endpoint);
}

void DhtLookup::add(const NodeContact& node, const UdpEndpoint* named_by) {
  if (node.id == own_ || entered_.contains(node.endpoint)) return;
  const bool valid_id = is_valid_id(node.id, node.endpoint.address());
  if (Candidate* known = find(node.endpoint); known != nullptr) {
    if (known->node.id == node.id) {
      if (named_by != nullptr) vouch(*known, *named_by);
      known->known |= named_by == nullptr;
      return;
    }
    // Two words for one address: the id that fits it wins, else the first.
    if (known->progress != Progress::fresh || known->valid_id || !valid_id) return;
    candidates_.erase(by_endpoint_.at(node.endpoint));
    by_endpoint_.erase(node.endpoint);
  }
  const Key key{distance(target_, node.id), node.endpoint};
  Candidate candidate;
  candidate.node = node;
  candidate.valid_id = valid_id;
  candidate.known = named_by == nullptr;
  if (named_by != nullptr) vouch(candidate, *named_by);
  candidates_.emplace(key, std::move(candidate));
  by_endpoint_.emplace(node.endpoint, key);
  make_room();
}

void DhtLookup::vouch(Candidate& candidate, const UdpEndpoint& who) {
  auto& named_by = candidate.named_by;
  if (named_by.size() >= kLookupWidth) return;
  if (std::find(named_by.begin(), named_by.end(), who) != named_by.end()) return;
  named_by.push_back(who);
  if (candidate.progress == Progress::fresh) return;
  Credit& credit = credit_[who];
  ++credit.asked;
  if (candidate.progress == Progress::answered) ++credit.answered;
}

void DhtLookup::make_room() {
  if (candidates_.size() <= kMaxCandidates) return;
  const auto furthest =
      std::find_if(candidates_.rbegin(), candidates_.rend(),
                   [](const auto& entry) { return entry.second.progress == Progress::fresh; });
  by_endpoint_.erase(furthest->second.node.endpoint);  // kMaxLookupQueries are not fresh at most
  candidates_.erase(std::next(furthest).base());
}

DhtLookup::Candidate* DhtLookup::find(const UdpEndpoint& endpoint) {
  const auto at = by_endpoint_.find(endpoint);
  return at == by_endpoint_.end() ? nullptr : &candidates_.at(at->second);
}

bool DhtLookup::has_credit(const Candidate& candidate) const {
  if (candidate.known) return true;
  return std::any_of(candidate.named_by.begin(), candidate.named_by.end(),
                     [this](const UdpEndpoint& who) {
                       const auto at = credit_.find(who);
                       if (at == credit_.end()) return true;
                       const Credit& credit = at->second;
                       return credit.asked - credit.answered < kCredit + credit.answered;
                     });
}

DhtLookup::View DhtLookup::look(TimePoint now) const {
  View view;
  for (const auto& [endpoint, stalls_at] : entered_) {
    if (now < stalls_at) ++view.in_flight;
  }
  view.awaited = view.in_flight > 0;
  std::size_t answers = 0, valid_answers = 0;  // closer than the one looked at
  std::size_t hopes = 0, valid_hopes = 0;      // the same, and those in flight
  for (const auto& [key, candidate] : candidates_) {
    const bool asked = candidate.progress == Progress::asked;
    const bool flying = asked && now < candidate.stalls_at;
    const bool answered = candidate.progress == Progress::answered;
    // An id that fits is up against those that fit; another one against all.
    const bool matters = (candidate.valid_id ? valid_answers : answers) < kLookupWidth;
    const bool wanted = (candidate.valid_id ? valid_hopes : hopes) < 2 * kLookupWidth;
    if (flying) ++view.in_flight;
    // On a line where everybody is late, the late are waited for.
    if (flying || (asked && answered_ < kLookupWidth)) view.awaited |= matters;
    const std::size_t hope = answered ? 2 : flying ? 1 : 0;
    hopes += hope;
    if (candidate.valid_id) valid_hopes += hope;
    if (answered) {
      ++answers;
      if (candidate.valid_id) ++valid_answers;
    }
    if (candidate.progress != Progress::fresh || !wanted) continue;
    if (taken_sites_.contains(site_key(candidate.node.endpoint))) continue;
    if (view.best == nullptr && has_credit(candidate)) view.best = &candidate;
    if (view.fallback == nullptr) view.fallback = &candidate;
  }
  return view;
}

// Without credit only when nothing else leads on and the search has not got anywhere.
const DhtLookup::Candidate* DhtLookup::to_ask(TimePoint now) const {
  const View view = look(now);
  if (view.in_flight >= kLookupParallel || asked_ >= kMaxLookupQueries) return nullptr;
  if (view.best != nullptr) return view.best;
  return view.awaited || answered_ >= kLookupWidth ? nullptr : view.fallback;
}

std::optional<UdpEndpoint> DhtLookup::next(TimePoint now, Duration patience) {
  if (!entrances_.empty() && asked_ < kMaxLookupQueries) {
    const UdpEndpoint entrance = entrances_.back();
    entrances_.pop_back();
    entered_.emplace(entrance, now + patience);
    ++asked_;
    return entrance;
  }
  const Candidate* chosen = to_ask(now);
  if (chosen == nullptr) return std::nullopt;
  Candidate& candidate = *find(chosen->node.endpoint);
  candidate.progress = Progress::asked;
  candidate.stalls_at = now + patience;
  taken_sites_.insert(site_key(candidate.node.endpoint));
  for (const UdpEndpoint& who : candidate.named_by) ++credit_[who].asked;
  ++asked_;
  return candidate.node.endpoint;
}

void DhtLookup::on_reply(const UdpEndpoint& from, const NodeId& id,
                         std::span<const NodeContact> named, std::string token) {
  if (entered_.erase(from) > 0) {
    add({id, from}, nullptr);
    if (Candidate* entrance = find(from)) entrance->progress = Progress::asked;
  }
  Candidate* candidate = find(from);
  if (candidate == nullptr || candidate->progress != Progress::asked) return;
  if (candidate->node.id != id) {
    on_silent(from);
    return;
  }
  candidate->progress = Progress::answered;
  candidate->token = std::move(token);
  ++answered_;
  for (const UdpEndpoint& who : candidate->named_by) ++credit_[who].answered;
  for (const NodeContact& node : named) add(node, &from);
}

void DhtLookup::on_silent(const UdpEndpoint& endpoint) {
  if (entered_.erase(endpoint) > 0) return;
  Candidate* candidate = find(endpoint);
  if (candidate == nullptr || candidate->progress != Progress::asked) return;
  candidate->progress = Progress::failed;
  taken_sites_.erase(site_key(endpoint));
}

std::optional<TimePoint> DhtLookup::next_event(TimePoint now) const {
  std::optional<TimePoint> earliest;
  const auto consider = [&earliest, now](TimePoint when) {
    if (when > now && (!earliest || when < *earliest)) earliest = when;
  };
  for (const auto& [endpoint, stalls_at] : entered_) consider(stalls_at);
  for (const auto& [key, candidate] : candidates_) {
    if (candidate.progress == Progress::asked) consider(candidate.stalls_at);
  }
  return earliest;
}

bool DhtLookup::finished(TimePoint now) const {
  if (!entrances_.empty() && asked_ < kMaxLookupQueries) return false;
  return !look(now).awaited && to_ask(now) == nullptr;
}

std::vector<DhtLookup::Closest> DhtLookup::closest() const {
  std::vector<Closest> nodes;
  for (const bool valid : {true, false}) {
    for (const auto& [key, candidate] : candidates_) {
      if (candidate.progress != Progress::answered || candidate.valid_id != valid) continue;
      if (nodes.size() < kLookupWidth) nodes.push_back({candidate.node, candidate.token});
    }
  }
  return nodes;
}

}  // namespace swarmfs::net
