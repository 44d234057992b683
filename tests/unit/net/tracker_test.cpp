#include "net/tracker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/url.hpp>
#include <map>
#include <set>

#include "storage/bencode.h"
#include "tests/unit/net/loopback_server.h"
#include "tests/unit/net/scripted_datagram.h"
#include "tests/unit/net/udp_tracker_packets.h"

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
namespace bencode = storage::bencode;

Endpoint at(const char* address, std::uint16_t port) {
  return {asio::ip::make_address(address), port};
}

std::string parameter(const std::string& url, const char* key) {  // decoded
  const auto parsed = boost::urls::parse_uri(url);
  EXPECT_TRUE(parsed) << url;
  const auto params = parsed->params();
  const auto found = params.find(key);
  return found == params.end() ? "(none)" : std::string((*found).value);
}

// Trackers that answer from a script, in virtual time.
class AnnouncerTest : public testing::Test {
 protected:
  using Script = std::function<Result<HttpReply>(const HttpRequest&)>;

  void TearDown() override {
    // A test's own script may refer to its variables, which are gone by now.
    script = [](const HttpRequest&) { return Result<HttpReply>(NetErrc::timed_out); };
    if (announcer) stop();
    if (udp_port) run_task(context, udp_port->stop());
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
      // Hosts have addresses of one family, unless a test says otherwise.
      const bool stopping = request.deadline == kStopDeadline;
      if (request.family != Family::any && !stopping && !both_families) {
        return answer(error_code(asio::error::host_not_found));
      }
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
    return {.executor = context.get_executor(),
            .clock = clock,
            .tiers = std::move(tiers),
            .allow_local = allow_local,
            .identity = {},
            .progress = [] { return std::pair<std::uint64_t, std::uint64_t>(11, 22); },
            .found =
                [this](std::span<const Endpoint> peers, PeerSource source) {
                  for (const Endpoint& peer : peers) found.emplace_back(peer, source);
                },
            .log = [this](const std::string& line) { log.push_back(line); },
            .udp = udp_port.get(),
            .seed = 1,
            .user_tiers = user_tiers,
            .seen_at =
                [this](const asio::ip::address& witness, const asio::ip::address& ours) {
                  witnesses.push_back(witness.to_string());
                  our_addresses.push_back(ours.to_string());
                }};
  }
  // From here on there is a UDP port, of IPv4 only.
  void open_udp() {
    std::vector<std::unique_ptr<Datagram>> sockets;
    sockets.push_back(std::make_unique<ScriptedDatagram>(far, udp_at("0.0.0.0", 6881)));
    udp_port = std::make_unique<UdpPort>(context.get_executor(), std::move(sockets));
    udp_port->start();
  }
  // What was sent last is answered as a tracker does.
  void answer_udp(const std::string& peers = {}) {
    const FarNet::Sent request = far->sent.back();
    const std::uint32_t transaction = packets::transaction_of(request.payload);
    far->arrive(packets::is_connect(request.payload) ? packets::connected(transaction, 5)
                                                     : packets::announced(transaction, 900, peers),
                request.to);
    settle();
  }
  // Hosts asked over HTTP since the last call.
  std::vector<std::string> hosts() {
    std::vector<std::string> names;
    for (; looked_at < asked.size(); ++looked_at) {
      names.push_back(parse_http_url(asked[looked_at].url).value().host);
    }
    return names;
  }
  void pass(Duration time) {
    clock.advance(time);
    settle();
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
    if (udp_port) return stop_in_time();
    run_task(context, announcer->stop());
    announcer.reset();
  }
  void stop_in_time() {  // nobody answers over UDP any more
    bool stopped = false;
    asio::co_spawn(context, announcer->stop(), [&stopped](std::exception_ptr) { stopped = true; });
    settle();
    while (!stopped && clock.advance_to_next()) settle();
    ASSERT_TRUE(stopped);
    announcer.reset();
  }
  static Result<HttpReply> reply(const bencode::Dictionary& body, const char* remote = "8.8.8.8",
                                 unsigned status = 200) {
    return HttpReply{status, body.encode(), asio::ip::make_address(remote)};
  }
  static bencode::Dictionary one_peer(std::int64_t interval = 900) {
    return bencode::Dictionary()
        .add("interval", interval)
        .add("peers", packets::compact_peers({at("1.2.3.4", 5)}));
  }
  std::string event(std::size_t i) const { return parameter(asked.at(i).url, "event"); }

  asio::io_context context;
  ManualClock clock;
  bool allow_local = false;
  bool silent = false;
  bool both_families = false;
  std::size_t user_tiers = 0;
  std::size_t looked_at = 0;
  Script script;
  std::vector<HttpRequest> asked;
  std::vector<TimePoint> times;
  std::vector<std::pair<Endpoint, PeerSource>> found;
  std::vector<std::string> log;
  std::vector<std::string> our_addresses, witnesses;
  std::shared_ptr<FarNet> far = std::make_shared<FarNet>(context.get_executor());
  std::unique_ptr<UdpPort> udp_port;
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

TEST_F(AnnouncerTest, SaysOnceWhatItSkips) {
  announce(
      {{"udp://a:80/announce", "udp://b:80/announce"}, {"http://c/announce"}, {"http://d:0/x"}},
      [](const HttpRequest&) { return reply(one_peer()); });
  EXPECT_EQ(asked.size(), 1u);
  EXPECT_THAT(log, ElementsAre("tracker http://d:0: bad URL", "no UDP port: 2 UDP trackers skipped",
                               "tracker http://c: 1 peers"));
  stop();
  announce({{"udp://a:80/announce"}}, {});
  EXPECT_EQ(announcer->status(), "no UDP port: 1 UDP trackers skipped");
  stop();
  announce({}, {});
  EXPECT_EQ(announcer->status(), "no trackers");
}

TEST_F(AnnouncerTest, NeverShowsAPasskey) {
  open_udp();
  announce({{"http://user:secret@a/secret/announce?k=secret"},
            {"bad://u:secret@h/secret"},
            {"udp://u:secret@127.0.0.1:1/secret"},
            {"udp://h:1?secret", "udp://u:secret@h:0?secret"}},
           [](const HttpRequest&) -> Result<HttpReply> { return NetErrc::timed_out; });
  ASSERT_GE(log.size(), 4u);
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

// ---- Tiers (BEP 12)

Result<HttpReply> dead() {
  return NetErrc::timed_out;
}

TEST_F(AnnouncerTest, OnlyTheFirstToAnswerKeepsAnnouncing) {
  announce({{"http://a/announce", "http://b/announce"}, {"http://c/announce"}},
           [](const HttpRequest&) { return reply(one_peer()); });
  EXPECT_THAT(hosts(), ElementsAre("a", "b", "c"));
  for (int i = 0; i < 3; ++i) {
    pass(900s);
    EXPECT_THAT(hosts(), ElementsAre("a", "c")) << "one a tier";
  }
  EXPECT_EQ(announcer->status(), "3 of 3 trackers answered, 3 peers");
}

TEST_F(AnnouncerTest, ADeadTrackerOfATierThatAnsweredIsLeftAlone) {
  announce({{"http://dead/announce", "http://good/announce"}}, [](const HttpRequest& request) {
    return request.url.starts_with("http://good/") ? reply(one_peer()) : dead();
  });
  EXPECT_THAT(hosts(), ElementsAre("dead", "good"));
  pass(899s);
  EXPECT_THAT(hosts(), IsEmpty());
  pass(1s);
  EXPECT_THAT(hosts(), ElementsAre("good"));
}

TEST_F(AnnouncerTest, WhenTheOneFailsTheOthersOfItsTierAreTriedInTurn) {
  std::set<std::string> up = {"a", "c"};
  const auto script_of_up = [&up](const HttpRequest& request) {
    return up.contains(parse_http_url(request.url).value().host) ? reply(one_peer()) : dead();
  };
  announce({{"http://a/announce", "http://b/announce", "http://c/announce"}}, script_of_up);
  EXPECT_THAT(hosts(), ElementsAre("a", "b", "c"));
  up = {"b", "c"};
  pass(900s);
  EXPECT_THAT(hosts(), ElementsAre("a", "c")) << "c, which answered, stands before b";
  pass(880s);
  EXPECT_THAT(hosts(), IsEmpty()) << "a has to wait for c to fail";
  pass(20s);
  EXPECT_THAT(hosts(), ElementsAre("c"));
  up = {"b"};
  pass(900s);
  EXPECT_THAT(hosts(), ElementsAre("c", "a", "b"));
  up = {};
  pass(900s);
  EXPECT_THAT(hosts(), ElementsAre("b", testing::_, testing::_));
  pass(20s);  // a back-off of 15 s, more or less: all of them, until one answers
  EXPECT_THAT(hosts(), testing::Not(IsEmpty()));
  up = {"a"};
  pass(1h);
  (void)hosts();
  pass(900s);
  EXPECT_THAT(hosts(), ElementsAre("a"));
}

TEST_F(AnnouncerTest, AnotherTakesTheLeadFromATrackerThatSaysNever) {
  bool gone = false;
  announce({{"http://a/announce", "http://b/announce"}}, [&gone](const HttpRequest& request) {
    if (!gone || request.url.starts_with("http://b/")) return reply(one_peer());
    return reply(bencode::Dictionary().add("failure reason", "x").add("retry in", "never"));
  });
  (void)hosts();
  gone = true;
  pass(900s);
  EXPECT_THAT(hosts(), ElementsAre("a", "b"));
  pass(900s);
  EXPECT_THAT(hosts(), ElementsAre("b"));
}

TEST_F(AnnouncerTest, SaysStoppedToThoseThatSleepToo) {
  announce({{"http://a/announce", "http://b/announce"}},
           [](const HttpRequest&) { return reply(one_peer()); });
  (void)hosts();
  pass(900s);
  (void)hosts();
  run_task(context, announcer->stop());
  EXPECT_THAT(hosts(), ElementsAre("a", "b"));
}

// ---- Both families (BEP 7)

TEST_F(AnnouncerTest, TellsTheOtherFamilysAddressOfTheHostToo) {
  both_families = true;
  announce({{"http://a/announce"}}, [](const HttpRequest& request) {
    if (request.family != Family::ipv6) return reply(one_peer(), "8.8.8.8");
    return reply(bencode::Dictionary()
                     .add("interval", 60)
                     .add("peers6", packets::compact_peers({at("2001:db8::1", 6)})),
                 "2001:db8::9");
  });
  ASSERT_EQ(asked.size(), 2u);
  EXPECT_EQ(asked[0].family, Family::any);
  EXPECT_EQ(asked[1].family, Family::ipv6);
  EXPECT_EQ(event(1), "started");
  EXPECT_EQ(parameter(asked[0].url, "key"), parameter(asked[1].url, "key"));
  EXPECT_THAT(found, ElementsAre(std::pair(at("1.2.3.4", 5), PeerSource::tracker),
                                 std::pair(at("2001:db8::1", 6), PeerSource::tracker)));
  EXPECT_EQ(announcer->status(), "1 of 1 trackers answered, 2 peers");
  EXPECT_EQ(next_announce(), 900s) << "the pause is that of the first answer";
  EXPECT_EQ(event(2), "(none)");
  EXPECT_EQ(event(3), "(none)");
  run_task(context, announcer->stop());
  ASSERT_EQ(asked.size(), 6u);
  EXPECT_EQ(event(4), "stopped");
  EXPECT_EQ(asked[4].family, Family::ipv4);
  EXPECT_EQ(event(5), "stopped");
  EXPECT_EQ(asked[5].family, Family::ipv6);
}

TEST_F(AnnouncerTest, AHostThatAnswersOverOneFamilyOnlyIsNoFailure) {
  both_families = true;
  announce({{"http://a/announce"}}, [](const HttpRequest& request) {
    return request.family == Family::any ? reply(one_peer()) : dead();
  });
  EXPECT_EQ(asked.size(), 2u);
  EXPECT_THAT(log, ElementsAre("tracker http://a: 1 peers"));
  EXPECT_EQ(next_announce(), 900s);
}

TEST_F(AnnouncerTest, AnAddressHasNoOtherFamily) {
  both_families = true;
  announce({{"http://192.0.2.1/announce", "http://[2001:db8::1]/announce"}},
           [](const HttpRequest&) { return reply(one_peer()); });
  EXPECT_EQ(asked.size(), 2u);
}

TEST_F(AnnouncerTest, HandsOutWhatATrackerSaysOurAddressIs) {  // BEP 24
  using namespace std::string_literals;
  for (const std::string& ours : {"\x05\x06\x07\x08"s, "x"s}) {
    announce({{"http://a/announce"}},
             [ours](const HttpRequest&) { return reply(one_peer().add("external ip", ours)); });
    stop();
  }
  EXPECT_THAT(our_addresses, ElementsAre("5.6.7.8"));
  EXPECT_THAT(witnesses, ElementsAre("8.8.8.8"));
}

// ---- UDP

TEST_F(AnnouncerTest, AnnouncesOverUdp) {
  open_udp();
  announce({{"udp://8.8.8.8:6969/announce"}}, {});
  ASSERT_EQ(far->sent.size(), 1u);
  EXPECT_EQ(far->sent[0].to, udp_at("8.8.8.8", 6969));
  answer_udp();
  ASSERT_TRUE(packets::is_announce(far->sent[1].payload));
  EXPECT_EQ(packets::event_of(far->sent[1].payload), 2u);
  EXPECT_EQ(packets::number_at(far->sent[1].payload, 64, 8), 22u) << "left";
  EXPECT_EQ(far->sent[1].payload.substr(98), "\x02\x09/announce");
  answer_udp(packets::compact_peer(at("1.2.3.4", 5)));
  EXPECT_THAT(found, ElementsAre(std::pair(at("1.2.3.4", 5), PeerSource::tracker)));
  EXPECT_THAT(log, ElementsAre("tracker udp://8.8.8.8:6969: 1 peers"));
  EXPECT_EQ(announcer->status(), "1 of 1 trackers answered, 1 peers");
  pass(899s);
  EXPECT_EQ(far->sent.size(), 2u);
  pass(1s);
  ASSERT_EQ(far->sent.size(), 3u);
  answer_udp();
  EXPECT_EQ(packets::event_of(far->sent[3].payload), 0u);
  answer_udp();
  // The connection id is a second old: one datagram says it all.
  pass(1s);
  bool stopped = false;
  asio::co_spawn(context, announcer->stop(), [&stopped](std::exception_ptr) { stopped = true; });
  settle();
  ASSERT_EQ(far->sent.size(), 5u);
  EXPECT_EQ(packets::event_of(far->sent[4].payload), 3u);
  EXPECT_EQ(packets::number_at(far->sent[4].payload, 92, 4), 0u) << "peers wanted";
  pass(kStopDeadline);
  EXPECT_TRUE(stopped) << "the tracker does not answer";
}

TEST_F(AnnouncerTest, ASilentUdpTrackerKeepsNobodyWaiting) {
  open_udp();
  announce({{"udp://8.8.8.8:6969/announce", "http://a/announce"}},
           [](const HttpRequest&) { return reply(one_peer()); });
  EXPECT_EQ(found.size(), 1u);
  EXPECT_THAT(log, ElementsAre("tracker http://a: 1 peers"));
  pass(15s);
  pass(30s);
  EXPECT_THAT(log,
              ElementsAre("tracker http://a: 1 peers", "tracker udp://8.8.8.8:6969: timed out"));
  pass(200s);
  EXPECT_EQ(far->sent.size(), 2u) << "its tier has one that answers";
}

TEST_F(AnnouncerTest, MarksThePeersOfALocalUdpTracker) {
  open_udp();
  announce({{"udp://127.0.0.1:6969/announce"}}, {});
  answer_udp();
  answer_udp(packets::compact_peer(at("127.0.0.1", 5)));
  EXPECT_THAT(found, ElementsAre(std::pair(at("127.0.0.1", 5), PeerSource::local_tracker)));
}

TEST_F(AnnouncerTest, SendsNothingWhereThePolicyForbidsIt) {
  open_udp();
  announce({{"udp://127.0.0.1:53"}, {"udp://169.254.169.254:80/x"}, {"udp://255.255.255.255:1"}},
           {});
  EXPECT_THAT(far->sent, IsEmpty());
  EXPECT_EQ(log.size(), 3u);
  EXPECT_THAT(log[0], HasSubstr("address refused"));
  stop();
  user_tiers = 1;
  announce({{"udp://127.0.0.1:53"}, {"udp://127.0.0.1:54"}}, {});
  ASSERT_EQ(far->sent.size(), 1u) << "the user may ask whom they like";
  EXPECT_EQ(far->sent[0].to, udp_at("127.0.0.1", 53));
  stop();
  allow_local = true;
  announce({{}, {"udp://127.0.0.1:54"}}, {});
  EXPECT_EQ(far->sent.size(), 2u);
}

TEST_F(AnnouncerTest, SaysThatAUdpTrackersFamilyCannotBeReached) {
  open_udp();
  announce({{"udp://[2001:db8::1]:1/announce"}}, {});
  EXPECT_THAT(far->sent, IsEmpty());
  EXPECT_THAT(log, ElementsAre("tracker udp://[2001:db8::1]:1: Network is unreachable"));
}

TEST_F(AnnouncerTest, HonoursAUdpTrackersRefusal) {
  open_udp();
  announce({{"udp://8.8.8.8:1/announce"}}, {});
  far->arrive(packets::refused(packets::transaction_of(far->sent[0].payload), "banned"),
              far->sent[0].to);
  settle();
  EXPECT_THAT(log, ElementsAre("tracker udp://8.8.8.8:1: banned"));
  EXPECT_EQ(announcer->status(), "0 of 1 trackers answered (banned)");
}

// ---- The whole way, over a socket

TEST_F(AnnouncerTest, FindsPeersThroughARealServer) {
  LoopbackServer server(context, [](const std::string&) {
    return ok(
        bencode::Dictionary()
            .add("interval", 60)
            .add("peers", packets::compact_peers({at("127.0.0.1", 7001), at("10.0.0.1", 7002)}))
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
