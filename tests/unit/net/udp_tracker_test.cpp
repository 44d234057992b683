#include "net/udp_tracker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "storage/task_group.h"
#include "tests/unit/net/loopback_server.h"
#include "tests/unit/net/scripted_datagram.h"
#include "tests/unit/net/udp_tracker_packets.h"

namespace swarmfs::net {
namespace {

using namespace packets;
using namespace std::chrono_literals;
using namespace std::string_literals;
using testing::ElementsAre;
using testing::IsEmpty;

Endpoint at(const char* address, std::uint16_t port) {
  return {asio::ip::make_address(address), port};
}

std::string text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::span<const std::byte> bytes(const std::string& text) {
  return std::as_bytes(std::span(text));
}

std::string hex(std::string_view bytes) {
  std::string digits;
  for (const char c : bytes) {
    digits += "0123456789abcdef"[static_cast<unsigned char>(c) >> 4];
    digits += "0123456789abcdef"[static_cast<unsigned char>(c) & 15];
  }
  return digits;
}

// ---- URLs

TEST(UdpUrlTest, NamesAHostAPortAndWhatTheTrackerIsToKnow) {
  const auto parse = [](const char* url) { return parse_udp_url(url).value(); };
  const UdpUrl full = parse("udp://Tracker.Example:1337/key/announce?x=1&y=%20");
  EXPECT_EQ(full.host, "tracker.example");
  EXPECT_FALSE(full.host_is_address);
  EXPECT_EQ(full.port, 1337);
  EXPECT_EQ(full.path, "/key/announce");
  EXPECT_EQ(full.url_data, "/key/announce?x=1&y=%20");
  const UdpUrl bare = parse("UDP://[2001:db8::1]:6969");
  EXPECT_EQ(bare.host, "2001:db8::1");
  EXPECT_TRUE(bare.host_is_address);
  EXPECT_EQ(bare.path, "/");
  EXPECT_EQ(bare.url_data, "");
  EXPECT_EQ(parse("udp://t.example/").url_data, "");
  EXPECT_EQ(parse("udp://t.example/").port, 80);
  EXPECT_EQ(parse("udp://t.example:1?k=v").url_data, "/?k=v");
  EXPECT_EQ(parse("udp://user:secret@t.example:1/a#fragment").url_data, "/a");
}

TEST(UdpUrlTest, IsNothingElse) {
  for (const char* other : {"http://t/announce", "udpx://t", "", "udp", "wss://t"}) {
    EXPECT_EQ(parse_udp_url(other).error(), NetErrc::unsupported_scheme) << other;
  }
  const std::string long_path(kMaxUdpUrlData + 1, 'x');
  for (const std::string& bad :
       {"udp:"s, "udp://"s, "udp://t:0/"s, "udp://t:65536"s, "udp://t:-1"s, "udp://[::1"s,
        "udp://a b/"s, "udp://t/\r\n"s, "udp://t/" + long_path,
        "udp://" + std::string(300, 'x') + ":1/"}) {
    EXPECT_EQ(parse_udp_url(bad).error(), NetErrc::bad_url) << bad;
  }
}

// ---- Packets

storage::Sha1Digest digest_of(int first_byte) {
  storage::Sha1Digest digest;
  for (std::byte& byte : digest.bytes) byte = static_cast<std::byte>(first_byte++);
  return digest;
}

AnnounceRequest request() {
  AnnounceRequest request;
  request.info_hash = digest_of(0x10);
  request.peer_id = digest_of(0x60);
  request.port = 6881;
  request.downloaded = 0x0102030405060708;
  request.left = 0xfffefdfcfbfaf9f8;
  request.key = 0xcafebabe;
  request.event = AnnounceEvent::started;
  return request;
}

TEST(UdpPacketTest, ConnectIsSixteenBytes) {
  EXPECT_EQ(hex(text(encode_udp_connect(0xdeadbeef))),
            "0000041727101980"
            "00000000"
            "deadbeef");
}

TEST(UdpPacketTest, AnnounceIsNinetyEightBytes) {
  const std::string expected =
      "1122334455667788"
      "00000001"
      "deadbeef"
      "101112131415161718191a1b1c1d1e1f20212223"
      "606162636465666768696a6b6c6d6e6f70717273"
      "0102030405060708"
      "fffefdfcfbfaf9f8"
      "0000000000000000"
      "00000002"
      "00000000"
      "cafebabe"
      "000000c8"
      "1ae1";
  EXPECT_EQ(hex(text(encode_udp_announce(0x1122334455667788, 0xdeadbeef, request(), ""))),
            expected);
  EXPECT_EQ(expected.size(), 2 * 98u);
}

TEST(UdpPacketTest, AnnounceSaysWhichEvent) {
  AnnounceRequest asked = request();
  for (const auto& [event, number] :
       {std::pair(AnnounceEvent::none, 0u), std::pair(AnnounceEvent::started, 2u),
        std::pair(AnnounceEvent::stopped, 3u)}) {
    asked.event = event;
    EXPECT_EQ(event_of(text(encode_udp_announce(1, 2, asked, ""))), number);
  }
}

TEST(UdpPacketTest, CarriesPathAndQueryAsOptions) {  // BEP 41
  const auto options = [](const std::string& url_data) {
    return text(encode_udp_announce(1, 2, request(), url_data)).substr(98);
  };
  EXPECT_EQ(options(""), "");
  EXPECT_EQ(options("/dir?a=b&c=d"), "\x02\x0c/dir?a=b&c=d");
  const std::string most(255, 'a');
  EXPECT_EQ(options(most), "\x02\xff" + most);
  EXPECT_EQ(options(most + "b"), "\x02\xff" + most +
                                     "\x02\x01"
                                     "b");
  EXPECT_EQ(options(most + most + "/c"), "\x02\xff" + most + "\x02\xff" + most + "\x02\x02/c");
}

AnnounceReply decoded(const std::string& datagram, bool ipv6 = false) {
  const auto reply = decode_udp_reply(bytes(datagram), ipv6);
  EXPECT_TRUE(reply && std::holds_alternative<AnnounceReply>(*reply)) << hex(datagram);
  return reply ? std::get<AnnounceReply>(*reply) : AnnounceReply();
}

TEST(UdpPacketTest, ReadsAConnectionId) {
  const std::string reply = connected(7, 0x1122334455667788) + "more";
  EXPECT_EQ(udp_transaction(bytes(reply)), 7u);
  const auto read = decode_udp_reply(bytes(reply), false);
  ASSERT_TRUE(read);
  EXPECT_EQ(std::get<UdpConnected>(*read).connection_id, 0x1122334455667788u);
}

TEST(UdpPacketTest, ReadsPeersOfTheFamilyItCameOver) {
  const std::string two = compact_peer(at("1.2.3.4", 6881)) + compact_peer(at("5.6.7.8", 65535));
  const AnnounceReply four = decoded(announced(7, 900, two));
  EXPECT_THAT(four.peers, ElementsAre(at("1.2.3.4", 6881), at("5.6.7.8", 65535)));
  EXPECT_EQ(four.interval, 900s);
  EXPECT_EQ(four.failure_reason, "");
  const std::string six = compact_peer(at("2001:db8::1", 1)) + compact_peer(at("2001:db8::2", 0)) +
                          compact_peer(at("2001:db8::3", 3));
  EXPECT_THAT(decoded(announced(7, 900, six), true).peers,
              ElementsAre(at("2001:db8::1", 1), at("2001:db8::3", 3)));
}

TEST(UdpPacketTest, TakesWholeRecordsOnly) {
  const std::string peers = compact_peer(at("1.2.3.4", 1)) + compact_peer(at("5.6.7.8", 2));
  for (std::size_t size = 0; size <= peers.size(); ++size) {
    EXPECT_EQ(decoded(announced(7, 900, peers.substr(0, size))).peers.size(), size / 6) << size;
  }
  EXPECT_THAT(decoded(announced(7, 900, std::string(17, 'x')), true).peers, IsEmpty());
}

TEST(UdpPacketTest, ClampsTheInterval) {
  EXPECT_EQ(decoded(announced(7, 0, "")).interval, 60s);
  EXPECT_EQ(decoded(announced(7, 59, "")).interval, 60s);
  EXPECT_EQ(decoded(announced(7, 86'401, "")).interval, 86'400s);
  EXPECT_EQ(decoded(announced(7, 0xffffffff, "")).interval, 86'400s);
}

TEST(UdpPacketTest, ReadsARefusalSoThatItCannotSteerATerminal) {
  EXPECT_EQ(decoded(refused(7, "unregistered")).failure_reason, "unregistered");
  EXPECT_EQ(decoded(refused(7, "a\x1b[2J\0rest"s)).failure_reason, "a\\x1b[2J");
  EXPECT_EQ(decoded(refused(7, "")).failure_reason, "no reason given");
  EXPECT_EQ(decoded(refused(7, std::string(2000, 'x'))).failure_reason.size(), 200u);
}

TEST(UdpPacketTest, IgnoresWhatIsTooShortOrNoAnswer) {
  const auto is_nothing = [](const std::string& datagram) {
    return !decode_udp_reply(bytes(datagram), false);
  };
  const std::string connect = connected(7, 8), announce = announced(7, 900, "");
  for (std::size_t n = 0; n < 16; ++n) EXPECT_TRUE(is_nothing(connect.substr(0, n))) << n;
  for (std::size_t n = 0; n < 20; ++n) EXPECT_TRUE(is_nothing(announce.substr(0, n))) << n;
  for (std::size_t n = 0; n < 8; ++n) {
    EXPECT_TRUE(is_nothing(refused(7, "").substr(0, n))) << n;
    EXPECT_FALSE(udp_transaction(bytes(connect.substr(0, n)))) << n;
  }
  for (const std::uint32_t action : {2u, 4u, 0x01000000u, 0xffffffffu}) {
    EXPECT_TRUE(is_nothing(big_endian(action, 4) + std::string(100, 'x'))) << action;
  }
}

RC_GTEST_PROP(UdpPacketProperty, ReadsAnyBytesWithinItsBounds, (std::string garbage)) {
  const std::string start =
      *rc::gen::element<std::string>("", big_endian(0, 4), big_endian(1, 4), big_endian(3, 4));
  const std::string datagram = start + garbage;
  const auto reply = decode_udp_reply(bytes(datagram), *rc::gen::arbitrary<bool>());
  if (!reply || !std::holds_alternative<AnnounceReply>(*reply)) return;
  const auto& answer = std::get<AnnounceReply>(*reply);
  RC_ASSERT(answer.peers.size() <= kMaxPeersPerReply);
  RC_ASSERT(answer.failure_reason.size() <= kMaxTrackerText);
  RC_ASSERT(answer.interval >= kMinInterval && answer.interval <= kMaxInterval);
}

// ---- The exchange

class UdpTrackersTest : public testing::Test {
 protected:
  using Answer = std::shared_ptr<std::optional<Result<UdpAnswer>>>;

  void SetUp() override { begin(1); }
  void TearDown() override { end(); }
  void begin(std::uint64_t seed) {
    std::vector<std::unique_ptr<Datagram>> sockets;
    sockets.push_back(std::make_unique<ScriptedDatagram>(four, udp_at("0.0.0.0", 6881)));
    sockets.push_back(std::make_unique<ScriptedDatagram>(six, udp_at("::", 6881)));
    port = std::make_unique<UdpPort>(context.get_executor(), std::move(sockets));
    port->start();
    trackers = std::make_unique<UdpTrackers>(context.get_executor(), clock, *port, seed);
    left_over = port->listen([this](auto datagram, const UdpEndpoint&) {
      not_taken.push_back(text(datagram));
      return true;
    });
  }
  void end() {
    tasks.cancel();
    run_task(context, tasks.join());
    EXPECT_FALSE(clock.earliest_timer()) << "an exchange goes on";
    trackers.reset();
    run_task(context, port->stop());
  }
  static Task<void> keep(UdpTrackers& trackers, UdpAnnounce what, Answer into) {
    auto announcing = trackers.announce(std::move(what));
    into->emplace(co_await std::move(announcing));
  }
  Answer announce(UdpAnnounce what) {
    auto answer = std::make_shared<std::optional<Result<UdpAnswer>>>();
    tasks.spawn(keep(*trackers, std::move(what), answer));
    settle();
    return answer;
  }
  Answer announce_to(std::vector<UdpEndpoint> addresses) {
    UdpAnnounce what;
    what.addresses = std::move(addresses);
    what.request = request();
    return announce(std::move(what));
  }
  void settle() {
    context.restart();
    context.poll();
  }
  void pass(Duration time) {
    clock.advance(time);
    settle();
  }
  void say(const std::string& datagram, const UdpEndpoint& from) {
    (from.address().is_v6() ? six : four)->arrive(datagram, from);
    settle();
  }
  const std::string& last() const { return four->sent.back().payload; }
  // The tracker gives a connection id and hears the announce.
  void connect(std::uint64_t id = 5) {
    ASSERT_TRUE(is_connect(last()));
    say(connected(transaction_of(last()), id), tracker);
    ASSERT_TRUE(is_announce(last()));
    EXPECT_EQ(number_at(last(), 0, 8), id);
  }
  void answer_announce() {
    ASSERT_TRUE(is_announce(last()));
    say(announced(transaction_of(last()), 900, compact_peer(at("1.2.3.4", 5))), tracker);
  }
  std::size_t sent() const { return four->sent.size(); }

  asio::io_context context;
  ManualClock clock;
  std::shared_ptr<FarNet> four = std::make_shared<FarNet>(context.get_executor());
  std::shared_ptr<FarNet> six = std::make_shared<FarNet>(context.get_executor());
  std::unique_ptr<UdpPort> port;
  UdpPort::Subscription left_over;
  std::vector<std::string> not_taken;  // datagrams that were not for us
  std::unique_ptr<UdpTrackers> trackers;
  storage::TaskGroup tasks{context.get_executor()};
  const UdpEndpoint tracker = udp_at("192.0.2.1", 6969), second = udp_at("192.0.2.2", 6969);
};

TEST_F(UdpTrackersTest, ConnectsThenAnnounces) {
  UdpAnnounce what;
  what.addresses = {tracker};
  what.request = request();
  what.url_data = "/announce";
  const Answer answer = announce(what);
  ASSERT_EQ(sent(), 1u);
  EXPECT_EQ(four->sent[0].to, tracker);
  connect(0x1122334455667788);
  EXPECT_EQ(four->sent[1].to, tracker);
  EXPECT_EQ(last(), text(encode_udp_announce(0x1122334455667788, transaction_of(last()), request(),
                                             "/announce")));
  EXPECT_FALSE(*answer);
  answer_announce();
  ASSERT_TRUE(*answer);
  ASSERT_TRUE(**answer);
  EXPECT_THAT((**answer)->reply.peers, ElementsAre(at("1.2.3.4", 5)));
  EXPECT_EQ((**answer)->remote, tracker);
  EXPECT_EQ(sent(), 2u);
}

TEST_F(UdpTrackersTest, TakesZeroForAConnectionId) {
  const Answer answer = announce_to({tracker});
  connect(0);
  answer_announce();
  EXPECT_TRUE(*answer && **answer);
}

TEST_F(UdpTrackersTest, AsksIPv6TrackersForAsManyPeersAsFitAPacket) {
  const UdpEndpoint over_six = udp_at("2001:db8::1", 6969);
  const Answer answer = announce_to({over_six});
  ASSERT_EQ(six->sent.size(), 1u);
  say(connected(transaction_of(six->sent[0].payload), 9), over_six);
  ASSERT_EQ(six->sent.size(), 2u);
  EXPECT_EQ(number_at(six->sent[1].payload, 92, 4), 79u);
  say(announced(transaction_of(six->sent[1].payload), 900, compact_peer(at("2001:db8::7", 5))),
      over_six);
  ASSERT_TRUE(*answer && **answer);
  EXPECT_THAT((**answer)->reply.peers, ElementsAre(at("2001:db8::7", 5)));
}

TEST_F(UdpTrackersTest, SaysTheSameAgainAfterFifteenSecondsAndGivesUpThirtyLater) {
  const Answer answer = announce_to({tracker});
  pass(15s - 1us);
  EXPECT_EQ(sent(), 1u);
  pass(1us);
  ASSERT_EQ(sent(), 2u);
  EXPECT_EQ(four->sent[0].payload, four->sent[1].payload);
  pass(30s - 1us);
  EXPECT_EQ(sent(), 2u);
  EXPECT_FALSE(*answer);
  pass(1us);
  EXPECT_EQ(sent(), 2u);
  ASSERT_TRUE(*answer);
  EXPECT_EQ((**answer).error(), NetErrc::timed_out);
}

// The example of BEP 15: 2, 17, 47 announce, 107 connect, because the id has expired, 227 connect.
TEST_F(UdpTrackersTest, KeepsTheRhythmOfTheBepAndNeverUsesAnIdForMoreThanAMinute) {
  UdpAnnounce what;
  what.addresses = {tracker};
  what.deadline = 300s;
  announce(what);
  pass(2s);
  connect();
  std::vector<std::pair<Duration, bool>> later;  // when, and whether it connects
  const TimePoint start = clock.now() - 2s;
  while (clock.now() < start + 250s) {
    const std::size_t before = sent();
    pass(1s);
    if (sent() > before) later.emplace_back(clock.now() - start, is_connect(last()));
  }
  EXPECT_THAT(later, ElementsAre(std::pair(17s, false), std::pair(47s, false),
                                 std::pair(107s, true), std::pair(227s, true)));
}

TEST_F(UdpTrackersTest, UsesAnIdAgainForAMinute) {
  announce_to({tracker});
  connect(77);
  answer_announce();
  pass(60s - 1us);
  const Answer again = announce_to({tracker});
  ASSERT_EQ(sent(), 3u);
  EXPECT_TRUE(is_announce(last()));
  EXPECT_EQ(number_at(last(), 0, 8), 77u);
  answer_announce();
  EXPECT_TRUE(*again && **again);
  pass(1us);
  announce_to({tracker});
  EXPECT_TRUE(is_connect(last()));
}

TEST_F(UdpTrackersTest, ConnectsAfreshWhenATrackerRefusesAnOldId) {
  announce_to({tracker});
  connect(77);
  answer_announce();
  const Answer again = announce_to({tracker});
  ASSERT_TRUE(is_announce(last()));
  say(refused(transaction_of(last()), "connection id mismatch"), tracker);
  EXPECT_FALSE(*again) << "it may like us with a new one";
  connect(78);
  say(refused(transaction_of(last()), "go away"), tracker);
  ASSERT_TRUE(*again && **again);
  EXPECT_EQ((**again)->reply.failure_reason, "go away");
}

TEST_F(UdpTrackersTest, ConnectsAfreshWhenATrackerIsSilentToAnOldId) {
  announce_to({tracker});
  connect(77);
  answer_announce();
  announce_to({tracker});
  pass(15s);
  connect(78);
}

TEST_F(UdpTrackersTest, BelievesOnlyWhomItAskedWhatItAsked) {
  const Answer answer = announce_to({tracker});
  const std::uint32_t connecting = transaction_of(last());
  say(connected(connecting + 1, 5), tracker);
  say(connected(connecting, 5), udp_at("192.0.2.1", 6970));
  say(connected(connecting, 5), second);
  EXPECT_EQ(not_taken.size(), 3u) << "somebody else's, perhaps";
  say(connected(connecting, 5).substr(0, 15), tracker);
  say(announced(connecting, 900, ""), tracker);
  say(big_endian(2, 4) + big_endian(connecting, 4) + std::string(12, 'x'), tracker);
  EXPECT_EQ(sent(), 1u);
  connect();
  const std::uint32_t announcing = transaction_of(last());
  say(connected(connecting, 6), tracker);
  say(connected(announcing, 6), tracker);
  say(announced(connecting, 900, ""), tracker);
  say(announced(announcing, 900, ""), second);
  say(announced(announcing, 900, "").substr(0, 19), tracker);
  EXPECT_FALSE(*answer);
  EXPECT_EQ(sent(), 2u);
  answer_announce();
  EXPECT_TRUE(*answer && **answer);
}

TEST_F(UdpTrackersTest, PassesOnARefusal) {
  const Answer answer = announce_to({tracker});
  say(refused(transaction_of(last()), "closed"), tracker);
  ASSERT_TRUE(*answer && **answer);
  EXPECT_EQ((**answer)->reply.failure_reason, "closed");
}

TEST_F(UdpTrackersTest, AsksTheNextAddressWhenTheFirstIsSilentForHalfASecond) {
  const Answer answer = announce_to({second, tracker});
  EXPECT_EQ(sent(), 1u);
  pass(499ms);
  EXPECT_EQ(sent(), 1u);
  pass(1ms);
  ASSERT_EQ(sent(), 2u);
  EXPECT_EQ(four->sent[1].to, tracker);
  connect();
  answer_announce();
  ASSERT_TRUE(*answer && **answer);
  EXPECT_EQ((**answer)->remote, tracker);
  const std::uint32_t late = transaction_of(four->sent[0].payload);
  say(connected(late, 5), second);
  EXPECT_EQ(not_taken.size(), 1u) << "nobody waits for it any more";
  EXPECT_EQ(sent(), 3u);
}

TEST_F(UdpTrackersTest, TakesTheFirstAddressesLateAnswerToo) {
  const Answer answer = announce_to({tracker, second});
  pass(500ms);
  ASSERT_EQ(sent(), 2u);
  say(connected(transaction_of(four->sent[0].payload), 5), tracker);
  answer_announce();
  EXPECT_TRUE(*answer && **answer);
}

TEST_F(UdpTrackersTest, LeavesTheOtherAddressesAloneWhileOneLives) {
  announce_to({tracker, second});
  pass(400ms);
  connect();
  pass(15s - 1us);
  EXPECT_EQ(sent(), 2u);
  pass(1us);
  EXPECT_EQ(sent(), 4u) << "the announce again, and the next address";
}

TEST_F(UdpTrackersTest, SaysAtOnceThatNoAddressCanBeReached) {
  run_task(context, port->stop());
  const Answer answer = announce_to({tracker, udp_at("2001:db8::1", 1)});
  ASSERT_TRUE(*answer);
  EXPECT_EQ((**answer).error(), asio::error::network_unreachable);
  const Answer none = announce_to({});
  EXPECT_TRUE(*none && (**none).has_error());
}

TEST_F(UdpTrackersTest, AnnouncesToManyAtOnce) {
  std::vector<Answer> answers;
  for (std::uint16_t i = 1; i <= 100; ++i) answers.push_back(announce_to({udp_at("192.0.2.3", i)}));
  for (std::size_t i = 100; i-- > 0;) {
    say(connected(transaction_of(four->sent[i].payload), i), four->sent[i].to);
    say(announced(transaction_of(last()), 900, ""), four->sent[i].to);
  }
  for (const Answer& answer : answers) EXPECT_TRUE(*answer && **answer);
  EXPECT_THAT(not_taken, IsEmpty());
}

TEST_F(UdpTrackersTest, ForgetsACancelledAnnounce) {
  announce_to({tracker});
  tasks.cancel();
  run_task(context, tasks.join());
  say(connected(transaction_of(last()), 5), tracker);
  EXPECT_EQ(sent(), 1u);
  EXPECT_EQ(not_taken.size(), 1u);
}

TEST_F(UdpTrackersTest, DrawsTheSameTransactionsFromTheSameSeed) {
  const auto drawn = [this](std::uint64_t seed) {
    end();
    four = std::make_shared<FarNet>(context.get_executor());
    six = std::make_shared<FarNet>(context.get_executor());
    begin(seed);
    announce_to({tracker});
    connect();
    return std::pair(transaction_of(four->sent[0].payload), transaction_of(last()));
  };
  const auto first = drawn(1);
  EXPECT_NE(first.first, first.second);
  EXPECT_EQ(drawn(1), first);
  EXPECT_NE(drawn(2).first, first.first);
}

}  // namespace
}  // namespace swarmfs::net
