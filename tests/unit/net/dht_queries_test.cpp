#include "net/dht_queries.h"

#include <gtest/gtest.h>

#include "tests/unit/net/dht_far_net.h"

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;

const UdpEndpoint kNode = udp_at("8.8.8.8", 6881);

class DhtQueriesTest : public testing::Test {
 protected:
  DhtQueriesTest() {
    subscription =
        net.udp->listen([this](std::span<const std::byte> bytes, const UdpEndpoint& from) {
          queries.on_message(*krpc::decode(bytes), from);
          return true;
        });
  }
  // Pings `to`; the transaction id it went out with.
  std::string ping(const UdpEndpoint& to = kNode) {
    EXPECT_TRUE(queries.ask(to, {own, krpc::Ping{}, false}, [this](const auto& outcome) {
      ++answers;
      replied += outcome.reply != nullptr ? 1 : 0;
      silent += outcome.silent ? 1 : 0;
    }));
    net.settle();
    return net.taken().back().message.transaction;
  }
  krpc::Message pong(const std::string& transaction) {
    return {transaction, krpc::Reply{own, {}, {}, {}}};
  }
  DhtFarNet net;
  SecretRandom random{2};
  NodeId own = random_id(random);
  DhtQueries queries{net.clock, *net.udp, random};
  UdpPort::Subscription subscription;
  int answers = 0, replied = 0, silent = 0;
};

TEST_F(DhtQueriesTest, GivesAnAnswerToWhoAskedOnce) {
  const std::string transaction = ping();
  net.arrive(pong(transaction), kNode);
  EXPECT_EQ(replied, 1);
  net.arrive(pong(transaction), kNode);
  net.run_for(1min);
  EXPECT_EQ(answers, 1);
  EXPECT_EQ(queries.in_flight(), 0U);
}

TEST_F(DhtQueriesTest, IgnoresAnAnswerThatNobodyAskedFor) {
  const std::string transaction = ping();
  net.arrive(pong(transaction), udp_at("8.8.8.9", 6881));
  net.arrive(pong(transaction), udp_at("8.8.8.8", 6882));  // another port is somebody else
  net.arrive(pong("nope"), kNode);
  net.arrive(pong(transaction + "x"), kNode);
  EXPECT_EQ(answers, 0);
  net.arrive(pong(transaction), kNode);
  EXPECT_EQ(replied, 1);
}

TEST_F(DhtQueriesTest, TakesAnErrorForAnAnswerWithoutReply) {
  net.arrive({ping(), krpc::Error{203, "no"}}, kNode);
  EXPECT_EQ(answers, 1);
  EXPECT_EQ(replied, 0);
  EXPECT_EQ(silent, 0);
}

TEST_F(DhtQueriesTest, GivesUpAfterATime) {
  const UdpEndpoint other = udp_at("9.9.9.9", 1);
  const std::string lost = ping();
  net.run_for(1s);
  net.arrive(pong(ping(other)), other);
  EXPECT_EQ(answers, 1);
  net.run_for(kQueryTimeout - 1s);
  EXPECT_EQ(answers, 2);
  EXPECT_EQ(silent, 1);
  net.arrive(pong(lost), kNode);
  EXPECT_EQ(replied, 1) << "too late";
}

TEST_F(DhtQueriesTest, BlamesNoNodeWhileNobodyAnswersAtAll) {
  ping();
  ping(udp_at("9.9.9.9", 1));
  net.run_for(kQueryTimeout);
  EXPECT_EQ(answers, 2);
  EXPECT_EQ(silent, 0) << "the line may be down";
}

TEST_F(DhtQueriesTest, LearnsHowLongAnswersTake) {
  EXPECT_EQ(queries.patience(), kFirstPatience);
  for (int i = 0; i < 200; ++i) {
    const std::string transaction = ping();
    const bool slow = i % 16 == 0;  // a few nodes take seconds
    net.run_for(slow ? 3s : i % 2 == 0 ? 250ms : 300ms);
    net.arrive(pong(transaction), kNode);
  }
  EXPECT_EQ(queries.patience(), 300ms);
  for (int i = 0; i < 100; ++i) net.arrive(pong(ping()), kNode);
  EXPECT_EQ(queries.patience(), kMinPatience);
}

TEST_F(DhtQueriesTest, NumbersQueriesSoThatTheyCannotBeGuessed) {
  std::set<std::string> seen;
  for (int i = 0; i < 400; ++i) {
    const std::string transaction = ping();
    EXPECT_EQ(transaction.size(), 4U);
    EXPECT_TRUE(seen.insert(transaction).second);
  }
}

TEST_F(DhtQueriesTest, SendsNoMoreThanItCanRememberNorWhereThereIsNoSocket) {
  EXPECT_FALSE(queries.ask(udp_at("2001:db8::1", 1), {own, krpc::Ping{}, false}, {}));
  for (std::size_t i = 0; i < kMaxQueries; ++i) ping();
  EXPECT_FALSE(queries.ask(kNode, {own, krpc::Ping{}, false}, {}));
  net.run_for(kQueryTimeout);
  ping();
}

}  // namespace
}  // namespace swarmfs::net
