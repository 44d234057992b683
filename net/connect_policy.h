// Which addresses we may open a connection to, and on whose word: the one rule for every outgoing
// connection (design section 8). Always asked after name resolution, once for each address.
//
// Threads: any; pure. Memory: none. Errors: none, the answer is yes or no.
#pragma once
#include <boost/asio/ip/address.hpp>
#include <cstdint>
#include <string_view>

#include "net/stream.h"

namespace swarmfs::net {

// How far away an address is, nearest first, so that "more local" is `<`.
enum class Scope : std::uint8_t {
  unusable,  // unspecified, multicast or broadcast: never a destination
  loopback,
  link_local,
  private_network,  // RFC 1918, RFC 6598 (carrier NAT), RFC 4193 (IPv6 unique local)
  global,
};

// IPv4 written as IPv6 (::ffff:a.b.c.d) becomes IPv4; everything else is left alone.
[[nodiscard]] asio::ip::address normalised(const asio::ip::address& address);
[[nodiscard]] Endpoint normalised(const Endpoint& endpoint);
// Looks through every IPv6 form that carries an IPv4 address to the one that will be reached.
[[nodiscard]] Scope scope_of(const asio::ip::address& address);

// Who named a peer's address. local_tracker: a tracker that is itself loopback or link-local. dht:
// also who named a node of the DHT. remembered: it delivered in an earlier run, as a file says.
enum class PeerSource : std::uint8_t { user, tracker, local_tracker, pex, dht, lsd, remembered };

// True when the peer `endpoint`, named by `source`, may be dialled. Never port 0, unspecified,
// multicast or broadcast; loopback and link-local only from the user, a local tracker or local
// service discovery, never from another peer (BEP 11); private ranges are fine (LAN swarms).
// allow_local lifts the scope rule.
[[nodiscard]] bool may_connect(const Endpoint& endpoint, PeerSource source, bool allow_local);

// Who named a URL.
enum class UrlSource : std::uint8_t { user, tracker_list, web_seed_list };

// True when a URL with this path, named by `source`, may be fetched from `endpoint`. A target that
// is not global must have been typed by the user, or be a tracker's, with a path that ends in
// "/announce". `previous` is the scope that a redirect came from (Scope::unusable: none): a
// redirect never leads to a more local one. allow_local lifts the scope rules.
[[nodiscard]] bool may_fetch(const Endpoint& endpoint, UrlSource source, std::string_view path,
                             Scope previous, bool allow_local);

// The same for a UDP tracker. A private address may besides be asked with no path ("/"), which is
// how most UDP trackers are written: all that a stranger's URL makes us send there is one datagram
// of fixed bytes, and nothing of the URL before the other side has answered as a tracker does. On
// this host and its link are services that trust whoever can send to them, so there it takes what
// may_fetch asks for.
[[nodiscard]] bool may_ask_udp_tracker(const Endpoint& endpoint, UrlSource source,
                                       std::string_view path, bool allow_local);

}  // namespace swarmfs::net
