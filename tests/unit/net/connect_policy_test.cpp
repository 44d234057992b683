#include "net/connect_policy.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace swarmfs::net {
namespace {

Scope scope(const char* address) {
  return scope_of(asio::ip::make_address(address));
}

Endpoint at(const char* address, std::uint16_t port = 6881) {
  return {asio::ip::make_address(address), port};
}

TEST(ConnectPolicyTest, PlacesEveryAddressInItsScope) {
  const std::vector<std::pair<const char*, Scope>> table = {
      {"0.0.0.0", Scope::unusable},
      {"0.1.2.3", Scope::unusable},
      {"224.0.0.1", Scope::unusable},
      {"239.255.255.255", Scope::unusable},
      {"255.255.255.255", Scope::unusable},
      {"::", Scope::unusable},
      {"ff02::1", Scope::unusable},
      {"127.0.0.1", Scope::loopback},
      {"127.255.0.9", Scope::loopback},
      {"::1", Scope::loopback},
      {"169.254.169.254", Scope::link_local},
      {"fe80::1", Scope::link_local},
      {"10.0.0.1", Scope::private_network},
      {"172.16.0.1", Scope::private_network},
      {"172.31.255.255", Scope::private_network},
      {"192.168.1.1", Scope::private_network},
      {"100.64.0.1", Scope::private_network},
      {"fd00::1", Scope::private_network},
      {"fec0::1", Scope::private_network},
      {"172.32.0.1", Scope::global},
      {"172.15.0.1", Scope::global},
      {"100.128.0.1", Scope::global},
      {"126.255.255.255", Scope::global},
      {"128.0.0.1", Scope::global},
      {"8.8.8.8", Scope::global},
      {"2001:db8::1", Scope::global},
  };
  for (const auto& [address, expected] : table) EXPECT_EQ(scope(address), expected) << address;
}

TEST(ConnectPolicyTest, LooksThroughIPv6FormsOfIPv4Addresses) {
  EXPECT_EQ(scope("::ffff:127.0.0.1"), Scope::loopback);
  EXPECT_EQ(scope("::ffff:8.8.8.8"), Scope::global);
  EXPECT_EQ(scope("::127.0.0.1"), Scope::loopback);
  EXPECT_EQ(scope("64:ff9b::169.254.169.254"), Scope::link_local);
  EXPECT_EQ(scope("2002:7f00:1::"), Scope::loopback);
  EXPECT_EQ(normalised(at("::ffff:10.1.2.3")), at("10.1.2.3"));
  EXPECT_EQ(normalised(at("2001:db8::1")), at("2001:db8::1"));
}

TEST(ConnectPolicyTest, LetsAFarTrackerNameNoPeerOnThisHostOrLink) {
  for (const char* local : {"127.0.0.1", "::1", "169.254.1.1", "fe80::1", "::ffff:127.0.0.1"}) {
    EXPECT_FALSE(may_connect(at(local), PeerSource::tracker, false)) << local;
    EXPECT_TRUE(may_connect(at(local), PeerSource::local_tracker, false)) << local;
    EXPECT_TRUE(may_connect(at(local), PeerSource::user, false)) << local;
    EXPECT_TRUE(may_connect(at(local), PeerSource::tracker, true)) << local;
    EXPECT_FALSE(may_connect(at(local), PeerSource::dht, false)) << local;
    EXPECT_TRUE(may_connect(at(local), PeerSource::dht, true)) << local;
  }
  for (const char* far : {"10.0.0.1", "192.168.0.7", "fd00::7", "1.2.3.4", "2001:db8::1"}) {
    EXPECT_TRUE(may_connect(at(far), PeerSource::tracker, false)) << far;
    EXPECT_TRUE(may_connect(at(far), PeerSource::dht, false)) << far;
  }
}

TEST(ConnectPolicyTest, NeverDialsWhatIsNoDestination) {
  for (const char* nowhere : {"0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255"}) {
    EXPECT_FALSE(may_connect(at(nowhere), PeerSource::user, true)) << nowhere;
    EXPECT_FALSE(may_fetch(at(nowhere), UrlSource::user, "/", Scope::unusable, true)) << nowhere;
  }
  EXPECT_FALSE(may_connect(at("1.2.3.4", 0), PeerSource::user, true));
  EXPECT_FALSE(may_fetch(at("1.2.3.4", 0), UrlSource::user, "/", Scope::unusable, true));
}

TEST(ConnectPolicyTest, FetchesFromLocalAddressesOnlyWhatTheUserTypedOrATrackersAnnounce) {
  for (const char* near : {"127.0.0.1", "169.254.169.254", "192.168.1.1", "::1", "fd00::1"}) {
    const Endpoint target = at(near, 80);
    const auto may = [&target](UrlSource source, const char* path, bool allow_local = false) {
      return may_fetch(target, source, path, Scope::unusable, allow_local);
    };
    EXPECT_TRUE(may(UrlSource::user, "/x.torrent")) << near;
    EXPECT_TRUE(may(UrlSource::tracker_list, "/announce")) << near;
    EXPECT_TRUE(may(UrlSource::tracker_list, "/passkey/announce")) << near;
    EXPECT_FALSE(may(UrlSource::tracker_list, "/latest/meta-data")) << near;
    EXPECT_FALSE(may(UrlSource::web_seed_list, "/announce")) << near;
    EXPECT_TRUE(may(UrlSource::web_seed_list, "/file", true)) << near;
  }
  EXPECT_TRUE(may_fetch(at("8.8.8.8"), UrlSource::web_seed_list, "/file", Scope::unusable, false));
}

TEST(ConnectPolicyTest, NeverFollowsARedirectToAMoreLocalAddress) {
  const auto may = [](const char* to, Scope from, bool allow_local) {
    return may_fetch(at(to, 80), UrlSource::tracker_list, "/announce", from, allow_local);
  };
  EXPECT_FALSE(may("192.168.1.1", Scope::global, false));
  EXPECT_FALSE(may("127.0.0.1", Scope::private_network, false));
  EXPECT_TRUE(may("192.168.1.1", Scope::private_network, false));
  EXPECT_TRUE(may("8.8.8.8", Scope::loopback, false));
  EXPECT_TRUE(may("127.0.0.1", Scope::global, true));
}

}  // namespace
}  // namespace swarmfs::net
