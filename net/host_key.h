// When two endpoints count as one: whoever owns a host owns its ports, and whoever rents a network
// owns its addresses. What limits strangers counts hosts or sites, never endpoints.
//
// Threads: any; pure. Memory: none. Errors: none.
#pragma once
#include "net/datagram.h"

namespace swarmfs::net {

// An address with port 0, or, on loopback and link-local where hosts share one address (tests), the
// endpoint itself. Comparable; not to be sent to.
using HostKey = UdpEndpoint;

// IPv4: the address. IPv6: its /64, which one host has to itself.
[[nodiscard]] HostKey host_key(const UdpEndpoint& endpoint);
// The smallest network that is bought and sold: /24 of IPv4, /64 of IPv6. On private networks,
// where that is everybody, the host.
[[nodiscard]] HostKey site_key(const UdpEndpoint& endpoint);

}  // namespace swarmfs::net
