// UDP trackers: packets as bytes (BEP 15, with the URL data of BEP 41), and the exchange that makes
// one announce: connect, announce, retransmissions, and the next address of a host that is silent.
//
// Threads: engine thread only; the codec is pure. Memory: a request a datagram it waits for, and a
// connection id an address for a minute. Errors: NetErrc::timed_out, or network_unreachable when no
// socket has the family of any address; a refusal is a reply with a failure_reason. Lifetime: the
// Clock and the UdpPort outlive every announce(), which is cancellable at any point.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "net/announce.h"
#include "net/clock.h"
#include "net/udp_port.h"

namespace swarmfs::net {

// BEP 15: a request is sent again after 15 s, then after twice as long each time.
inline constexpr Duration kUdpRetransmit = std::chrono::seconds(15);
inline constexpr unsigned kMaxUdpDoublings = 8;  // BEP 15
// Two transmissions, 15 s and 30 s, then it is a failure, with a back-off that grows as BEP 15's
// would: the caller's other trackers are not kept waiting for an hour.
inline constexpr Duration kUdpDeadline = std::chrono::seconds(45);
// BEP 15: one minute after it was received.
inline constexpr Duration kConnectionIdLife = std::chrono::seconds(60);
// A first announce: how long an address may be silent before the next one is asked as well. Longer
// than nearly every round trip, short enough for somebody who waits for the first byte.
inline constexpr Duration kNextAddressDelay = std::chrono::milliseconds(500);
// Path and query of a URL. With it an announce still fits a packet of 1,500 bytes over IPv6.
inline constexpr std::size_t kMaxUdpUrlData = 1300;
// Peers asked for over IPv6: their 18 bytes each fit the same packet, and so need no fragments.
inline constexpr std::uint32_t kMaxIPv6PeersWanted = 79;

struct UdpUrl {
  std::string host;  // lower case; an IPv6 address stands without brackets
  bool host_is_address = false;
  std::uint16_t port = 0;
  std::string path;      // "/" when there is none
  std::string url_data;  // path and query for the tracker (BEP 41); empty when there are none
};

// NetErrc::unsupported_scheme unless udp; NetErrc::bad_url as parse_http_url. No port means 80, as
// in other clients.
[[nodiscard]] Result<UdpUrl> parse_udp_url(std::string_view url);

// ---- Packets. All integers are big-endian.

[[nodiscard]] std::vector<std::byte> encode_udp_connect(std::uint32_t transaction);
[[nodiscard]] std::vector<std::byte> encode_udp_announce(std::uint64_t connection_id,
                                                         std::uint32_t transaction,
                                                         const AnnounceRequest& request,
                                                         std::string_view url_data);

struct UdpConnected {
  std::uint64_t connection_id = 0;
};
using UdpReply = std::variant<UdpConnected, AnnounceReply>;  // a failure is an AnnounceReply

// The transaction that a datagram says to answer; empty: too short to be an answer.
[[nodiscard]] std::optional<std::uint32_t> udp_transaction(std::span<const std::byte> datagram);
// `ipv6`: the family that it came over, which says how long a peer is. Empty: not one of the three
// answers (connect, announce, error), or too short for it.
[[nodiscard]] std::optional<UdpReply> decode_udp_reply(std::span<const std::byte> datagram,
                                                       bool ipv6);

// ---- The exchange

struct UdpAnnounce {
  std::vector<UdpEndpoint> addresses;  // of the tracker's host, best first, allowed by the policy
  AnnounceRequest request;
  std::string url_data;
  Duration next_address = kNextAddressDelay;  // of silence before the next address is asked too
  Duration deadline = kUdpDeadline;
};

struct UdpAnswer {
  AnnounceReply reply;
  UdpEndpoint remote;  // who answered
};

class UdpTrackers {
 public:
  // `seed`: of the transaction ids, which are all that a forger of replies has to guess.
  UdpTrackers(asio::any_io_executor executor, Clock& clock, UdpPort& port, std::uint64_t seed);
  ~UdpTrackers();
  UdpTrackers(const UdpTrackers&) = delete;
  UdpTrackers& operator=(const UdpTrackers&) = delete;

  [[nodiscard]] Task<Result<UdpAnswer>> announce(UdpAnnounce what);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace swarmfs::net
