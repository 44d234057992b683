// Every address we know for a torrent, who is worth dialling next, and who is banned. The owner of
// addresses and bans.
//
// Threads: engine thread only; pure (time is given). Memory: at most kMaxAddresses entries, the
// least useful leave first. Errors: none. An address that the connect policy refuses never enters.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "net/clock.h"
#include "net/stream.h"

namespace swarmfs::net {

// Who named an address. Decides what the connect policy lets it reach (design section 8).
enum class PeerSource : std::uint8_t {
  user,
  tracker,
  local_tracker
};  // local_tracker: itself loopback or link-local

// Addresses kept for one torrent. More than any client connects to, small enough that a hostile
// tracker cannot fill memory.
inline constexpr std::size_t kMaxAddresses = 2000;

// True when `endpoint`, named by `source`, may be dialled. Never port 0, unspecified, multicast or
// broadcast; loopback and link-local only from the user or a local tracker; private ranges are fine
// (LAN swarms). allow_local lifts the scope rule.
[[nodiscard]] bool may_connect(const Endpoint& endpoint, PeerSource source, bool allow_local);

class PeerList {
 public:
  explicit PeerList(bool allow_local, std::uint64_t seed)
      : allow_local_(allow_local), state_(seed) {}
  // True when the address is new. Known ones are left as they are.
  bool add(const Endpoint& endpoint, PeerSource source, TimePoint now);
  // The address to dial now, marked as in use; empty: none is due.
  [[nodiscard]] std::optional<Endpoint> next_to_dial(TimePoint now);
  // When next_to_dial may have something; empty: not without new addresses.
  [[nodiscard]] std::optional<TimePoint> next_dial_time() const;
  void on_connected(const Endpoint& endpoint,
                    TimePoint now);  // handshake done: back-off is reset once it proves useful
  void on_useful(const Endpoint& endpoint, TimePoint now);  // it sent verified data
  void on_gone(const Endpoint& endpoint,
               TimePoint now);         // dial failed or connection ended: back-off grows
  void ban(const Endpoint& endpoint);  // this address is never dialled again
  [[nodiscard]] bool is_banned(const Endpoint& endpoint) const;
  [[nodiscard]] std::size_t size() const { return entries_.size(); }
  [[nodiscard]] std::size_t in_use() const;

 private:
  struct Entry {
    PeerSource source = PeerSource::tracker;
    bool in_use = false;
    bool connected_once = false;
    bool useful = false;
    bool banned = false;
    std::uint32_t failures = 0;  // in a row
    TimePoint not_before{};
    std::uint64_t order = 0;
  };
  bool allow_local_;
  std::uint64_t state_;  // of the generator that jitters back-offs
  std::uint64_t next_order_ = 0;
  std::map<Endpoint, Entry> entries_;
};

}  // namespace swarmfs::net
