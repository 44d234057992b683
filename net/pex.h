// Peer exchange (BEP 11): the message, what may come of it, and what to say next.
//
// Threads: pure. Memory: PexOutbox: the addresses of our connections. Errors: none: what is
// malformed says nothing. Nothing in a message is believed; addresses go through the connect
// policy.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "net/clock.h"
#include "net/stream.h"

namespace swarmfs::net {

// Addresses taken from one message. BEP 11 has at most 50 but for the first; libtorrent sends 100.
inline constexpr std::size_t kMaxPexTaken = 100;
// Addresses we put in one message, of each kind (BEP 11).
inline constexpr std::size_t kMaxPexSent = 50;
// Larger messages are ignored unread: 100 addresses of IPv6 with flags have 2 KB.
inline constexpr std::size_t kMaxPexMessage = 64 * 1024;
// BEP 11: no more than one message a minute.
inline constexpr Duration kPexInterval = std::chrono::seconds(60);

struct PexMessage {
  std::vector<Endpoint> added;  // connected to the sender
  std::vector<Endpoint> dropped;
};

// `added` is said to be reachable, because we did reach it (flag 0x10).
[[nodiscard]] std::vector<std::byte> encode(const PexMessage& message);
// At most kMaxPexTaken of each kind; one address a host (on loopback, hosts share one), none
// without a port.
[[nodiscard]] std::optional<PexMessage> decode_pex(std::span<const std::byte> payload);

// How much one peer may tell us.
class PexInbox {
 public:
  enum class Verdict : std::uint8_t { take, ignore, flood };
  // A message came.
  [[nodiscard]] Verdict on_message(TimePoint now);
  // How many of `offered` addresses to take: one peer must not be our only source.
  [[nodiscard]] std::size_t take(std::size_t offered);

 private:
  double credit_ = kBurst;  // messages
  std::optional<TimePoint> last_;
  std::uint32_t ignored_ = 0;
  std::size_t taken_ = 0;
  static constexpr double kBurst = 3;  // clients restart their minute, and clocks drift
};

// What one peer has been told, and what to tell it next.
class PexOutbox {
 public:
  // `connected`: whom we are connected to, but the peer itself. Empty: nothing has changed.
  [[nodiscard]] std::optional<PexMessage> next(const std::set<Endpoint>& connected);

 private:
  std::set<Endpoint> told_;
};

// Whether the address `told` may be told to a peer at `to`: those of our own network are nobody
// else's business, and useless there.
[[nodiscard]] bool may_tell(const Endpoint& told, const Endpoint& to);

}  // namespace swarmfs::net
