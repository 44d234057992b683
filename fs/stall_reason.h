// Why somebody waits and nothing comes, in words for a user, and when to say so.
//
// Threads: any; pure: the time is given. Memory: one line. Errors: none.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "net/clock.h"
#include "net/swarm.h"

namespace swarmfs::fs {

// What is known when nothing comes.
struct Stall {
  net::SwarmStatus swarm = {};
  std::string sources = {};     // what trackers and the like said; may be empty
  bool needs_metadata = false;  // the torrent itself is not there yet (a magnet link)
  // The first piece somebody waits for that no connected peer has.
  std::optional<std::uint32_t> unreachable_piece = {};
};

enum class StallKind : std::uint8_t {
  no_peers_known,
  none_reachable,
  nobody_has_it,
  all_choking,
  nothing_lately,
  nobody_sends_metadata,
  metadata_coming,
};
inline constexpr std::size_t kStallKinds = 7;

struct StallReason {
  StallKind kind = StallKind::no_peers_known;
  std::string text;  // goes on after "waiting for "
};

[[nodiscard]] StallReason stall_reason(const Stall& stall);

// Looks every kStallCheck, and decides what is worth saying where.
class StallWatch {
 public:
  // Checks in a row without anything coming before it is called a stall: 2 s. Most reads of a live
  // swarm are shorter.
  static constexpr int kQuietChecks = 2;
  // A reason that was logged is not logged again for so long, or a swarm that comes and goes would
  // fill the log.
  static constexpr net::Duration kLogAgain = std::chrono::minutes(10);

  // `waiting`: a held read, or missing metadata. `received`: a count that grows when something
  // comes. True when there is a stall now.
  [[nodiscard]] bool stalled(bool waiting, std::uint64_t received);
  // True when a stall for this reason is to be logged: it is not the reason that was logged last,
  // nor was it within kLogAgain.
  [[nodiscard]] bool is_news(StallKind kind, net::TimePoint now);

 private:
  std::uint64_t received_ = 0;
  int quiet_ = 0;
  std::optional<StallKind> last_;
  std::array<std::optional<net::TimePoint>, kStallKinds> logged_;
};

}  // namespace swarmfs::fs
