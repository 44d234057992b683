// Every address we know for a torrent, who is worth dialling next, and who is banned. The owner of
// addresses and bans.
//
// Threads: engine thread only; pure (time is given). Memory: at most kMaxAddresses entries (the
// least useful leave first) and kMaxBans bans (the oldest leave first). Errors: none. An address
// that the connect policy refuses never enters. IPv4 written as IPv6 is the IPv4 address.
#pragma once
#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "net/clock.h"
#include "net/connect_policy.h"
#include "net/stream.h"

namespace swarmfs::net {

// Addresses kept for one torrent. More than any client connects to, small enough that a hostile
// tracker cannot fill memory.
inline constexpr std::size_t kMaxAddresses = 2000;
// Bans kept for one torrent. Each one cost its owner an address and us a piece.
inline constexpr std::size_t kMaxBans = 10'000;

// The first retry comes soon, because most failures are a full or restarting peer; the last ones
// are rare enough that 2,000 dead addresses cost one dial a second.
inline constexpr Duration kFirstBackOff = std::chrono::seconds(5);
inline constexpr Duration kMaxBackOff = std::chrono::minutes(30);
// A peer that gave us data and dropped is worth more than a stranger, but may be restarting.
inline constexpr Duration kUsefulBackOff = std::chrono::seconds(2);
// A connection that lasted this long was no failure of the address: its back-off starts afresh.
inline constexpr Duration kStableConnection = std::chrono::seconds(60);

class PeerList {
 public:
  // `max_connections`: what the owner keeps open at the most.
  explicit PeerList(bool allow_local, std::uint64_t seed,
                    std::size_t max_connections = kMaxAddresses)
      : allow_local_(allow_local), state_(seed), max_connections_(max_connections) {}
  // True when the address is new and was taken. Known ones are left as they are, but for who named
  // them: the user's and the trackers' word counts for more than others'. A remembered one counts
  // as useful.
  bool add(const Endpoint& endpoint, PeerSource source, TimePoint now);
  // The address to dial now, marked as in use; empty: none is due. Given by the user first, then
  // useful before, then never tried, then those that failed, each in the order in which they are
  // due. In a swarm larger than our connections every other one never tried goes by canonical
  // priority (BEP 40): only every other one, because who makes addresses up can make good ones.
  [[nodiscard]] std::optional<Endpoint> next_to_dial(TimePoint now);
  // When next_to_dial may have something; empty: not without new addresses.
  [[nodiscard]] std::optional<TimePoint> next_dial_time() const;
  // Handshake done: back-off is reset once it proves useful, or has lasted.
  void on_connected(const Endpoint& endpoint, TimePoint now);
  void on_useful(const Endpoint& endpoint, TimePoint now);  // it sent verified data
  // Dial failed or connection ended: back-off grows.
  void on_gone(const Endpoint& endpoint, TimePoint now);
  // How peers of its family see us, as far as we know: without it nobody has a priority.
  void external_address(const asio::ip::address& address);
  // Those that ever sent verified data, in this run or a remembered one, the best first.
  [[nodiscard]] std::vector<Endpoint> useful() const;
  // The host is never dialled again, whatever its port. On loopback, where hosts share one
  // address, it is this endpoint only.
  void ban(const Endpoint& endpoint);
  [[nodiscard]] bool is_banned(const Endpoint& endpoint) const;
  // The torrent is private (BEP 27): addresses that neither the user nor a tracker named are
  // forgotten, and none is taken any more. Returns those in use; they are forgotten when they end.
  std::vector<Endpoint> make_private();
  [[nodiscard]] std::size_t size() const { return entries_.size(); }
  [[nodiscard]] std::size_t in_use() const { return in_use_; }

 private:
  struct Entry {
    PeerSource source = PeerSource::tracker;
    bool in_use = false;
    bool useful_now = false;                // in this connection
    bool useful = false;                    // in any connection
    std::uint32_t failures = 0;             // in a row
    std::optional<TimePoint> connected_at;  // of this connection
    TimePoint not_before{};
    std::uint64_t order = 0;     // of arrival, unique
    std::uint32_t priority = 0;  // BEP 40; 0 as long as we do not know our own address
  };
  enum Rank : std::size_t { kGiven, kUseful, kFresh, kFailed, kRanks };
  using Entries = std::map<Endpoint, Entry>;
  using Queue = std::map<std::pair<TimePoint, std::uint64_t>, Endpoint>;  // not_before, order
  // Highest priority first, then order.
  using ByPriority = std::map<std::pair<std::uint32_t, std::uint64_t>, Endpoint>;

  [[nodiscard]] static Rank rank_of(const Entry& entry);
  void enqueue(const Endpoint& endpoint, const Entry& entry);
  void dequeue(const Entry& entry);
  [[nodiscard]] static std::pair<std::uint32_t, std::uint64_t> priority_key(const Entry& entry) {
    return {~entry.priority, entry.order};
  }
  [[nodiscard]] std::uint32_t priority_of(const Endpoint& endpoint) const;
  [[nodiscard]] bool by_priority_next();
  [[nodiscard]] bool make_room(Rank for_rank);
  [[nodiscard]] Entry* find_in_use(const Endpoint& endpoint);
  [[nodiscard]] Duration back_off(std::uint32_t failures);

  bool allow_local_;
  bool private_ = false;
  std::uint64_t state_;  // of the generator that jitters back-offs
  std::uint64_t next_order_ = 0;
  std::size_t in_use_ = 0;
  Entries entries_;
  std::array<Queue, kRanks> idle_;  // every entry that is not in use, in one queue
  ByPriority fresh_;                // idle_[kFresh] again
  std::size_t max_connections_;
  std::optional<asio::ip::address> external4_, external6_;
  bool priority_had_last_ = false;  // the last one never tried was chosen by priority
  std::set<Endpoint> banned_;       // port 0: the whole host
  std::deque<Endpoint> ban_order_;  // oldest first
};

}  // namespace swarmfs::net
