#include "net/lsd.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "net/lsd_message.h"
#include "tests/unit/net/loopback_server.h"
#include "tests/unit/net/scripted_datagram.h"

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;
using storage::InfoHash;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

constexpr const char* kGroup = "239.192.152.143:6771";

InfoHash hash_of(unsigned number) {
  InfoHash hash;
  hash.bytes[0] = static_cast<std::byte>(number >> 8);
  hash.bytes[1] = static_cast<std::byte>(number);
  return hash;
}

class LsdTest : public testing::Test {
 protected:
  struct Heard {
    InfoHash torrent;
    Endpoint peer;
    bool operator==(const Heard&) const = default;
  };
  void SetUp() override {
    add_lan("eth0", "239.192.152.143", "192.168.1.7", 24);
    make(6881);
  }
  void TearDown() override { run_task(context, lsd->stop()); }

  void add_lan(const char* name, const char* group, const char* ours, unsigned prefix) {
    nets.push_back({name, udp_at(group, kLsdPort), {asio::ip::make_address(ours), prefix}, {}, {}});
  }
  void make(std::uint16_t port, std::uint64_t seed = 1) {
    lsd = std::make_unique<Lsd>(Lsd::Parts{
        .executor = context.get_executor(),
        .clock = clock,
        .open_sockets = [this] { return open(); },
        .port = port,
        .seed = seed,
        .found = [this](const InfoHash& torrent,
                        std::span<const Endpoint> peers) { on_found(torrent, peers); },
        .log = [this](const std::string& line) { log.push_back(line); },
    });
  }
  std::vector<LsdSocket> open() {
    std::vector<LsdSocket> sockets;
    for (Net& net : nets) {
      if (net.far) net.earlier.push_back(net.far);
      net.far = std::make_shared<FarNet>(context.get_executor());
      sockets.push_back({std::make_unique<ScriptedDatagram>(net.far, net.group),
                         net.group,
                         {net.link},
                         net.name});
    }
    return sockets;
  }
  void on_found(const InfoHash& torrent, std::span<const Endpoint> peers) {
    for (const Endpoint& peer : peers) found.push_back({torrent, peer});
  }

  void settle() {
    context.restart();
    context.poll();
  }
  void pass(Duration time) {
    const TimePoint end = clock.now() + time;
    settle();
    while (clock.earliest_timer() && *clock.earliest_timer() <= end) {
      clock.advance_to_next();
      settle();
    }
    clock.advance(end - clock.now());
    settle();
  }
  // What was sent to a network since asked last, as values.
  std::vector<LsdAnnounce> sent(std::size_t net = 0) {
    std::vector<LsdAnnounce> announces;
    auto sockets = nets[net].earlier;
    sockets.push_back(nets[net].far);
    for (const auto& socket : sockets) {
      if (!socket) continue;
      for (const FarNet::Sent& datagram : socket->sent) {
        EXPECT_EQ(datagram.to, nets[net].group);
        const auto read = parse_lsd(std::as_bytes(std::span(datagram.payload)));
        EXPECT_TRUE(read) << datagram.payload;
        if (read) announces.push_back(*read);
      }
      socket->sent.clear();
    }
    return announces;
  }
  void hear(unsigned torrent, const char* source, std::uint16_t port, std::string cookie = "other",
            std::size_t net = 0) {
    nets[net].far->arrive(encode_lsd({port, {hash_of(torrent)}, std::move(cookie)}, kGroup),
                          udp_at(source, 50000));
    settle();
  }
  void run_with(std::uint16_t port, unsigned torrent) {
    make(port);
    lsd->announce(hash_of(torrent));
    lsd->start();
    pass(0s);
  }

  struct Net {
    std::string name;
    UdpEndpoint group;
    OnLink link;
    std::shared_ptr<FarNet> far;
    std::vector<std::shared_ptr<FarNet>> earlier;  // sockets opened before
  };
  asio::io_context context;
  ManualClock clock;
  std::vector<Net> nets;
  std::vector<Heard> found;
  std::vector<std::string> log;
  std::unique_ptr<Lsd> lsd;
};

// ---- Announcing

TEST_F(LsdTest, AnnouncesAtStartAndThenEveryFiveMinutes) {
  run_with(6881, 1);
  const auto first = sent();
  ASSERT_THAT(first, SizeIs(1));
  EXPECT_EQ(first[0].port, 6881);
  EXPECT_THAT(first[0].info_hashes, ElementsAre(hash_of(1)));
  EXPECT_THAT(first[0].cookie, Not(IsEmpty()));
  pass(kLsdInterval - 1s);
  EXPECT_THAT(sent(), IsEmpty());
  pass(kLsdSpread + 1s);
  EXPECT_THAT(sent(), ElementsAre(first[0]));
  pass(1h);
  const std::size_t in_an_hour = sent().size();
  EXPECT_GE(in_an_hour, 11u);
  EXPECT_LE(in_an_hour, 12u);
}

TEST_F(LsdTest, SendsTheTorrentsOfOneTurnTogether) {
  make(6881);
  lsd->start();
  lsd->announce(hash_of(1));
  lsd->announce(hash_of(2));
  pass(0s);
  const auto datagrams = sent();
  ASSERT_THAT(datagrams, SizeIs(1));
  EXPECT_THAT(datagrams[0].info_hashes, ElementsAre(hash_of(1), hash_of(2)));
}

TEST_F(LsdTest, ATorrentThatComesLongAfterTheStartIsAnnouncedAtOnce) {
  make(6881);
  lsd->start();
  pass(10s);
  EXPECT_THAT(sent(), IsEmpty());
  lsd->announce(hash_of(1));
  pass(0s);
  EXPECT_THAT(sent(), SizeIs(1));
}

TEST_F(LsdTest, NeverSendsTwiceInAMinute) {
  run_with(6881, 1);
  ASSERT_THAT(sent(), SizeIs(1));
  for (unsigned torrent = 2; torrent < 50; ++torrent) {
    pass(1s);
    lsd->announce(hash_of(torrent));
    hear(1, "192.168.1.8", static_cast<std::uint16_t>(torrent), std::to_string(torrent));
  }
  EXPECT_THAT(sent(), IsEmpty());
  pass(kLsdMinInterval - 48s);
  EXPECT_THAT(sent(), SizeIs(1));
}

TEST_F(LsdTest, WhatDoesNotFitFollowsInAMinute) {
  make(6881);
  for (unsigned torrent = 0; torrent < 30; ++torrent) lsd->announce(hash_of(torrent));
  lsd->start();
  pass(0s);
  const auto first = sent();
  ASSERT_THAT(first, SizeIs(1));
  EXPECT_GE(first[0].info_hashes.size(), 20u);
  pass(kLsdMinInterval);
  const auto second = sent();
  ASSERT_THAT(second, SizeIs(1));
  EXPECT_EQ(first[0].info_hashes.size() + second[0].info_hashes.size(), 30u);
  EXPECT_EQ(second[0].info_hashes.back(), hash_of(29));
}

TEST_F(LsdTest, SaysNothingOfATorrentThatWasWithdrawn) {
  run_with(6881, 1);
  ASSERT_THAT(sent(), SizeIs(1));
  lsd->announce(hash_of(2));
  lsd->withdraw(hash_of(1));
  pass(kLsdMinInterval);
  const auto datagrams = sent();
  ASSERT_THAT(datagrams, SizeIs(1));
  EXPECT_THAT(datagrams[0].info_hashes, ElementsAre(hash_of(2)));
  lsd->withdraw(hash_of(2));
  pass(1h);
  EXPECT_THAT(sent(), IsEmpty());
}

TEST_F(LsdTest, OnlyListensWhenNobodyCanReachUs) {
  run_with(0, 1);
  hear(1, "192.168.1.8", 51413);
  EXPECT_THAT(found,
              ElementsAre(Heard{hash_of(1), {asio::ip::make_address("192.168.1.8"), 51413}}));
  pass(1h);
  EXPECT_THAT(sent(), IsEmpty());
}

TEST_F(LsdTest, HostsWithOtherSeedsKeepOtherTimesAndCookies) {
  std::set<std::string> cookies;
  std::set<Duration> intervals;
  for (const std::uint64_t seed : {1u, 2u, 3u}) {
    run_task(context, lsd->stop());
    make(6881, seed);
    lsd->announce(hash_of(1));
    lsd->start();
    pass(0s);
    const TimePoint start = clock.now();
    cookies.insert(sent().at(0).cookie);
    while (sent().empty()) pass(100ms);
    intervals.insert(clock.now() - start);
  }
  EXPECT_EQ(cookies.size(), 3u);
  EXPECT_EQ(intervals.size(), 3u);
}

// ---- Networks

TEST_F(LsdTest, SpeaksToEachNetworkInItsFamily) {
  add_lan("eth0", "ff15::efc0:988f", "2001:db8::7", 64);
  run_with(6881, 1);
  EXPECT_THAT(sent(0), SizeIs(1));
  ASSERT_THAT(nets[1].far->sent, SizeIs(1));
  EXPECT_THAT(nets[1].far->sent[0].payload, HasSubstr("\r\nHost: [ff15::efc0:988f]:6771\r\n"));
  EXPECT_THAT(log, ElementsAre("local service discovery on: eth0 (IPv4), eth0 (IPv6)"));
  hear(1, "2001:db8::8", 51413, "six", 1);
  EXPECT_THAT(found,
              ElementsAre(Heard{hash_of(1), {asio::ip::make_address("2001:db8::8"), 51413}}));
}

TEST_F(LsdTest, FindsANetworkThatComesLater) {
  const auto lan = nets;
  nets.clear();
  make(6881);
  lsd->announce(hash_of(1));
  lsd->start();
  pass(3min);
  EXPECT_THAT(log, ElementsAre("local service discovery on: none"));
  nets = lan;
  pass(kLsdMinInterval);
  EXPECT_THAT(log, SizeIs(2));
  EXPECT_THAT(sent(), SizeIs(1));
  hear(1, "192.168.1.8", 51413);
  EXPECT_THAT(found, SizeIs(1));
}

TEST_F(LsdTest, LeavesTheSocketsOfBeforeWhenItLooksAround) {
  run_with(6881, 1);
  const auto before = nets[0].far;
  pass(kLsdInterval + kLsdSpread);
  EXPECT_TRUE(before->closed);
  EXPECT_NE(before, nets[0].far);
  EXPECT_EQ(before.use_count(), 2) << "a coroutine still holds the old socket";  // here, `earlier`
  hear(1, "192.168.1.8", 51413);
  EXPECT_THAT(found, SizeIs(1));
  EXPECT_THAT(log, SizeIs(1)) << "nothing has changed";
}

TEST_F(LsdTest, IsSilentAndDeafOnceStopped) {
  run_with(6881, 1);
  (void)sent();
  run_task(context, lsd->stop());
  EXPECT_TRUE(nets[0].far->closed);
  pass(1h);
  EXPECT_THAT(sent(), IsEmpty());
  EXPECT_EQ(clock.earliest_timer(), std::nullopt);
}

// ---- Hearing

TEST_F(LsdTest, FindsOnlyPeersOfOurTorrentsAndNotOurselves) {
  run_with(6881, 1);
  const std::string cookie = sent().at(0).cookie;
  hear(2, "192.168.1.8", 1);
  hear(1, "192.168.1.7", 6881, cookie);
  EXPECT_THAT(found, IsEmpty());
  hear(1, "192.168.1.7", 7000, "another client on this host");
  EXPECT_THAT(found, ElementsAre(Heard{hash_of(1), {asio::ip::make_address("192.168.1.7"), 7000}}));
}

TEST_F(LsdTest, BelievesOnlyWhoIsOnOurNetwork) {
  add_lan("eth1", "239.192.152.143", "203.0.113.7", 26);  // a campus with addresses of its own
  run_with(6881, 1);
  hear(1, "8.8.8.8", 1);
  hear(1, "203.0.113.8", 2);  // heard on the wrong network
  hear(1, "203.0.113.64", 3, "b", 1);
  hear(1, "0.0.0.0", 4);
  EXPECT_THAT(found, IsEmpty());
  hear(1, "203.0.113.8", 5, "c", 1);
  hear(1, "10.99.0.1", 6);
  hear(1, "169.254.3.4", 7);
  hear(1, "127.0.0.1", 8);
  EXPECT_THAT(found, SizeIs(4));
}

TEST_F(LsdTest, IsNotImpressedByNoise) {
  run_with(6881, 1);
  for (const std::string& noise :
       {std::string("M-SEARCH * HTTP/1.1\r\n\r\n"), std::string(kMaxLsdMessage + 1, 'x'),
        std::string("\0\0\0", 3), std::string()}) {
    nets[0].far->arrive(noise, udp_at("192.168.1.8", 50000));
  }
  hear(1, "192.168.1.8", 51413);
  EXPECT_THAT(found, SizeIs(1));
}

TEST_F(LsdTest, BelievesAFewPortsOfASenderInAMinute) {
  run_with(6881, 1);
  for (std::uint16_t port = 1; port <= 100; ++port) hear(1, "192.168.1.8", port);
  EXPECT_THAT(found, SizeIs(kMaxLsdPeersPerSource));
  hear(1, "192.168.1.9", 1);
  EXPECT_THAT(found, SizeIs(kMaxLsdPeersPerSource + 1)) << "somebody else is not to blame";
  pass(1min);
  hear(1, "192.168.1.8", 101);
  EXPECT_THAT(found, SizeIs(kMaxLsdPeersPerSource + 2));
}

TEST_F(LsdTest, BelievesAHundredAddressesInAMinute) {
  run_with(6881, 1);
  for (unsigned host = 0; host < 1000; ++host) {
    const asio::ip::address_v4 source(0x0a000000 + host);
    hear(1, source.to_string().c_str(), 6881);
  }
  EXPECT_THAT(found, SizeIs(kMaxLsdPeers));
}

TEST_F(LsdTest, AnswersANewcomerSoonButNobodyTwice) {
  run_with(6881, 1);
  (void)sent();
  pass(2min);
  hear(1, "192.168.1.8", 51413, "x");
  pass(kLsdAnswerSpread);
  EXPECT_THAT(sent(), SizeIs(1));
  pass(1min);
  hear(1, "192.168.1.8", 51413, "x");
  pass(1min);
  EXPECT_THAT(sent(), IsEmpty()) << "it knows us";
  hear(1, "192.168.1.8", 51413, "restarted");
  pass(kLsdAnswerSpread);
  EXPECT_THAT(sent(), SizeIs(1)) << "it has forgotten us";
}

TEST_F(LsdTest, DoesNotAnswerEveryoneWhereThereAreMany) {
  run_with(6881, 1);
  for (unsigned i = 0; i < kMaxLsdHeard; ++i) {
    const asio::ip::address_v4 source(0x0a000000 + i);
    hear(1, source.to_string().c_str(), 6881);
  }
  pass(kLsdMinInterval);
  ASSERT_THAT(sent(), Not(IsEmpty()));
  pass(kLsdMinInterval);
  hear(1, "10.9.9.9", 6881);
  pass(kLsdAnswerSpread);
  EXPECT_THAT(sent(), IsEmpty());
  pass(3 * kLsdInterval);  // all of them are gone
  (void)sent();
  pass(kLsdMinInterval);
  hear(1, "10.9.9.9", 6881);
  pass(kLsdAnswerSpread);
  EXPECT_THAT(sent(), SizeIs(1));
}

TEST_F(LsdTest, TheTorrentMayBeWithdrawnByWhoeverIsToldOfAPeer) {
  struct Withdrawing {
    Lsd* lsd = nullptr;
    int calls = 0;
  } state;
  lsd = std::make_unique<Lsd>(Lsd::Parts{
      .executor = context.get_executor(),
      .clock = clock,
      .open_sockets = [this] { return open(); },
      .port = 6881,
      .seed = 1,
      .found =
          [&state](const InfoHash& torrent, auto) {
            ++state.calls;
            state.lsd->withdraw(torrent);
          },
      .log = [](const std::string&) {},
  });
  state.lsd = lsd.get();
  lsd->announce(hash_of(1));
  lsd->announce(hash_of(2));
  lsd->start();
  pass(0s);
  nets[0].far->arrive(encode_lsd({7, {hash_of(1), hash_of(2)}, "x"}, kGroup),
                      udp_at("192.168.1.8", 50000));
  settle();
  EXPECT_EQ(state.calls, 2);
}

}  // namespace
}  // namespace swarmfs::net
