#include "net/krpc.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "net/error.h"
#include "storage/bencode.h"

namespace swarmfs::net::krpc {
namespace {

namespace bencode = storage::bencode;

NodeId id(std::string_view text) {  // 20 characters
  NodeId result;
  std::copy_n(reinterpret_cast<const std::byte*>(text.data()), 20, result.bytes.begin());
  return result;
}
const NodeId kAbc = id("abcdefghij0123456789");
const NodeId kMno = id("mnopqrstuvwxyz123456");

UdpEndpoint udp(const char* address, std::uint16_t port = 6881) {
  return {asio::ip::make_address(address), port};
}
Endpoint tcp(const char* address, std::uint16_t port = 6881) {
  return {asio::ip::make_address(address), port};
}

Result<Message> read(std::string_view text) {
  return decode(std::as_bytes(std::span(text)));
}
Reply reply_in(std::string_view text) {
  const auto message = read(text);
  EXPECT_TRUE(message && std::holds_alternative<Reply>(message->body)) << text;
  return message ? std::get<Reply>(message->body) : Reply{};
}
// The code that a query's only answer is; 0: it is a good query, or deserves no answer.
std::int64_t code_of(std::string_view text) {
  const auto message = read(text);
  if (!message) return 0;
  const auto* bad = std::get_if<BadQuery>(&message->body);
  return bad == nullptr ? 0 : bad->code;
}

// ---- The packets printed in BEP 5

TEST(KrpcVectors, ReadsAndWritesTheExamplesOfBep5) {
  const std::vector<std::pair<const char*, Message>> examples = {
      {"d1:eli201e23:A Generic Error Ocurrede1:t2:aa1:y1:ee",
       {"aa", Error{201, "A Generic Error Ocurred"}}},
      {"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe", {"aa", Query{kAbc, Ping{}}}},
      {"d1:rd2:id20:mnopqrstuvwxyz123456e1:t2:aa1:y1:re", {"aa", Reply{kMno, {}, {}, {}}}},
      {"d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q9:find_node1:t2:aa1:y1:"
       "qe",
       {"aa", Query{kAbc, FindNode{kMno, {}}}}},
      {"d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456e1:q9:get_peers1:t2:aa1:"
       "y1:qe",
       {"aa", Query{kAbc, GetPeers{kMno, {}}}}},
      {"d1:rd2:id20:abcdefghij01234567895:token8:aoeusnth6:valuesl6:axje.u6:idhtnmee1:t2:aa1:y1:re",
       {"aa", Reply{kAbc,
                    {},
                    {tcp("97.120.106.101", 0x2e75), tcp("105.100.104.116", 0x6e6d)},
                    "aoeusnth"}}},
      {"d1:ad2:id20:abcdefghij012345678912:implied_porti1e9:info_hash20:mnopqrstuvwxyz1234564:"
       "porti6881e5:token8:aoeusnthe1:q13:announce_peer1:t2:aa1:y1:qe",
       {"aa", Query{kAbc, AnnouncePeer{kMno, 6881, true, "aoeusnth"}}}},
  };
  for (const auto& [text, message] : examples) {
    const auto got = read(text);
    ASSERT_TRUE(got) << text;
    EXPECT_TRUE(*got == message) << text;
    EXPECT_EQ(encode(message), text);
  }
}

// ---- What goes out comes in

TEST(KrpcTest, CarriesEverythingAReplyMayHold) {
  Message message{"tid!", Reply{kAbc, {}, {}, "token"}, udp("192.0.2.1", 99), "SW\1\2"};
  auto& reply = std::get<Reply>(message.body);
  reply.nodes = {{kMno, udp("1.2.3.4", 5)}, {kAbc, udp("2001:db8::1", 6)}};
  reply.values = {tcp("5.6.7.8", 9), tcp("2001:db8::2", 10)};
  EXPECT_TRUE(*read(encode(message)) == message);
  message.ip = udp("2001:db8::9", 99);
  EXPECT_TRUE(*read(encode(message)) == message);
}

TEST(KrpcTest, SaysReadOnlyAndWhichNodesItWants) {
  for (const Want want : {Want{}, Want{true, false}, Want{false, true}, Want{true, true}}) {
    const Message find{"t", Query{kAbc, FindNode{kMno, want}, true}};
    EXPECT_TRUE(*read(encode(find)) == find);
    const Message get{"t", Query{kAbc, GetPeers{kMno, want}, false}};
    EXPECT_TRUE(*read(encode(get)) == get);
  }
  const std::string text = encode(Message{"t", Query{kAbc, Ping{}, true}});
  EXPECT_NE(text.find("2:roi1e"), std::string::npos) << "as BEP 43 writes it: " << text;
}

TEST(KrpcTest, IgnoresWantsItDoesNotKnow) {
  const auto message = read(
      "d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz1234564:wantl2:n92:n6i4eee1:q9:"
      "find_node1:t2:aa1:y1:qe");
  ASSERT_TRUE(message);
  EXPECT_EQ(std::get<FindNode>(std::get<Query>(message->body).question).want, (Want{false, true}));
}

// ---- What strangers send

TEST(KrpcTest, DropsWhatDeservesNoAnswer) {
  const std::string ok = "d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe";
  ASSERT_TRUE(read(ok));
  for (const std::string& text :
       {std::string(), std::string("d"), std::string("i1e"), std::string("le"), std::string("de"),
        ok.substr(0, ok.size() - 1),
        std::string("d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:y1:qe"),        // no t
        std::string("d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t0:1:y1:qe"),   // empty
        std::string("d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:ti1e1:y1:qe"),  // no string
        "d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t200:" + std::string(200, 'x') + "1:y1:qe",
        std::string("d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aae"),          // no y
        std::string("d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:ze"),    // unknown y
        std::string("d1:rd2:id19:mnopqrstuvwxyz12345e1:t2:aa1:y1:re"),              // short id
        std::string("d1:rle1:t2:aa1:y1:re"), std::string("d1:t2:aa1:y1:re"),        // no reply
        "d1:a" + std::string(700, 'l') + std::string(700, 'e') + "1:t2:aa1:y1:qe",  // depth bomb
        ok + std::string(1500, ' ')}) {
    const auto message = read(text);
    EXPECT_FALSE(message) << text.substr(0, 60);
    EXPECT_EQ(message.has_error() ? message.error() : error_code(), NetErrc::protocol_error);
  }
}

TEST(KrpcTest, AnswersABadQueryWithTheErrorItHas) {
  const auto query = [](const std::string& arguments, const std::string& method) {
    return "d1:a" + arguments + "1:q" + bencode::encode(std::string_view(method)) +
           "1:t2:aa1:y1:qe";
  };
  const std::string with_id = "d2:id20:abcdefghij0123456789";
  EXPECT_EQ(code_of(query(with_id + "e", "ping")), 0);
  EXPECT_EQ(code_of(query(with_id + "e", "vote")), kMethodUnknown);
  EXPECT_EQ(code_of(query(with_id + "e", "")), kMethodUnknown);
  EXPECT_EQ(code_of(query("de", "ping")), kProtocolError);
  EXPECT_EQ(code_of(query("le", "ping")), kProtocolError);
  EXPECT_EQ(code_of("d1:q4:ping1:t2:aa1:y1:qe"), kProtocolError) << "no arguments";
  EXPECT_EQ(code_of(query("d2:id21:abcdefghij01234567890e", "ping")), kProtocolError);
  EXPECT_EQ(code_of(query(with_id + "e", "find_node")), kProtocolError);
  EXPECT_EQ(code_of(query(with_id + "6:targeti1ee", "find_node")), kProtocolError);
  EXPECT_EQ(code_of(query(with_id + "e", "get_peers")), kProtocolError);
}

TEST(KrpcTest, TakesAnnouncesWithAPossiblePortOnly) {
  const auto announce = [](const std::string& middle) {
    return code_of("d1:ad2:id20:abcdefghij0123456789" + middle +
                   "e1:q13:announce_peer1:t2:aa1:y1:qe");
  };
  const std::string hash = "9:info_hash20:mnopqrstuvwxyz123456", token = "5:token2:tt";
  EXPECT_EQ(announce(hash + "4:porti1e" + token), 0);
  EXPECT_EQ(announce(hash + "4:porti65535e" + token), 0);
  EXPECT_EQ(announce(hash + "4:porti0e" + token), kProtocolError);
  EXPECT_EQ(announce(hash + "4:porti65536e" + token), kProtocolError);
  EXPECT_EQ(announce(hash + "4:porti-1e" + token), kProtocolError);
  EXPECT_EQ(announce(hash + token), kProtocolError);
  EXPECT_EQ(announce("12:implied_porti1e" + hash + token), 0) << "the port is the datagram's";
  EXPECT_EQ(announce("12:implied_porti0e" + hash + token), kProtocolError);
  EXPECT_EQ(announce(hash + "4:porti1e"), kProtocolError) << "no token";
  EXPECT_EQ(announce(hash + "4:porti1e5:token65:" + std::string(65, 't')), kProtocolError);
}

TEST(KrpcTest, ReadsWholeRecordsOfNodesAndNoMoreThanEight) {
  const auto with_nodes = [](const std::string& nodes, const std::string& nodes6) {
    return reply_in("d1:rd2:id20:abcdefghij01234567895:nodes" +
                    bencode::encode(std::string_view(nodes)) + "6:nodes6" +
                    bencode::encode(std::string_view(nodes6)) + "e1:t2:aa1:y1:re")
        .nodes.size();
  };
  const std::string record = "mnopqrstuvwxyz123456\1\2\3\4\5\6";
  const std::string record6 = "mnopqrstuvwxyz123456\x20\1\x0d\xb8" + std::string(12, '\1') + "\5\6";
  const auto times = [](std::size_t count, const std::string& text) {
    std::string all;
    for (std::size_t i = 0; i < count; ++i) all += text;
    return all;
  };
  EXPECT_EQ(with_nodes("", ""), 0U);
  EXPECT_EQ(with_nodes(record.substr(1), record6.substr(1)), 0U);
  EXPECT_EQ(with_nodes(record + "abc", record6 + "abc"), 2U);
  EXPECT_EQ(with_nodes(times(30, record), times(10, record6)), 16U);
  const std::string portless = record.substr(0, 24) + std::string(2, '\0');
  EXPECT_EQ(with_nodes(portless + record, ""), 1U);
  const std::string mapped =
      std::string("mnopqrstuvwxyz123456") + std::string(10, '\0') + "\xff\xff\1\2\3\4\5\6";
  EXPECT_EQ(with_nodes("", mapped), 0U) << "IPv4 does not come as IPv6";
}

TEST(KrpcTest, ReadsPeersOfTheTwoLengthsAndNoMoreThanAHundred) {
  const auto with_values = [](const std::string& items) {
    return reply_in("d1:rd2:id20:abcdefghij01234567896:valuesl" + items + "ee1:t2:aa1:y1:re")
        .values.size();
  };
  EXPECT_EQ(with_values("3:abc6:\1\2\3\4\5\6"
                        "100:" +
                        std::string(100, 'x') + "i4ele"),
            1U);
  EXPECT_EQ(with_values("18:" + std::string(18, '\1') + "6:\1\2\3\4" + std::string(2, '\0')), 1U);
  std::string many;
  for (int i = 0; i < 150; ++i) many += "6:\1\2\3\4\5\6";
  EXPECT_EQ(with_values(many), kMaxValues);
  EXPECT_TRUE(
      reply_in("d1:rd2:id20:abcdefghij01234567896:values6:abcdefe1:t2:aa1:y1:re").values.empty());
}

TEST(KrpcTest, KeepsForeignTextShort) {
  const auto message = read("d1:eli201e500:" + std::string(500, 'x') +
                            "e1:t2:aa1:v300:" + std::string(300, 'v') + "1:y1:ee");
  ASSERT_TRUE(message);
  EXPECT_EQ(std::get<Error>(message->body).text.size(), kMaxErrorText);
  EXPECT_EQ(message->version.size(), kMaxVersion);
  EXPECT_EQ(reply_in("d1:rd2:id20:abcdefghij01234567895:token65:" + std::string(65, 't') +
                     "e1:t2:aa1:y1:re")
                .token,
            "")
      << "a token that we would not echo whole";
}

TEST(KrpcTest, AcceptsUnsortedKeysAndTrailingBytes) {
  EXPECT_TRUE(read("d1:y1:q1:t2:aa1:q4:ping1:ad2:id20:abcdefghij0123456789eexx"));
  EXPECT_FALSE(read("d1:t2:aa1:t2:bb1:y1:q1:q4:ping1:ad2:id20:abcdefghij0123456789ee"))
      << "a key twice";
}

RC_GTEST_PROP(KrpcProperty, NothingAStrangerSendsThrows, (const std::vector<std::uint8_t>& edits)) {
  Message message{"tid!", Reply{kAbc, {{kMno, udp("1.2.3.4")}}, {tcp("5.6.7.8")}, "tok"},
                  udp("9.9.9.9"), "SW\1\2"};
  if (*rc::gen::arbitrary<bool>()) message.body = Query{kAbc, GetPeers{kMno, {true, true}}, true};
  std::string text = encode(message);
  for (std::size_t i = 0; i + 1 < edits.size(); i += 2) {
    text[edits[i] % text.size()] = static_cast<char>(edits[i + 1]);
  }
  text.resize(*rc::gen::inRange<std::size_t>(0, text.size() + 1));
  const auto got = read(text);
  if (got) {
    RC_ASSERT(got->transaction.size() <= kMaxTransaction);
    RC_ASSERT(*read(encode(*got)) == *got || std::holds_alternative<BadQuery>(got->body));
  }
}

}  // namespace
}  // namespace swarmfs::net::krpc
