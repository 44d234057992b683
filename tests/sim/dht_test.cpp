// Our DHT node among a thousand simulated ones, in virtual time. The simulated nodes judge whatever
// it sends (TearDown), and a tap sees where it sends to.
#include "net/dht.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <iterator>
#include <optional>

#include "net/connect_policy.h"
#include "net/reachability.h"
#include "tests/sim/our_dht.h"

namespace swarmfs::sim {
namespace {

using testing::IsEmpty;

constexpr std::uint64_t kSeed = 20'260'731;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

class DhtTest : public testing::Test {
 protected:
  DhtTest() : net_(loop_, kSeed) {
    RecordProperty("seed", std::to_string(kSeed));
    net_.set_tap([this](const DatagramNet::Message& message) { see(message); });
  }
  void TearDown() override {
    ours_.reset();
    ASSERT_TRUE(dht_);
    EXPECT_THAT(dht_->complaints(), IsEmpty());
    EXPECT_THAT(forbidden_, IsEmpty()) << "sent to addresses where nobody may be";
  }

  void populate(DhtSpec spec) {
    spec.seed = kSeed;
    spec_ = spec;
    dht_.emplace(loop_, net_, spec);
    if (spec.v4) at_.push_back(us4_);
    if (spec.v6) at_.push_back(us6_);
    for (const UdpEndpoint& endpoint : at_) dht_->watch(endpoint);
  }
  void start(net::DhtState saved = {}, bool with_routers = true) {
    OurDht::Config config;
    config.seed = kSeed + 1;
    config.at = at_;
    if (with_routers) config.routers = dht_->routers();
    config.saved = std::move(saved);
    ours_.emplace(loop_, net_, config);
  }
  Torrent torrent() { return announced_torrent(*dht_, rng_, spec_.v4, spec_.v6); }
  Looked look_up(const Torrent& torrent) {
    return ours_->look_up(torrent.info_hash, torrent.peers);
  }
  void see(const DatagramNet::Message& message) {
    if (std::find(at_.begin(), at_.end(), message.from) == at_.end()) return;
    if (net::scope_of(message.to.address()) != net::Scope::global || message.to.port() == 0)
      forbidden_.push_back(message.to);
    if (spy_) spy_(message);
  }
  void ask_us(const UdpEndpoint& from, DhtMethod method = DhtMethod::find_node) {
    DhtQuery query;
    query.transaction = "fl";
    query.method = method;
    query.id = id_fitting(from.address(), rng_);
    query.target = random_dht_id(rng_);
    net_.send(from, us4_, bytes_of(write(query)));
  }
  bool in_table(const UdpEndpoint& endpoint) {
    const net::DhtState saved = ours_->dht().save();
    return std::any_of(saved.nodes.begin(), saved.nodes.end(),
                       [&](const auto& node) { return node.endpoint == endpoint; });
  }

  SimLoop loop_;
  DatagramNet net_;
  Rng rng_{kSeed};
  DhtSpec spec_;
  std::optional<SimDht> dht_;
  const UdpEndpoint us4_ = random_home(rng_, false), us6_ = random_home(rng_, true);
  std::vector<UdpEndpoint> at_;
  std::optional<OurDht> ours_;
  std::vector<UdpEndpoint> forbidden_;
  std::function<void(const DatagramNet::Message&)> spy_;
};

// As a mount of a magnet link does the first time: the search does not wait for the table.
TEST_F(DhtTest, FromTwoRoutersAndNothingElseFindsMostPeersOfATorrentWithinSeconds) {
  populate({});
  start();
  const Looked looked = look_up(torrent());
  std::printf("cold: first true peer after %.0f ms, end after %.0f ms, %llu messages, %zu of 20\n",
              to_ms(looked.first.value_or(1h)), to_ms(looked.took.value_or(1h)),
              static_cast<unsigned long long>(looked.messages), looked.true_peers);
  ASSERT_TRUE(looked.first);
  EXPECT_LT(to_ms(*looked.first), 3000);
  EXPECT_GE(looked.true_peers, 18U);
  EXPECT_EQ(looked.found.size(), looked.true_peers) << "peers that nobody announced";
  loop_.run_for(1min);
  EXPECT_TRUE(ours_->dht().status().bootstrapped);
  EXPECT_TRUE(fits_address(id_of(ours_->dht().id()), us4_.address())) << "BEP 42";
  EXPECT_TRUE(fits_address(dht_->id_of_watched(us4_), us4_.address())) << "BEP 42";
}

TEST_F(DhtTest, JoiningAsksNobodyTheSameTwiceAndMakesUsKnownToOurNeighbours) {
  populate({});
  std::map<std::pair<UdpEndpoint, DhtId>, int> asked;
  spy_ = [&](const DatagramNet::Message& message) {
    const DhtMessage ours = read_dht_message(message.payload);
    const auto* query = std::get_if<DhtQuery>(&ours);
    if (query != nullptr && query->method == DhtMethod::find_node)
      ++asked[{message.to, query->target}];
  };
  start();
  loop_.run_for(6s);
  EXPECT_GT(asked.size(), 20U);
  for (const auto& [what, times] : asked) EXPECT_EQ(times, 1) << what.first;
  EXPECT_GE(dht_->known_by(us4_), 4U) << "our neighbours do not know us";
}

TEST_F(DhtTest, OnAWarmTableALookupTakesLessThanASecondThoughAFifthOfTheNodesIsSilent) {
  populate({.nodes = 1});  // measured in a world of its own
  const LookupFigures figures = measure_lookups({.seed = kSeed});
  std::printf("warm, 20 %% silent: %s\n", describe(figures).c_str());
  EXPECT_EQ(figures.without_peer, 0U);
  EXPECT_LT(to_ms(figures.median), 600);
  EXPECT_LT(to_ms(figures.p95), 1500);
  EXPECT_LT(figures.messages, 80);
  EXPECT_GE(figures.peers, 18);
}

TEST_F(DhtTest, PoisonersInTheMidstHideNoTorrent) {
  populate({.poison = 0.1});
  start();
  loop_.run_for(2min);
  std::vector<Looked> lookups;
  for (int i = 0; i < 60; ++i) lookups.push_back(look_up(torrent()));
  for (const Looked& looked : lookups) {
    EXPECT_TRUE(looked.first) << "a torrent hidden";
    for (const net::Endpoint& peer : looked.found) {
      EXPECT_EQ(net::scope_of(peer.address()), net::Scope::global) << peer;
      EXPECT_NE(peer.port(), 0);
    }
  }
  const LookupFigures figures = figures_of(std::move(lookups));
  std::printf("10 %% poisoners: %s\n", describe(figures).c_str());
  EXPECT_LT(to_ms(figures.median), 1000);
  EXPECT_LT(figures.messages, 120);
}

// What became of 30 lookups, each with an announcement, in a world of which a third poisons.
struct AmongPoisoners {
  std::vector<Looked> lookups;
  std::size_t unannounced = 0;  // no true node holds it
};

AmongPoisoners look_up_among_poisoners(std::uint64_t seed) {
  SimLoop loop;
  DatagramNet net(loop, seed);
  Rng rng(seed);
  const UdpEndpoint us = random_home(rng, false);
  SimDht dht(loop, net, {.seed = seed, .poison = 0.33});
  dht.watch(us);
  OurDht::Config config;
  config.seed = seed + 1;
  config.at = {us};
  config.routers = dht.routers();
  OurDht ours(loop, net, config);
  loop.run_for(5min);
  AmongPoisoners result;
  for (int i = 0; i < 30; ++i) {
    const Torrent some = announced_torrent(dht, rng);
    result.lookups.push_back(ours.look_up(some.info_hash, some.peers, 51'413));
    loop.run_for(5s);
    if (dht.holders(some.info_hash, {us.address(), 51'413}) == 0) ++result.unannounced;
  }
  return result;
}

// Accomplices pose as the closest nodes and answer: they want all announcements. Of 3,000 lookups
// in 100 worlds 0.7 % found no peer in their first pass, and one in a thousand announced to nobody
// true. So of these 240 about 2, and hardly any; three times as many would be a change.
TEST_F(DhtTest, AThirdOfPoisonersHidesFewTorrentsAndSwallowsFewAnnouncements) {
  populate({.nodes = 1});  // measured in worlds of their own
  std::vector<Looked> lookups;
  std::size_t unannounced = 0;
  for (std::uint64_t seed = kSeed; seed < kSeed + 8; ++seed) {
    AmongPoisoners some = look_up_among_poisoners(seed);
    std::move(some.lookups.begin(), some.lookups.end(), std::back_inserter(lookups));
    unannounced += some.unannounced;
  }
  const LookupFigures figures = figures_of(std::move(lookups));
  std::printf("33 %% poisoners: %s; %zu of %zu announced to nobody\n", describe(figures).c_str(),
              unannounced, figures.lookups);
  EXPECT_LE(figures.without_peer, 6U);
  EXPECT_LE(unannounced, 2U);
  EXPECT_LT(to_ms(figures.p95), 1500);
  EXPECT_LT(figures.messages, 60);
}

TEST_F(DhtTest, AFirstLookupAmongPoisonersFindsPeersToo) {
  populate({.poison = 0.1});
  start();
  EXPECT_TRUE(look_up(torrent()).first);
}

// Mounted, announced, and nobody reads.
TEST_F(DhtTest, IdleCostsAFewBytesASecond) {
  populate({});
  start();
  const Torrent mounted = torrent();
  std::size_t passes = 0;
  net::DhtSearchRequest request;
  request.info_hash = digest_of(mounted.info_hash);
  request.announce_port = 51'413;
  request.found = [](std::span<const net::Endpoint>) {};
  request.pass_done = [&](const net::DhtPass&) { ++passes; };
  const net::DhtSearch search = ours_->dht().search(std::move(request));
  loop_.run_for(kWarmUp);
  passes = 0;
  const Traffic before = ours_->traffic();
  loop_.run_for(30min);
  const Traffic during = ours_->traffic() - before;
  const double sent = static_cast<double>(during.bytes_sent) / (30 * 60);
  const double received = static_cast<double>(during.bytes_received) / (30 * 60);
  const double headers =
      static_cast<double>((during.messages_sent + during.messages_received) * kHeaders4) /
      (30 * 60);
  const net::DhtStatus status = ours_->dht().status();
  std::printf(
      "idle: %.0f B/s sent, %.0f B/s received, %.0f B/s of headers, %zu passes; %zu nodes in our "
      "table, in %zu tables\n",
      sent, received, headers, passes, status.good_nodes, dht_->known_by(us4_));
  EXPECT_LT(sent + received + headers, 200);
  EXPECT_GE(passes, 2U) << "the search has come to an end";
  EXPECT_GT(status.good_nodes, 40U);
  EXPECT_GT(dht_->known_by(us4_), 5U) << "nobody asks us: the figure says nothing";
  EXPECT_TRUE(status.reachable);
}

TEST_F(DhtTest, OnlyNodesThatAnswerStandInTheTable) {
  populate({.poison = 0.1});
  start();
  loop_.run_for(20min);
  const net::DhtState saved = ours_->dht().save();
  EXPECT_GT(saved.nodes.size(), 40U);
  for (const net::NodeContact& node : saved.nodes) {
    const SimDhtNode* const there = dht_->node_at(node.endpoint);
    ASSERT_NE(there, nullptr) << "a node that does not exist: " << node.endpoint;
    EXPECT_NE(there->conduct(), Conduct::silent);
    EXPECT_NE(there->conduct(), Conduct::behind_nat);
    EXPECT_EQ(id_of(node.id), there->self().id);
  }
}

TEST_F(DhtTest, AfterHalfAnHourOfComingAndGoingALookupStillWorks) {
  populate({.churning = 0.5});
  start();
  loop_.run_for(30min);
  std::vector<Looked> lookups;
  for (int i = 0; i < 30; ++i) lookups.push_back(look_up(torrent()));
  const LookupFigures figures = figures_of(std::move(lookups));
  std::printf("50 %% churning: %s\n", describe(figures).c_str());
  EXPECT_EQ(figures.without_peer, 0U);
  EXPECT_LT(to_ms(figures.median), 1000);
}

TEST_F(DhtTest, WhatWasSavedIsEnoughToStartWithoutRouters) {
  populate({.churning = 0.3});
  start();
  loop_.run_for(kWarmUp);
  const std::string bytes = net::encode_dht_state(ours_->dht().save());
  const net::NodeId id = ours_->dht().id();
  ours_.reset();
  loop_.run_for(30min);
  start(net::decode_dht_state(bytes_of(bytes)), /*with_routers=*/false);
  EXPECT_EQ(ours_->dht().id(), id);
  const Looked looked = look_up(torrent());
  ASSERT_TRUE(looked.first);
  EXPECT_LT(to_ms(*looked.first), 2000);
  EXPECT_GE(looked.true_peers, 15U);
}

// -- Reachable or not (BEP 43)

TEST_F(DhtTest, StrangersHearOfANewNodeAndShowItThatItCanBeReached) {
  populate({});
  start();
  EXPECT_TRUE(loop_.run_until([this] { return ours_->dht().status().reachable; },
                              loop_.now() + net::kTrial));
  std::printf("reached by a stranger after %.0f s\n", to_seconds(loop_.elapsed()));
  loop_.run_for(20min);
  std::size_t read_only = 0;
  spy_ = [&](const DatagramNet::Message& message) {
    const DhtMessage ours = read_dht_message(message.payload);
    const auto* query = std::get_if<DhtQuery>(&ours);
    read_only += query != nullptr && query->read_only ? 1 : 0;
  };
  EXPECT_TRUE(look_up(torrent()).first);
  EXPECT_EQ(read_only, 0U);
}

TEST_F(DhtTest, ANodeBehindANatSaysSoSoonAndFindsPeersAllTheSame) {
  populate({});
  net_.put_behind_nat(us4_);
  start();
  loop_.run_for(net::kTrial + 1min);
  EXPECT_FALSE(ours_->dht().status().reachable);
  EXPECT_GE(dht_->known_by(us4_), 3U) << "a trial that nobody noticed proves nothing";
  std::size_t queries = 0, read_only = 0;
  spy_ = [&](const DatagramNet::Message& message) {
    const DhtMessage ours = read_dht_message(message.payload);
    const auto* query = std::get_if<DhtQuery>(&ours);
    ASSERT_NE(query, nullptr) << "a read-only node answers nothing";
    ++queries;
    read_only += query->read_only ? 1 : 0;
  };
  const Looked looked = look_up(torrent());
  ASSERT_TRUE(looked.first);
  EXPECT_LT(to_ms(*looked.first), 600);
  EXPECT_EQ(read_only, queries);
  loop_.run_for(1h);
  EXPECT_LE(dht_->known_by(us4_), 1U) << "still in tables for nothing";
}

// -- Floods and forgeries

TEST_F(DhtTest, OneHostThatAsksAllTheTimeIsAnsweredFiftyTimesAndThenIgnored) {
  populate({});
  start();
  loop_.run_for(1min);
  const UdpEndpoint flooder = random_home(rng_, false);
  std::uint64_t answers = 0;
  spy_ = [&](const auto& message) { answers += message.to == flooder ? 1 : 0; };
  for (int i = 0; i < 1000; ++i) {
    ask_us(flooder);
    loop_.run_for(10ms);
  }
  EXPECT_GE(answers, 10U);
  EXPECT_LE(answers, 52U) << "50, and a question or two of ours whether it is a node";
  answers = 0;
  loop_.run_for(1min);
  for (int i = 0; i < 10; ++i) {
    ask_us(flooder);
    loop_.run_for(1s);
  }
  EXPECT_EQ(answers, 0U) << "banned for five minutes";
  // Somebody else is answered.
  const UdpEndpoint polite = random_home(rng_, false);
  spy_ = [&](const auto& message) { answers += message.to == polite ? 1 : 0; };
  ask_us(polite);
  loop_.run_for(1s);
  EXPECT_GE(answers, 1U);
}

TEST_F(DhtTest, AFloodFromForgedAddressesGetsNoMoreThanTheAnswerBudget) {
  populate({});
  start();
  loop_.run_for(1min);
  std::set<UdpEndpoint> forged;
  std::uint64_t bytes = 0, questions = 0;
  spy_ = [&](const DatagramNet::Message& message) {
    if (!forged.contains(message.to)) return;
    bytes += message.payload.size();
    questions += std::holds_alternative<DhtQuery>(read_dht_message(message.payload)) ? 1 : 0;
  };
  const TimePoint began = loop_.now();
  for (int i = 0; i < 10'000; ++i) {
    const UdpEndpoint from = random_home(rng_, false);
    forged.insert(from);
    ask_us(from, i % 2 == 0 ? DhtMethod::find_node : DhtMethod::get_peers);
    loop_.run_for(1ms);
  }
  loop_.run_for(2s);
  const double seconds = to_seconds(loop_.now() - began);
  std::printf("forged flood: %llu bytes in %.0f s, %llu questions of ours\n",
              static_cast<unsigned long long>(bytes), seconds,
              static_cast<unsigned long long>(questions));
  EXPECT_GT(bytes, 10'000U) << "nobody was answered: the test says nothing";
  // kAnswerBurst and kAnswerRate of net/dht_limits, and our questions whether they are nodes.
  EXPECT_LT(static_cast<double>(bytes), 16'000 + 8'000 * seconds + 10'000);
  EXPECT_LT(questions, 100U);
  EXPECT_TRUE(look_up(torrent()).first) << "after a flood the table is what it was";
}

TEST_F(DhtTest, AnswersThatNobodyAskedForEnterNothing) {
  populate({});
  start();
  loop_.run_for(kWarmUp);
  const auto before = ours_->dht().save();
  const UdpEndpoint stranger = random_home(rng_, false);
  DhtReply reply;
  reply.id = id_fitting(stranger.address(), rng_);
  reply.token = "x";
  const UdpEndpoint evil_peer = random_home(rng_, false);
  reply.values = {evil_peer};
  reply.nodes4 = {{random_dht_id_near(id_of(ours_->dht().id()), 60, rng_), stranger}};
  // Any transaction that we might be using, from somebody we never asked.
  for (int i = 0; i < 65'536; i += 7) {
    reply.transaction = {static_cast<char>(i >> 8), static_cast<char>(i & 0xff)};
    net_.send(stranger, us4_, bytes_of(write(reply)));
    if (i % 70 == 0) loop_.run_for(1ms);
  }
  loop_.run_for(5s);
  EXPECT_FALSE(in_table(stranger));
  // The very transaction of each of our queries, sooner than the true answer: from another host,
  // and from another port of the host that was asked.
  int forged = 0;
  spy_ = [&](const DatagramNet::Message& message) {
    const DhtMessage ours = read_dht_message(message.payload);
    const auto* query = std::get_if<DhtQuery>(&ours);
    if (query == nullptr) return;
    ++forged;
    reply.transaction = query->transaction;
    net_.send(stranger, us4_, bytes_of(write(reply)));
    const auto port = static_cast<std::uint16_t>(message.to.port() ^ 1);
    net_.send({message.to.address(), port}, us4_, bytes_of(write(reply)));
  };
  const Looked looked = look_up(torrent());
  EXPECT_GT(forged, 10);
  EXPECT_TRUE(looked.first);
  EXPECT_EQ(looked.found.size(), looked.true_peers) << "a forged peer was believed";
  EXPECT_FALSE(in_table(stranger));
  EXPECT_EQ(ours_->dht().id(), before.id);
}

TEST_F(DhtTest, WhoeverAsksUsDoesNotEnterTheTableUnasked) {
  populate({});
  start();
  loop_.run_for(kWarmUp);
  const UdpEndpoint stranger = random_home(rng_, false);  // never answers
  for (int i = 0; i < 5; ++i) {
    ask_us(stranger);
    loop_.run_for(10s);
  }
  EXPECT_FALSE(in_table(stranger));
}

// -- Announcing

TEST_F(DhtTest, WhoLooksAfterOurAnnouncementFindsUs) {
  populate({});
  start();
  loop_.run_for(2min);
  const Torrent of_others = torrent();
  const Looked ours = ours_->look_up(of_others.info_hash, of_others.peers, 51'413);
  loop_.run_for(5s);  // announcements may be on their way
  EXPECT_GE(ours.pass.announced, 6U);
  EXPECT_GE(dht_->holders(of_others.info_hash, {us4_.address(), 51'413}), 5U);
  OurDht::Config config;
  config.seed = kSeed + 2;
  config.at = {random_home(rng_, false)};
  config.routers = dht_->routers();
  OurDht another(loop_, net_, config);
  const Looked theirs =
      another.look_up(of_others.info_hash, {net::Endpoint(us4_.address(), 51'413)});
  EXPECT_EQ(theirs.true_peers, 1U) << "we are not found";
}

TEST_F(DhtTest, WhatOthersAnnounceToUsIsToldAndForgottenAfterAWhile) {
  populate({.errands_per_minute = 0});
  start();
  loop_.run_for(1min);
  const UdpEndpoint peer = random_home(rng_, false), asker = random_home(rng_, false);
  std::optional<DhtReply> answer;
  const auto remember = [&](std::span<const std::byte> payload, const UdpEndpoint&) {
    const DhtMessage message = read_dht_message(payload);
    if (const auto* reply = std::get_if<DhtReply>(&message)) answer = *reply;
  };
  net_.attach(peer, remember);
  net_.attach(asker, remember);
  const auto ask = [&](const UdpEndpoint& from, DhtMethod method, const std::string& token) {
    DhtQuery query;
    query.transaction = "xy";
    query.method = method;
    query.id = id_fitting(from.address(), rng_);
    query.target = dht_->id_of_watched(us4_);  // close to us
    query.token = token;
    query.port = 7000;
    query.read_only = true;
    for (int tries = 0; tries < 5; ++tries) {  // one in fifty is lost
      answer.reset();
      net_.send(from, us4_, bytes_of(write(query)));
      loop_.run_for(2s);
      if (answer) return *answer;
    }
    return DhtReply{};
  };
  const DhtReply first = ask(peer, DhtMethod::get_peers, "");
  EXPECT_EQ(first.your_address, peer) << "BEP 42: ip";
  EXPECT_FALSE(first.values);
  ASSERT_FALSE(first.token.empty());
  (void)ask(peer, DhtMethod::announce_peer, first.token);
  EXPECT_EQ(ask(asker, DhtMethod::get_peers, "").values,
            std::vector{UdpEndpoint(peer.address(), 7000)});
  loop_.run_for(2h);
  EXPECT_FALSE(ask(asker, DhtMethod::get_peers, "").values) << "remembered for ever";
}

// -- Families

TEST_F(DhtTest, WorksOnIPv6Alone) {
  populate({.v4 = false, .v6 = true});
  start();
  loop_.run_for(2min);
  const Looked looked = look_up(torrent());
  ASSERT_TRUE(looked.first);
  EXPECT_LT(to_ms(*looked.first), 1500);
  EXPECT_GE(looked.true_peers, 16U);
  EXPECT_TRUE(fits_address(dht_->id_of_watched(us6_), us6_.address())) << "BEP 42";
}

TEST_F(DhtTest, OnBothFamiliesFindsThePeersOfBoth) {
  populate({.nodes = 500, .v6 = true});
  start();
  loop_.run_for(2min);
  const Looked looked = look_up(torrent());
  std::size_t of_v6 = 0;
  for (const net::Endpoint& peer : looked.found) of_v6 += peer.address().is_v6() ? 1 : 0;
  EXPECT_GE(of_v6, 16U);
  EXPECT_GE(looked.true_peers - of_v6, 16U);
  EXPECT_GT(ours_->dht().status().good_nodes6, 20U);
  EXPECT_TRUE(fits_address(dht_->id_of_watched(us4_), us4_.address())) << "BEP 42";
  EXPECT_TRUE(fits_address(dht_->id_of_watched(us6_), us6_.address())) << "BEP 42";
}

// One router of one family leads to both networks (BEP 32's want).
TEST_F(DhtTest, FindsTheOtherFamilyThroughTheFirst) {
  populate({.nodes = 300, .v6 = true});
  OurDht::Config config;
  config.seed = kSeed + 1;
  config.at = at_;
  config.routers = {dht_->routers()[0]};  // IPv4
  ours_.emplace(loop_, net_, config);
  loop_.run_for(5min);
  EXPECT_GT(ours_->dht().status().good_nodes6, 20U);
}

// -- The same seed

TEST_F(DhtTest, TheSameSeedGivesTheSameMessages) {
  populate({.nodes = 1});
  const auto trace = [](std::uint64_t seed) {
    SimLoop loop;
    DatagramNet net(loop, 1);
    SimDht dht(loop, net, {.seed = 1, .nodes = 300, .churning = 0.2, .poison = 0.1});
    Rng rng(1);
    OurDht::Config config;
    config.seed = seed;
    config.at = {random_home(rng, false)};
    config.routers = dht.routers();
    OurDht ours(loop, net, config);
    loop.run_for(5min);
    for (int i = 0; i < 5; ++i) {
      const Torrent torrent = announced_torrent(dht, rng);
      (void)ours.look_up(torrent.info_hash, torrent.peers, 7000);
    }
    return net.trace();
  };
  EXPECT_EQ(trace(1), trace(1));
  EXPECT_NE(trace(1), trace(2));
}

}  // namespace
}  // namespace swarmfs::sim
