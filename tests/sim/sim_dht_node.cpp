#include "tests/sim/sim_dht_node.h"

#include <algorithm>

#include "net/connect_policy.h"
#include "tests/sim/sim_dht.h"

namespace swarmfs::sim {
namespace {

// BEP 32: "must not send UDP datagrams with a payload larger than 1024 octets".
constexpr std::size_t kLargestMessage = 1024;
constexpr Duration kTokenPeriod = 5min;  // BEP 5: the secret changes every five minutes
constexpr Duration kAnnouncementLasts = 45min;
constexpr std::size_t kPeersInAnAnswer = 50;
constexpr std::size_t kLimitedAnswers = 10;  // a minute
constexpr Duration kPatience = 5s;

}  // namespace

SimDhtNode::SimDhtNode(SimDht& dht, const DhtContact& self, Conduct conduct, Rng rng)
    : dht_(dht), self_(self), conduct_(conduct), rng_(rng) {}

void SimDhtNode::come() {
  present_ = true;
  ++stay_;
  dht_.net_.attach(self_.endpoint, [this](std::span<const std::byte> payload,
                                          const UdpEndpoint& from) { on_message(payload, from); });
  if (conduct_ != Conduct::silent && dht_.spec_.errands_per_minute > 0) live();
  if (conduct_ != Conduct::churning) return;
  const Duration stay = rng_.duration(dht_.spec_.stay / 2, dht_.spec_.stay * 3 / 2);
  dht_.loop_.clock().schedule(dht_.loop_.now() + stay, [this] { leave(); });
}

void SimDhtNode::leave() {
  if (present_) dht_.net_.detach(self_.endpoint);
  present_ = false;
  const Duration away = rng_.duration(dht_.spec_.stay / 2, dht_.spec_.stay * 3 / 2);
  dht_.loop_.clock().schedule(dht_.loop_.now() + away, [this] { come(); });
}

bool SimDhtNode::knows(const UdpEndpoint& other) const {
  return std::any_of(table_.begin(), table_.end(),
                     [&](const Known& known) { return known.contact.endpoint == other; });
}

bool SimDhtNode::has_room_for(const DhtContact& other) const {
  const int bucket = shared_prefix(self_.id, other.id);
  return !knows(other.endpoint) && other.endpoint != self_.endpoint &&
         std::count_if(table_.begin(), table_.end(), [&](const Known& known) {
           return shared_prefix(self_.id, known.contact.id) == bucket;
         }) < static_cast<std::ptrdiff_t>(kBucket);
}

void SimDhtNode::know(const DhtContact& other, bool stranger) {
  if (has_room_for(other)) table_.push_back({other, stranger, 0});
}

std::vector<DhtContact> SimDhtNode::closest(const DhtId& target) const {
  std::vector<DhtContact> contacts;
  for (const Known& known : table_) contacts.push_back(known.contact);
  const auto count = static_cast<std::ptrdiff_t>(std::min(kBucket, contacts.size()));
  std::partial_sort(
      contacts.begin(), contacts.begin() + count, contacts.end(),
      [&](const DhtContact& a, const DhtContact& b) { return nearer(target, a.id, b.id); });
  contacts.resize(static_cast<std::size_t>(count));
  return contacts;
}

void SimDhtNode::store(const DhtId& info_hash, const UdpEndpoint& peer) {
  if (is_truthful(conduct_)) store_[info_hash][peer] = dht_.loop_.now() + kAnnouncementLasts;
}

bool SimDhtNode::holds(const DhtId& info_hash, const UdpEndpoint& peer) const {
  const auto torrent = store_.find(info_hash);
  if (torrent == store_.end()) return false;
  const auto found = torrent->second.find(peer);
  return found != torrent->second.end() && found->second > dht_.loop_.now();
}

std::vector<UdpEndpoint> SimDhtNode::peers_of(const DhtId& info_hash) {
  std::vector<UdpEndpoint> peers;
  const auto torrent = store_.find(info_hash);
  if (torrent == store_.end()) return peers;
  for (const auto& [peer, until] : torrent->second) {
    if (until > dht_.loop_.now()) peers.push_back(peer);
  }
  while (peers.size() > kPeersInAnAnswer)
    peers.erase(peers.begin() + static_cast<std::ptrdiff_t>(rng_.below(peers.size())));
  return peers;
}

void SimDhtNode::send(const std::string& message, const UdpEndpoint& to, Duration delay) {
  dht_.loop_.clock().schedule(dht_.loop_.now() + delay, [this, message, to, stay = stay_] {
    if (present_ && stay == stay_)
      dht_.net_.send(self_.endpoint, to, std::as_bytes(std::span(message)));
  });
}

void SimDhtNode::on_message(std::span<const std::byte> payload, const UdpEndpoint& from) {
  if (conduct_ == Conduct::silent) return;
  if (payload.size() > kLargestMessage)
    dht_.complain(from, "a message of " + std::to_string(payload.size()) + " bytes");
  const DhtMessage message = read_dht_message(payload);
  if (const auto* wrong = std::get_if<Wrong>(&message)) dht_.complain(from, wrong->what);
  if (const auto* query = std::get_if<DhtQuery>(&message)) {
    dht_.heard(from, query->id);
    on_query(*query, from);
  }
  if (const auto* reply = std::get_if<DhtReply>(&message)) on_reply(*reply, from);
}

// ---- Being asked

void SimDhtNode::on_query(const DhtQuery& query, const UdpEndpoint& from) {
  if (conduct_ == Conduct::behind_nat) return;
  if (conduct_ == Conduct::limited && over_limit()) return;
  const bool has_target =
      query.method == DhtMethod::find_node || query.method == DhtMethod::get_peers;
  const std::string answer = is_poison(conduct_) && has_target
                                 ? dht_.poison_[v6()]->answer(conduct_, query, self_, from)
                                 : honest_answer(query, from);
  const Duration delay =
      conduct_ == Conduct::slow ? rng_.duration(1s, 3s) : rng_.duration(0ms, 5ms);
  send(answer, from, delay);
  if (!query.read_only) meet({query.id, from});
}

bool SimDhtNode::over_limit() {
  const TimePoint now = dht_.loop_.now();
  if (now - minute_ >= 1min) {
    minute_ = now;
    this_minute_ = 0;
  }
  return ++this_minute_ > kLimitedAnswers;
}

std::string SimDhtNode::honest_answer(const DhtQuery& query, const UdpEndpoint& from) {
  if (query.method == DhtMethod::unknown)
    return write_error(query.transaction, 204, "Method Unknown");
  DhtReply reply;
  reply.transaction = query.transaction;
  reply.id = self_.id;
  reply.your_address = from;
  if (query.method == DhtMethod::find_node) name_nodes(query, reply);
  if (query.method == DhtMethod::get_peers) {
    name_nodes(query, reply);
    reply.token = token_for(from, period());
    auto peers = peers_of(query.target);
    if (!peers.empty()) reply.values = std::move(peers);
  }
  if (query.method == DhtMethod::announce_peer) {
    const bool ours =
        query.token == token_for(from, period()) || query.token == token_for(from, period() - 1);
    if (!ours && !is_poison(conduct_)) {  // those give out tokens of another kind, and take all
      dht_.complain(from, "announce_peer with a token that is not ours or too old");
      return write_error(query.transaction, 203, "bad token");
    }
    store(query.target, {from.address(), query.implied_port ? from.port() : query.port});
  }
  return write(reply);
}

void SimDhtNode::name_nodes(const DhtQuery& query, DhtReply& reply) const {
  for (const bool family : {false, true}) {
    const bool wanted =
        query.named_a_family ? (family ? query.want6 : query.want4) : family == v6();
    const SimDhtNode* who = family == v6() ? this : twin_;
    if (wanted && who != nullptr)
      (family ? reply.nodes6 : reply.nodes4) = who->closest(query.target);
  }
}

std::uint64_t SimDhtNode::period() const {
  return static_cast<std::uint64_t>(dht_.loop_.now().time_since_epoch() / kTokenPeriod);
}

std::string SimDhtNode::token_for(const UdpEndpoint& asker, std::uint64_t period) const {
  std::uint64_t value = mix(period);
  for (const char c : compact(UdpEndpoint(asker.address(), self_.endpoint.port())))
    value = mix(value + static_cast<std::uint8_t>(c));
  for (const std::uint8_t byte : self_.id) value = mix(value + byte);  // as good as a secret here
  std::string token;
  for (int shift = 0; shift < 64; shift += 8) token.push_back(static_cast<char>(value >> shift));
  return token;
}

// ---- Asking

void SimDhtNode::live() {
  const auto mean = Duration(static_cast<std::int64_t>(60e6 / dht_.spec_.errands_per_minute));
  const TimePoint next = dht_.loop_.now() + rng_.duration(mean / 2, mean * 3 / 2);
  dht_.loop_.clock().schedule(next, [this, stay = stay_] {
    if (!present_ || stay != stay_) return;
    forget_the_silent();
    const std::uint64_t what = rng_.below(3);
    if (what == 0) check_somebody();
    if (what == 1) look_for(DhtMethod::find_node, self_.id);
    if (what == 2) look_for(DhtMethod::get_peers, random_dht_id(rng_));
    live();
  });
}

// Whoever came late, first: the others are known to be what they are.
void SimDhtNode::check_somebody() {
  std::vector<DhtContact> strangers;
  for (const Known& known : table_) {
    if (known.stranger) strangers.push_back(known.contact);
  }
  if (!strangers.empty()) {
    ask(strangers[rng_.below(strangers.size())], DhtMethod::ping, {});
  } else if (!table_.empty()) {
    ask(table_[rng_.below(table_.size())].contact, DhtMethod::ping, {});
  }
}

// One step after the other, each to the closest that was named, and from there to all of them: as
// good as a lookup for making the nodes near a target hear from strangers.
void SimDhtNode::look_for(DhtMethod method, const DhtId& target) {
  const auto known = closest(target);
  if (!known.empty()) ask(known[rng_.below(known.size())], method, target);
}

void SimDhtNode::look_further(const Asked& asked, const std::vector<DhtContact>& named) {
  if (asked.method == DhtMethod::ping || asked.last || named.empty()) return;
  const DhtContact& next = *std::min_element(
      named.begin(), named.end(),
      [&](const DhtContact& a, const DhtContact& b) { return nearer(asked.target, a.id, b.id); });
  if (nearer(asked.target, next.id, asked.whom.id)) {
    if (next.endpoint != self_.endpoint) ask(next, asked.method, asked.target);
    return;
  }
  for (const DhtContact& node : named) {
    if (node.endpoint != self_.endpoint) ask(node, asked.method, asked.target, true);
  }
}

void SimDhtNode::forget_the_silent() {
  const TimePoint now = dht_.loop_.now();
  for (auto at = asked_.begin(); at != asked_.end();) {
    if (now - at->second.when < kPatience) {
      ++at;
      continue;
    }
    const UdpEndpoint silent = at->second.whom.endpoint;
    at = asked_.erase(at);
    std::erase_if(table_, [&](Known& known) {
      return known.contact.endpoint == silent && known.stranger && ++known.failures >= 2;
    });
  }
}

void SimDhtNode::ask(const DhtContact& whom, DhtMethod method, const DhtId& target, bool last) {
  DhtQuery query;
  ++next_transaction_;
  query.transaction = {static_cast<char>(next_transaction_ >> 8),
                       static_cast<char>(next_transaction_ & 0xff)};
  query.method = method;
  query.id = self_.id;
  query.target = target;
  query.read_only = conduct_ == Conduct::behind_nat;
  asked_.insert_or_assign(query.transaction, Asked{whom, method, target, dht_.loop_.now(), last});
  send(write(query), whom.endpoint, 0ms);
}

void SimDhtNode::meet(const DhtContact& other) {
  if (!has_room_for(other) || other.endpoint.address().is_v6() != v6()) return;
  const bool already = std::any_of(asked_.begin(), asked_.end(), [&](const auto& asked) {
    return asked.second.whom.endpoint == other.endpoint;
  });
  if (!already) ask(other, DhtMethod::ping, {});
}

void SimDhtNode::on_reply(const DhtReply& reply, const UdpEndpoint& from) {
  const auto found = asked_.find(reply.transaction);
  if (found == asked_.end() || found->second.whom.endpoint != from) {
    // One that comes after kPatience is no fault; there is no other reason to answer us.
    return;
  }
  const Asked asked = found->second;
  asked_.erase(found);
  judge(reply, asked, from);
  if (reply.id != asked.whom.id) return;
  for (Known& known : table_) {
    if (known.contact.endpoint == from) known.failures = 0;
  }
  know(asked.whom, true);
  const auto& named = v6() ? reply.nodes6 : reply.nodes4;
  if (!named || named->empty()) return;
  meet((*named)[rng_.below(named->size())]);
  look_further(asked, *named);
}

void SimDhtNode::judge(const DhtReply& reply, const Asked& asked, const UdpEndpoint& from) {
  const auto& nodes = v6() ? reply.nodes6 : reply.nodes4;
  if (reply.your_address && *reply.your_address != self_.endpoint)
    dht_.complain(from, "ip is not our address");
  if (asked.method == DhtMethod::find_node && !nodes)
    dht_.complain(from, "an answer to find_node without nodes of the family that asked");
  if (asked.method == DhtMethod::get_peers) {
    if (reply.token.empty()) dht_.complain(from, "an answer to get_peers without a token");
    if (!nodes && !reply.values)
      dht_.complain(from, "an answer to get_peers with neither nodes nor values");
  }
  if (!nodes) return;
  if (nodes->size() > kBucket) dht_.complain(from, "more than 8 nodes in an answer");
  for (const DhtContact& node : *nodes) {
    if (net::scope_of(node.endpoint.address()) != net::Scope::global || node.endpoint.port() == 0)
      dht_.complain(from, "names a node where none can be");
    const SimDhtNode* there = dht_.node_at(node.endpoint);
    if (there != nullptr &&
        (there->conduct() == Conduct::silent || there->conduct() == Conduct::behind_nat))
      dht_.complain(from, "names a node that has never answered it");
  }
}

}  // namespace swarmfs::sim
