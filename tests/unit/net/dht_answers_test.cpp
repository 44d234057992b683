#include "net/dht_answers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;
using testing::Each;
using testing::IsEmpty;

UdpEndpoint at(const char* address, std::uint16_t port = 6881) {
  return {asio::ip::make_address(address), port};
}

class DhtAnswersTest : public testing::Test {
 protected:
  DhtAnswersTest() {
    for (std::uint32_t i = 0; i < 50; ++i) {
      v4.on_reply({random_id(random), {asio::ip::address_v4(0x08000000U + i * 0x100U), 1}}, now);
      asio::ip::address_v6::bytes_type bytes{0x20, 0x01, 0x0d, 0xb8,
                                             0,    0,    0,    static_cast<unsigned char>(i)};
      v6.on_reply({random_id(random), {asio::ip::address_v6(bytes), 1}}, now);
    }
  }
  krpc::Message ask_raw(const krpc::Message& query, const UdpEndpoint& from) {
    const std::string text = krpc::encode(query);
    const auto bytes = answers.answer(query, text.size(), from, v4, v6, now);
    if (!bytes) return {"", krpc::BadQuery{}};
    EXPECT_LE(bytes->size(), krpc::kMaxSent);
    last_size = bytes->size();
    const auto message = krpc::decode(std::as_bytes(std::span(*bytes)));
    EXPECT_TRUE(message) << *bytes;
    return *message;
  }
  krpc::Message ask(krpc::Question question, const UdpEndpoint& from = at("9.9.9.9")) {
    return ask_raw({"tt", krpc::Query{asker, std::move(question), false}}, from);
  }
  krpc::Reply reply(krpc::Question question, const UdpEndpoint& from = at("9.9.9.9")) {
    const krpc::Message message = ask(std::move(question), from);
    EXPECT_TRUE(std::holds_alternative<krpc::Reply>(message.body));
    const auto* body = std::get_if<krpc::Reply>(&message.body);
    return body == nullptr ? krpc::Reply{} : *body;
  }
  std::int64_t error(krpc::Question question, const UdpEndpoint& from = at("9.9.9.9")) {
    const krpc::Message message = ask(std::move(question), from);
    const auto* body = std::get_if<krpc::Error>(&message.body);
    return body == nullptr ? 0 : body->code;
  }
  static std::size_t count(const krpc::Reply& reply, bool six) {
    return static_cast<std::size_t>(
        std::count_if(reply.nodes.begin(), reply.nodes.end(),
                      [six](const auto& n) { return n.endpoint.address().is_v6() == six; }));
  }
  SecretRandom random{6};
  TimePoint now{1h};
  NodeId asker = random_id(random), torrent = random_id(random);
  RoutingTable v4{random_id(random)}, v6{random_id(random)};
  DhtAnswers answers{random, now, false};
  std::size_t last_size = 0;
};

TEST_F(DhtAnswersTest, SaysWhoWeAreAndWhereTheyAre) {
  const krpc::Message pong = ask(krpc::Ping{}, at("9.9.9.9", 77));
  EXPECT_EQ(pong.transaction, "tt");
  EXPECT_EQ(pong.ip, at("9.9.9.9", 77)) << "BEP 42";
  EXPECT_EQ(std::get<krpc::Reply>(pong.body).id, v4.own());
  EXPECT_EQ(reply(krpc::Ping{}, at("2001:db8:9::9")).id, v6.own());
}

TEST_F(DhtAnswersTest, NamesTheEightClosestGoodNodesOfTheFamilyAskedFor) {
  const auto find = [this](krpc::Want want, const char* from) {
    const krpc::Reply r = reply(krpc::FindNode{torrent, want}, at(from));
    return std::pair(count(r, false), count(r, true));
  };
  EXPECT_EQ(find({}, "9.9.9.9"), std::pair(8UL, 0UL));
  EXPECT_EQ(find({}, "2001:db8:9::9"), std::pair(0UL, 8UL));
  EXPECT_EQ(find({true, true}, "9.9.9.9"), std::pair(8UL, 8UL));
  EXPECT_EQ(find({false, true}, "9.9.9.9"), std::pair(0UL, 8UL));
  EXPECT_EQ(reply(krpc::FindNode{torrent, {}}).nodes, v4.closest_good(torrent, 8, now));
  now += 16min;
  EXPECT_EQ(find({}, "9.9.9.9"), std::pair(0UL, 0UL)) << "none is known to be there still";
}

TEST_F(DhtAnswersTest, StoresAPeerThatShowsItsToken) {
  const std::string token = reply(krpc::GetPeers{torrent, {}}).token;
  ASSERT_FALSE(token.empty());
  reply(krpc::AnnouncePeer{torrent, 700, false, token});
  reply(krpc::AnnouncePeer{torrent, 0, true, token}, at("9.9.9.9", 800));
  const krpc::Reply found = reply(krpc::GetPeers{torrent, {}}, at("7.7.7.7"));
  EXPECT_THAT(found.values,
              testing::UnorderedElementsAre(Endpoint(asio::ip::make_address("9.9.9.9"), 700),
                                            Endpoint(asio::ip::make_address("9.9.9.9"), 800)));
  EXPECT_EQ(count(found, false), 8U) << "nodes as well: BEP 32";
  EXPECT_THAT(reply(krpc::GetPeers{torrent, {}}, at("2001:db8:9::9")).values, IsEmpty());
}

TEST_F(DhtAnswersTest, RefusesAnAnnounceWithoutTheRightToken) {
  const std::string token = reply(krpc::GetPeers{torrent, {}}).token;
  EXPECT_EQ(error(krpc::AnnouncePeer{torrent, 1, false, "guess"}), krpc::kProtocolError);
  EXPECT_EQ(error(krpc::AnnouncePeer{torrent, 1, false, token}, at("7.7.7.7")),
            krpc::kProtocolError);
  EXPECT_EQ(error(krpc::AnnouncePeer{asker, 1, false, token}), krpc::kProtocolError);
  now += 11min;
  EXPECT_EQ(error(krpc::AnnouncePeer{torrent, 1, false, token}), krpc::kProtocolError);
  EXPECT_EQ(answers.stored_peers(), 0U);
}

TEST_F(DhtAnswersTest, NamesNobodyOnThisHost) {
  const std::string token = reply(krpc::GetPeers{torrent, {}}, at("127.0.0.1")).token;
  reply(krpc::AnnouncePeer{torrent, 1, false, token}, at("127.0.0.1"));
  EXPECT_EQ(answers.stored_peers(), 0U);
}

TEST_F(DhtAnswersTest, FillsAnAnswerWithPeersToTheLimitAndNoFurther) {
  for (std::uint32_t i = 0; i < 300; ++i) {
    const UdpEndpoint from(asio::ip::address_v4(0x30000000U + i), 1);
    const std::string token = reply(krpc::GetPeers{torrent, {}}, from).token;
    reply(krpc::AnnouncePeer{torrent, 1, false, token}, from);
    now += 1s;
  }
  const krpc::Reply found = reply(krpc::GetPeers{torrent, {true, true}}, at("9.9.9.9"));
  EXPECT_GT(last_size, krpc::kMaxSent - 8);
  EXPECT_LE(last_size, krpc::kMaxSent);
  EXPECT_EQ(found.nodes.size(), 16U);
  EXPECT_GT(found.values.size(), 30U);
  EXPECT_GT(reply(krpc::GetPeers{torrent, {}}, at("9.9.9.9")).values.size(), 70U);
}

TEST_F(DhtAnswersTest, AnswersABadQueryWithAnErrorNoLongerThanIt) {
  const krpc::Message bad{"tt", krpc::BadQuery{krpc::kMethodUnknown}};
  const auto answer = [&](std::size_t size) {
    return answers.answer(bad, size, at("9.9.9.9"), v4, v6, now);
  };
  const std::string text = answer(1000).value_or("");
  EXPECT_EQ(text, "d1:eli204e0:e1:t2:tt1:y1:ee");
  EXPECT_TRUE(answer(text.size()));
  EXPECT_FALSE(answer(text.size() - 1));
}

TEST_F(DhtAnswersTest, SpendsNoMoreThanItsBudget) {
  std::size_t sent = 0;
  const krpc::Message query{"tt", krpc::Query{asker, krpc::FindNode{torrent, {true, true}}, false}};
  for (std::uint32_t i = 0; i < 1000; ++i) {
    const UdpEndpoint from(asio::ip::address_v4(0x30000000U + i), 1);
    const auto answer = answers.answer(query, 100, from, v4, v6, now);
    sent += answer ? answer->size() : 0;
  }
  EXPECT_LE(sent, kAnswerBurst);
  EXPECT_GT(sent, kAnswerBurst - krpc::kMaxSent);
}

TEST_F(DhtAnswersTest, AnswersQueriesOnly) {
  for (const krpc::Message& message : {krpc::Message{"tt", krpc::Reply{asker, {}, {}, {}}},
                                       krpc::Message{"tt", krpc::Error{201, ""}}}) {
    EXPECT_FALSE(answers.answer(message, 1000, at("9.9.9.9"), v4, v6, now));
  }
}

}  // namespace
}  // namespace swarmfs::net
