#include "net/dht_lookup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <iostream>
#include <numbers>

#include "net/routing_table.h"

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr Duration kPatience = 500ms;

NodeId id(const std::string& start) {
  return *NodeId::from_hex(start + std::string(40 - start.size(), '0'));
}
// Ids at private addresses may be anything.
NodeContact node(const std::string& start, int host) {
  const auto address = asio::ip::address_v4(0x0a000000U + static_cast<unsigned>(host));
  return {id(start), {address, 6881}};
}

class DhtLookupTest : public testing::Test {
 protected:
  // Everybody who is asked now.
  std::vector<UdpEndpoint> ask(Duration patience = kPatience) {
    std::vector<UdpEndpoint> asked;
    while (const auto next = lookup.next(now, patience)) asked.push_back(*next);
    return asked;
  }
  void answer(const NodeContact& who, const std::vector<NodeContact>& named,
              const std::string& token = "t") {
    lookup.on_reply(who.endpoint, who.id, named, token);
  }
  std::vector<UdpEndpoint> closest() const {
    std::vector<UdpEndpoint> nodes;
    for (const auto& entry : lookup.closest()) nodes.push_back(entry.node.endpoint);
    return nodes;
  }
  SecretRandom random{1};
  TimePoint now{1h};
  DhtLookup lookup{id("00"), id("ff")};
};

TEST_F(DhtLookupTest, AsksTheClosestFirstAndOnlySoManyAtOnce) {
  for (int i = 9; i > 0; --i) lookup.add_known(node("0" + std::to_string(i), i));
  const auto asked = ask();
  ASSERT_EQ(asked.size(), kLookupParallel);
  for (std::size_t i = 0; i < asked.size(); ++i) {
    EXPECT_EQ(asked[i], node("", static_cast<int>(i) + 1).endpoint);
  }
  answer(node("03", 3), {node("001", 20)});
  EXPECT_THAT(ask(), ElementsAre(node("001", 20).endpoint)) << "the closer one it named";
}

TEST_F(DhtLookupTest, EndsWhenTheEightClosestHaveAnswered) {
  std::vector<NodeContact> nodes;
  for (int i = 1; i <= 12; ++i) {
    nodes.push_back(node(std::string("0") + "0123456789abc"[i], i));
    lookup.add_known(nodes.back());
  }
  std::size_t asked = 0;
  while (!lookup.finished(now)) {
    const auto batch = ask();
    ASSERT_FALSE(batch.empty());
    asked += batch.size();
    for (const auto& to : batch) {
      answer(*std::find_if(nodes.begin(), nodes.end(), [&](auto& n) { return n.endpoint == to; }),
             {});
    }
  }
  EXPECT_EQ(asked, kLookupWidth) << "the ninth closest is no use";
  EXPECT_EQ(lookup.closest().size(), kLookupWidth);
  EXPECT_EQ(closest().front(), nodes[0].endpoint);
  EXPECT_TRUE(ask().empty());
}

TEST_F(DhtLookupTest, GivesASilentNodesPlaceAwayWithoutForgettingIt) {
  for (int i = 1; i <= 10; ++i) {
    lookup.add_known(node(std::string("0") + "0123456789a"[i], i));
  }
  ask();
  EXPECT_EQ(lookup.next_event(now), now + kPatience);
  now += kPatience;
  EXPECT_EQ(ask().size(), 2U) << "the other two";
  EXPECT_FALSE(lookup.finished(now));
  answer(node("01", 1), {node("001", 20)}, "late");
  EXPECT_THAT(ask(), ElementsAre(node("001", 20).endpoint));
  EXPECT_EQ(lookup.closest().front().token, "late");
}

TEST_F(DhtLookupTest, DoesNotWaitForSilentOnesOnceEnoughHaveAnswered) {
  for (int i = 1; i <= 9; ++i) lookup.add_known(node("0" + std::to_string(i), i));
  for (int round = 0; round < 3; ++round) {
    for (const auto& to : ask()) {
      const int host = static_cast<int>(to.address().to_v4().to_uint() & 255);
      if (host != 1) answer(node("0" + std::to_string(host), host), {});
    }
  }
  EXPECT_FALSE(lookup.finished(now)) << "the closest may still answer";
  EXPECT_TRUE(lookup.finished(now + kPatience));
  EXPECT_EQ(lookup.closest().size(), 8U);
}

TEST_F(DhtLookupTest, WaitsForTheLateWhereEverybodyIsLate) {
  lookup.add_known(node("01", 1));
  ask();
  now += 2 * kPatience;
  EXPECT_FALSE(lookup.finished(now));
  answer(node("01", 1), {node("001", 2)});
  EXPECT_EQ(ask().size(), 1U);
  lookup.on_silent(node("001", 2).endpoint);
  EXPECT_TRUE(lookup.finished(now));
}

TEST_F(DhtLookupTest, EndsAtOnceWithNobodyToAsk) {
  EXPECT_TRUE(lookup.finished(now));
  EXPECT_THAT(ask(), IsEmpty());
  lookup.add_known({id("ff"), node("", 1).endpoint});
  EXPECT_TRUE(lookup.finished(now)) << "that is ourselves";
}

TEST_F(DhtLookupTest, EntersThroughNodesOfUnknownId) {
  const UdpEndpoint router = node("", 7).endpoint;
  lookup.add_entrance(router);
  lookup.add_entrance(router);
  EXPECT_FALSE(lookup.finished(now));
  EXPECT_THAT(ask(), ElementsAre(router));
  EXPECT_FALSE(lookup.finished(now));
  lookup.on_reply(router, id("70"), std::vector{node("01", 1)}, "");
  EXPECT_THAT(ask(), ElementsAre(node("01", 1).endpoint));
  answer(node("01", 1), {});
  EXPECT_TRUE(lookup.finished(now));
  EXPECT_THAT(closest(), ElementsAre(node("01", 1).endpoint, router));
}

// ---- Poison

TEST_F(DhtLookupTest, TakesNoAnswerUnderAnotherIdOrFromSomebodyNotAsked) {
  lookup.add_known(node("01", 1));
  answer(node("01", 1), {node("001", 5)});
  EXPECT_EQ(lookup.answered(), 0U) << "was not asked yet";
  ask();
  answer(node("02", 2), {node("001", 5)});
  EXPECT_EQ(lookup.answered(), 0U);
  lookup.on_reply(node("01", 1).endpoint, id("0001"), std::vector{node("001", 5)}, "t");
  EXPECT_EQ(lookup.answered(), 0U);
  EXPECT_TRUE(lookup.finished(now));
}

TEST_F(DhtLookupTest, AsksOneNodeOfASite) {
  const auto at = [this](const char* address) {
    return NodeContact{id_for(asio::ip::make_address(address), random),
                       {asio::ip::make_address(address), 6881}};
  };
  lookup.add_known(at("9.8.7.6"));
  lookup.add_known(at("9.8.7.5"));
  lookup.add_known({at("9.8.7.6").id, {asio::ip::make_address("9.8.7.6"), 1}});
  lookup.add_known(at("9.8.6.5"));
  const auto asked = ask();
  EXPECT_EQ(asked.size(), 2U);
  for (const auto& to : asked) {
    if (site_key(to) == site_key(at("9.8.7.6").endpoint)) lookup.on_silent(to);
  }
  EXPECT_EQ(ask().size(), 1U) << "the other one, when the first is dead";
}

TEST_F(DhtLookupTest, DoesNotBelieveANodeWhoseNamesAreSilent) {
  lookup.add_known(node("40", 1));
  lookup.add_known(node("41", 2));
  ask();
  std::vector<NodeContact> invented;
  for (int i = 1; i <= 8; ++i) invented.push_back(node("0000000" + std::to_string(i), 100 + i));
  answer(node("40", 1), invented);
  EXPECT_EQ(ask().size(), kCredit);
  answer(node("41", 2), {node("10", 3), node("11", 4), node("12", 5)});
  EXPECT_THAT(ask(),
              ElementsAre(node("10", 3).endpoint, node("11", 4).endpoint, node("12", 5).endpoint))
      << "the closer names have lost credit";
  answer(node("10", 3), {node("01", 6), invented[7]});
  EXPECT_EQ(ask().front(), invented[7].endpoint) << "named by somebody else, too";
}

TEST_F(DhtLookupTest, CountsOnlyIdsThatFitTheirAddressAmongTheClosest) {
  // Twenty nodes of an attacker, closer than anybody may be by chance, and all of them answer.
  std::vector<NodeContact> liars, honest;
  for (unsigned i = 1; i <= 20; ++i) {
    liars.push_back({random_id_beside(id("00"), 100, random),
                     {asio::ip::address_v4(0x50000000U + i * 0x10000U), 1}});
    const asio::ip::address_v4 address(0x60000000U + i * 0x10000U);
    honest.push_back({id_for(address, random), {address, 1}});
  }
  for (const auto& n : honest) lookup.add_known(n);
  for (const auto& n : liars) lookup.add_known(n);
  std::size_t lies = 0;
  for (int round = 0; round < 100 && !lookup.finished(now); ++round) {
    for (const auto& to : ask()) {
      const auto is = [&to](const NodeContact& n) { return n.endpoint == to; };
      const auto liar = std::find_if(liars.begin(), liars.end(), is);
      if (liar != liars.end()) ++lies;
      answer(liar != liars.end() ? *liar : *std::find_if(honest.begin(), honest.end(), is), {});
    }
  }
  EXPECT_TRUE(lookup.finished(now));
  EXPECT_LE(lies, kLookupWidth);
  ASSERT_EQ(lookup.closest().size(), kLookupWidth);
  for (const auto& entry : lookup.closest()) {
    EXPECT_TRUE(is_valid_id(entry.node.id, entry.node.endpoint.address()));
  }
}

TEST_F(DhtLookupTest, StaysBoundedWhateverIsNamed) {
  lookup.add_known(node("7f", 1));
  std::map<UdpEndpoint, NodeContact> all{{node("7f", 1).endpoint, node("7f", 1)}};
  int made = 0;
  while (!lookup.finished(now)) {
    const auto batch = ask();
    ASSERT_FALSE(batch.empty());
    for (const auto& to : batch) {
      std::vector<NodeContact> named;  // each answer leads on to eight that are closer
      for (int i = 0; i < 8; ++i) {
        ++made;
        NodeContact next{random_id_beside(id("00"), std::min(150, made / 8), random),
                         {asio::ip::address_v4(0x0a100000U + static_cast<unsigned>(made)), 1}};
        all.emplace(next.endpoint, next);
        named.push_back(next);
      }
      answer(all.at(to), named);
    }
  }
  EXPECT_LE(lookup.asked(), kMaxLookupQueries);
}

// ---- A DHT of 1,000 nodes in virtual time

struct World {
  struct Node {
    NodeContact contact;
    std::vector<NodeContact> table;
    bool silent = false;
    bool poison = false;
  };
  struct Result {
    Duration took{};
    std::size_t messages = 0;
    bool found = false;  // the closest living node answered
  };

  World(std::uint64_t seed, double silent_share, double poison_share) : random(seed) {
    for (int i = 0; i < 1000; ++i) {
      const asio::ip::address_v4 address(
          static_cast<std::uint32_t>(0x14000000U + static_cast<unsigned>(i) * 0x1537fbU));
      Node made;
      made.contact = {id_for(address, random), {address, 6881}};
      made.silent = share() < silent_share;
      made.poison = !made.silent && share() < poison_share;
      index[made.contact.endpoint] = nodes.size();
      nodes.push_back(made);
    }
    for (Node& n : nodes) n.table = table_of(n.contact.id, 8);
  }
  double share() { return static_cast<double>(random.below(1'000'000)) / 1e6; }
  // At most `width` random nodes for each number of shared bits.
  std::vector<NodeContact> table_of(const NodeId& own, std::size_t width, bool wider_top = false) {
    std::vector<std::vector<NodeContact>> buckets(kIdBits + 1);
    for (const Node& n : nodes) {
      if (n.contact.id != own)
        buckets[static_cast<std::size_t>(shared_bits(own, n.contact.id))].push_back(n.contact);
    }
    std::vector<NodeContact> table;
    for (std::size_t b = 0; b < buckets.size(); ++b) {
      auto& bucket = buckets[b];
      const std::size_t limit = wider_top ? bucket_size(static_cast<int>(b)) : width;
      for (std::size_t i = 0; i < std::min(limit, bucket.size()); ++i) {
        std::swap(bucket[i], bucket[i + random.below(bucket.size() - i)]);
        table.push_back(bucket[i]);
      }
    }
    return table;
  }
  static std::vector<NodeContact> closest(std::vector<NodeContact> of, const NodeId& target,
                                          std::size_t n) {
    std::sort(of.begin(), of.end(),
              [&target](const auto& a, const auto& b) { return is_closer(target, a.id, b.id); });
    of.resize(std::min(n, of.size()));
    return of;
  }
  // Round trips of the Internet: 30 ms at least, 110 ms in the middle, 1 % above half a second.
  Duration round_trip() {
    const double u = std::max(share(), 1e-9), v = share();
    const double normal = std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * v);
    return Duration(static_cast<std::int64_t>(1000 * (30 + 80 * std::exp(0.75 * normal))));
  }
  std::vector<NodeContact> answer_of(const Node& n, const NodeId& target) {
    if (!n.poison) return closest(n.table, target, 8);
    std::vector<NodeContact> garbage;
    for (int i = 0; i < 8; ++i) {
      const asio::ip::address_v4 address(
          static_cast<std::uint32_t>(0x40000000U + random.below(1U << 30)));
      NodeId close = random_id_beside(target, 30, random);
      if (i % 2 == 0) close = id_for(address, random);  // fits its address, and nobody is there
      if (i == 0) garbage.push_back({close, n.contact.endpoint});
      garbage.push_back({close, {address, 6881}});
    }
    garbage.resize(8);
    return garbage;
  }
  // One search from a node with a warm table.
  Result search() {
    const NodeId own = random_id(random), target = random_id(random);
    DhtLookup lookup(target, own);
    std::vector<NodeContact> table;
    for (const auto& contact : table_of(own, 8, true)) {  // the silent leave a table
      if (!nodes[index.at(contact.endpoint)].silent) table.push_back(contact);
    }
    for (const auto& contact : closest(table, target, 16)) lookup.add_known(contact);
    TimePoint now{1h};
    std::multimap<TimePoint, UdpEndpoint> arriving;
    NodeId nearest;
    const auto living = [this] {
      std::vector<NodeContact> all;
      for (const Node& n : nodes) {
        if (!n.silent && !n.poison) all.push_back(n.contact);
      }
      return all;
    };
    nearest = closest(living(), target, 1).front().id;
    while (true) {
      while (const auto to = lookup.next(now, kPatienceHere)) {
        const auto at = index.find(*to);
        if (at != index.end() && !nodes[at->second].silent) {
          arriving.emplace(now + round_trip(), *to);
        }
      }
      if (lookup.finished(now)) break;
      const auto event = lookup.next_event(now);
      if (arriving.empty() && !event) break;
      if (!arriving.empty() && (!event || arriving.begin()->first <= *event)) {
        const auto [when, from] = *arriving.begin();
        arriving.erase(arriving.begin());
        now = when;
        const Node& n = nodes[index.at(from)];
        lookup.on_reply(from, n.contact.id, answer_of(n, target), "t");
      } else {
        now = *event;
      }
    }
    bool found = false;
    for (const auto& entry : lookup.closest()) found |= entry.node.id == nearest;
    return {now - TimePoint{1h}, lookup.asked(), found};
  }
  static constexpr Duration kPatienceHere = 300ms;

  SecretRandom random;
  std::vector<Node> nodes;
  std::map<UdpEndpoint, std::size_t> index;
};

struct Summary {
  Duration median{}, p95{};
  std::size_t messages_median = 0, messages_max = 0;
  double found = 0;
};
Summary searches(World& world, const char* name) {
  constexpr std::size_t kCount = 200;
  std::vector<Duration> took;
  std::vector<std::size_t> messages;
  double found = 0;
  for (std::size_t i = 0; i < kCount; ++i) {
    const World::Result result = world.search();
    took.push_back(result.took);
    messages.push_back(result.messages);
    found += result.found ? 1.0 / kCount : 0;
  }
  std::sort(took.begin(), took.end());
  std::sort(messages.begin(), messages.end());
  const Summary s{took[kCount / 2], took[kCount * 95 / 100], messages[kCount / 2], messages.back(),
                  found};
  std::cout << name << ": median " << s.median.count() / 1000 << " ms, p95 " << s.p95.count() / 1000
            << " ms, messages " << s.messages_median << " (most " << s.messages_max
            << "), closest found " << 100 * s.found << " %\n";
  return s;
}

constexpr std::uint64_t kSeed = 20;

TEST(DhtLookupWorld, FindsTheClosestOfAThousandNodesInHalfASecond) {
  World world(kSeed, 0.2, 0);
  const Summary s = searches(world, "20 % silent");
  EXPECT_LT(s.median, 600ms);
  EXPECT_LT(s.p95, 1500ms);
  EXPECT_LT(s.messages_max, 80U);
  EXPECT_GT(s.found, 0.97);
}

TEST(DhtLookupWorld, IsNotCapturedByPoisoningNodes) {
  World world(kSeed, 0.2, 0.15);
  const Summary s = searches(world, "20 % silent, 12 % poisoning");
  EXPECT_LT(s.median, 1000ms);
  EXPECT_LT(s.p95, 2000ms);
  EXPECT_LT(s.messages_max, 80U);
  EXPECT_GT(s.found, 0.95);
}

}  // namespace
}  // namespace swarmfs::net
