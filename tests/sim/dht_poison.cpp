#include "tests/sim/dht_poison.h"

#include <algorithm>

namespace swarmfs::sim {
namespace {

constexpr std::size_t kNamed = 8;
// Nobody has that many peers in one datagram: some of these are larger than what we receive, some
// than what fits an Ethernet frame, and some just than what BEP 32 allows.
constexpr std::size_t kManyPeers = 5000, kSomePeers = 170;

// The id under which an accomplice poses as a neighbour of `target`: always the same, so that it
// keeps its word when it is asked.
DhtId posing_as(const DhtId& target, const UdpEndpoint& endpoint) {
  const std::string address = compact(endpoint);
  std::uint64_t seed = 0;
  for (const char c : address) seed = mix(seed + static_cast<std::uint8_t>(c));
  Rng rng(seed);
  return random_dht_id_near(target, 150, rng);
}

std::vector<std::string> nonsense_addresses(bool v6) {
  const std::vector<const char*> hosts =
      v6 ? std::vector{"::1", "::", "ff02::1", "fe80::1", "::ffff:127.0.0.1"}
         : std::vector{"127.0.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "169.254.1.1"};
  std::vector<std::string> addresses;
  for (const char* host : hosts)
    addresses.push_back(compact(UdpEndpoint(asio::ip::make_address(host), 6881)));
  const char* public_host = v6 ? "2a01:4f8::99" : "93.184.216.34";
  addresses.push_back(compact(UdpEndpoint(asio::ip::make_address(public_host), 0)));
  return addresses;
}

}  // namespace

Poison::Poison(bool v6, std::vector<UdpEndpoint> accomplices, Rng rng)
    : v6_(v6), accomplices_(std::move(accomplices)), rng_(rng) {}

std::string Poison::answer(Conduct conduct, const DhtQuery& query, const DhtContact& self,
                           const UdpEndpoint& asker) {
  if (conduct == Conduct::garbage) return noise();
  DhtReply reply;
  reply.transaction = query.transaction;
  reply.id = self.id;
  reply.your_address = asker;
  if (query.method == DhtMethod::get_peers) reply.token = "poison";
  auto& nodes = v6_ ? reply.nodes6 : reply.nodes4;
  if (conduct == Conduct::names_dead) nodes = dead_near(query.target);
  if (conduct == Conduct::names_fitting_dead) nodes = fitting_dead_near(query.target);
  if (conduct == Conduct::names_accomplices) {
    nodes = accomplices_near(query.target);
    reply.id = posing_as(query.target, self.endpoint);
    reply.values.emplace();
    for (int i = 0; i < 20; ++i) reply.values->push_back(random_home(rng_, v6_));
  }
  if (conduct == Conduct::oversized) {
    reply.values.emplace();
    const std::size_t count = rng_.chance(0.3) ? kManyPeers : kSomePeers;
    for (std::size_t i = 0; i < count; ++i) reply.values->push_back(random_home(rng_, v6_));
    nodes = dead_near(query.target);
  }
  if (conduct == Conduct::nonsense) return nonsense(std::move(reply), query);
  return write(reply);
}

std::vector<DhtContact> Poison::dead_near(const DhtId& target) {
  std::vector<DhtContact> nodes;
  for (std::size_t i = 0; i < kNamed; ++i) {
    const int bits = static_cast<int>(rng_.between(100, 150));
    nodes.push_back({random_dht_id_near(target, bits, rng_), random_home(rng_, v6_)});
  }
  return nodes;
}

void Poison::take_inventory() {
  fitting_.reserve(8 * kInventory);
  for (std::size_t i = 0; i < kInventory; ++i) {
    const UdpEndpoint endpoint = random_home(rng_, v6_);
    for (std::uint8_t r = 0; r < 8; ++r)
      fitting_.push_back({crc_of_address(endpoint.address(), r), r, endpoint});
  }
  std::stable_sort(fitting_.begin(), fitting_.end());
}

std::vector<DhtContact> Poison::fitting_dead_near(const DhtId& target) {
  if (fitting_.empty()) take_inventory();
  const std::uint32_t wanted = static_cast<std::uint32_t>(target[0]) << 24 |
                               static_cast<std::uint32_t>(target[1]) << 16 |
                               static_cast<std::uint32_t>(target[2]) << 8;
  auto at = std::lower_bound(fitting_.begin(), fitting_.end(), Fitting{wanted, 0, {}});
  if (fitting_.end() - at < static_cast<std::ptrdiff_t>(kNamed)) at = fitting_.end() - kNamed;
  std::vector<DhtContact> nodes;
  for (std::size_t i = 0; i < kNamed; ++i, ++at) {
    DhtContact node{target, at->endpoint};  // what BEP 42 leaves free agrees with the target
    node.id[0] = static_cast<std::uint8_t>(at->crc >> 24);
    node.id[1] = static_cast<std::uint8_t>(at->crc >> 16);
    node.id[2] = static_cast<std::uint8_t>((at->crc >> 8 & 0xf8U) | (target[2] & 7U));
    node.id[19] = at->random;
    nodes.push_back(node);
  }
  return nodes;
}

std::vector<DhtContact> Poison::accomplices_near(const DhtId& target) {
  std::vector<DhtContact> nodes;
  for (std::size_t i = 0; i < kNamed && !accomplices_.empty(); ++i) {
    const UdpEndpoint& accomplice = accomplices_[rng_.below(accomplices_.size())];
    nodes.push_back({posing_as(target, accomplice), accomplice});
  }
  return nodes;
}

std::string Poison::nonsense(DhtReply reply, const DhtQuery& query) {
  storage::bencode::List values;
  std::string nodes;
  for (const std::string& address : nonsense_addresses(v6_)) {
    values.add(address);
    nodes += std::string(text_of(random_dht_id_near(query.target, 140, rng_))) + address;
  }
  values.add("abc").add("").add(std::string(100, 'x')).add(7);
  storage::bencode::Dictionary r;
  r.add("id", text_of(reply.id)).add("token", reply.token.empty() ? "x" : reply.token);
  r.add("values", values).add(v6_ ? "nodes6" : "nodes", nodes);
  storage::bencode::Dictionary root;
  root.add("t", reply.transaction).add("y", "r").add("r", r);
  return root.encode();
}

std::string Poison::noise() {
  if (rng_.chance(0.3)) return std::string(1000, 'l');  // lists in lists in lists
  if (rng_.chance(0.3)) return "d1:rd2:id20:";          // and nothing more
  std::string bytes(rng_.between(1, 600), '\0');
  for (char& byte : bytes) byte = static_cast<char>(rng_.next());
  return bytes;
}

}  // namespace swarmfs::sim
