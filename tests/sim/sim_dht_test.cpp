// The simulated DHT itself: its nodes speak as the documents say and behave as their conduct says,
// or no lookup among them means anything.
#include "tests/sim/sim_dht.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace swarmfs::sim {
namespace {

using testing::IsEmpty;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}
UdpEndpoint at(const std::string& address, std::uint16_t port = 6881) {
  return {asio::ip::make_address(address), port};
}

// The examples of BEP 42, which net/node_id is tested with too.
TEST(DhtIdTest, FitsTheAddressesOfTheDocument) {
  struct Example {
    const char* address;
    std::uint8_t random;
    std::uint32_t first;  // 3 bytes, of which 21 bits count
  };
  for (const Example& example : {Example{"124.31.75.21", 1, 0x5fbfbf},
                                 {"21.75.31.124", 86, 0x5a3ce9},
                                 {"65.23.51.170", 22, 0xa5d432},
                                 {"84.124.73.14", 65, 0x1b0321},
                                 {"43.213.53.83", 90, 0xe56f6c}}) {
    const auto address = asio::ip::make_address(example.address);
    EXPECT_EQ((crc_of_address(address, example.random) >> 8 ^ example.first) >> 3, 0U)
        << example.address;
    Rng rng(1);
    DhtId id = id_fitting(address, rng);
    EXPECT_TRUE(fits_address(id, address));
    id[0] ^= 1;
    EXPECT_FALSE(fits_address(id, address));
  }
}

TEST(DhtIdTest, NearMeansSoManyBitsAndNotOneMore) {
  Rng rng(2);
  const DhtId id = random_dht_id(rng);
  for (const int bits : {0, 1, 7, 8, 9, 100, 159})
    EXPECT_EQ(shared_prefix(id, random_dht_id_near(id, bits, rng)), bits);
  EXPECT_TRUE(nearer(id, random_dht_id_near(id, 9, rng), random_dht_id_near(id, 8, rng)));
}

TEST(DhtMessageTest, ReadsTheExamplesOfTheDocument) {
  const std::string get_peers =
      "d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456e1:q9:get_peers1:t2:aa1:y1"
      ":qe";
  const auto query = std::get<DhtQuery>(read_dht_message(bytes_of(get_peers)));
  EXPECT_EQ(query.method, DhtMethod::get_peers);
  EXPECT_EQ(text_of(query.id), "abcdefghij0123456789");
  EXPECT_EQ(text_of(query.target), "mnopqrstuvwxyz123456");
  EXPECT_EQ(write(query), get_peers);
  const std::string values =
      "d1:rd2:id20:abcdefghij01234567895:token8:aoeusnth6:valuesl6:axje.u6:idhtnmee1:t2:aa1:y1:re";
  const auto reply = std::get<DhtReply>(read_dht_message(bytes_of(values)));
  EXPECT_EQ(reply.token, "aoeusnth");
  ASSERT_TRUE(reply.values);
  EXPECT_EQ(*reply.values,
            (std::vector{at("97.120.106.101", 11893), at("105.100.104.116", 28269)}));
  const std::string error = "d1:eli201e23:A Generic Error Ocurrede1:t2:aa1:y1:ee";
  EXPECT_EQ(std::get<DhtError>(read_dht_message(bytes_of(error))).code, 201);
}

// Asks nodes of a population by hand.
class SimDhtTest : public testing::Test {
 protected:
  void populate(DhtSpec spec) {
    spec.errands_per_minute = 0;
    net_.emplace(loop_, 1, Weather{.loss = 0, .jitter = 0.2});
    dht_.emplace(loop_, *net_, spec);
    net_->attach(us_, [this](std::span<const std::byte> payload, const UdpEndpoint&) {
      got_.emplace_back(reinterpret_cast<const char*>(payload.data()), payload.size());
    });
  }
  // What comes within `patience_`.
  std::vector<std::string> ask(const UdpEndpoint& whom, DhtMethod method, const DhtId& target = {},
                               const std::string& token = "") {
    DhtQuery query;
    query.transaction = "aa";
    query.method = method;
    query.id = id_;
    query.target = target;
    query.token = token;
    query.port = 7000;
    query.read_only = true;
    net_->send(us_, whom, bytes_of(write(query)));
    loop_.run_for(patience_);
    return std::exchange(got_, {});
  }
  DhtReply reply_to(const UdpEndpoint& whom, DhtMethod method, const DhtId& target = {},
                    const std::string& token = "") {
    const auto got = ask(whom, method, target, token);
    EXPECT_EQ(got.size(), 1U);
    if (got.empty()) return {};
    const DhtMessage message = read_dht_message(bytes_of(got[0]));
    EXPECT_TRUE(std::holds_alternative<DhtReply>(message)) << got[0];
    return std::get<DhtReply>(message);
  }
  UdpEndpoint anybody(Conduct conduct) {
    for (const auto& [endpoint, node] : dht_->everybody()) {
      if (node->conduct() == conduct) return endpoint;
    }
    ADD_FAILURE() << "nobody like that";
    return {};
  }

  SimLoop loop_;
  std::optional<DatagramNet> net_;
  std::optional<SimDht> dht_;
  std::vector<std::string> got_;
  Duration patience_ = 5s;
  Rng rng_{7};
  const UdpEndpoint us_ = at("77.1.2.3");
  const DhtId id_ = id_fitting(us_.address(), rng_);
};

TEST_F(SimDhtTest, AThousandNodesOfWhichAFifthIsSilentAndAllHaveFittingIds) {
  populate({});
  std::map<Conduct, int> count;
  for (const auto& [endpoint, node] : dht_->everybody()) {
    ++count[node->conduct()];
    EXPECT_TRUE(fits_address(node->self().id, endpoint.address()));
  }
  EXPECT_EQ(count[Conduct::silent], 200);
  EXPECT_EQ(count[Conduct::behind_nat], 50);
  EXPECT_EQ(count[Conduct::honest], 692);
}

// Following what nodes name leads to the node closest to the target within a few steps.
TEST_F(SimDhtTest, NodesNameOthersCloserToTheTarget) {
  populate({.silent = 0, .slow = 0, .limited = 0, .behind_nat = 0});
  const DhtId target = random_dht_id(rng_);
  UdpEndpoint at_router = dht_->routers()[0];
  DhtId best = dht_->node_at(at_router)->self().id;
  for (int step = 0; step < 10; ++step) {
    const DhtReply reply = reply_to(at_router, DhtMethod::find_node, target);
    EXPECT_EQ(reply.your_address, us_);
    ASSERT_TRUE(reply.nodes4);
    ASSERT_EQ(reply.nodes4->size(), 8U);
    if (!nearer(target, reply.nodes4->front().id, best)) break;
    best = reply.nodes4->front().id;
    at_router = reply.nodes4->front().endpoint;
  }
  for (const auto& [endpoint, node] : dht_->everybody())
    EXPECT_FALSE(nearer(target, node->self().id, best)) << "of that closest node nobody told us";
}

TEST_F(SimDhtTest, WhatIsAnnouncedWithTheRightTokenIsToldToOthers) {
  populate({});
  const DhtId info_hash = random_dht_id(rng_);
  const UdpEndpoint node = dht_->routers()[0];
  const DhtReply first = reply_to(node, DhtMethod::get_peers, info_hash);
  EXPECT_FALSE(first.values);
  ASSERT_FALSE(first.token.empty());
  const auto refused = ask(node, DhtMethod::announce_peer, info_hash, "wrong");
  ASSERT_EQ(refused.size(), 1U);
  EXPECT_EQ(std::get<DhtError>(read_dht_message(bytes_of(refused[0]))).code, 203);
  (void)reply_to(node, DhtMethod::announce_peer, info_hash, first.token);
  const DhtReply second = reply_to(node, DhtMethod::get_peers, info_hash);
  EXPECT_EQ(second.values, std::vector{UdpEndpoint(us_.address(), 7000)});
  EXPECT_EQ(dht_->holders(info_hash, {us_.address(), 7000}), 1U);
}

TEST_F(SimDhtTest, TokensAreGoodForFiveToTenMinutes) {
  populate({});
  const DhtId info_hash = random_dht_id(rng_);
  const UdpEndpoint node = dht_->routers()[0];
  const std::string token = reply_to(node, DhtMethod::get_peers, info_hash).token;
  loop_.run_for(5min - 10s);
  (void)reply_to(node, DhtMethod::announce_peer, info_hash, token);
  loop_.run_for(5min);
  const auto refused = ask(node, DhtMethod::announce_peer, info_hash, token);
  ASSERT_EQ(refused.size(), 1U);
  EXPECT_TRUE(std::holds_alternative<DhtError>(read_dht_message(bytes_of(refused[0]))));
}

TEST_F(SimDhtTest, AnnouncedPeersAreWithTheClosestThatAnswer) {
  populate({});
  const DhtId info_hash = random_dht_id(rng_);
  const std::vector<UdpEndpoint> peers{at("78.1.1.1"), at("78.1.1.2")};
  dht_->announce(info_hash, peers);
  EXPECT_GE(dht_->holders(info_hash, peers[0]), 5U);
  EXPECT_LE(dht_->holders(info_hash, peers[0]), 8U);
}

TEST_F(SimDhtTest, EachBehavesAsItsConductSays) {
  populate({.churning = 0.1});
  EXPECT_THAT(ask(anybody(Conduct::silent), DhtMethod::ping), IsEmpty());
  EXPECT_THAT(ask(anybody(Conduct::behind_nat), DhtMethod::ping), IsEmpty());
  patience_ = 990ms;
  EXPECT_THAT(ask(anybody(Conduct::slow), DhtMethod::ping), IsEmpty());
  patience_ = 5s;
  loop_.run_for(patience_);
  EXPECT_EQ(std::exchange(got_, {}).size(), 1U);
  const UdpEndpoint limited = anybody(Conduct::limited);
  int answered = 0;
  for (int i = 0; i < 11; ++i) answered += static_cast<int>(ask(limited, DhtMethod::ping).size());
  EXPECT_EQ(answered, 10);
  loop_.run_for(1min);
  EXPECT_EQ(ask(limited, DhtMethod::ping).size(), 1U);
  const SimDhtNode* const churning = dht_->node_at(anybody(Conduct::churning));
  const bool present = churning->present();
  EXPECT_TRUE(loop_.run_until([&] { return churning->present() != present; }, loop_.now() + 15min));
  EXPECT_TRUE(loop_.run_until([&] { return churning->present() == present; }, loop_.now() + 15min));
}

TEST_F(SimDhtTest, PoisonersLieAsTheirKindDoes) {
  populate({.poison = 0.12});
  const DhtId target = random_dht_id(rng_);
  const auto lies = [&](Conduct conduct) {
    return reply_to(anybody(conduct), DhtMethod::get_peers, target);
  };
  const DhtReply dead = lies(Conduct::names_dead), fitting = lies(Conduct::names_fitting_dead);
  for (const DhtContact& node : *dead.nodes4) {
    EXPECT_GE(shared_prefix(target, node.id), 100);
    EXPECT_EQ(dht_->node_at(node.endpoint), nullptr);
  }
  for (const DhtContact& node : *fitting.nodes4) {
    EXPECT_TRUE(fits_address(node.id, node.endpoint.address()));
    EXPECT_GE(shared_prefix(target, node.id), 12) << "no honest node is that near";
    EXPECT_EQ(dht_->node_at(node.endpoint), nullptr);
  }
  const DhtReply accomplice = lies(Conduct::names_accomplices);
  EXPECT_FALSE(accomplice.values->empty());
  const DhtContact named = accomplice.nodes4->front();
  EXPECT_EQ(reply_to(named.endpoint, DhtMethod::get_peers, target).id, named.id)
      << "keeps its word";
  const auto garbage = ask(anybody(Conduct::garbage), DhtMethod::get_peers, target);
  ASSERT_EQ(garbage.size(), 1U);
  EXPECT_TRUE(std::holds_alternative<Wrong>(read_dht_message(bytes_of(garbage[0]))));
  EXPECT_GT(ask(anybody(Conduct::oversized), DhtMethod::get_peers, target).at(0).size(), 1024U);
  EXPECT_EQ(ask(anybody(Conduct::nonsense), DhtMethod::get_peers, target).size(), 1U);
}

TEST_F(SimDhtTest, TwoFamiliesAreTwoNetworksThatNameEachOthersNodesWhenAsked) {
  populate({.nodes = 200, .v6 = true});
  DhtQuery query;
  query.transaction = "aa";
  query.method = DhtMethod::find_node;
  query.id = id_;
  query.want4 = query.want6 = query.named_a_family = true;
  net_->send(us_, dht_->routers()[0], bytes_of(write(query)));
  loop_.run_for(5s);
  ASSERT_FALSE(got_.empty());
  const auto reply = std::get<DhtReply>(read_dht_message(bytes_of(got_[0])));
  EXPECT_EQ(reply.nodes4->size(), 8U);
  ASSERT_EQ(reply.nodes6->size(), 8U);
  EXPECT_TRUE(dht_->node_at(reply.nodes6->front().endpoint)->v6());
}

TEST_F(SimDhtTest, ComplainsAboutTheWatchedAndNobodyElse) {
  populate({.nodes = 100});
  net_->send(us_, dht_->routers()[0], bytes_of("d1:q4:ping1:t2:aa1:y1:qe"));
  loop_.run_for(1s);
  EXPECT_THAT(dht_->complaints(), IsEmpty());
  dht_->watch(us_);
  net_->send(us_, dht_->routers()[0], bytes_of("d1:q4:ping1:t2:aa1:y1:qe"));
  loop_.run_for(1s);
  EXPECT_EQ(dht_->complaints().size(), 1U);
}

}  // namespace
}  // namespace swarmfs::sim
