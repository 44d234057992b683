#include "net/routing_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <set>

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;
using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;

UdpEndpoint at(std::uint32_t address, std::uint16_t port = 6881) {
  return {asio::ip::address_v4(address), port};
}

class RoutingTableTest : public testing::Test {
 protected:
  // A node on a network of its own whose id shares `shared` bits with ours.
  NodeContact node(int shared) {
    ++made_;
    return {random_id_beside(own, shared, random), at(0x0a000000U + made_)};
  }
  NodeContact answered(int shared) {
    const NodeContact contact = node(shared);
    table.on_reply(contact, now);
    return contact;
  }
  bool holds(const NodeContact& contact) const {
    const auto all = table.closest(own, 10'000);
    return std::find(all.begin(), all.end(), contact) != all.end();
  }
  bool good(const NodeContact& contact) const {
    const auto all = table.good(now);
    return std::find(all.begin(), all.end(), contact) != all.end();
  }
  SecretRandom random{5};
  NodeId own = random_id(random);
  TimePoint now{1h};
  RoutingTable table{own};
  std::uint32_t made_ = 0;
};

TEST_F(RoutingTableTest, TakesOnlyNodesThatAnswered) {
  const NodeContact stranger = node(4);
  table.on_query(stranger, now);
  table.on_silent(stranger.endpoint);
  EXPECT_EQ(table.size(), 0U);
  EXPECT_TRUE(table.wants(stranger));
  table.on_reply(stranger, now);
  EXPECT_TRUE(good(stranger));
  EXPECT_FALSE(table.wants(stranger)) << "it is there";
  table.on_reply({own, at(1)}, now);
  EXPECT_FALSE(holds({own, at(1)})) << "ourselves";
}

TEST_F(RoutingTableTest, HoldsEightAFarBucketAndMoreNearTheTop) {
  for (const auto& [shared, size] : {std::pair(0, 64U), std::pair(1, 32U), std::pair(2, 16U),
                                     std::pair(3, 8U), std::pair(20, 8U)}) {
    const std::size_t before = table.size();
    for (int i = 0; i < 100; ++i) answered(shared);
    EXPECT_EQ(table.size() - before, size) << shared;
    EXPECT_FALSE(table.wants(node(shared))) << shared;
  }
}

TEST_F(RoutingTableTest, ReplacesANodeThatIsSilentTwiceByTheSpareHeardLast) {
  std::vector<NodeContact> nodes;
  for (int i = 0; i < 12; ++i) nodes.push_back(answered(5));
  table.on_silent(nodes[0].endpoint);
  EXPECT_TRUE(holds(nodes[0]));
  EXPECT_FALSE(good(nodes[0]));
  table.on_silent(nodes[0].endpoint);
  EXPECT_FALSE(holds(nodes[0]));
  EXPECT_TRUE(holds(nodes[11]));
  EXPECT_FALSE(holds(nodes[10]));
  EXPECT_EQ(table.size(), 8U);
}

TEST_F(RoutingTableTest, KeepsANodeThatAnswersAfterASilence) {
  const NodeContact contact = answered(5);
  table.on_silent(contact.endpoint);
  table.on_reply(contact, now);
  table.on_silent(contact.endpoint);
  EXPECT_TRUE(holds(contact)) << "two failures, not in a row";
}

TEST_F(RoutingTableTest, CallsANodeGoodForFifteenMinutesAfterItsLastWord) {
  const NodeContact contact = answered(5);
  now += 14min;
  EXPECT_TRUE(good(contact));
  table.on_query(contact, now);
  now += 14min;
  EXPECT_TRUE(good(contact)) << "it asked us";
  now += 1min;
  EXPECT_FALSE(good(contact));
  EXPECT_TRUE(holds(contact));
  EXPECT_THAT(table.closest_good(own, 8, now), IsEmpty());
}

TEST_F(RoutingTableTest, ANewNodeTakesThePlaceOfOneThatFailedNotOfAGoodOne) {
  std::vector<NodeContact> nodes;
  for (int i = 0; i < 8; ++i) nodes.push_back(answered(5));
  const NodeContact late = answered(5);
  EXPECT_FALSE(holds(late));
  table.on_silent(nodes[3].endpoint);
  const NodeContact later = answered(5);
  EXPECT_TRUE(holds(later));
  EXPECT_FALSE(holds(nodes[3]));
}

TEST_F(RoutingTableTest, PrefersIdsThatFitTheirAddress) {
  // Addresses of which the id's first bits follow: look for ids in one bucket.
  std::vector<NodeContact> invalid, valid;
  for (std::uint32_t i = 0; valid.size() < 3; ++i) {
    const UdpEndpoint endpoint = at(0x20000000U + i * 0x100U);
    const NodeContact fits{id_for(endpoint.address(), random), endpoint};
    if (shared_bits(own, fits.id) == 3) valid.push_back(fits);
    if (invalid.size() < 8 && i > 1000) {
      invalid.push_back({random_id_beside(own, 3, random), at(0x40000000U + i * 0x100U)});
    }
  }
  while (invalid.size() < 8) {
    invalid.push_back({random_id_beside(own, 3, random),
                       at(0x50000000U + static_cast<std::uint32_t>(invalid.size()) * 0x100U)});
  }
  for (const auto& n : invalid) table.on_reply(n, now);
  for (const auto& n : valid) table.on_reply(n, now);
  EXPECT_EQ(table.size(), 8U);
  for (const auto& n : valid) EXPECT_TRUE(holds(n));
}

TEST_F(RoutingTableTest, HoldsOneNodeOfASite) {
  const NodeContact first{random_id_beside(own, 3, random), at(0x08080808)};
  table.on_reply(first, now);
  for (const UdpEndpoint& near : {at(0x08080808, 1), at(0x08080809), at(0x080808ff)}) {
    const NodeContact other{random_id_beside(own, 7, random), near};
    EXPECT_FALSE(table.wants(other));
    table.on_reply(other, now);
    EXPECT_FALSE(holds(other)) << near;
  }
  EXPECT_TRUE(holds(first));
  now += 20min;
  const NodeContact heir{random_id_beside(own, 7, random), at(0x08080809)};
  table.on_reply(heir, now);
  EXPECT_TRUE(holds(heir)) << "the first one is not heard of any more";
  EXPECT_FALSE(holds(first));
}

TEST_F(RoutingTableTest, LetsNobodyTakeOverAnId) {
  const NodeContact owner = answered(5);
  const NodeContact thief{owner.id, at(0x0b000001)};
  table.on_reply(thief, now);
  EXPECT_TRUE(holds(owner));
  EXPECT_FALSE(holds(thief));
}

TEST_F(RoutingTableTest, FollowsANodeToItsNewIdWhenItKeepsIt) {
  const NodeContact before = answered(5);
  const NodeContact after{random_id_beside(own, 9, random), before.endpoint};
  table.on_reply(after, now);
  EXPECT_FALSE(good(before)) << "it speaks with two tongues";
  EXPECT_FALSE(holds(after));
  table.on_reply(after, now);
  EXPECT_FALSE(holds(before));
  EXPECT_TRUE(holds(after));
}

TEST_F(RoutingTableTest, NamesTheClosestFirst) {
  const NodeContact far = answered(0), near = answered(10), nearer = answered(20);
  EXPECT_THAT(table.closest(own, 2), ElementsAre(nearer, near));
  EXPECT_THAT(table.closest(far.id, 1), ElementsAre(far));
  table.on_silent(nearer.endpoint);
  EXPECT_THAT(table.closest(own, 3), ElementsAre(near, far, nearer)) << "it failed lately";
}

TEST_F(RoutingTableTest, AsksRestoredNodesButDoesNotNameThem) {
  const NodeContact restored = node(5), proven = answered(6);
  table.restore(restored);
  EXPECT_TRUE(holds(restored));
  EXPECT_THAT(table.closest_good(own, 8, now), ElementsAre(proven));
  table.on_query(restored, now);
  EXPECT_FALSE(good(restored)) << "asking is no answer";
  table.on_silent(restored.endpoint);
  EXPECT_FALSE(holds(restored)) << "one silence is enough for what never answered";
  table.restore(restored);
  for (int i = 0; i < 8; ++i) answered(5);
  EXPECT_FALSE(holds(restored)) << "nodes that answer displace it";
}

TEST_F(RoutingTableTest, ChecksWhatIsStaleTheStalestFirstAndEachOnceForAWhile) {
  std::vector<NodeContact> nodes;
  for (int i = 0; i < 8; ++i) {
    nodes.push_back(answered(5));
    now += 1s;
  }
  while (table.next_check(now, random)) {  // buckets to fill
  }
  now += 11min;
  EXPECT_FALSE(table.next_check(now, random));
  now += 1min;
  for (int i = 0; i < 8; ++i) {
    const auto check = table.next_check(now, random);
    ASSERT_TRUE(check);
    EXPECT_EQ(check->node, nodes[static_cast<std::size_t>(i)]);
    EXPECT_FALSE(check->find) << "its bucket is full: a ping will do";
    table.on_reply(check->node, now);
  }
  while (const auto check = table.next_check(now, random)) EXPECT_TRUE(check->find);
}

TEST_F(RoutingTableTest, AsksASilentNodeAgainOnceNotAtTheSameMoment) {
  const NodeContact contact = answered(5);
  while (table.next_check(now, random)) {
  }
  table.on_silent(contact.endpoint);
  EXPECT_EQ(table.next_check(now, random)->node, contact);
  EXPECT_FALSE(table.next_check(now, random));
  now += kRecheckAfter;
  EXPECT_EQ(table.next_check(now, random)->node, contact);
}

TEST_F(RoutingTableTest, RefillsBucketsSoonWhileThatHelpsAndSeldomAfterwards) {
  answered(2);
  const auto refills = [this] {
    std::vector<int> buckets;
    while (const auto check = table.next_check(now, random)) {
      if (check->find) buckets.push_back(shared_bits(own, *check->find));
    }
    return buckets;
  };
  EXPECT_THAT(refills(), ElementsAre(0, 1, 2)) << "deeper ones are empty because nobody is there";
  EXPECT_THAT(refills(), IsEmpty());
  now += kRefillAfter;
  EXPECT_THAT(refills(), IsEmpty());
  answered(1);
  EXPECT_THAT(refills(), ElementsAre(1)) << "it grew";
  now += 11min;
  EXPECT_THAT(refills(), IsEmpty());
  now += 4min;
  EXPECT_THAT(refills(), Contains(0));
}

TEST_F(RoutingTableTest, PutsEveryNodeIntoItsNewBucketWhenOurIdChanges) {
  for (int i = 0; i < 30; ++i) answered(i);
  const auto before = table.closest(own, 100);
  const NodeId other = random_id(random);
  table.set_own(other);
  EXPECT_EQ(table.own(), other);
  EXPECT_THAT(table.closest(own, 100), testing::UnorderedElementsAreArray(before));
}

RC_GTEST_PROP(RoutingTableProperty, HoldsItsLimitsWhateverHappens,
              (std::uint64_t seed, const std::vector<std::uint8_t>& events)) {
  SecretRandom random(seed);
  const NodeId own = random_id(random);
  RoutingTable table(own);
  TimePoint now{1h};
  std::vector<NodeContact> seen;
  for (const std::uint8_t event : events) {
    now += Duration(random.below(600'000'000));
    if (event % 4 < 2 || seen.empty()) {
      const NodeContact contact{
          random_id_beside(own, static_cast<int>(random.below(6)), random),
          at(static_cast<std::uint32_t>(0x08000000U + random.below(2000) * 64))};
      seen.push_back(contact);
      table.on_reply(contact, now);
    } else if (event % 4 == 2) {
      table.on_silent(seen[random.below(seen.size())].endpoint);
    } else {
      (void)table.next_check(now, random);
      if (event % 8 == 7) table.set_own(random_id(random));
    }
    std::set<HostKey> sites;
    std::vector<std::size_t> per_bucket(kIdBits);
    for (const NodeContact& contact : table.closest(own, 10'000)) {
      RC_ASSERT(sites.insert(site_key(contact.endpoint)).second);
      ++per_bucket[static_cast<std::size_t>(shared_bits(table.own(), contact.id))];
    }
    for (int i = 0; i < kIdBits; ++i) {
      RC_ASSERT(per_bucket[static_cast<std::size_t>(i)] <= bucket_size(i));
    }
    RC_ASSERT(table.good_count(now) <= table.size());
  }
}

}  // namespace
}  // namespace swarmfs::net
