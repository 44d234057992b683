#include "net/announce.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <boost/url.hpp>

#include "net/http.h"
#include "storage/bencode.h"
#include "tests/unit/net/udp_tracker_packets.h"

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;
namespace bencode = storage::bencode;

Endpoint at(const char* address, std::uint16_t port) {
  return {asio::ip::make_address(address), port};
}

// ---- announce_url

storage::Sha1Digest digest_of(std::uint8_t first_byte) {
  storage::Sha1Digest digest;
  for (std::size_t i = 0; i < digest.bytes.size(); ++i) {
    digest.bytes[i] = static_cast<std::byte>(first_byte + i);
  }
  return digest;
}

std::string parameter(const std::string& url, const char* key) {  // decoded
  const auto parsed = boost::urls::parse_uri(url);
  EXPECT_TRUE(parsed) << url;
  const auto params = parsed->params();
  const auto found = params.find(key);
  return found == params.end() ? "(none)" : std::string((*found).value);
}

std::string characters(const storage::Sha1Digest& digest) {
  return {reinterpret_cast<const char*>(digest.bytes.data()), digest.bytes.size()};
}

TEST(AnnounceUrlTest, CarriesEachOfThe256ByteValues) {
  for (unsigned value = 0; value < 256; ++value) {
    AnnounceRequest request;
    request.info_hash = digest_of(static_cast<std::uint8_t>(value));
    request.peer_id = digest_of(static_cast<std::uint8_t>(value + 20));
    request.tracker_id = std::string(1, static_cast<char>(value));
    const std::string url = announce_url("http://t/announce", request);
    EXPECT_EQ(parameter(url, "info_hash"), characters(request.info_hash)) << value;
    EXPECT_EQ(parameter(url, "peer_id"), characters(request.peer_id)) << value;
    EXPECT_EQ(parameter(url, "trackerid"), request.tracker_id) << value;
    EXPECT_TRUE(parse_http_url(url)) << url;
  }
}

TEST(AnnounceUrlTest, SaysWhatATrackerWantsToKnow) {
  AnnounceRequest request;
  request.port = 6881;
  request.downloaded = 5;
  request.left = 18'446'744'073'709'551'615U;
  request.key = 0xbeef;
  const std::string url = announce_url("https://t/announce", request);
  EXPECT_TRUE(url.starts_with("https://t/announce?info_hash=")) << url;
  EXPECT_EQ(parameter(url, "port"), "6881");
  EXPECT_EQ(parameter(url, "uploaded"), "0");
  EXPECT_EQ(parameter(url, "downloaded"), "5");
  EXPECT_EQ(parameter(url, "left"), "18446744073709551615");
  EXPECT_EQ(parameter(url, "compact"), "1");
  EXPECT_EQ(parameter(url, "numwant"), "200");
  EXPECT_EQ(parameter(url, "key"), "0000BEEF");
  EXPECT_EQ(parameter(url, "event"), "(none)");
  EXPECT_EQ(parameter(url, "trackerid"), "(none)");
  request.event = AnnounceEvent::started;
  EXPECT_EQ(parameter(announce_url("http://t/", request), "event"), "started");
  request.event = AnnounceEvent::stopped;
  EXPECT_EQ(parameter(announce_url("http://t/", request), "event"), "stopped");
}

TEST(AnnounceUrlTest, KeepsTheQueryOfTheBaseAndDropsItsFragment) {
  const AnnounceRequest request;
  const auto starts = [&request](const char* base, const char* expected) {
    const std::string url = announce_url(base, request);
    EXPECT_TRUE(url.starts_with(expected)) << url;
    EXPECT_EQ(url.find('#'), std::string::npos) << url;
  };
  starts("http://t/a.php?passkey=x", "http://t/a.php?passkey=x&info_hash=%00");
  starts("http://t/a.php?", "http://t/a.php?info_hash=%00");
  starts("http://t/a.php?x&", "http://t/a.php?x&info_hash=%00");
  starts("http://t/a#b", "http://t/a?info_hash=%00");
  starts("http://t", "http://t?info_hash=%00");
}

// ---- parse_announce_reply

Result<AnnounceReply> parse(std::string_view body) {
  return parse_announce_reply(std::as_bytes(std::span(body)));
}
Result<AnnounceReply> parse(const bencode::Dictionary& body) {
  return parse(body.encode());
}

TEST(AnnounceReplyTest, ReadsCompactPeersOfBothFamilies) {
  const auto reply =
      parse(bencode::Dictionary()
                .add("interval", 1234)
                .add("peers", packets::compact_peers({at("1.2.3.4", 6881), at("5.6.7.8", 65535)}))
                .add("peers6", packets::compact_peers({at("2001:db8::1", 1)}))
                .add("tracker id", "abc")
                .add("warning message", "soon closed"));
  ASSERT_TRUE(reply);
  EXPECT_THAT(reply->peers,
              ElementsAre(at("1.2.3.4", 6881), at("5.6.7.8", 65535), at("2001:db8::1", 1)));
  EXPECT_EQ(reply->interval, 1234s);
  EXPECT_EQ(reply->tracker_id, "abc");
  EXPECT_EQ(reply->warning, "soon closed");
  EXPECT_EQ(reply->failure_reason, "");
}

TEST(AnnounceReplyTest, TakesWholeRecordsAndNoPortZero) {
  const std::string two = packets::compact_peers({at("1.2.3.4", 6881), at("5.6.7.8", 2)});
  for (std::size_t size = 0; size <= two.size(); ++size) {
    const auto reply = parse(bencode::Dictionary().add("peers", two.substr(0, size)));
    EXPECT_EQ(reply.value().peers.size(), size / 6) << size;
  }
  const std::string six = packets::compact_peers({at("2001:db8::1", 7), at("2001:db8::2", 8)});
  for (std::size_t size = 0; size <= six.size(); ++size) {
    const auto reply = parse(bencode::Dictionary().add("peers6", six.substr(0, size)));
    EXPECT_EQ(reply.value().peers.size(), size / 18) << size;
  }
  const std::string zero = packets::compact_peers({at("1.2.3.4", 0), at("5.6.7.8", 2)});
  EXPECT_THAT(parse(bencode::Dictionary().add("peers", zero)).value().peers,
              ElementsAre(at("5.6.7.8", 2)));
}

TEST(AnnounceReplyTest, WritesMappedAddressesAsIPv4) {
  const auto reply =
      parse(bencode::Dictionary().add("peers6", packets::compact_peers({at("::ffff:1.2.3.4", 5)})));
  EXPECT_THAT(reply.value().peers, ElementsAre(at("1.2.3.4", 5)));
}

TEST(AnnounceReplyTest, SkipsDictionaryPeersThatMakeNoSense) {
  const auto peer = [](std::string_view ip, std::int64_t port) {
    return bencode::Dictionary().add("ip", ip).add("port", port).encode();
  };
  bencode::List peers;
  peers.add_encoded(peer("1.2.3.4", 6881))
      .add_encoded(peer("2001:db8::1", 6882))
      .add_encoded(peer("1.1.1.1", -1))
      .add_encoded(peer("1.1.1.1", 0))
      .add_encoded(peer("1.1.1.1", 65536))
      .add_encoded(peer("1.1.1.1", 4294967376))  // 80 when cut to 16 bits
      .add_encoded(bencode::Dictionary().add("ip", "1.1.1.1").add("port", "80").encode())
      .add_encoded(bencode::Dictionary().add("ip", "1.1.1.1").encode())
      .add_encoded(bencode::Dictionary().add("ip", 1).add("port", 80).encode())
      .add_encoded(peer("peer.example", 80))
      .add_encoded(peer("1.1.1", 80))
      .add_encoded(peer("0x7f000001", 80))
      .add_encoded(peer("fe80::1%lo", 80))
      .add_encoded(peer("", 80))
      .add(7)
      .add("1.1.1.1:80")
      .add(bencode::List())
      .add_encoded(peer("5.6.7.8", 1));
  const auto reply = parse(bencode::Dictionary().add("peers", peers));
  ASSERT_TRUE(reply);
  EXPECT_THAT(reply->peers,
              ElementsAre(at("1.2.3.4", 6881), at("2001:db8::1", 6882), at("5.6.7.8", 1)));
}

TEST(AnnounceReplyTest, TakesNoPeersFromFieldsOfTheWrongType) {
  EXPECT_THAT(parse(bencode::Dictionary().add("peers", 5)).value().peers, IsEmpty());
  EXPECT_THAT(parse(bencode::Dictionary().add("peers", bencode::Dictionary())).value().peers,
              IsEmpty());
  EXPECT_THAT(parse(bencode::Dictionary().add("peers6", bencode::List())).value().peers, IsEmpty());
  EXPECT_THAT(parse("de").value().peers, IsEmpty());
}

TEST(AnnounceReplyTest, KeepsTwoHundredOfAMillionPeers) {
  std::string many;
  for (int i = 0; i < 170'000; ++i) many += packets::compact_peers({at("1.2.3.4", 6881)});
  EXPECT_EQ(parse(bencode::Dictionary().add("peers", many)).value().peers.size(), 200u);
  bencode::List list;
  const auto peer = bencode::Dictionary().add("ip", "1.2.3.4").add("port", 1).encode();
  for (int i = 0; i < 26'000; ++i) list.add_encoded(peer);
  EXPECT_EQ(parse(bencode::Dictionary().add("peers", list)).value().peers.size(), 200u);
}

TEST(AnnounceReplyTest, ClampsTheInterval) {
  const std::vector<std::pair<const char*, seconds>> table = {
      {"d8:intervali900ee", 900s},
      {"d8:intervali0ee", 60s},
      {"d8:intervali-1ee", 60s},
      {"d8:intervali-9223372036854775808ee", 60s},
      {"de", 1800s},
      {"d8:intervali9223372036854775807ee", 86'400s},
      {"d8:intervali9223372036854775808ee", 1800s},  // no number of ours: as if missing
      {"d8:interval3:900e", 1800s},
      {"d8:intervali900e12:min intervali1000ee", 1000s},
      {"d8:intervali900e12:min intervali100ee", 900s},
      {"d8:intervali900e12:min intervali9223372036854775807ee", 86'400s},
      {"d8:intervali5e12:min intervali-5ee", 60s},
  };
  for (const auto& [body, expected] : table) {
    const auto reply = parse(body);
    if (!reply) {  // a number past 64 bits may also make the whole reply malformed
      EXPECT_STREQ(body, "d8:intervali9223372036854775808ee");
      continue;
    }
    EXPECT_EQ(reply->interval, expected) << body;
  }
}

TEST(AnnounceReplyTest, TakesNoPeersBesideAFailureAndHonoursItsRetry) {
  const auto failure = [](auto key, auto value) {
    return parse(bencode::Dictionary()
                     .add("failure reason", "unregistered torrent")
                     .add("peers", packets::compact_peers({at("1.2.3.4", 6881)}))
                     .add(key, value))
        .value();
  };
  const AnnounceReply plain = failure("x", 1);
  EXPECT_EQ(plain.failure_reason, "unregistered torrent");
  EXPECT_THAT(plain.peers, IsEmpty());
  EXPECT_EQ(plain.retry_in, std::nullopt);
  EXPECT_FALSE(plain.retry_never);
  EXPECT_EQ(failure("retry in", 7).retry_in, 420s);
  EXPECT_EQ(failure("retry in", 0).retry_in, 60s);
  EXPECT_EQ(failure("retry in", -1).retry_in, 60s);
  EXPECT_EQ(failure("retry in", INT64_MAX).retry_in, 86'400s);
  EXPECT_TRUE(failure("retry in", "never").retry_never);
  EXPECT_FALSE(failure("retry in", "later").retry_never);
  EXPECT_EQ(failure("interval", 900).retry_in, 900s);
}

TEST(AnnounceReplyTest, ShowsATrackersWordsSoThatTheyCannotSteerATerminal) {
  const auto shown = [](std::string_view reason) {
    return parse(bencode::Dictionary().add("failure reason", reason)).value().failure_reason;
  };
  EXPECT_EQ(shown("\x1b[2Jowned\r\n"), "\\x1b[2Jowned\\x0d\\x0a");
  EXPECT_EQ(shown("Pas enregistr\xc3\xa9 \xe4\xb8\xad\xf0\x9f\x98\x80"),
            "Pas enregistr\xc3\xa9 \xe4\xb8\xad\xf0\x9f\x98\x80");
  EXPECT_EQ(shown("\xc2\x9b"
                  "1m"),
            "\\xc2\\x9b1m");  // C1 CSI
  EXPECT_EQ(shown("\xe2\x80\xae"
                  "x"),
            "\\xe2\\x80\\xaex");                                          // right-to-left override
  EXPECT_EQ(shown("\xc0\xaf\xed\xa0\x80"), "\\xc0\\xaf\\xed\\xa0\\x80");  // overlong, surrogate
  EXPECT_EQ(shown("\xe4\xb8"), "\\xe4\\xb8");                             // cut short
  EXPECT_EQ(shown(std::string_view("a\0b", 3)), "a\\x00b");
  EXPECT_EQ(shown(std::string(1000, 'x')).size(), 200u);
  EXPECT_LE(shown(std::string(1000, '\n')).size(), 200u);
  EXPECT_NE(shown(""), "") << "still a failure";
}

TEST(AnnounceReplyTest, ForgetsATrackerIdThatIsTooLong) {
  EXPECT_EQ(parse(bencode::Dictionary().add("tracker id", std::string(1024, 'x')))
                .value()
                .tracker_id.size(),
            1024u);
  EXPECT_EQ(
      parse(bencode::Dictionary().add("tracker id", std::string(1025, 'x'))).value().tracker_id,
      "");
}

TEST(AnnounceReplyTest, SaysWhatOurAddressIsInTheTrackersEyes) {  // BEP 24
  const auto seen = [](std::string_view bytes) {
    return parse(bencode::Dictionary().add("external ip", bytes)).value().external_ip;
  };
  using namespace std::string_view_literals;
  EXPECT_EQ(seen("\x01\x02\x03\x04"), asio::ip::make_address("1.2.3.4"));
  EXPECT_EQ(seen("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07"sv),
            asio::ip::make_address("2001:db8::7"));
  EXPECT_EQ(seen("\0\0\0\0\0\0\0\0\0\0\xff\xff\x01\x02\x03\x04"sv),
            asio::ip::make_address("1.2.3.4"));
  for (const std::size_t size : {0, 3, 5, 15, 17}) {
    EXPECT_EQ(seen(std::string(size, 'x')), std::nullopt) << size;
  }
  EXPECT_EQ(parse("d11:external ipi1ee").value().external_ip, std::nullopt);
}

TEST(AnnounceReplyTest, RefusesWhatIsNoDictionary) {
  const std::vector<std::string> table = {
      "",
      "<html><body>It works!</body></html>",
      "i1e",
      "le",
      "5:peers",
      "d",
      "d8:interval",
      "d8:intervali60e",
      std::string(100'000, 'l'),
      std::string(100'000, 'd'),
      "d5:peers99999999:e",
  };
  for (const std::string& body : table) {
    EXPECT_EQ(parse(body).error(), NetErrc::malformed_reply) << body.substr(0, 40);
  }
}

RC_GTEST_PROP(AnnounceReplyProperty, ReadsAnyBytesWithinItsBounds, (std::string garbage)) {
  const std::string start = *rc::gen::element<std::string>("", "d", "d5:peers", "d5:peers6:abcdef",
                                                           "d8:interval", "d14:failure reason");
  const auto reply = parse(start + garbage);
  if (!reply) return;
  RC_ASSERT(reply->peers.size() <= kMaxPeersPerReply);
  RC_ASSERT(reply->interval >= kMinInterval && reply->interval <= kMaxInterval);
  for (const Endpoint& peer : reply->peers) RC_ASSERT(peer.port() != 0);
}

// ---- Timing rules

TEST(AnnounceBackOffTest, DoublesFromFifteenSecondsToHalfAnHour) {
  EXPECT_EQ(announce_back_off(1, false, 0.5), 15s);
  EXPECT_EQ(announce_back_off(2, false, 0.5), 30s);
  EXPECT_EQ(announce_back_off(7, false, 0.5), 960s);
  EXPECT_EQ(announce_back_off(8, false, 0.5), 30min);
  EXPECT_EQ(announce_back_off(4'000'000'000, false, 0.5), 30min);
  EXPECT_EQ(announce_back_off(1, true, 0.5), 5s);
  EXPECT_EQ(announce_back_off(2, true, 0.5), 10s);
  EXPECT_EQ(announce_back_off(4'000'000'000, true, 0.5), 30min);
}

RC_GTEST_PROP(AnnounceBackOffProperty, StaysWithinTwentyPercentAndTheLimit, ()) {
  const auto failures = *rc::gen::inRange<std::uint32_t>(1, 100);
  const bool eager = *rc::gen::arbitrary<bool>();
  const double fraction = *rc::gen::inRange(0, 1000) / 1000.0;
  const Duration middle = announce_back_off(failures, eager, 0.5);
  const Duration pause = announce_back_off(failures, eager, fraction);
  RC_ASSERT(pause >= middle * 79 / 100 && pause <= middle * 121 / 100);
  RC_ASSERT(pause <= kMaxAnnounceBackOff);
  RC_ASSERT(pause >= announce_back_off(failures, eager, 0.0));
}

}  // namespace
}  // namespace swarmfs::net
