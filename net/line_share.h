// What may be asked for of the line that all peers share: one decision's view of it.
//
// Threads: pure (time is given). Memory: a few numbers. Errors: none.
//
// Two rules, both from the most that the line has brought. What is asked for together is no more
// than the line and its peers' round trips hold: what is beyond that overruns the queue in front of
// the line, and TCP takes seconds to recover from it. And beside a blocked read, readahead is asked
// for only where it arrives after that read, or where the line has room beside it.
#pragma once
#include <cstdint>

#include "net/clock.h"
#include "net/peer.h"
#include "net/throughput.h"

namespace swarmfs::net {

class LineShare {
 public:
  // `blocked_bytes`: what blocked readers still wait for; 0: nobody is blocked.
  LineShare(const Throughput& throughput, std::uint64_t blocked_bytes, TimePoint now);
  // Every peer, before the first question. `works_for_blocked`: it owes a block that a reader is
  // blocked on.
  void add(const Peer& peer, bool works_for_blocked, TimePoint now);

  // Whether a peer that would deliver at `eta` may be asked to read ahead. Yes takes its share of
  // what is left beside blocked readers.
  [[nodiscard]] bool admit(const Peer& peer, bool works_for_blocked, TimePoint eta);

  // All that is asked for is less than what the line and the peers' round trips hold.
  // `share`: so much of it must be left.
  [[nodiscard]] bool has_room(double share = 0) const { return asked_ < (1 - share) * bound(); }
  void take(std::uint32_t bytes) { asked_ += bytes; }
  // What the line leaves of the rates that its busy peers have reached, at most 1. A peer that only
  // had come to deliver in a burst, or alone, counts for less.
  [[nodiscard]] double scale() const;

 private:
  [[nodiscard]] double bound() const;  // bytes in flight

  double peak_;
  bool growing_;
  bool blocked_;
  TimePoint served_;     // when the line could have brought what blocked readers wait for
  double spare_;         // bytes per second that are left beside the peers that work for those
  double asked_ = 0;     // bytes in flight
  double rates_ = 0;     // of the peers that are busy
  double in_pipes_ = 0;  // rate x round trip, of those
};

}  // namespace swarmfs::net
