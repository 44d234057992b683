#include "net/dht_node.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "net/connect_policy.h"

namespace swarmfs::net {

DhtNode::DhtNode(Parts parts)
    : parts_(std::move(parts)),
      ipv4_(parts_.saved.id.value_or(random_id(parts_.random))),
      ipv6_(parts_.saved.id6.value_or(random_id(parts_.random))),
      answers_(parts_.random, parts_.clock.now(), parts_.allow_local),
      queries_(parts_.clock, parts_.udp, parts_.random),
      reachability_(parts_.clock.now()) {}

void DhtNode::start() {
  running_ = true;
  subscription_ =
      parts_.udp.listen([this](std::span<const std::byte> bytes, const UdpEndpoint& from) {
        return on_datagram(bytes, from);
      });
  address_ = parts_.external.follow([this](const auto& address) { live_at(address); });
  for (const NodeContact& node : parts_.saved.nodes) {
    if (may_ask(node.endpoint)) side(family_of(node.endpoint.address())).table.restore(node);
  }
}

void DhtNode::stop() {
  running_ = false;
  subscription_ = {};
  address_ = {};
  queries_.clear();
}

// ---- Asking

bool DhtNode::may_ask(const UdpEndpoint& endpoint) const {
  return may_connect(Endpoint(endpoint.address(), endpoint.port()), PeerSource::dht,
                     parts_.allow_local);
}

bool DhtNode::ask(const UdpEndpoint& to, const krpc::Question& question, DhtQueries::Answer then) {
  const NodeId& own = table(family_of(to.address())).own();
  const bool ping = std::holds_alternative<krpc::Ping>(question);
  auto answered = [this, to, ping, then = std::move(then)](const DhtQueries::Outcome& outcome) {
    learn_from(to, outcome, ping);
    if (running_ && then) then(outcome);
  };
  const bool read_only = reachability_.read_only(parts_.clock.now());
  krpc::Query query{own, question, read_only};
  if (!running_ || !queries_.ask(to, std::move(query), std::move(answered))) return false;
  reachability_.on_sent(to, parts_.clock.now());
  return true;
}

void DhtNode::learn_from(const UdpEndpoint& from, const DhtQueries::Outcome& outcome, bool pinged) {
  const Family family = family_of(from.address());
  Side& its = side(family);
  if (outcome.silent) its.table.on_silent(from);
  if (outcome.reply == nullptr) return;
  const bool alone = good_count(family) == 0;
  if (!its.entrances.contains(from)) meet({outcome.reply->id, from}, pinged);
  if (alone && good_count(family) > 0) parts_.first_node(family);
  if (outcome.message->ip) {
    parts_.external.on_seen(from.address(), outcome.message->ip->address());
  }
}

// `node` answered. An id that does not fit its address (BEP 42) is believed in answer to a ping
// only: there is nothing in it that tells a liar which id we would like.
void DhtNode::meet(const NodeContact& node, bool pinged) {
  RoutingTable& table = side(family_of(node.endpoint.address())).table;
  if (pinged || table.holds(node) || is_valid_id(node.id, node.endpoint.address())) {
    table.on_reply(node, parts_.clock.now());
  } else {
    table.on_silent(node.endpoint);  // where it is known under another id
    probe(node);
  }
}

void DhtNode::probe(const NodeContact& node) {
  if (probing_.size() >= kMaxProbes || probing_.contains(node.endpoint)) return;
  const Side& its = side(family_of(node.endpoint.address()));
  if (!may_ask(node.endpoint) || !its.table.wants(node)) return;
  const auto then = [this, to = node.endpoint](const DhtQueries::Outcome& /*outcome*/) {
    probing_.erase(to);
  };
  if (ask(node.endpoint, krpc::Ping{}, then)) probing_.insert(node.endpoint);
}

void DhtNode::keep_fresh(Family family) {
  const auto check = side(family).table.next_check(parts_.clock.now(), parts_.random);
  if (!check) return;
  if (!check->find) {
    ask(check->node.endpoint, krpc::Ping{}, {});
    return;
  }
  ask(check->node.endpoint, krpc::FindNode{*check->find, want_of(family)},
      [this](const DhtQueries::Outcome& outcome) {
        if (outcome.reply == nullptr) return;
        for (const NodeContact& node : outcome.reply->nodes) probe(node);
      });
}

krpc::Want DhtNode::want_of(Family family) const {
  const Family other = family == Family::ipv4 ? Family::ipv6 : Family::ipv4;
  const bool both = usable(other) && table(other).size() < kYoungTable;
  return both ? krpc::Want{true, true} : krpc::Want{};
}

// ---- What we know

bool DhtNode::usable(Family family) const {
  const asio::ip::address any = family == Family::ipv4
                                    ? asio::ip::address(asio::ip::address_v4::any())
                                    : asio::ip::address(asio::ip::address_v6::any());
  return parts_.udp.can_reach({any, 1});
}

std::size_t DhtNode::good_count(Family family) const {
  return table(family).good_count(parts_.clock.now());
}

bool DhtNode::add_entrance(const UdpEndpoint& endpoint) {
  auto& entrances = side(family_of(endpoint.address())).entrances;
  if (!may_ask(endpoint) || entrances.size() >= kMaxEntrances) return false;
  return entrances.insert(endpoint).second;
}

void DhtNode::live_at(const asio::ip::address& address) {
  const Family family = family_of(address);
  Side& ours = side(family);
  if (is_valid_id(ours.table.own(), address)) return;
  ours.table.set_own(id_for(address, parts_.random));
  reachability_.forget(parts_.clock.now());
  parts_.log(0, "DHT: we are at " + address.to_string() + ", as " + ours.table.own().hex());
  parts_.moved(family);
}

DhtState DhtNode::save() const {
  DhtState saved{ipv4_.table.own(), ipv6_.table.own(), {}};
  for (const Side* each : {&ipv4_, &ipv6_}) {
    auto nodes = each->table.good(parts_.clock.now());
    // A run without a network must not cost what earlier ones have learned.
    if (nodes.size() < kBucketSize) {
      nodes = each->table.closest(each->table.own(), kMaxSavedNodes);
    }
    nodes.resize(std::min(nodes.size(), kMaxSavedNodes));
    saved.nodes.insert(saved.nodes.end(), nodes.begin(), nodes.end());
  }
  return saved;
}

// ---- Answering

bool DhtNode::on_datagram(std::span<const std::byte> bytes, const UdpEndpoint& from) {
  if (bytes.empty() || bytes.front() != std::byte{'d'}) return false;  // a bencoded dictionary
  const Result<krpc::Message> message = krpc::decode(bytes);
  if (!message || !may_ask(from)) return true;
  const bool query = std::holds_alternative<krpc::Query>(message->body) ||
                     std::holds_alternative<krpc::BadQuery>(message->body);
  if (query) {
    on_query(*message, bytes.size(), from);
  } else {
    queries_.on_message(*message, from);
  }
  return true;
}

void DhtNode::on_query(const krpc::Message& message, std::size_t size, const UdpEndpoint& from) {
  const TimePoint now = parts_.clock.now();
  if (!answers_.admits(from, now)) return;
  reachability_.on_query(from, now);
  if (reachability_.read_only(now)) return;  // BEP 43
  const auto answer = answers_.answer(message, size, from, ipv4_.table, ipv6_.table, now);
  if (answer) {
    parts_.udp.send(std::as_bytes(std::span(*answer)), from);
    reachability_.on_sent(from, now);
  }
  const auto* query = std::get_if<krpc::Query>(&message.body);
  if (query == nullptr) return;
  const NodeContact node{query->id, from};
  side(family_of(from.address())).table.on_query(node, now);
  if (!query->read_only) probe(node);
}

}  // namespace swarmfs::net
