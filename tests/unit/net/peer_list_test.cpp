#include "net/peer_list.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <set>
#include <vector>

#include "net/peer_priority.h"

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;

class PeerListTest : public testing::Test {
 protected:
  static Endpoint at(const char* address, std::uint16_t port = 6881) {
    return {asio::ip::make_address(address), port};
  }
  static Endpoint stranger(std::uint32_t number) {  // 2.0.0.0 and up
    return {asio::ip::address_v4(0x02000000 + number), 6881};
  }
  bool add(const Endpoint& endpoint, PeerSource source = PeerSource::tracker) {
    return list.add(endpoint, source, now);
  }
  std::optional<Endpoint> dial() { return list.next_to_dial(now); }
  // How long after its end the only idle address is due again.
  Duration wait_after_gone(const Endpoint& endpoint) {
    list.on_gone(endpoint, now);
    return list.next_dial_time().value() - now;
  }

  PeerList list{false, 1};
  TimePoint now{1h};
};

TEST_F(PeerListTest, TakesAnAddressOnceAndGivesItOutOnce) {
  EXPECT_TRUE(add(at("1.2.3.4")));
  EXPECT_FALSE(add(at("1.2.3.4")));
  EXPECT_EQ(list.next_dial_time(), now);
  EXPECT_EQ(dial(), at("1.2.3.4"));
  EXPECT_EQ(dial(), std::nullopt);
  EXPECT_EQ(list.next_dial_time(), std::nullopt);
  EXPECT_EQ(list.size(), 1u);
  EXPECT_EQ(list.in_use(), 1u);
}

TEST_F(PeerListTest, KnowsOneHostUnderBothOfItsSpellings) {
  EXPECT_TRUE(add(at("::ffff:1.2.3.4")));
  EXPECT_FALSE(add(at("1.2.3.4")));
  EXPECT_EQ(dial(), at("1.2.3.4"));
  list.on_gone(at("::ffff:1.2.3.4"), now);
  EXPECT_EQ(list.in_use(), 0u);
}

TEST_F(PeerListTest, PeersThatDeliveredEarlierAreDialledBeforeStrangers) {
  add(at("1.1.1.1"));
  add(at("2.2.2.2"), PeerSource::remembered);
  EXPECT_EQ(dial(), at("2.2.2.2"));
  EXPECT_EQ(dial(), at("1.1.1.1"));
  EXPECT_FALSE(add(at("127.0.0.1"), PeerSource::remembered)) << "a file of the cache is a stranger";
  list.make_private();
  EXPECT_FALSE(add(at("3.3.3.3"), PeerSource::remembered));
}

TEST_F(PeerListTest, NamesThoseThatDeliveredTheBestFirst) {
  for (const char* address : {"1.1.1.1", "2.2.2.2", "3.3.3.3"}) add(at(address));
  add(at("4.4.4.4"), PeerSource::remembered);
  add(at("5.5.5.5"), PeerSource::remembered);
  while (const auto endpoint = dial()) list.on_connected(*endpoint, now);
  list.on_useful(at("3.3.3.3"), now);
  list.on_gone(at("4.4.4.4"), now);
  EXPECT_EQ(list.useful(), (std::vector{at("3.3.3.3"), at("5.5.5.5"), at("4.4.4.4")}));
}

// BEP 27.
TEST_F(PeerListTest, APrivateTorrentForgetsWhatPeersNamedAndTakesNoMore) {
  add(at("1.1.1.1"), PeerSource::pex);
  EXPECT_EQ(dial(), at("1.1.1.1"));
  add(at("2.2.2.2"), PeerSource::pex);
  add(at("3.3.3.3"), PeerSource::tracker);
  add(at("4.4.4.4"), PeerSource::user);
  EXPECT_EQ(list.make_private(), std::vector{at("1.1.1.1")});
  EXPECT_EQ(list.size(), 3u);
  list.on_gone(at("1.1.1.1"), now);
  EXPECT_EQ(list.size(), 2u) << "its connection was all that kept it";
  EXPECT_FALSE(add(at("5.5.5.5"), PeerSource::pex));
  EXPECT_TRUE(add(at("5.5.5.5"), PeerSource::tracker));
}

TEST_F(PeerListTest, ATrackersWordMakesAPeersWordGood) {
  add(at("1.1.1.1"), PeerSource::pex);
  add(at("2.2.2.2"), PeerSource::pex);
  EXPECT_EQ(dial(), at("1.1.1.1"));
  EXPECT_FALSE(add(at("1.1.1.1"), PeerSource::tracker)) << "it is known";
  EXPECT_FALSE(add(at("2.2.2.2"), PeerSource::user));
  EXPECT_TRUE(list.make_private().empty());
  EXPECT_EQ(list.size(), 2u);
  EXPECT_EQ(dial(), at("2.2.2.2"));
}

TEST_F(PeerListTest, RefusesWhatTheConnectPolicyRefuses) {
  EXPECT_FALSE(add(at("127.0.0.1")));
  EXPECT_FALSE(add(at("1.2.3.4", 0)));
  EXPECT_FALSE(add(at("255.255.255.255"), PeerSource::user));
  EXPECT_TRUE(add(at("127.0.0.1"), PeerSource::local_tracker));
  PeerList closed_network(true, 1);
  EXPECT_TRUE(closed_network.add(at("127.0.0.1"), PeerSource::tracker, now));
}

TEST_F(PeerListTest, DialsTheUsersPeersThenUsefulOnesThenStrangersThenFailures) {
  add(at("1.0.0.1"));  // becomes the useful one
  add(at("1.0.0.2"));  // becomes the failed one
  ASSERT_TRUE(dial() && dial());
  list.on_connected(at("1.0.0.1"), now);
  list.on_useful(at("1.0.0.1"), now);
  list.on_gone(at("1.0.0.1"), now);
  list.on_gone(at("1.0.0.2"), now);
  add(at("1.0.0.3"));
  add(at("1.0.0.4"), PeerSource::user);
  now += 1min;
  EXPECT_EQ(dial(), at("1.0.0.4"));
  EXPECT_EQ(dial(), at("1.0.0.1"));
  EXPECT_EQ(dial(), at("1.0.0.3"));
  EXPECT_EQ(dial(), at("1.0.0.2"));
}

TEST_F(PeerListTest, RetriesFailuresInTheOrderInWhichTheyAreDue) {
  for (std::uint32_t i = 0; i < 3; ++i) add(stranger(i));
  while (dial()) continue;
  for (const std::uint32_t gone : {2u, 0u, 1u}) {
    list.on_gone(stranger(gone), now);
    now += 10s;
  }
  now += 1min;
  EXPECT_EQ(dial(), stranger(2));
  EXPECT_EQ(dial(), stranger(0));
  EXPECT_EQ(dial(), stranger(1));
}

TEST_F(PeerListTest, WaitsTwiceAsLongAfterEachFailureUpToHalfAnHour) {
  add(stranger(1));
  Duration base = 5s;
  for (int failure = 1; failure <= 14; ++failure) {
    ASSERT_TRUE(dial()) << "failure " << failure;
    const Duration wait = wait_after_gone(stranger(1));
    EXPECT_GE(wait, std::min<Duration>(base * 8 / 10, 24min)) << "failure " << failure;
    EXPECT_LE(wait, std::min<Duration>(base * 12 / 10, 30min)) << "failure " << failure;
    now += wait - 1us;
    EXPECT_FALSE(dial()) << "dialled before it was due";
    now += 1us;
    base = std::min<Duration>(base * 2, 30min);
  }
}

TEST_F(PeerListTest, SpreadsTheRetriesOfPeersThatWereLostTogether) {
  for (std::uint32_t i = 0; i < 20; ++i) add(stranger(i));
  while (dial()) continue;
  std::set<TimePoint> due;
  for (std::uint32_t i = 0; i < 20; ++i) list.on_gone(stranger(i), now);
  while (const auto next = list.next_dial_time()) {
    due.insert(*next);
    (void)list.next_to_dial(*next);
  }
  EXPECT_GT(due.size(), 15u);
}

TEST_F(PeerListTest, ReturnsSoonToAPeerThatWasUsefulAndThenForgetsItsFailures) {
  add(stranger(1));
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(dial());
    now += wait_after_gone(stranger(1));
  }
  ASSERT_TRUE(dial());
  list.on_connected(stranger(1), now);
  list.on_useful(stranger(1), now);
  EXPECT_EQ(wait_after_gone(stranger(1)), 2s);
  now += 2s;
  ASSERT_TRUE(dial());  // it is not there now: a first failure again
  EXPECT_LE(wait_after_gone(stranger(1)), 6s);
}

TEST_F(PeerListTest, AHandshakeAloneDoesNotResetTheBackOffButALongConnectionDoes) {
  add(stranger(1));
  const auto fail_after = [this](Duration connected) {
    EXPECT_TRUE(dial());
    list.on_connected(stranger(1), now);
    now += connected;
    const Duration wait = wait_after_gone(stranger(1));
    now += wait;
    return wait;
  };
  fail_after(1s);
  fail_after(1s);
  EXPECT_GE(fail_after(1s), 16s) << "third failure in a row";
  EXPECT_LE(fail_after(2min), 6s) << "was connected for two minutes";
}

TEST_F(PeerListTest, ForgetsTheAddressThatFailedMostWhenItIsFull) {
  for (std::uint32_t i = 0; i < kMaxAddresses; ++i) ASSERT_TRUE(add(stranger(i)));
  EXPECT_FALSE(add(stranger(5000))) << "no reason to prefer one stranger to another";
  ASSERT_EQ(dial(), stranger(0));
  ASSERT_EQ(dial(), stranger(1));
  list.on_gone(stranger(0), now);
  list.on_gone(stranger(1), now);
  now += 6s;
  while (const auto next = list.next_to_dial(now)) {  // 1 fails a second time, the rest are in use
    if (*next == stranger(1)) list.on_gone(stranger(1), now);
  }
  list.on_gone(stranger(0), now);
  EXPECT_TRUE(add(stranger(5001)));
  EXPECT_TRUE(add(stranger(5002)));
  EXPECT_FALSE(add(stranger(5003))) << "what is left is in use or new";
  EXPECT_TRUE(add(at("9.9.9.9"), PeerSource::user)) << "the user's word displaces a stranger";
  EXPECT_EQ(list.size(), kMaxAddresses);
}

TEST_F(PeerListTest, ABanCoversEveryPortOfAHost) {
  add(at("1.2.3.4", 1));
  add(at("1.2.3.4", 2));
  add(at("1.2.3.5", 1));
  list.ban(at("::ffff:1.2.3.4", 1));
  EXPECT_TRUE(list.is_banned(at("1.2.3.4", 777)));
  EXPECT_FALSE(list.is_banned(at("1.2.3.5", 1)));
  EXPECT_FALSE(add(at("1.2.3.4", 3), PeerSource::user));
  EXPECT_EQ(list.size(), 1u);
  EXPECT_EQ(dial(), at("1.2.3.5", 1));
  EXPECT_EQ(dial(), std::nullopt);
}

TEST_F(PeerListTest, ABanOnLoopbackCoversOneEndpoint) {
  add(at("127.0.0.1", 1), PeerSource::user);
  add(at("127.0.0.1", 2), PeerSource::user);
  list.ban(at("127.0.0.1", 1));
  EXPECT_TRUE(list.is_banned(at("127.0.0.1", 1)));
  EXPECT_FALSE(list.is_banned(at("127.0.0.1", 2)));
  EXPECT_EQ(dial(), at("127.0.0.1", 2));
  EXPECT_EQ(dial(), std::nullopt);
}

TEST_F(PeerListTest, ABannedPeerInUseLeavesWhenItsConnectionEnds) {
  add(stranger(1));
  ASSERT_TRUE(dial());
  list.ban(stranger(1));
  EXPECT_EQ(list.in_use(), 1u);
  list.on_gone(stranger(1), now);
  EXPECT_EQ(list.size(), 0u);
  EXPECT_EQ(list.in_use(), 0u);
  now += 24h;
  EXPECT_EQ(dial(), std::nullopt);
}

// ---- BEP 40

class CrowdTest : public PeerListTest {
 protected:
  static constexpr std::uint32_t kPeers = 20;
  // Adds strangers and dials until only those who failed are left.
  std::vector<Endpoint> dialled_from(PeerList& crowd, std::uint32_t peers = kPeers) {
    for (std::uint32_t i = 0; i < peers; ++i) crowd.add(stranger(i), PeerSource::tracker, now);
    std::vector<Endpoint> dialled;
    while (const auto next = crowd.next_to_dial(now)) dialled.push_back(*next);
    return dialled;
  }
  static std::vector<Endpoint> every_other(const std::vector<Endpoint>& all, std::size_t from) {
    std::vector<Endpoint> some;
    for (std::size_t i = from; i < all.size(); i += 2) some.push_back(all[i]);
    return some;
  }
  static std::uint32_t priority(const Endpoint& peer) {
    return peer_priority({asio::ip::make_address(kOurs), 0}, peer);
  }
  static constexpr const char* kOurs = "123.213.32.10";
};

TEST_F(CrowdTest, EveryOtherStrangerIsTheOneOfHighestPriority) {
  PeerList crowd(false, 1, 5);
  crowd.external_address(asio::ip::make_address(kOurs));
  const auto dialled = dialled_from(crowd);
  ASSERT_EQ(dialled.size(), kPeers);
  const auto chosen = every_other(dialled, 0), arrived = every_other(dialled, 1);
  EXPECT_TRUE(std::is_sorted(chosen.begin(), chosen.end(), [](const auto& a, const auto& b) {
    return priority(a) > priority(b);
  }));
  EXPECT_TRUE(std::is_sorted(arrived.begin(), arrived.end()));
  EXPECT_EQ(chosen.front(),
            *std::max_element(dialled.begin(), dialled.end(), [](const auto& a, const auto& b) {
              return priority(a) < priority(b);
            }));
  EXPECT_FALSE(std::is_sorted(dialled.begin(), dialled.end()));
}

TEST_F(CrowdTest, LearningOurAddressLateIsAsGoodAsKnowingIt) {
  PeerList early(false, 1, 5), late(false, 1, 5);
  early.external_address(asio::ip::make_address(kOurs));
  for (std::uint32_t i = 0; i < kPeers; ++i) late.add(stranger(i), PeerSource::tracker, now);
  late.external_address(asio::ip::make_address("::ffff:123.213.32.10"));
  EXPECT_EQ(dialled_from(late, 0), dialled_from(early));
}

TEST_F(CrowdTest, GoesByArrivalWhereThereIsRoomForAllOrNoAddressOfOurs) {
  PeerList roomy(false, 1, kPeers), unknown(false, 1, 5), local(false, 1, 5);
  roomy.external_address(asio::ip::make_address(kOurs));
  local.external_address(asio::ip::make_address("192.168.1.2"));  // not how strangers see us
  for (PeerList* crowd : {&roomy, &unknown, &local}) {
    const auto dialled = dialled_from(*crowd);
    ASSERT_EQ(dialled.size(), kPeers);
    EXPECT_TRUE(std::is_sorted(dialled.begin(), dialled.end()));
  }
}

TEST_F(CrowdTest, StillDialsTheUsersPeersAndUsefulOnesFirst) {
  PeerList crowd(false, 1, 5);
  crowd.external_address(asio::ip::make_address(kOurs));
  for (std::uint32_t i = 0; i < kPeers; ++i) crowd.add(stranger(i), PeerSource::tracker, now);
  crowd.add(at("1.0.0.4"), PeerSource::user, now);
  EXPECT_EQ(crowd.next_to_dial(now), at("1.0.0.4"));
}

// Any sequence of events: an address is out at most once, never before it is due, never when
// banned; next_dial_time() tells the truth; the list stays within its bound.
RC_GTEST_PROP(PeerListProperty, HoldsWhateverHappens, ()) {
  PeerList list(false, *rc::gen::arbitrary<std::uint64_t>(), 4);
  TimePoint now{1h};
  std::set<Endpoint> out;
  std::set<asio::ip::address> banned;
  const auto any_peer = [] {
    return Endpoint(asio::ip::address_v4(0x02000000 + *rc::gen::inRange(0u, 12u)),
                    *rc::gen::element<std::uint16_t>(1, 2));
  };
  const int steps = *rc::gen::inRange(1, 200);
  for (int step = 0; step < steps; ++step) {
    const Endpoint peer = any_peer();
    switch (*rc::gen::inRange(0, 8)) {
      case 0:
        if (list.add(peer, *rc::gen::element(PeerSource::user, PeerSource::tracker), now)) {
          RC_ASSERT(!banned.contains(peer.address()));
        }
        break;
      case 1: {
        const auto due = list.next_dial_time();
        const auto next = list.next_to_dial(now);
        RC_ASSERT(next.has_value() == (due && *due <= now));
        if (!next) break;
        RC_ASSERT(out.insert(*next).second);
        RC_ASSERT(!banned.contains(next->address()));
        break;
      }
      case 2:
        list.on_connected(peer, now);
        break;
      case 3:
        list.on_useful(peer, now);
        break;
      case 4:
        list.on_gone(peer, now);
        out.erase(peer);
        break;
      case 5:
        if (*rc::gen::inRange(0, 10) != 0) break;
        list.ban(peer);
        banned.insert(peer.address());
        break;
      case 6:
        list.external_address(asio::ip::address_v4(*rc::gen::inRange(0x01000000u, 0x01000004u)));
        break;
      default:
        now += std::chrono::seconds(*rc::gen::inRange(0, 100));
        break;
    }
    RC_ASSERT(list.in_use() == out.size());
    RC_ASSERT(list.size() <= 24u);
    RC_ASSERT(list.size() >= out.size());
  }
}

RC_GTEST_PROP(PeerListProperty, NeverGrowsPastItsBoundAndKeepsWhatIsInUse, ()) {
  PeerList list(false, 1);
  const TimePoint start{1h};
  std::vector<Endpoint> out;
  const auto used = *rc::gen::inRange<std::uint32_t>(0, 50);
  const auto more = *rc::gen::inRange<std::uint32_t>(1900, 2500);
  for (std::uint32_t i = 0; i < used; ++i) {
    list.add({asio::ip::address_v4(0x02000000 + i), 1}, PeerSource::tracker, start);
    out.push_back(list.next_to_dial(start).value());
  }
  for (std::uint32_t i = 0; i < more; ++i) {
    const auto source = i % 3 == 0 ? PeerSource::user : PeerSource::tracker;
    list.add({asio::ip::address_v4(0x03000000 + i), 1}, source, start + 1s);
    RC_ASSERT(list.size() <= kMaxAddresses);
  }
  RC_ASSERT(list.in_use() == used);
  for (const Endpoint& endpoint : out) {  // still known: not taken as new
    RC_ASSERT(!list.add(endpoint, PeerSource::user, start + 2s));
  }
}

}  // namespace
}  // namespace swarmfs::net
