// The network device or the address that our sockets are bound to, when the user named one
// (--interface): a VPN's, say, beside which nothing may go.
//
// Threads: any; no state. Memory: none. Errors: errno-like. ENODEV and EADDRNOTAVAIL name a device
// or an address that this host does not have; EPERM a kernel before 5.7, where binding to a device
// takes CAP_NET_RAW.
#pragma once
#include <boost/asio/ip/address.hpp>
#include <optional>
#include <string>

#include "storage/result.h"

namespace swarmfs::net {

struct LocalInterface {
  std::string device;                        // empty: any
  std::optional<asio::ip::address> address;  // empty: any
  [[nodiscard]] bool any() const { return device.empty() && !address; }
  bool operator==(const LocalInterface&) const = default;
};

// An address of this host, or the name of one of its devices. It is tried on a socket.
[[nodiscard]] Result<LocalInterface> find_local_interface(const std::string& name_or_address);

// What a socket of this family (`v6`, or IPv4) is to be bound to. EAFNOSUPPORT when the interface
// is an address of the other family: nothing may leave by another way.
[[nodiscard]] Result<asio::ip::address> local_address(const LocalInterface& interface, bool v6);

// Ties an open socket that is not bound yet to the interface's device, if it has one
// (SO_BINDTODEVICE, socket(7)).
[[nodiscard]] error_code bind_to_device(int socket, const LocalInterface& interface);

}  // namespace swarmfs::net
