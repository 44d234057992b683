// What one peer has, what it owes us, and when it will deliver: the model behind every scheduling
// decision.
//
// Threads: engine thread; pure (time is given). Memory: one bitfield and at most request_limit()
// requests. Errors: none. Nothing a peer claims about its speed is believed; everything here is
// measured.
#pragma once
#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <set>

#include "net/clock.h"
#include "net/recent_best.h"
#include "storage/bitfield.h"
#include "storage/layout.h"

namespace swarmfs::net {

// Requests we keep at a peer at the most. libtorrent drops connections above 2,000, Transmission
// above 512; BEP 10's reqq default is 250 where a peer names none.
inline constexpr std::uint32_t kMaxRequests = 500;
inline constexpr std::uint32_t kDefaultRequests = 250;

class Peer {
 public:
  struct Request {
    storage::BlockId block;
    std::uint32_t bytes;
    TimePoint sent;
    std::uint64_t position;  // bytes asked in its busy period, up to and including it
    bool cancelled = false;  // a cancel is on its way; the peer may still answer
    TimePoint cancelled_at{};
  };

  Peer(std::uint32_t piece_count, Duration connect_time, bool fast);

  // -- what it has and allows
  storage::Bitfield pieces;
  bool choking = true;
  std::set<storage::PieceIndex> allowed_fast;  // BEP 6; at most kMaxAllowedFast
  [[nodiscard]] bool fast() const { return fast_; }
  [[nodiscard]] bool allows(storage::PieceIndex piece) const {
    return pieces.test(piece) && (!choking || allowed_fast.contains(piece));
  }
  void limit_requests(std::uint32_t reqq);  // BEP 10 reqq

  // -- what it owes
  [[nodiscard]] const std::deque<Request>& requests() const { return requests_; }
  [[nodiscard]] bool owes(storage::BlockId block) const;  // asked and not cancelled
  void on_sent(storage::BlockId block, std::uint32_t bytes, TimePoint now);
  void on_cancelled(storage::BlockId block, TimePoint now);
  [[nodiscard]] bool awaits_cancel(
      storage::BlockId block) const;  // cancelled, and not answered yet
  // The request is over: its data came. Empty when it was never asked (or is long forgotten).
  std::optional<Request> on_arrival(storage::BlockId block, TimePoint now);
  // The request is over without data (reject, choke, expiry).
  std::optional<Request> on_dropped(storage::BlockId block);
  void forget_all();
  // Cancelled requests that were never answered (peers without the fast extension do not have to).
  // Forgets them.
  void expire_cancelled(TimePoint now);

  // -- when it will deliver
  [[nodiscard]] double rate() const { return rate_; }  // bytes per second while busy
  // The most of that lately: what it does when others leave it the line.
  [[nodiscard]] double best_rate() const { return std::max(rates_.best(), rate_); }
  [[nodiscard]] bool measured() const { return measured_; }
  void assume_rate(double bytes_per_second);  // a prior, until measured
  [[nodiscard]] Duration round_trip() const { return round_trips_.best(); }
  // When `bytes` more, asked now, will have arrived.
  [[nodiscard]] TimePoint eta(std::uint64_t bytes, TimePoint now) const;
  // When this outstanding request is expected now.
  [[nodiscard]] TimePoint due(const Request& request, TimePoint now) const;
  // True when asking for more would only make a queue: outstanding bytes cover rate x (round trip +
  // slack) x share.
  [[nodiscard]] bool full(Duration slack, double share = 1.0) const;
  // The same where queueing at it costs nobody anything: twice as deep while its rate is still
  // growing.
  [[nodiscard]] bool full_alone(Duration slack) const;
  // More would have been asked, but it was full: a burst that answers all there is asks for a
  // longer pipeline.
  void note_limited() { limited_ = true; }
  // How long it has been silent beyond what was expected of it; zero when on time or idle.
  [[nodiscard]] Duration silence(TimePoint now) const;
  // Silent for so long that nobody should wait for it; stays so after its requests were taken away,
  // until it delivers.
  [[nodiscard]] bool suspect(TimePoint now) const;
  // Later than a busy queue explains, but not yet given up: not to be forgotten when its requests
  // are cancelled.
  [[nodiscard]] bool late(TimePoint now) const;
  // Silent for longer than any queue explains.
  [[nodiscard]] bool overdue(TimePoint now) const;
  // Its requests are about to be cancelled for silence: no more until a probe, at growing
  // intervals.
  void snub(TimePoint now);
  [[nodiscard]] bool snubbed() const { return snubbed_; }
  [[nodiscard]] bool may_probe(TimePoint now) const { return now >= probe_at_; }
  [[nodiscard]] std::uint64_t outstanding_bytes() const { return live_bytes_ + cancelled_bytes_; }
  [[nodiscard]] std::uint64_t received_bytes() const { return received_bytes_; }

 private:
  void estimate(const Request& request, TimePoint now);
  void measure(std::uint32_t bytes, TimePoint now);
  [[nodiscard]] Duration time_for(std::uint64_t bytes) const;
  [[nodiscard]] TimePoint flowing_since() const;
  [[nodiscard]] double window_after(TimePoint now) const;
  [[nodiscard]] TimePoint slow_start_arrival(TimePoint since, double window,
                                             std::uint64_t position) const;
  void observe_burst(std::uint32_t bytes, TimePoint now);
  [[nodiscard]] std::uint64_t queued_bytes() const;
  [[nodiscard]] bool covers(Duration slack, double gain) const;
  void end_round(TimePoint now);

  bool fast_;
  std::uint32_t request_limit_ = kDefaultRequests;
  std::deque<Request> requests_;  // in the order they were sent, which is the order peers answer in
  std::uint64_t live_bytes_ = 0;
  std::uint64_t cancelled_bytes_ = 0;
  std::uint64_t received_bytes_ = 0;
  double rate_;
  bool measured_ = false;
  Duration doubt_{};  // silence of busy periods that ended in cancels, since it last delivered
  TimePoint busy_since_{};    // first request of the current busy period
  TimePoint last_arrival_{};  // of data, in the current busy period; before busy_since_ when none
                              // came yet
  TimePoint window_start_{};  // of the rate measurement under way
  std::uint64_t window_bytes_ = 0;
  RecentBest<Duration, std::less<>> round_trips_;
  RecentBest<double, std::greater<>> rates_;
  // The sender's TCP congestion window, as far as it can be known from here: bytes at the start of
  // the busy period, and what has been asked and has come since.
  double busy_window_;
  std::uint64_t busy_asked_ = 0;
  std::uint64_t busy_received_ = 0;
  bool window_open_ = false;
  // Start-up: rounds of one round trip each in which the rate is still growing.
  bool starting_ = true;
  TimePoint round_end_{};
  double round_rate_ = 0;
  int rounds_without_growth_ = 0;
  // Least depth of the pipeline, in bytes. Peers that serve in pulses (Transmission: every 500 ms)
  // need more than rate x round trip: it doubles whenever a burst after a silence answered most of
  // what was asked.
  std::uint64_t least_depth_ = 0;
  TimePoint burst_until_{};
  std::uint64_t burst_bytes_ = 0;
  std::uint64_t burst_asked_ = 0;  // outstanding when it began
  bool burst_limited_ = false;     // and more would have been
  TimePoint shrink_at_{};
  bool limited_ = false;
  bool snubbed_ = false;
  TimePoint probe_at_{};
  Duration probe_interval_{};
};

// Allowed-fast pieces remembered per peer. BEP 6 grants 10; twice that costs nothing.
inline constexpr std::size_t kMaxAllowedFast = 20;

}  // namespace swarmfs::net
