#include "net/tracker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <boost/url.hpp>
#include <map>

#include "storage/bencode.h"
#include "tests/unit/net/loopback_server.h"

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
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

std::string compact(const std::vector<Endpoint>& peers) {
  std::string records;
  for (const Endpoint& peer : peers) {
    const auto append = [&records](const auto& bytes) {
      records.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    };
    if (peer.address().is_v4()) append(peer.address().to_v4().to_bytes());
    if (peer.address().is_v6()) append(peer.address().to_v6().to_bytes());
    records += static_cast<char>(peer.port() >> 8);
    records += static_cast<char>(peer.port() & 255);
  }
  return records;
}

TEST(AnnounceReplyTest, ReadsCompactPeersOfBothFamilies) {
  const auto reply = parse(bencode::Dictionary()
                               .add("interval", 1234)
                               .add("peers", compact({at("1.2.3.4", 6881), at("5.6.7.8", 65535)}))
                               .add("peers6", compact({at("2001:db8::1", 1)}))
                               .add("tracker id", "abc")
                               .add("external ip", "12345")
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
  const std::string two = compact({at("1.2.3.4", 6881), at("5.6.7.8", 2)});
  for (std::size_t size = 0; size <= two.size(); ++size) {
    const auto reply = parse(bencode::Dictionary().add("peers", two.substr(0, size)));
    EXPECT_EQ(reply.value().peers.size(), size / 6) << size;
  }
  const std::string six = compact({at("2001:db8::1", 7), at("2001:db8::2", 8)});
  for (std::size_t size = 0; size <= six.size(); ++size) {
    const auto reply = parse(bencode::Dictionary().add("peers6", six.substr(0, size)));
    EXPECT_EQ(reply.value().peers.size(), size / 18) << size;
  }
  const std::string zero = compact({at("1.2.3.4", 0), at("5.6.7.8", 2)});
  EXPECT_THAT(parse(bencode::Dictionary().add("peers", zero)).value().peers,
              ElementsAre(at("5.6.7.8", 2)));
}

TEST(AnnounceReplyTest, WritesMappedAddressesAsIPv4) {
  const auto reply = parse(bencode::Dictionary().add("peers6", compact({at("::ffff:1.2.3.4", 5)})));
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
  for (int i = 0; i < 170'000; ++i) many += compact({at("1.2.3.4", 6881)});
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
                     .add("peers", compact({at("1.2.3.4", 6881)}))
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

// ---- Announcer

// Trackers that answer from a script, in virtual time.
class AnnouncerTest : public testing::Test {
 protected:
  using Script = std::function<Result<HttpReply>(const HttpRequest&)>;

  void TearDown() override {
    // A test's own script may refer to its variables, which are gone by now.
    script = [](const HttpRequest&) { return Result<HttpReply>(NetErrc::timed_out); };
    if (announcer) stop();
  }
  static Task<Result<HttpReply>> answer(Result<HttpReply> reply) { co_return reply; }
  static Task<Result<HttpReply>> never(Clock& clock, Duration deadline) {
    co_await clock.sleep(deadline);
    co_return NetErrc::timed_out;
  }
  void announce(std::vector<std::vector<std::string>> tiers, Script on_request) {
    script = std::move(on_request);
    Announcer::Parts parts = this->parts(std::move(tiers));
    parts.fetch = [this](HttpRequest request) {
      asked.push_back(request);
      times.push_back(clock.now());
      if (silent) return never(clock, request.deadline);
      return answer(script(request));
    };
    announcer = std::make_unique<Announcer>(std::move(parts));
    announcer->start();
    settle();
  }
  Announcer::Parts parts(std::vector<std::vector<std::string>> tiers) {
    return {context.get_executor(),
            clock,
            std::move(tiers),
            allow_local,
            AnnounceRequest{},
            [] { return std::pair<std::uint64_t, std::uint64_t>(11, 22); },
            [this](std::span<const Endpoint> peers, PeerSource source) {
              for (const Endpoint& peer : peers) found.emplace_back(peer, source);
            },
            [this](const std::string& line) { log.push_back(line); },
            {}};
  }
  void settle() {
    context.restart();
    context.poll();
  }
  // The virtual time until the next announce.
  Duration next_announce() {
    const std::size_t before = asked.size();
    const TimePoint from = times.back();
    while (asked.size() == before && clock.advance_to_next()) settle();
    return asked.size() == before ? Duration::max() : times.back() - from;
  }
  void stop() {
    silent = false;
    run_task(context, announcer->stop());
    announcer.reset();
  }
  static Result<HttpReply> reply(const bencode::Dictionary& body, const char* remote = "8.8.8.8",
                                 unsigned status = 200) {
    return HttpReply{status, body.encode(), asio::ip::make_address(remote)};
  }
  static bencode::Dictionary one_peer(std::int64_t interval = 900) {
    return bencode::Dictionary()
        .add("interval", interval)
        .add("peers", compact({at("1.2.3.4", 5)}));
  }
  std::string event(std::size_t i) const { return parameter(asked.at(i).url, "event"); }

  asio::io_context context;
  ManualClock clock;
  bool allow_local = false;
  bool silent = false;
  Script script;
  std::vector<HttpRequest> asked;
  std::vector<TimePoint> times;
  std::vector<std::pair<Endpoint, PeerSource>> found;
  std::vector<std::string> log;
  std::unique_ptr<Announcer> announcer;
};

TEST_F(AnnouncerTest, AsksEveryTrackerOfEveryTierAtOnce) {
  silent = true;
  announce(
      {{"http://a/announce", "https://b/announce"}, {"http://c/announce", "http://a/announce"}},
      {});
  ASSERT_EQ(asked.size(), 3u) << "one of them is named twice";
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(event(i), "started");
    EXPECT_EQ(parameter(asked[i].url, "downloaded"), "11");
    EXPECT_EQ(parameter(asked[i].url, "left"), "22");
    EXPECT_EQ(asked[i].source, UrlSource::tracker_list);
    EXPECT_EQ(asked[i].deadline, 30s);
  }
  EXPECT_EQ(announcer->status(), "0 of 3 trackers answered");
}

TEST_F(AnnouncerTest, HandsOnPeersAndComesBackAfterTheInterval) {
  announce({{"http://a/announce"}},
           [](const HttpRequest&) { return reply(one_peer().add("tracker id", "my id")); });
  EXPECT_THAT(found, ElementsAre(std::pair(at("1.2.3.4", 5), PeerSource::tracker)));
  EXPECT_EQ(announcer->status(), "1 of 1 trackers answered, 1 peers");
  EXPECT_EQ(next_announce(), 900s);
  EXPECT_EQ(event(1), "(none)");
  EXPECT_EQ(parameter(asked[0].url, "trackerid"), "(none)");
  EXPECT_EQ(parameter(asked[1].url, "trackerid"), "my id");
  EXPECT_EQ(log.size(), 1u) << "one line a change of state";
}

TEST_F(AnnouncerTest, MarksThePeersOfATrackerThatIsItselfLocal) {
  std::string remote;
  for (const auto& [address, source] :
       {std::pair("127.0.0.1", PeerSource::local_tracker),
        std::pair("fe80::1", PeerSource::local_tracker), std::pair("10.0.0.1", PeerSource::tracker),
        std::pair("8.8.8.8", PeerSource::tracker)}) {
    found.clear();
    announce({{"http://a/announce"}},
             [remote = address](const HttpRequest&) { return reply(one_peer(), remote); });
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0].second, source) << address;
    stop();
  }
}

TEST_F(AnnouncerTest, BacksOffWhileATrackerFailsAndSaysStartedUntilItIsHeard) {
  bool up = false;
  announce({{"http://a/announce"}}, [&up](const HttpRequest&) -> Result<HttpReply> {
    if (up) return reply(one_peer());
    return boost::system::errc::make_error_code(boost::system::errc::connection_refused);
  });
  Duration expected = 5s;
  for (int i = 0; i < 6; ++i) {
    const Duration pause = next_announce();
    EXPECT_GE(pause, expected * 8 / 10) << i;
    EXPECT_LE(pause, expected * 12 / 10) << i;
    expected *= 2;
  }
  EXPECT_EQ(announcer->status(), "0 of 1 trackers answered (Connection refused)");
  EXPECT_THAT(log, ElementsAre("tracker http://a: Connection refused"));
  up = true;
  next_announce();
  EXPECT_EQ(event(asked.size() - 1), "started");
  EXPECT_THAT(log,
              ElementsAre("tracker http://a: Connection refused", "tracker http://a: 1 peers"));
  up = false;
  EXPECT_EQ(next_announce(), 900s);
  EXPECT_EQ(event(asked.size() - 1), "(none)");
  EXPECT_EQ(log.size(), 3u);
  const Duration pause = next_announce();
  EXPECT_GE(pause, 12s) << "it has answered before: no hurry, and the failures count afresh";
  EXPECT_LE(pause, 18s);
}

TEST_F(AnnouncerTest, IsInNoHurryWithADeadTrackerWhileAnotherAnswers) {
  std::map<std::string, std::vector<TimePoint>> by_host;
  announce({{"http://good/announce"}, {"http://dead/announce"}},
           [&](const HttpRequest& request) -> Result<HttpReply> {
             const std::string host = parse_http_url(request.url).value().host;
             by_host[host].push_back(clock.now());
             if (host == "good") return reply(one_peer());
             return NetErrc::timed_out;
           });
  next_announce();
  ASSERT_EQ(by_host["dead"].size(), 2u);
  EXPECT_GE(by_host["dead"][1] - by_host["dead"][0], 12s);
  EXPECT_EQ(announcer->status(), "1 of 2 trackers answered, 1 peers");
}

TEST_F(AnnouncerTest, HonoursRetryIn) {
  announce({{"http://a/announce"}}, [](const HttpRequest&) {
    return reply(bencode::Dictionary().add("failure reason", "busy").add("retry in", 10), "8.8.8.8",
                 400);
  });
  EXPECT_THAT(log, ElementsAre("tracker http://a: busy"));
  EXPECT_EQ(next_announce(), 10min);
  EXPECT_THAT(found, IsEmpty());
}

TEST_F(AnnouncerTest, NeverReturnsToATrackerThatSaysNever) {
  announce({{"http://a/announce"}}, [](const HttpRequest&) {
    return reply(bencode::Dictionary().add("failure reason", "gone").add("retry in", "never"));
  });
  EXPECT_EQ(next_announce(), Duration::max());
  EXPECT_EQ(asked.size(), 1u);
}

TEST_F(AnnouncerTest, CountsPagesAndErrorStatusesAsFailures) {
  for (const auto& [status, body, expected] :
       {std::tuple(200u, "<html>", "tracker http://a: malformed reply"),
        std::tuple(503u, "<html>", "tracker http://a: HTTP status 503"),
        std::tuple(404u, "de", "tracker http://a: HTTP status 404")}) {
    log.clear();
    const HttpReply page{status, body, asio::ip::make_address("8.8.8.8")};
    announce({{"http://a/announce"}}, [page](const HttpRequest&) { return page; });
    EXPECT_THAT(log, ElementsAre(expected));
    stop();
  }
}

TEST_F(AnnouncerTest, SaysOnceThatUdpTrackersAreSkippedAndWhatItCannotRead) {
  announce(
      {{"udp://a:80/announce", "udp://b:80/announce"}, {"http://c/announce"}, {"http://d:0/x"}},
      [](const HttpRequest&) { return reply(one_peer()); });
  EXPECT_EQ(asked.size(), 1u);
  EXPECT_THAT(log, ElementsAre("tracker http://d:0: bad URL",
                               "UDP trackers are not supported yet: 2 skipped",
                               "tracker http://c: 1 peers"));
  stop();
  announce({{"udp://a:80/announce"}}, {});
  EXPECT_EQ(announcer->status(), "UDP trackers are not supported yet: 1 skipped");
  stop();
  announce({}, {});
  EXPECT_EQ(announcer->status(), "no trackers");
}

TEST_F(AnnouncerTest, NeverShowsAPasskey) {
  announce({{"http://user:secret@a/secret/announce?k=secret"}, {"bad://u:secret@h/secret"}},
           [](const HttpRequest&) -> Result<HttpReply> { return NetErrc::timed_out; });
  ASSERT_EQ(log.size(), 2u);
  for (const std::string& line : log) EXPECT_THAT(line, Not(HasSubstr("secret")));
}

TEST_F(AnnouncerTest, AsksAtMostAHundredTrackers) {
  std::vector<std::string> many;
  for (int i = 0; i < 1000; ++i) many.push_back("http://t" + std::to_string(i) + "/announce");
  announce({many}, [](const HttpRequest&) { return reply(one_peer()); });
  EXPECT_EQ(asked.size(), 100u);
  EXPECT_THAT(log.front(), HasSubstr("900 skipped"));
}

TEST_F(AnnouncerTest, SaysStoppedWhereItWasHeardAndNowhereElse) {
  announce({{"http://good/announce"}, {"http://dead/announce"}},
           [](const HttpRequest& request) -> Result<HttpReply> {
             if (request.url.starts_with("http://good/")) return reply(one_peer());
             return NetErrc::timed_out;
           });
  ASSERT_EQ(asked.size(), 2u);
  run_task(context, announcer->stop());
  ASSERT_EQ(asked.size(), 3u);
  EXPECT_TRUE(asked[2].url.starts_with("http://good/"));
  EXPECT_EQ(event(2), "stopped");
  EXPECT_EQ(asked[2].deadline, kStopDeadline);
  run_task(context, announcer->stop());
  EXPECT_EQ(asked.size(), 3u) << "said it twice";
  EXPECT_FALSE(clock.earliest_timer()) << "a loop goes on";
}

TEST_F(AnnouncerTest, StopsWithinASecondWhenNobodyListens) {
  announce({{"http://a/announce"}}, [](const HttpRequest&) { return reply(one_peer()); });
  silent = true;
  const TimePoint from = clock.now();
  bool stopped = false;
  asio::co_spawn(context, announcer->stop(), [&stopped](std::exception_ptr) { stopped = true; });
  settle();
  EXPECT_FALSE(stopped);
  while (!stopped && clock.advance_to_next()) settle();
  EXPECT_TRUE(stopped);
  EXPECT_EQ(clock.now() - from, kStopDeadline);
}

// ---- The whole way, over a socket

TEST_F(AnnouncerTest, FindsPeersThroughARealServer) {
  LoopbackServer server(context, [](const std::string&) {
    return ok(bencode::Dictionary()
                  .add("interval", 60)
                  .add("peers", compact({at("127.0.0.1", 7001), at("10.0.0.1", 7002)}))
                  .encode());
  });
  announcer = std::make_unique<Announcer>(parts({{server.url("/announce")}}));
  announcer->start();
  ASSERT_TRUE(run_until(context, [this] { return found.size() == 2; }));
  EXPECT_EQ(found[0], std::pair(at("127.0.0.1", 7001), PeerSource::local_tracker));
  clock.advance(60s);
  ASSERT_TRUE(run_until(context, [this] { return found.size() == 4; }));
  stop();
  ASSERT_EQ(server.requests().size(), 3u);
  EXPECT_THAT(server.requests()[0], HasSubstr("&event=started"));
  EXPECT_THAT(server.requests()[1], Not(HasSubstr("&event=")));
  EXPECT_THAT(server.requests()[2], HasSubstr("&event=stopped"));
  run_task(context, server.stop());
}

TEST_F(AnnouncerTest, StopsAtOnceWhileARealServerIsSilent) {
  LoopbackServer server(context, [](const std::string&) {
    return LoopbackServer::Answer{"", LoopbackServer::Then::hold};
  });
  announcer = std::make_unique<Announcer>(parts({{server.url("/announce")}}));
  announcer->start();
  ASSERT_TRUE(run_until(context, [&server] { return !server.requests().empty(); }));
  stop();  // no clock is turned
  EXPECT_TRUE(run_until(context, [&server] { return server.open() == 0; }));
  run_task(context, server.stop());
}

}  // namespace
}  // namespace swarmfs::net
