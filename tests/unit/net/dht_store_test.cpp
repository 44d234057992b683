#include "net/dht_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

Endpoint at(const char* address, std::uint16_t port = 1) {
  return {asio::ip::make_address(address), port};
}
Endpoint host(std::uint32_t number, std::uint16_t port = 1) {
  return {asio::ip::address_v4(0x14000000U + number), port};
}

class DhtStoreTest : public testing::Test {
 protected:
  std::vector<Endpoint> peers(const NodeId& of, bool v6 = false, std::size_t limit = 1000) {
    return store.peers(of, v6, limit, random, now);
  }
  SecretRandom random{9};
  TimePoint now{1h};
  NodeId torrent = random_id(random);
  DhtStore store;
};

TEST_F(DhtStoreTest, GivesBackThePeersOfATorrentByFamily) {
  store.announce(torrent, at("1.2.3.4"), now);
  store.announce(torrent, at("1.2.3.4"), now);
  store.announce(torrent, at("1.2.3.4", 2), now);
  store.announce(torrent, at("2001:db8::1"), now);
  EXPECT_THAT(peers(torrent), UnorderedElementsAre(at("1.2.3.4"), at("1.2.3.4", 2)));
  EXPECT_THAT(peers(torrent, true), UnorderedElementsAre(at("2001:db8::1")));
  EXPECT_THAT(peers(random_id(random)), IsEmpty());
  EXPECT_EQ(peers(torrent, false, 1).size(), 1U);
}

TEST_F(DhtStoreTest, GivesARandomChoiceOfMany) {
  for (std::uint32_t i = 0; i < 50; ++i) store.announce(torrent, host(i), now);
  std::set<Endpoint> seen;
  for (int i = 0; i < 50; ++i) {
    const auto some = peers(torrent, false, 5);
    EXPECT_EQ(std::set(some.begin(), some.end()).size(), 5U) << "each once";
    seen.insert(some.begin(), some.end());
  }
  EXPECT_GT(seen.size(), 40U);
}

TEST_F(DhtStoreTest, ForgetsAPeerThatDoesNotAnnounceAgain) {
  store.announce(torrent, host(1), now);
  store.announce(torrent, host(2), now);
  now += 29min;
  store.announce(torrent, host(2), now);
  now += 1min;
  EXPECT_THAT(peers(torrent), UnorderedElementsAre(host(2)));
  EXPECT_EQ(store.size(), 1U);
}

TEST_F(DhtStoreTest, KeepsTheYoungestOfATorrentWithTooManyPeers) {
  for (std::uint32_t i = 0; i <= kMaxStoredPerTorrent; ++i) {
    store.announce(torrent, host(i), now);
    now += 1ms;
  }
  const auto all = peers(torrent);
  EXPECT_EQ(all.size(), kMaxStoredPerTorrent);
  EXPECT_EQ(std::count(all.begin(), all.end(), host(0)), 0);
}

TEST_F(DhtStoreTest, LetsOneHostFillNoMoreThanItsShare) {
  for (std::uint32_t i = 0; i < 300; ++i) {
    store.announce(random_id(random), host(1, static_cast<std::uint16_t>(i + 1)), now);
  }
  EXPECT_EQ(store.size(), kMaxStoredPerHost);
  store.announce(torrent, host(2), now);
  EXPECT_THAT(peers(torrent), UnorderedElementsAre(host(2)));
  now += kStoredFor;
  store.announce(torrent, host(1), now);
  EXPECT_THAT(peers(torrent), UnorderedElementsAre(host(1))) << "its share is free again";
}

TEST_F(DhtStoreTest, StaysBoundedWhoeverAnnounces) {
  for (std::uint32_t i = 0; i < 30'000; ++i) {
    store.announce(i % 2 == 0 ? torrent : random_id(random), host(i), now);
    now += 1us;
  }
  EXPECT_LE(store.size(), kMaxStoredTorrents + kMaxStoredPerTorrent);
  EXPECT_EQ(peers(torrent).size(), kMaxStoredPerTorrent);
}

}  // namespace
}  // namespace swarmfs::net
