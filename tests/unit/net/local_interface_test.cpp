#include "net/local_interface.h"

#include <gtest/gtest.h>
#include <net/if.h>
#include <sys/socket.h>

#include <array>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/udp.hpp>

namespace swarmfs::net {
namespace {

namespace errc = boost::system::errc;

TEST(LocalInterfaceTest, IsADeviceOfThisHostOrAnAddress) {
  const auto device = find_local_interface("lo");
  ASSERT_TRUE(device) << device.error().message();
  EXPECT_EQ(device->device, "lo");
  EXPECT_FALSE(device->address);
  const auto address = find_local_interface("127.0.0.2");
  ASSERT_TRUE(address) << address.error().message();
  EXPECT_EQ(address->device, "");
  EXPECT_EQ(address->address, asio::ip::make_address("127.0.0.2"));
  EXPECT_TRUE(find_local_interface("::1"));
  EXPECT_FALSE(device->any() || address->any());
  EXPECT_TRUE(LocalInterface().any());
}

TEST(LocalInterfaceTest, IsNothingThatThisHostDoesNotHave) {
  for (const char* name : {"nodevice0", "", "0123456789abcdef0123456789", "lo/..", "0.0.0.0",
                           "::", "192.0.2.77", "2001:db8::77", "224.0.0.1", "ff02::1"}) {
    const auto found = find_local_interface(name);
    EXPECT_FALSE(found) << name;
    if (found) continue;
    EXPECT_TRUE(found.error() == errc::no_such_device ||
                found.error() == errc::address_not_available)
        << name << ": " << found.error().message();
  }
}

TEST(LocalInterfaceTest, AnAddressHasNothingForTheOtherFamily) {
  const LocalInterface four{.device = {}, .address = asio::ip::make_address("127.0.0.1")};
  EXPECT_EQ(local_address(four, false).value(), asio::ip::make_address("127.0.0.1"));
  EXPECT_EQ(local_address(four, true).error(), asio::error::address_family_not_supported);
  const LocalInterface lo{.device = "lo", .address = {}};
  EXPECT_TRUE(local_address(lo, false).value().is_unspecified());
  EXPECT_TRUE(local_address(lo, true).value().is_v6());
}

TEST(LocalInterfaceTest, TiesASocketToTheDevice) {
  asio::io_context context;
  asio::ip::udp::socket socket(context, asio::ip::udp::v4());
  ASSERT_FALSE(bind_to_device(socket.native_handle(), {.device = "lo", .address = {}}));
  std::array<char, IFNAMSIZ> name{};
  socklen_t size = name.size();
  ASSERT_EQ(::getsockopt(socket.native_handle(), SOL_SOCKET, SO_BINDTODEVICE, name.data(), &size),
            0);
  EXPECT_STREQ(name.data(), "lo");
  asio::ip::udp::socket other(context, asio::ip::udp::v4());
  EXPECT_EQ(bind_to_device(other.native_handle(), {.device = "nodevice0", .address = {}}),
            errc::no_such_device);
  EXPECT_FALSE(bind_to_device(other.native_handle(), {}));
}

}  // namespace
}  // namespace swarmfs::net
