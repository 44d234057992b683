#include "net/host_key.h"

#include <algorithm>

#include "net/connect_policy.h"

namespace swarmfs::net {
namespace {

asio::ip::address network_of(const asio::ip::address& address, std::size_t bytes4) {
  if (address.is_v4()) {
    auto bytes = address.to_v4().to_bytes();
    std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(bytes4), bytes.end(), 0);
    return asio::ip::address_v4(bytes);
  }
  auto bytes = address.to_v6().to_bytes();
  std::fill(bytes.begin() + 8, bytes.end(), 0);
  return asio::ip::address_v6(bytes);
}

}  // namespace

HostKey host_key(const UdpEndpoint& endpoint) {
  const asio::ip::address address = normalised(endpoint.address());
  const Scope scope = scope_of(address);
  if (scope == Scope::loopback || scope == Scope::link_local) return {address, endpoint.port()};
  return {network_of(address, 4), 0};
}

HostKey site_key(const UdpEndpoint& endpoint) {
  const asio::ip::address address = normalised(endpoint.address());
  if (scope_of(address) != Scope::global) return host_key(endpoint);
  return {network_of(address, 3), 0};
}

}  // namespace swarmfs::net
