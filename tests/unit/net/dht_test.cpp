#include "net/dht.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <iostream>
#include <optional>
#include <set>

#include "net/dht_harvest.h"
#include "net/routing_table.h"
#include "tests/unit/net/dht_far_net.h"

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;
using testing::Contains;
using testing::IsEmpty;
using testing::Not;

const UdpEndpoint kRouter = udp_at("99.0.0.1", 6881);
const storage::HostPort kRouterName{"router.example", 6881};
constexpr std::uint64_t kSeed = 11;

Endpoint peer(const char* address, std::uint16_t port = 7000) {
  return {asio::ip::make_address(address), port};
}
const krpc::Query& query_of(const DhtFarNet::Sent& sent) {
  return std::get<krpc::Query>(sent.message.body);
}
template <class Question>
const Question* question_of(const DhtFarNet::Sent& sent) {
  const auto* query = std::get_if<krpc::Query>(&sent.message.body);
  return query == nullptr ? nullptr : std::get_if<Question>(&query->question);
}
template <class Question>
std::vector<DhtFarNet::Sent> only(const std::vector<DhtFarNet::Sent>& sent) {
  std::vector<DhtFarNet::Sent> some;
  for (const auto& each : sent) {
    if (question_of<Question>(each) != nullptr) some.push_back(each);
  }
  return some;
}
std::set<UdpEndpoint> receivers(const std::vector<DhtFarNet::Sent>& sent) {
  std::set<UdpEndpoint> to;
  for (const auto& each : sent) to.insert(each.to);
  return to;
}

// A DHT of nodes that know each other, one router, and ours.
class DhtTest : public testing::Test {
 protected:
  ~DhtTest() override {
    if (dht) run_task(net.io, dht->stop());
  }
  void start(Dht::Parts parts) {
    dht.emplace(std::move(parts));
    dht->start();
    net.settle();
  }
  void start(DhtState saved = {}) {
    Dht::Parts p = parts();
    p.saved = std::move(saved);
    start(std::move(p));
  }
  Dht::Parts parts() {
    const auto look_up = [this](std::string host, std::uint16_t port) {
      return resolve(this, std::move(host), port);
    };
    return {.executor = net.io.get_executor(),
            .clock = net.clock,
            .udp = *net.udp,
            .seed = kSeed,
            .bootstrap = {kRouterName},
            .saved = {},
            .allow_local = false,
            .log = [this](int, const std::string& line) { log.push_back(line); },
            .look_up = look_up,
            .external = external};
  }
  static Task<Result<std::vector<Endpoint>>> resolve(DhtTest* self, std::string host,
                                                     std::uint16_t port) {
    ++self->lookups;
    std::vector<Endpoint> found;
    if (host == kRouterName.host) found = {Endpoint(self->router.address(), port)};
    co_return found;
  }
  // `count` nodes and the router, all of them knowing all others.
  void populate(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      const asio::ip::address_v4 address(static_cast<std::uint32_t>(0x50000000U + i * 0x12345U));
      world.push_back({id_for(address, random), {address, 6881}});
    }
    for (const NodeContact& node : world) bring_up(node);
    bring_up({random_id(random), router});
  }
  void bring_up(const NodeContact& node) {
    net.nodes[node.endpoint] = [this, node](const krpc::Message& query) {
      return std::optional(answer_of(node, query));
    };
  }
  krpc::Message answer_of(const NodeContact& node, const krpc::Message& message) {
    const auto& query = std::get<krpc::Query>(message.body);
    krpc::Reply reply{node.id, {}, {}, {}};
    if (const auto* find = std::get_if<krpc::FindNode>(&query.question)) {
      reply.nodes = near(find->target);
    } else if (const auto* get = std::get_if<krpc::GetPeers>(&query.question)) {
      reply.nodes = near(get->info_hash);
      reply.token = "token of " + node.endpoint.address().to_string();
      const auto known = peers.find(node.endpoint);
      if (known != peers.end()) reply.values = known->second;
    }
    return {message.transaction, reply, seen_at};
  }
  std::vector<NodeContact> near(const NodeId& target) const {
    std::vector<NodeContact> all = world;
    std::sort(all.begin(), all.end(),
              [&target](const auto& a, const auto& b) { return is_closer(target, a.id, b.id); });
    all.resize(std::min<std::size_t>(8, all.size()));
    return all;
  }
  DhtSearch search(std::optional<std::uint16_t> announce_port = std::nullopt) {
    DhtSearchRequest request{torrent,
                             [this](std::span<const Endpoint> some) {
                               found.insert(found.end(), some.begin(), some.end());
                               if (first_found == TimePoint{}) first_found = net.clock.now();
                             },
                             announce_port,
                             [this](const DhtPass& pass) { passes.push_back(pass); }};
    return dht->search(std::move(request));
  }
  DhtState state_of_world() const { return {std::nullopt, std::nullopt, world}; }

  DhtFarNet net;
  SecretRandom random{kSeed};
  UdpEndpoint router = kRouter;
  std::vector<NodeContact> world;
  std::map<UdpEndpoint, std::vector<Endpoint>> peers;
  std::optional<UdpEndpoint> seen_at;
  std::shared_ptr<ExternalAddress> external = std::make_shared<ExternalAddress>();
  NodeId torrent = random_id(random);
  std::vector<std::string> log;
  std::vector<Endpoint> found;
  std::vector<DhtPass> passes;
  TimePoint first_found{};
  int lookups = 0;
  std::optional<Dht> dht;
};

// ---- Getting in

TEST_F(DhtTest, JoinsThroughARouterThatItDoesNotKeep) {
  populate(40);
  start();
  EXPECT_FALSE(dht->status().bootstrapped);
  net.run_for(3s);
  EXPECT_TRUE(dht->status().bootstrapped);
  EXPECT_GE(dht->status().good_nodes, 8U);
  for (const NodeContact& node : dht->save().nodes) EXPECT_NE(node.endpoint, kRouter);
  EXPECT_EQ(dht->save().id, dht->id());
}

TEST_F(DhtTest, AsksNoRouterWhileNodesOfEarlierRunsAnswer) {
  populate(40);
  DhtState saved = state_of_world();
  saved.id = random_id(random);
  start(saved);
  EXPECT_EQ(dht->id(), *saved.id);
  net.run_for(3s);
  EXPECT_TRUE(dht->status().bootstrapped);
  EXPECT_EQ(lookups, 0);
  EXPECT_THAT(receivers(net.sent), Not(Contains(kRouter)));
}

TEST_F(DhtTest, TurnsToTheRoutersWhenTheNodesOfEarlierRunsAreGone) {
  populate(40);
  DhtState saved;
  for (std::uint32_t i = 0; i < 20; ++i) {
    saved.nodes.push_back({random_id(random), {asio::ip::address_v4(0x20000000U + i * 256), 1}});
  }
  start(saved);
  net.run_for(20s);
  EXPECT_TRUE(dht->status().bootstrapped);
  EXPECT_GE(dht->status().good_nodes, 8U);
}

TEST_F(DhtTest, KeepsTryingSeldomWhileNobodyAnswers) {
  start();
  net.run_for(1h);
  EXPECT_FALSE(dht->status().bootstrapped);
  EXPECT_LT(net.taken().size(), 60U);
  EXPECT_GT(lookups, 5);
  EXPECT_LT(lookups, 40);
  populate(40);
  net.run_for(6min);
  EXPECT_TRUE(dht->status().bootstrapped);
}

TEST_F(DhtTest, GetsInThroughANodeThatATorrentOrPeerNames) {
  router = udp_at("127.0.0.1", 1);  // what the router's name stands for: not to be asked
  populate(20);
  start();
  net.run_for(10s);
  EXPECT_THAT(net.taken(), IsEmpty());
  dht->add_node(udp_at("127.0.0.1", 9));
  net.settle();
  EXPECT_THAT(net.taken(), IsEmpty());
  dht->add_node(world[3].endpoint);
  net.run_for(3s);
  EXPECT_TRUE(dht->status().bootstrapped);
}

TEST_F(DhtTest, WritesToNoNodeOnThisHostThatOthersName) {
  populate(10);
  for (const char* local : {"127.0.0.1", "169.254.169.254", "224.0.0.1"}) {
    world.push_back({random_id_beside(torrent, 50, random), udp_at(local, 53)});
  }
  start();
  const DhtSearch searching = search();
  net.run_for(10s);
  EXPECT_TRUE(dht->status().bootstrapped);
  for (const UdpEndpoint& to : receivers(net.taken())) {
    EXPECT_FALSE(to.address().is_loopback() || to.address().is_multicast()) << to;
    EXPECT_NE(to.port(), 53) << to;
  }
}

// ---- Searching

TEST_F(DhtTest, FindsPeersOnATableOfEarlierRunsInLessThanASecond) {
  populate(100);
  for (const NodeContact& node : near(torrent)) peers[node.endpoint] = {peer("1.2.3.4")};
  start(state_of_world());
  const TimePoint began = net.clock.now();
  const DhtSearch searching = search();
  net.run_for(5s);
  EXPECT_THAT(found, testing::ElementsAre(peer("1.2.3.4"))) << "each peer once";
  EXPECT_LE(first_found - began, 1s);
  ASSERT_EQ(passes.size(), 1U);
  EXPECT_LE(passes[0].took, 1s);
  EXPECT_EQ(passes[0].peers, 1U);
  EXPECT_GE(passes[0].responded, 8U);
  EXPECT_LT(passes[0].messages, 40U);
  EXPECT_EQ(passes[0].announced, 0U);
  EXPECT_THAT(only<krpc::AnnouncePeer>(net.taken()), IsEmpty());
}

TEST_F(DhtTest, FindsPeersFromNothingButARouter) {
  populate(100);
  for (const NodeContact& node : near(torrent)) peers[node.endpoint] = {peer("1.2.3.4")};
  start();
  const DhtSearch searching = search();
  net.run_for(1s);
  EXPECT_THAT(found, Contains(peer("1.2.3.4")));
}

TEST_F(DhtTest, FindsPeersWhenTheDhtComesLater) {
  start();
  const DhtSearch searching = search();
  net.run_for(10min);
  populate(50);
  for (const NodeContact& node : near(torrent)) peers[node.endpoint] = {peer("1.2.3.4")};
  net.run_for(6min);
  EXPECT_THAT(found, Contains(peer("1.2.3.4")));
}

TEST_F(DhtTest, PassesOnNoPeerThatMayNotBeDialled) {
  populate(20);
  for (const NodeContact& node : world) {
    peers[node.endpoint] = {peer("127.0.0.1"), peer("1.2.3.4"), peer("169.254.1.1")};
  }
  start(state_of_world());
  const DhtSearch searching = search();
  net.run_for(5s);
  EXPECT_THAT(found, testing::ElementsAre(peer("1.2.3.4")));
}

TEST_F(DhtTest, SearchesAgainSoonWhileNobodyIsFoundAndEveryFewMinutesAfterwards) {
  populate(50);
  start(state_of_world());
  const DhtSearch searching = search();
  net.run_for(1min);
  EXPECT_GE(passes.size(), 4U);
  EXPECT_LE(passes.size(), 6U);
  for (const NodeContact& node : near(torrent)) peers[node.endpoint] = {peer("1.2.3.4")};
  net.run_for(5min);
  EXPECT_EQ(found.size(), passes.back().peers);
  passes.clear();
  net.run_for(1h);
  EXPECT_GE(passes.size(), 4U);
  EXPECT_LE(passes.size(), 8U);
}

TEST_F(DhtTest, EndsASearchWithItsHandle) {
  populate(50);
  for (const NodeContact& node : world) peers[node.endpoint] = {peer("1.2.3.4")};
  start(state_of_world());
  std::optional<DhtSearch> searching = search();
  net.run_for(50ms);
  searching.reset();
  net.taken();
  net.run_for(20min);
  EXPECT_THAT(found, IsEmpty());
  EXPECT_THAT(passes, IsEmpty());
  EXPECT_THAT(only<krpc::GetPeers>(net.taken()), IsEmpty());
  EXPECT_EQ(dht->status().searches, 0U);
}

TEST_F(DhtTest, ASearchMayEndItselfWhenItHasFoundSomebody) {
  populate(50);
  for (const NodeContact& node : world) peers[node.endpoint] = {peer("1.2.3.4")};
  start(state_of_world());
  DhtSearch searching;
  int calls = 0;
  searching = dht->search({torrent,
                           [&](std::span<const Endpoint>) {
                             ++calls;
                             searching = {};
                           },
                           1});
  net.run_for(1min);
  EXPECT_EQ(calls, 1);
  EXPECT_THAT(only<krpc::AnnouncePeer>(net.taken()), IsEmpty());
}

TEST_F(DhtTest, AHandleMayOutliveTheDht) {
  populate(10);
  start();
  const DhtSearch searching = search();
  net.run_for(150ms);
  run_task(net.io, dht->stop());
  dht.reset();
  net.run_for(10s);
}

TEST_F(DhtTest, AnnouncesToTheClosestNodesWithTheTokensTheyGave) {
  populate(100);
  start(state_of_world());
  const DhtSearch searching = search(7001);
  net.run_for(3s);
  const auto announces = only<krpc::AnnouncePeer>(net.taken());
  ASSERT_EQ(announces.size(), 8U);
  for (const auto& sent : announces) {
    const auto* announce = question_of<krpc::AnnouncePeer>(sent);
    EXPECT_EQ(announce->port, 7001);
    EXPECT_FALSE(announce->implied_port);
    EXPECT_EQ(announce->info_hash, torrent);
    EXPECT_EQ(announce->token, "token of " + sent.to.address().to_string());
  }
  std::set<UdpEndpoint> closest;
  for (const NodeContact& node : near(torrent)) closest.insert(node.endpoint);
  EXPECT_EQ(receivers(announces), closest);
  EXPECT_EQ(passes.front().announced, 8U);
  net.run_for(1h);
  EXPECT_GE(only<krpc::AnnouncePeer>(net.taken()).size(), 4 * 8U) << "every 15 minutes or sooner";
}

// ---- Among the others

TEST_F(DhtTest, SaysThatItIsReadOnlyWhenNoStrangerComesInItsFirstHalfHour) {
  populate(40);
  start(state_of_world());
  net.run_for(3s);
  for (const auto& sent : net.taken()) EXPECT_FALSE(query_of(sent).read_only);
  const krpc::Message ping{"tt", krpc::Query{random_id(random), krpc::Ping{}, true}};
  net.run_for(31min);
  net.taken();
  dht->add_node(world[0].endpoint);
  net.settle();
  const auto asked = net.taken();
  ASSERT_EQ(asked.size(), 1U);
  EXPECT_TRUE(query_of(asked[0]).read_only);
  net.arrive(ping, world[0].endpoint);
  EXPECT_THAT(net.taken(), IsEmpty()) << "no stranger; and a read-only node does not answer";
  EXPECT_FALSE(dht->status().reachable);
  const UdpEndpoint stranger = udp_at("33.1.2.3", 4444);
  net.arrive(ping, stranger);
  EXPECT_TRUE(dht->status().reachable);
  const auto answers = net.taken();
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers[0].to, stranger);
  EXPECT_TRUE(std::holds_alternative<krpc::Reply>(answers[0].message.body));
  const DhtSearch searching = search();
  net.settle();
  for (const auto& sent : only<krpc::GetPeers>(net.taken())) {
    EXPECT_FALSE(query_of(sent).read_only);
  }
}

TEST_F(DhtTest, BelievesAnIdThatFitsNoAddressInAnswerToAPingOnly) {
  populate(12);
  const UdpEndpoint liar = udp_at("66.1.2.3", 6881);
  const NodeId true_id = random_id(random);
  net.nodes[liar] = [=](const krpc::Message& message) {
    const auto& query = std::get<krpc::Query>(message.body);
    krpc::Reply reply{true_id, {}, {}, "t"};
    if (const auto* get = std::get_if<krpc::GetPeers>(&query.question)) reply.id = get->info_hash;
    if (const auto* find = std::get_if<krpc::FindNode>(&query.question)) reply.id = find->target;
    reply.id.bytes[19] ^= std::byte{1};
    return std::optional(krpc::Message{message.transaction, reply});
  };
  NodeId claimed = torrent;
  claimed.bytes[19] ^= std::byte{1};
  world.push_back({claimed, liar});
  start(state_of_world());
  const DhtSearch searching = search(7001);
  net.run_for(1min);
  EXPECT_THAT(receivers(only<krpc::GetPeers>(net.sent)), Contains(liar));
  for (const NodeContact& node : dht->save().nodes) {
    EXPECT_TRUE(node.endpoint != liar || shared_bits(node.id, true_id) >= 150);
  }
}

TEST_F(DhtTest, AnswersWhatStrangersAsk) {
  populate(40);
  start(state_of_world());
  net.run_for(1min);
  net.taken();
  const UdpEndpoint stranger = udp_at("33.1.2.3", 4444);
  const auto ask = [&](krpc::Question question) {
    net.arrive({"tt", krpc::Query{random_id(random), std::move(question), true}}, stranger);
    const auto sent = net.taken();
    EXPECT_EQ(sent.size(), 1U) << "a read-only node is answered and not asked";
    const auto* reply = sent.empty() ? nullptr : std::get_if<krpc::Reply>(&sent[0].message.body);
    return reply == nullptr ? krpc::Reply{} : *reply;
  };
  EXPECT_EQ(ask(krpc::Ping{}).id, dht->id());
  EXPECT_EQ(ask(krpc::FindNode{torrent, {}}).nodes.size(), 8U);
  const std::string token = ask(krpc::GetPeers{torrent, {}}).token;
  ask(krpc::AnnouncePeer{torrent, 5000, false, token});
  EXPECT_EQ(dht->status().stored_peers, 1U);
  EXPECT_THAT(ask(krpc::GetPeers{torrent, {}}).values,
              testing::ElementsAre(peer("33.1.2.3", 5000)));
  net.arrive_bytes("d1:ad2:id20:abcdefghij0123456789e1:q4:vote1:t2:aa1:y1:qe", stranger);
  const auto error = net.taken();
  ASSERT_EQ(error.size(), 1U);
  EXPECT_EQ(std::get<krpc::Error>(error[0].message.body).code, krpc::kMethodUnknown);
}

TEST_F(DhtTest, GetsToKnowNodesThatAskIt) {
  populate(1);
  start();
  net.run_for(10s);
  const NodeContact stranger{random_id(random), udp_at("33.1.2.3", 4444)};
  bring_up(stranger);
  net.arrive({"tt", krpc::Query{stranger.id, krpc::Ping{}, false}}, stranger.endpoint);
  EXPECT_THAT(dht->save().nodes, Not(Contains(stranger))) << "it has not answered yet";
  net.run_for(1s);
  EXPECT_THAT(dht->save().nodes, Contains(stranger));
}

TEST_F(DhtTest, DoesNotLetAFloodOfStrangersMakeItBusy) {
  populate(10);
  start(state_of_world());
  net.run_for(10s);
  net.taken();
  const std::size_t before = net.bytes_sent;
  for (std::uint32_t i = 0; i < 5000; ++i) {
    const NodeId id = random_id(random);
    net.arrive({"tt", krpc::Query{id, krpc::FindNode{id, {}}, false}},
               {asio::ip::address_v4(0x21000000U + i * 0x100U), 1});
  }
  EXPECT_LT(net.bytes_sent - before, 20'000U);
}

TEST_F(DhtTest, IgnoresGarbageAndLeavesOtherDatagramsToOthers) {
  populate(10);
  start(state_of_world());
  net.run_for(10s);
  net.taken();
  std::string heard;
  const auto subscription =
      net.udp->listen([&heard](std::span<const std::byte> bytes, const UdpEndpoint&) {
        heard.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        return true;
      });
  for (const char* garbage : {"d", "de", "d1:y1:qe", "d1:t2:aa1:y1:re"}) {
    net.arrive_bytes(garbage, udp_at("33.1.2.3", 1));
    EXPECT_EQ(heard, "") << garbage;
  }
  net.arrive_bytes("utp or a tracker", udp_at("33.1.2.3", 1));
  EXPECT_EQ(heard, "utp or a tracker");
  EXPECT_THAT(net.taken(), IsEmpty());
}

TEST_F(DhtTest, TakesAnIdThatFitsTheAddressTheOthersSee) {
  populate(60);
  seen_at = udp_at("44.5.6.7", 6881);
  start(state_of_world());
  EXPECT_FALSE(is_valid_id(dht->id(), seen_at->address()));
  net.run_for(3s);
  EXPECT_TRUE(is_valid_id(dht->id(), seen_at->address()));
  const auto finds = only<krpc::FindNode>(net.taken());
  const bool looked = std::any_of(finds.begin(), finds.end(), [this](const auto& sent) {
    return question_of<krpc::FindNode>(sent)->target == dht->id();
  });
  EXPECT_TRUE(looked) << "new id, new neighbours";
  const NodeId id = dht->id();
  const std::size_t nodes = dht->status().good_nodes;
  EXPECT_GE(nodes, 8U) << "the table came along";
  net.run_for(10s);
  EXPECT_EQ(dht->id(), id);
  seen_at.reset();
  for (int i = 0; i < 40; ++i) {  // peers and trackers say otherwise
    external->on_seen(asio::ip::make_address("91." + std::to_string(i) + ".1.1"),
                      asio::ip::make_address("::ffff:55.5.6.7"));
  }
  EXPECT_TRUE(is_valid_id(dht->id(), asio::ip::make_address("55.5.6.7")));
}

TEST_F(DhtTest, ForgetsNobodyWhileTheLineIsDown) {
  populate(60);
  start(state_of_world());
  net.run_for(1min);
  const std::size_t before = dht->save().nodes.size();
  const auto nodes = std::exchange(net.nodes, {});
  net.run_for(2h);
  EXPECT_GE(dht->save().nodes.size(), before);
  net.nodes = nodes;
  net.run_for(6min);
  EXPECT_GE(dht->status().good_nodes, 16U);
}

TEST_F(DhtTest, ForgetsNodesThatAreGone) {
  populate(60);
  start(state_of_world());
  net.run_for(5min);
  const auto gone = world[7].endpoint;
  net.nodes.erase(gone);
  std::erase_if(world, [&](const auto& n) { return n.endpoint == gone; });
  net.run_for(40min);
  for (const NodeContact& node : dht->save().nodes) EXPECT_NE(node.endpoint, gone);
  EXPECT_GE(dht->status().good_nodes, 50U);
}

TEST_F(DhtTest, IsQuietWhenNothingIsAskedOfIt) {
  populate(400);
  start(state_of_world());
  for (const NodeContact& node : near(torrent)) peers[node.endpoint] = {peer("1.2.3.4")};
  const DhtSearch searching = search(7001);
  net.run_for(10min);
  net.bytes_sent = net.bytes_received = 0;
  net.run_for(30min);
  const std::size_t rate = (net.bytes_sent + net.bytes_received) / (30 * 60);
  std::cout << "idle with one search: " << rate << " B/s, " << dht->status().good_nodes
            << " nodes\n";
  EXPECT_LT(rate, 200U);
  EXPECT_GT(dht->status().good_nodes, 100U) << "and the table is fresh";
}

TEST_F(DhtTest, SameSeedSameRun) {
  populate(100);
  const auto run = [this] {
    DhtFarNet fresh;
    fresh.nodes = net.nodes;
    Dht::Parts p = parts();
    Dht::Parts own{.executor = fresh.io.get_executor(),
                   .clock = fresh.clock,
                   .udp = *fresh.udp,
                   .seed = 77,
                   .bootstrap = {kRouterName},
                   .saved = {},
                   .allow_local = false,
                   .log = {},
                   .look_up = p.look_up};
    Dht one(std::move(own));
    one.start();
    const DhtSearch searching = one.search({torrent, {}, 9});
    fresh.run_for(10min);
    std::string story;
    for (const auto& sent : fresh.taken()) story += krpc::encode(sent.message);
    run_task(fresh.io, one.stop());
    return story;
  };
  const std::string first = run();
  EXPECT_FALSE(first.empty());
  EXPECT_EQ(first, run());
}

// ---- IPv6

TEST(DhtIPv6Test, SearchesBothDhtsAndGetsIntoOneThroughTheOther) {
  DhtFarNet net(true);
  SecretRandom random(kSeed);
  std::vector<NodeContact> world;
  for (std::uint32_t i = 0; i < 20; ++i) {
    const asio::ip::address_v4 four(0x50000000U + i * 0x12345U);
    world.push_back({id_for(four, random), {four, 6881}});
    asio::ip::address_v6::bytes_type bytes{
        0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, static_cast<unsigned char>(i), 1};
    const asio::ip::address_v6 six(bytes);
    world.push_back({id_for(six, random), {six, 6881}});
  }
  for (const NodeContact& node : world) {
    net.nodes[node.endpoint] = [&world, node](const krpc::Message& message) {
      const auto& query = std::get<krpc::Query>(message.body);
      krpc::Want want;
      krpc::Reply reply{node.id, {}, {}, "t"};
      if (const auto* find = std::get_if<krpc::FindNode>(&query.question)) want = find->want;
      const bool six = node.endpoint.address().is_v6();
      if (want == krpc::Want{}) want = {!six, six};
      std::size_t fours = 0, sixes = 0;
      for (const NodeContact& other : world) {
        const bool is6 = other.endpoint.address().is_v6();
        if (is6 ? want.n6 && sixes++ < 8 : want.n4 && fours++ < 8) reply.nodes.push_back(other);
      }
      if (std::holds_alternative<krpc::GetPeers>(query.question)) {
        reply.values = {six ? peer("2001:db8:f::1") : peer("1.2.3.4")};
      }
      return std::optional(krpc::Message{message.transaction, reply});
    };
  }
  DhtState saved;
  saved.nodes = {world[0], world[2], world[4]};  // IPv4 only
  Dht dht({.executor = net.io.get_executor(),
           .clock = net.clock,
           .udp = *net.udp,
           .seed = kSeed,
           .bootstrap = {},
           .saved = saved,
           .allow_local = false,
           .log = {}});
  dht.start();
  std::vector<Endpoint> found;
  const DhtSearch searching = dht.search({NodeId{},
                                          [&found](std::span<const Endpoint> some) {
                                            found.insert(found.end(), some.begin(), some.end());
                                          },
                                          {}});
  net.run_for(30s);
  EXPECT_GE(dht.status().good_nodes6, 8U);
  EXPECT_GE(dht.status().good_nodes - dht.status().good_nodes6, 8U);
  EXPECT_THAT(found, Contains(peer("1.2.3.4")));
  EXPECT_THAT(found, Contains(peer("2001:db8:f::1")));
  run_task(net.io, dht.stop());
}

TEST(DhtRoutersTest, AreNamed) {
  EXPECT_THAT(default_dht_routers(), Contains(storage::HostPort{"router.bittorrent.com", 6881}));
  EXPECT_EQ(default_dht_routers().size(), 4U);
}

}  // namespace
}  // namespace swarmfs::net
