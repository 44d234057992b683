#include "net/local_interface.h"

#include <net/if.h>
#include <sys/socket.h>

#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/udp.hpp>
#include <cerrno>

namespace swarmfs::net {
namespace {

error_code errno_code() {
  return {errno, boost::system::system_category()};
}

// Binds a socket and drops it.
error_code try_out(const LocalInterface& interface, bool v6) {
  const auto address = local_address(interface, v6);
  if (!address) return address.error();
  asio::io_context context;
  asio::ip::udp::socket socket(context);
  error_code ec;
  socket.open(v6 ? asio::ip::udp::v6() : asio::ip::udp::v4(), ec);
  if (!ec) ec = bind_to_device(socket.native_handle(), interface);
  if (!ec) socket.bind({*address, 0}, ec);
  return ec;
}

}  // namespace

Result<LocalInterface> find_local_interface(const std::string& name_or_address) {
  LocalInterface interface;
  error_code not_an_address;
  const auto address = asio::ip::make_address(name_or_address, not_an_address);
  if (!not_an_address) {
    if (address.is_unspecified() || address.is_multicast()) {
      return boost::system::errc::make_error_code(boost::system::errc::address_not_available);
    }
    interface.address = address;
    if (const error_code ec = try_out(interface, address.is_v6())) return ec;
    return interface;
  }
  interface.device = name_or_address;
  if (interface.device.empty() || ::if_nametoindex(interface.device.c_str()) == 0) {
    return boost::system::errc::make_error_code(boost::system::errc::no_such_device);
  }
  error_code ec = try_out(interface, false);
  if (ec == asio::error::address_family_not_supported) ec = try_out(interface, true);
  if (ec) return ec;
  return interface;
}

Result<asio::ip::address> local_address(const LocalInterface& interface, bool v6) {
  if (interface.address) {
    if (interface.address->is_v6() != v6) {
      return error_code(asio::error::address_family_not_supported);
    }
    return *interface.address;
  }
  if (v6) return asio::ip::address(asio::ip::address_v6::any());
  return asio::ip::address(asio::ip::address_v4::any());
}

error_code bind_to_device(int socket, const LocalInterface& interface) {
  if (interface.device.empty()) return {};
  const auto size = static_cast<socklen_t>(interface.device.size());
  if (::setsockopt(socket, SOL_SOCKET, SO_BINDTODEVICE, interface.device.data(), size) != 0) {
    return errno_code();
  }
  return {};
}

}  // namespace swarmfs::net
