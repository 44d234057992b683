#include "net/host_key.h"

#include <gtest/gtest.h>

namespace swarmfs::net {
namespace {

UdpEndpoint at(const char* address, std::uint16_t port = 1) {
  return {asio::ip::make_address(address), port};
}
bool one_host(const UdpEndpoint& a, const UdpEndpoint& b) {
  return host_key(a) == host_key(b);
}
bool one_site(const UdpEndpoint& a, const UdpEndpoint& b) {
  return site_key(a) == site_key(b);
}

TEST(HostKeyTest, APortMakesNoOtherHost) {
  EXPECT_TRUE(one_host(at("8.8.8.8", 1), at("8.8.8.8", 2)));
  EXPECT_FALSE(one_host(at("8.8.8.8"), at("8.8.8.9")));
  EXPECT_TRUE(one_host(at("::ffff:8.8.8.8"), at("8.8.8.8")));
  EXPECT_TRUE(one_host(at("10.0.0.1", 1), at("10.0.0.1", 2)));
}

TEST(HostKeyTest, AHostHasItsWholeIPv6Network) {
  EXPECT_TRUE(one_host(at("2001:db8:1:2::1"), at("2001:db8:1:2:ffff::9")));
  EXPECT_FALSE(one_host(at("2001:db8:1:2::1"), at("2001:db8:1:3::1")));
}

TEST(HostKeyTest, ASiteIsTheSmallestNetworkForSale) {
  EXPECT_TRUE(one_site(at("8.8.8.8", 1), at("8.8.8.255", 2)));
  EXPECT_FALSE(one_site(at("8.8.8.8"), at("8.8.9.8")));
  EXPECT_TRUE(one_site(at("2001:db8:1:2::1"), at("2001:db8:1:2:ffff::9")));
  EXPECT_FALSE(one_site(at("2001:db8:1:2::1"), at("2001:db8:1:3::1")));
}

TEST(HostKeyTest, OnAPrivateNetworkEachHostIsASiteAndOnThisHostEachPort) {
  EXPECT_FALSE(one_site(at("10.0.0.1"), at("10.0.0.2")));
  EXPECT_TRUE(one_site(at("10.0.0.1", 1), at("10.0.0.1", 2)));
  EXPECT_FALSE(one_host(at("127.0.0.1", 1), at("127.0.0.1", 2)));
  EXPECT_FALSE(one_site(at("127.0.0.1", 1), at("127.0.0.1", 2)));
  EXPECT_FALSE(one_site(at("fe80::1", 1), at("fe80::2", 1)));
}

}  // namespace
}  // namespace swarmfs::net
