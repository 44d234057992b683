#include "net/lsd_sockets.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <map>
#include <utility>

#include "net/connect_policy.h"

namespace swarmfs::net {
namespace {

using Udp = asio::ip::udp;

// ---- The networks we are on

struct Network {
  std::string name;
  unsigned index = 0;
  std::vector<OnLink> on_link;  // of one family; the first is what we send from
};

asio::ip::address address_of(const sockaddr& from) {
  if (from.sa_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &from, sizeof v4);
    return asio::ip::address_v4(ntohl(v4.sin_addr.s_addr));
  }
  sockaddr_in6 v6{};
  std::memcpy(&v6, &from, sizeof v6);
  asio::ip::address_v6::bytes_type bytes;
  std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
  return asio::ip::address_v6(bytes, v6.sin6_scope_id);
}

std::vector<unsigned char> bytes_of(const asio::ip::address& address) {
  const auto listed = [](const auto& bytes) {
    return std::vector<unsigned char>(bytes.begin(), bytes.end());
  };
  return address.is_v4() ? listed(address.to_v4().to_bytes()) : listed(address.to_v6().to_bytes());
}

unsigned bits_of(const asio::ip::address& mask) {
  unsigned bits = 0;
  for (const unsigned char byte : bytes_of(mask))
    bits += static_cast<unsigned>(std::popcount(byte));
  return bits;
}

bool is_wanted(const ifaddrs& entry, const LocalInterface& only) {
  if (!entry.ifa_addr || !entry.ifa_netmask) return false;
  const int family = entry.ifa_addr->sa_family;
  if (family != AF_INET && family != AF_INET6) return false;
  const unsigned flags = entry.ifa_flags;
  if (!(flags & IFF_UP) || !(flags & IFF_MULTICAST) || (flags & IFF_POINTOPOINT)) return false;
  if (!only.device.empty() && only.device != entry.ifa_name) return false;
  return !only.address || *only.address == address_of(*entry.ifa_addr);
}

// In order of interface number, IPv4 first.
std::vector<Network> find_networks(const LocalInterface& only) {
  ifaddrs* first = nullptr;
  if (::getifaddrs(&first) != 0) return {};
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owned(first, &::freeifaddrs);
  std::map<std::pair<unsigned, bool>, Network> networks;
  for (const ifaddrs* entry = first; entry; entry = entry->ifa_next) {
    if (!is_wanted(*entry, only)) continue;
    const unsigned index = ::if_nametoindex(entry->ifa_name);
    if (index == 0) continue;  // it has just gone
    const asio::ip::address address = address_of(*entry->ifa_addr);
    Network& network = networks[{index, address.is_v6()}];
    network.name = entry->ifa_name;
    network.index = index;
    network.on_link.push_back({address, bits_of(address_of(*entry->ifa_netmask))});
  }
  std::vector<Network> listed;
  for (auto& [key, network] : networks) listed.push_back(std::move(network));
  return listed;
}

// ---- Sockets

template <class T>
bool set(int socket, int level, int option, const T& value) {
  return ::setsockopt(socket, level, option, &value, sizeof value) == 0;
}

// Speaks and listens on this network only. Time to live stays 1, which is a multicast socket's
// default: who is farther away is not on our network.
bool join4(int socket, const Network& network) {
  ip_mreqn join{};
  join.imr_multiaddr.s_addr = htonl(asio::ip::make_address_v4(kLsdGroup4).to_uint());
  join.imr_ifindex = static_cast<int>(network.index);
  ip_mreqn out = join;
  out.imr_address.s_addr = htonl(network.on_link.front().address.to_v4().to_uint());
  return set(socket, IPPROTO_IP, IP_MULTICAST_ALL, 0) &&
         set(socket, IPPROTO_IP, IP_ADD_MEMBERSHIP, join) &&
         set(socket, IPPROTO_IP, IP_MULTICAST_IF, out);
}

bool join6(int socket, const Network& network) {
  ipv6_mreq join{};
  const auto group = asio::ip::make_address_v6(kLsdGroup6).to_bytes();
  std::memcpy(&join.ipv6mr_multiaddr, group.data(), group.size());
  join.ipv6mr_interface = network.index;
  return set(socket, IPPROTO_IPV6, IPV6_V6ONLY, 1) &&
         set(socket, IPPROTO_IPV6, IPV6_JOIN_GROUP, join) &&
         set(socket, IPPROTO_IPV6, IPV6_MULTICAST_IF, network.index);
}

// Bound to the group, so that what is sent to our own address, from anywhere, never arrives. Other
// programs of this host have the same port.
Result<std::unique_ptr<Datagram>> open_joined(const asio::any_io_executor& executor,
                                              const Network& network, const UdpEndpoint& group,
                                              const LocalInterface& only) {
  Udp::socket socket(executor);
  error_code ec;
  socket.open(group.protocol(), ec);
  if (ec) return ec;
  // To this network's device. IPv6 delivers a group of any interface otherwise. A kernel before 5.7
  // refuses without CAP_NET_RAW: then an announcement is heard twice, which does no harm.
  const error_code failed = bind_to_device(socket.native_handle(), {network.name, {}});
  if (failed && !only.any()) return failed;
  const int fd = socket.native_handle();
  const bool shared = set(fd, SOL_SOCKET, SO_REUSEADDR, 1) && set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
  if (!shared || !(group.address().is_v4() ? join4(fd, network) : join6(fd, network))) {
    return error_code(errno, boost::system::system_category());
  }
  socket.bind(group, ec);
  if (ec) return ec;
  return as_datagram(std::move(socket));
}

}  // namespace

bool OnLink::contains(const asio::ip::address& other) const {
  if (other.is_v4() != address.is_v4()) return false;
  const std::vector<unsigned char> ours = bytes_of(address), theirs = bytes_of(other);
  for (std::size_t bit = 0; bit < std::min<std::size_t>(prefix, ours.size() * 8); ++bit) {
    if (((ours[bit / 8] ^ theirs[bit / 8]) >> (7 - bit % 8) & 1) != 0) return false;
  }
  return true;
}

std::vector<LsdSocket> open_lsd_sockets(const asio::any_io_executor& executor,
                                        const LocalInterface& only) {
  std::vector<LsdSocket> sockets;
  for (Network& network : find_networks(only)) {
    if (sockets.size() == kMaxLsdSockets) break;
    const bool v6 = network.on_link.front().address.is_v6();
    const UdpEndpoint group(asio::ip::make_address(v6 ? kLsdGroup6 : kLsdGroup4), kLsdPort);
    auto datagram = open_joined(executor, network, group, only);
    if (!datagram) continue;
    sockets.push_back(
        {std::move(*datagram), group, std::move(network.on_link), std::move(network.name)});
  }
  return sockets;
}

}  // namespace swarmfs::net
