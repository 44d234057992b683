// What is said to a tracker and what it answers: HTTP's wire formats (BEP 3, 7, 23, 24, 31), and
// when to announce again.
//
// Threads: pure. Memory: replies are capped (kMaxPeersPerReply, kMaxTrackerId, kMaxTrackerText).
// Errors: NetErrc::malformed_reply.
#pragma once
#include <boost/asio/ip/address.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "net/clock.h"
#include "net/error.h"
#include "net/peer_wire.h"
#include "net/stream.h"
#include "storage/hash.h"

namespace swarmfs::net {

// Peers taken from one reply: what we ask for. A tracker that sends more does not get to fill the
// address book.
inline constexpr std::size_t kMaxPeersPerReply = 200;
// A tracker's id is echoed in each announce; real ones are shorter than 40 bytes.
inline constexpr std::size_t kMaxTrackerId = 1024;
inline constexpr std::size_t kMaxTrackerText = 200;  // of a message shown to the user, in bytes

// How often we announce whatever the tracker says: often enough to notice that it is back, seldom
// enough not to be banned. The default is what trackers mostly say.
inline constexpr std::chrono::seconds kMinInterval{60};
inline constexpr std::chrono::seconds kMaxInterval{24 * 3600};
inline constexpr std::chrono::seconds kDefaultInterval{1800};
// After failures: doubled each time. A first tracker that was not up yet (a machine that just
// booted, a network that comes later) is all there is, so it is asked sooner.
inline constexpr Duration kFirstAnnounceBackOff = std::chrono::seconds(15);
inline constexpr Duration kEagerAnnounceBackOff = std::chrono::seconds(5);
inline constexpr Duration kMaxAnnounceBackOff = std::chrono::minutes(30);

enum class AnnounceEvent { none, started, stopped };

struct AnnounceRequest {
  storage::InfoHash info_hash;
  PeerId peer_id;
  std::uint16_t port = 0;        // what we listen on
  std::uint64_t downloaded = 0;  // bytes since started
  std::uint64_t left = 0;        // bytes
  std::uint32_t key = 0;
  std::uint32_t num_want = kMaxPeersPerReply;
  AnnounceEvent event = AnnounceEvent::none;
  std::string tracker_id;
};

struct AnnounceReply {
  std::vector<Endpoint> peers;
  std::chrono::seconds interval = kDefaultInterval;  // clamped to [kMinInterval, kMaxInterval]
  std::string tracker_id;
  std::string warning;         // escaped for a terminal
  std::string failure_reason;  // escaped; not empty: nothing else is meant but retry_*
  std::optional<std::chrono::seconds> retry_in;  // after a failure, where the tracker says (BEP 31)
  bool retry_never = false;                      // the same
  std::optional<asio::ip::address> external_ip;  // ours, as the tracker sees it (BEP 24)
};

// The URL of an announce (BEP 3, 7, 23): base plus query, every byte outside the unreserved set
// percent-encoded.
[[nodiscard]] std::string announce_url(std::string_view base, const AnnounceRequest& request);
// A tracker's body (bencoded). Compact and dictionary peers, peers6; garbage entries are skipped.
[[nodiscard]] Result<AnnounceReply> parse_announce_reply(std::span<const std::byte> body);

// The larger of what the tracker sent as `interval` and `min interval`, clamped.
[[nodiscard]] std::chrono::seconds announce_interval(std::optional<std::int64_t> interval,
                                                     std::optional<std::int64_t> min_interval);
// The pause after `failures` (at least 1) failures in a row. eager: no tracker has answered yet.
// `fraction`, in [0, 1), spreads it by 20 % both ways, so that a tracker that comes back is not
// met by everybody at once.
[[nodiscard]] Duration announce_back_off(std::uint32_t failures, bool eager, double fraction);

// At most kMaxTrackerText bytes of a stranger's text, safe to show: what could steer a terminal or
// turn its text around is escaped.
[[nodiscard]] std::string shown_text(std::string_view text);

// Adds the peers of a compact list (BEP 23, BEP 7; BEP 15's have the same form): whole records of
// address and port, both big-endian. What is left over, port 0, and what is beyond
// kMaxPeersPerReply is ignored.
void add_compact_peers(std::vector<Endpoint>& peers, std::string_view records, bool ipv6);

}  // namespace swarmfs::net
