#include "net/routing_table.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace swarmfs::net {

bool RoutingTable::is_good(const Node& node, TimePoint now) {
  return node.proven && node.failures == 0 && now - node.heard < kNodeGoodFor;
}

std::size_t RoutingTable::index_of(const NodeId& id) const {
  return static_cast<std::size_t>(std::min(shared_bits(own_, id), kIdBits - 1));
}

const RoutingTable::Node* RoutingTable::find(const UdpEndpoint& endpoint) const {
  const auto at = sites_.find(site_key(endpoint));
  if (at == sites_.end() || at->second.endpoint != endpoint) return nullptr;
  const Bucket& bucket = buckets_[index_of(at->second.id)];
  for (const auto* nodes : {&bucket.live, &bucket.spares}) {
    for (const Node& node : *nodes) {
      if (node.contact.endpoint == endpoint) return &node;
    }
  }
  return nullptr;
}

RoutingTable::Node* RoutingTable::find(const UdpEndpoint& endpoint) {
  return const_cast<Node*>(std::as_const(*this).find(endpoint));
}

bool RoutingTable::holds(const NodeContact& node) const {
  const Node* known = find(node.endpoint);
  return known != nullptr && known->contact.id == node.id;
}

std::size_t RoutingTable::depth() const {
  std::size_t depth = buckets_.size();
  while (depth > 0 && buckets_[depth - 1].live.empty()) --depth;
  return depth;
}

void RoutingTable::on_reply(const NodeContact& node, TimePoint now) {
  if (node.id == own_) return;
  if (Node* known = find(node.endpoint); known != nullptr && known->contact.id == node.id) {
    known->proven = true;
    known->failures = 0;
    known->heard = now;
    return;
  }
  // A node whose place is taken: by itself under an id it has given up, by another one of its site,
  // or by somebody who has its id. The one that is there stays while it is good.
  const auto neighbour = sites_.find(site_key(node.endpoint));
  if (neighbour != sites_.end()) {
    const Node* other = find(neighbour->second.endpoint);
    if (is_good(*other, now)) {
      if (other->contact.endpoint == node.endpoint) on_silent(node.endpoint);
      return;
    }
  }
  for (const Node& other : buckets_[index_of(node.id)].live) {
    if (other.contact.id == node.id && is_good(other, now)) return;
  }
  if (neighbour != sites_.end()) remove(NodeContact(neighbour->second));
  insert({.contact = node,
          .proven = true,
          .valid_id = is_valid_id(node.id, node.endpoint.address()),
          .heard = now});
}

void RoutingTable::on_query(const NodeContact& node, TimePoint now) {
  Node* known = find(node.endpoint);
  if (known == nullptr || known->contact.id != node.id || !known->proven) return;
  if (known->failures == 0) known->heard = now;
}

void RoutingTable::on_silent(const UdpEndpoint& endpoint) {
  Node* node = find(endpoint);
  if (node == nullptr) return;
  ++node->failures;
  if (node->proven && node->failures < kMaxFailures) return;
  Bucket& bucket = buckets_[index_of(node->contact.id)];
  const std::size_t before = bucket.live.size();
  remove(NodeContact(node->contact));
  if (bucket.live.size() == before || bucket.spares.empty()) return;
  bucket.live.push_back(bucket.spares.back());  // the one that answered last
  bucket.spares.pop_back();
}

void RoutingTable::restore(const NodeContact& node) {
  if (node.id == own_ || !wants(node)) return;
  insert({.contact = node, .valid_id = is_valid_id(node.id, node.endpoint.address())});
}

void RoutingTable::set_own(const NodeId& own) {
  std::vector<Node> all;
  for (auto kind : {&Bucket::live, &Bucket::spares}) {
    for (Bucket& bucket : buckets_) {
      for (Node& node : bucket.*kind) all.push_back(node);
    }
  }
  own_ = own;
  buckets_ = {};
  sites_.clear();
  for (Node& node : all) {
    if (node.contact.id != own_) insert(std::move(node));
  }
}

bool RoutingTable::wants(const NodeContact& node) const {
  if (node.id == own_ || sites_.contains(site_key(node.endpoint))) return false;
  const std::size_t index = index_of(node.id);
  return buckets_[index].live.size() < bucket_size(static_cast<int>(index));
}

// Whom a newcomer may displace from a full bucket: one that never answered in this run, then one
// that failed last time, then, for a valid id, one without (BEP 42). Null: nobody.
RoutingTable::Node* RoutingTable::worst_of(Bucket& bucket, bool for_valid_id) {
  const auto rank = [for_valid_id](const Node& node) {
    if (!node.proven) return 0;
    if (node.failures > 0) return 1;
    return for_valid_id && !node.valid_id ? 2 : 3;
  };
  const auto worst =
      std::min_element(bucket.live.begin(), bucket.live.end(),
                       [&rank](const Node& a, const Node& b) { return rank(a) < rank(b); });
  return rank(*worst) < 3 ? &*worst : nullptr;
}

void RoutingTable::insert(Node node) {
  const std::size_t index = index_of(node.contact.id);
  Bucket& bucket = buckets_[index];
  sites_[site_key(node.contact.endpoint)] = node.contact;
  if (bucket.live.size() < bucket_size(static_cast<int>(index))) {
    bucket.live.push_back(std::move(node));
    return;
  }
  if (Node* worst = worst_of(bucket, node.valid_id); worst != nullptr) std::swap(node, *worst);
  if (!node.proven || node.failures > 0) {  // no use as a spare
    sites_.erase(site_key(node.contact.endpoint));
    return;
  }
  bucket.spares.push_back(std::move(node));
  if (bucket.spares.size() > kSpares) remove(NodeContact(bucket.spares.front().contact));
}

void RoutingTable::remove(const NodeContact& contact) {
  Bucket& bucket = buckets_[index_of(contact.id)];
  const auto same = [&contact](const Node& node) { return node.contact == contact; };
  std::erase_if(bucket.live, same);
  std::erase_if(bucket.spares, same);
  sites_.erase(site_key(contact.endpoint));
}

template <class Wanted>
std::vector<NodeContact> RoutingTable::select(const NodeId& target, std::size_t n,
                                              Wanted wanted) const {
  std::vector<NodeContact> nodes;
  for (const Bucket& bucket : buckets_) {
    for (const Node& node : bucket.live) {
      if (wanted(node)) nodes.push_back(node.contact);
    }
  }
  const auto end = nodes.begin() + static_cast<std::ptrdiff_t>(std::min(n, nodes.size()));
  std::partial_sort(nodes.begin(), end, nodes.end(),
                    [&target](const NodeContact& a, const NodeContact& b) {
                      return is_closer(target, a.id, b.id);
                    });
  nodes.erase(end, nodes.end());
  return nodes;
}

std::vector<NodeContact> RoutingTable::closest(const NodeId& target, std::size_t n) const {
  auto nodes = select(target, n, [](const Node& node) { return node.failures == 0; });
  const auto doubtful =
      select(target, n - nodes.size(), [](const Node& node) { return node.failures > 0; });
  nodes.insert(nodes.end(), doubtful.begin(), doubtful.end());
  return nodes;
}

std::vector<NodeContact> RoutingTable::closest_good(const NodeId& target, std::size_t n,
                                                    TimePoint now) const {
  return select(target, n, [now](const Node& node) { return is_good(node, now); });
}

std::vector<NodeContact> RoutingTable::good(TimePoint now) const {
  return closest_good(own_, std::numeric_limits<std::size_t>::max(), now);
}

std::optional<RoutingTable::Check> RoutingTable::next_check(TimePoint now, SecretRandom& random) {
  if (auto check = stale_node(now, random)) return check;
  return bucket_to_fill(now, random);
}

std::optional<RoutingTable::Check> RoutingTable::stale_node(TimePoint now, SecretRandom& random) {
  Node* stalest = nullptr;
  std::size_t index = 0;
  for (std::size_t i = 0; i < buckets_.size(); ++i) {
    for (Node& node : buckets_[i].live) {
      if (is_good(node, now) && now - node.heard < kCheckAfter) continue;
      if (node.checked != TimePoint{} && now - node.checked < kRecheckAfter) continue;
      if (stalest != nullptr && stalest->heard <= node.heard) continue;
      stalest = &node;
      index = i;
    }
  }
  if (stalest == nullptr) return std::nullopt;
  stalest->checked = now;
  const int shared = static_cast<int>(index);
  const bool full = buckets_[index].live.size() >= bucket_size(shared);
  Check check{stalest->contact, std::nullopt};
  if (!full) check.find = random_id_beside(own_, shared, random);
  return check;
}

std::optional<RoutingTable::Check> RoutingTable::bucket_to_fill(TimePoint now,
                                                                SecretRandom& random) {
  const std::size_t end = depth();
  for (std::size_t i = 0; i < end; ++i) {
    Bucket& bucket = buckets_[i];
    const int shared = static_cast<int>(i);
    if (bucket.live.size() >= bucket_size(shared)) continue;
    const bool grew = bucket.live.size() > bucket.size_then;
    const bool never = bucket.refreshed == TimePoint{};
    if (!never && now - bucket.refreshed < (grew ? kRefillAfter : kNodeGoodFor)) continue;
    bucket.refreshed = now;
    bucket.size_then = bucket.live.size();
    const NodeId target = random_id_beside(own_, shared, random);
    // One of the eight nearest: a liar among them is not asked every time.
    const auto near = closest(target, kBucketSize);
    return Check{near[random.below(near.size())], target};
  }
  return std::nullopt;
}

std::size_t RoutingTable::size() const {
  std::size_t count = 0;
  for (const Bucket& bucket : buckets_) count += bucket.live.size();
  return count;
}

std::size_t RoutingTable::good_count(TimePoint now) const {
  std::size_t count = 0;
  for (const Bucket& bucket : buckets_) {
    count += static_cast<std::size_t>(std::count_if(
        bucket.live.begin(), bucket.live.end(), [now](const Node& n) { return is_good(n, now); }));
  }
  return count;
}

}  // namespace swarmfs::net
