#include "net/pex.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <string>

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

Endpoint at(const char* address, std::uint16_t port = 6881) {
  return {asio::ip::make_address(address), port};
}
std::string text(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
std::optional<PexMessage> parse(const std::string& message) {
  return decode_pex(std::as_bytes(std::span(message)));
}
std::string with_added(const std::string& packed) {
  return "d5:added" + std::to_string(packed.size()) + ":" + packed + "e";
}

// ---- the message

TEST(PexMessageTest, WritesWhatTheSpecificationSays) {
  EXPECT_EQ(text(encode({{at("1.2.3.4", 0x1ae1)}, {at("5.6.7.8", 80)}})),
            std::string("d5:added6:\x01\x02\x03\x04\x1a\xe1"
                        "7:added.f1:\x10"
                        "7:dropped6:\x05\x06\x07\x08\x00\x50"
                        "e",
                        46));
}

TEST(PexMessageTest, SpeaksBothFamilies) {
  const PexMessage message{{at("1.2.3.4"), at("2001:db8::1"), at("2001:db8::2")},
                           {at("2001:db8::3")}};
  const auto back = decode_pex(encode(message));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->added, message.added);
  EXPECT_EQ(back->dropped, message.dropped);
}

TEST(PexMessageTest, FlagsAreNotNeeded) {
  const auto message = parse(with_added(std::string("\x01\x02\x03\x04\x1a\xe1", 6)));
  ASSERT_TRUE(message);
  EXPECT_THAT(message->added, ElementsAre(at("1.2.3.4")));
}

TEST(PexMessageTest, OneAddressAHostAndNoneWithoutAPort) {
  const auto message =
      parse(with_added(std::string("\x01\x02\x03\x04\x1a\xe1"
                                   "\x01\x02\x03\x04\x1a\xe2"
                                   "\x05\x06\x07\x08\x00\x00"
                                   "\x7f\x00\x00\x01\x1a\xe1"
                                   "\x7f\x00\x00\x01\x1a\xe2",
                                   30)));
  ASSERT_TRUE(message);
  EXPECT_THAT(message->added,
              ElementsAre(at("1.2.3.4"), at("127.0.0.1", 0x1ae1), at("127.0.0.1", 0x1ae2)));
}

TEST(PexMessageTest, IPv4WrittenAsIPv6IsIPv4) {
  const std::string mapped = std::string(10, '\0') + "\xff\xff\x01\x02\x03\x04\x1a\xe1";
  const auto message = parse("d6:added618:" + mapped + "e");
  ASSERT_TRUE(message);
  EXPECT_THAT(message->added, ElementsAre(at("1.2.3.4")));
}

TEST(PexMessageTest, TakesAHundredOfOneMessage) {
  std::string packed;
  for (int i = 0; i < 1000; ++i) {
    packed += "\x01";
    packed += static_cast<char>(i / 250);
    packed += static_cast<char>(i % 250);
    packed += std::string("\x05\x1a\xe1", 3);
  }
  const auto message = parse(with_added(packed));
  ASSERT_TRUE(message);
  EXPECT_THAT(message->added, SizeIs(100));
}

TEST(PexMessageTest, GarbageSaysNothing) {
  for (const char* garbage : {"", "d", "i5e", "le", "5:added", "\xff"}) {
    EXPECT_FALSE(parse(garbage)) << garbage;
  }
  for (const char* odd : {"de", "d5:addedi5ee", "d5:added5:abcdee", "d5:addedlee"}) {
    ASSERT_TRUE(parse(odd)) << odd;
    EXPECT_THAT(parse(odd)->added, IsEmpty()) << odd;
  }
  EXPECT_FALSE(parse(with_added(std::string(kMaxPexMessage, 'x')))) << "too large to be read";
}

RC_GTEST_PROP(PexMessageProperty, NoBytesHurt, ()) {
  const auto bytes = *rc::gen::container<std::string>(rc::gen::arbitrary<char>());
  const auto message = parse(with_added(bytes));
  RC_ASSERT(message);
  RC_ASSERT(message->added.size() <= bytes.size() / 6);
  for (const Endpoint& endpoint : message->added) RC_ASSERT(endpoint.port() != 0);
}

// ---- how much one peer may tell

TEST(PexInboxTest, TakesOneMessageAMinuteAndBearsAFewEarlyOnes) {
  PexInbox inbox;
  TimePoint now{1h};
  int taken = 0;
  for (int i = 0; i < 60; ++i) {
    taken += inbox.on_message(now) == PexInbox::Verdict::take ? 1 : 0;
    now += 60s;
  }
  EXPECT_EQ(taken, 60);
  taken = 0;
  for (int i = 0; i < 10; ++i) taken += inbox.on_message(now) == PexInbox::Verdict::take ? 1 : 0;
  EXPECT_EQ(taken, 3);
  now += 60s;
  EXPECT_EQ(inbox.on_message(now), PexInbox::Verdict::take);
}

TEST(PexInboxTest, CallsAFloodAFlood) {
  PexInbox inbox;
  int messages = 0;
  while (inbox.on_message(TimePoint(1h)) != PexInbox::Verdict::flood && messages < 1000) ++messages;
  EXPECT_GT(messages, 10);
  EXPECT_LT(messages, 100);
}

TEST(PexInboxTest, OnePeerDoesNotFillTheAddressList) {
  PexInbox inbox;
  std::size_t taken = 0;
  for (int i = 0; i < 1000; ++i) taken += inbox.take(100);
  EXPECT_EQ(taken, 500U);
}

// ---- what to tell

TEST(PexOutboxTest, TellsWhatChanged) {
  PexOutbox outbox;
  EXPECT_FALSE(outbox.next({}));
  const auto first = outbox.next({at("1.1.1.1"), at("2.2.2.2")});
  ASSERT_TRUE(first);
  EXPECT_THAT(first->added, ElementsAre(at("1.1.1.1"), at("2.2.2.2")));
  EXPECT_THAT(first->dropped, IsEmpty());
  EXPECT_FALSE(outbox.next({at("1.1.1.1"), at("2.2.2.2")}));
  const auto second = outbox.next({at("2.2.2.2"), at("3.3.3.3")});
  ASSERT_TRUE(second);
  EXPECT_THAT(second->added, ElementsAre(at("3.3.3.3")));
  EXPECT_THAT(second->dropped, ElementsAre(at("1.1.1.1")));
}

TEST(PexOutboxTest, TellsAtMostFiftyAtATimeAndTheRestLater) {
  PexOutbox outbox;
  std::set<Endpoint> many;
  for (std::uint32_t i = 1; i <= 120; ++i) many.emplace(asio::ip::address_v4(0x01010100 + i), 1);
  EXPECT_THAT(outbox.next(many)->added, SizeIs(50));
  EXPECT_THAT(outbox.next(many)->added, SizeIs(50));
  EXPECT_THAT(outbox.next(many)->added, SizeIs(20));
  EXPECT_FALSE(outbox.next(many));
  EXPECT_THAT(outbox.next({})->dropped, SizeIs(50));
}

TEST(PexOutboxTest, OurOwnNetworkIsNobodyElsesBusiness) {
  EXPECT_TRUE(may_tell(at("1.2.3.4"), at("5.6.7.8")));
  EXPECT_TRUE(may_tell(at("1.2.3.4"), at("192.168.1.2")));
  EXPECT_TRUE(may_tell(at("192.168.1.3"), at("192.168.1.2")));
  EXPECT_FALSE(may_tell(at("192.168.1.3"), at("5.6.7.8")));
  EXPECT_FALSE(may_tell(at("127.0.0.1"), at("192.168.1.2")));
  EXPECT_TRUE(may_tell(at("127.0.0.1"), at("127.0.0.1", 7)));
}

}  // namespace
}  // namespace swarmfs::net
