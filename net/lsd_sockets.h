// A multicast socket for each network this host is on: what local service discovery (BEP 14) speaks
// through.
//
// Threads: engine thread only. Memory: at most kMaxLsdSockets sockets. Errors: a network that
// cannot be joined is left out. Lifetime: as Datagram's.
#pragma once
#include <boost/asio/any_io_executor.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "net/datagram.h"
#include "net/local_interface.h"

namespace swarmfs::net {

inline constexpr std::uint16_t kLsdPort = 6771;
inline constexpr const char* kLsdGroup4 = "239.192.152.143";  // BEP 14
inline constexpr const char* kLsdGroup6 = "ff15::efc0:988f";  // the same
// A laptop has two networks of two families; a machine full of containers has hundreds of bridges.
inline constexpr std::size_t kMaxLsdSockets = 32;

// The addresses that are reached without a router.
struct OnLink {
  asio::ip::address address;  // ours
  unsigned prefix = 0;        // bits
  [[nodiscard]] bool contains(const asio::ip::address& other) const;
};

// One family on one interface.
struct LsdSocket {
  std::unique_ptr<Datagram> datagram;  // receives only what was sent to the group there
  UdpEndpoint group;
  std::vector<OnLink> on_link;
  std::string name;  // of the interface
};

// A socket for each family and each interface that is up, can multicast and is shared with others
// (not point to point); the user's `only`, if there is one.
[[nodiscard]] std::vector<LsdSocket> open_lsd_sockets(const asio::any_io_executor& executor,
                                                      const LocalInterface& only = {});

}  // namespace swarmfs::net
