#include "net/line_share.h"

#include <algorithm>
#include <chrono>
#include <limits>

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;

// Queueing at a line that is known to bring no more, beyond the round trip: less than what queues
// in front of a line (100 ms and more), or packets are lost there; enough that one late peer leaves
// no gap.
constexpr Duration kQueue = 60ms;
// While the peak is not known yet: of the round trips. A sender's slow start doubles.
constexpr double kSearch = 1.5;

double seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

LineShare::LineShare(const Throughput& throughput, std::uint64_t blocked_bytes, TimePoint now)
    : peak_(throughput.peak()),
      growing_(throughput.growing()),
      blocked_(blocked_bytes > 0),
      served_(now),
      spare_(peak_) {
  if (peak_ <= 0) return;
  const std::chrono::duration<double> takes(static_cast<double>(blocked_bytes) / peak_);
  served_ += std::chrono::duration_cast<Duration>(takes);
}

void LineShare::add(const Peer& peer, bool works_for_blocked, TimePoint now) {
  if (works_for_blocked) spare_ -= peer.best_rate();
  asked_ += static_cast<double>(peer.outstanding_bytes());
  if (peer.outstanding_bytes() == 0 || peer.suspect(now)) return;
  rates_ += peer.rate();
  in_pipes_ += peer.rate() * seconds(peer.round_trip());
}

bool LineShare::admit(const Peer& peer, bool works_for_blocked, TimePoint eta) {
  if (!blocked_ || peak_ <= 0 || eta >= served_) return true;
  if (spare_ < peer.best_rate()) return false;
  if (!works_for_blocked) spare_ -= peer.best_rate();
  return true;
}

double LineShare::scale() const {
  return peak_ > 0 && rates_ > peak_ ? peak_ / rates_ : 1.0;
}

double LineShare::bound() const {
  if (peak_ <= 0 || rates_ <= 0) return std::numeric_limits<double>::infinity();
  const double round_trip = in_pipes_ / rates_;
  const double queue = round_trip + seconds(kQueue);
  return peak_ * (growing_ ? std::max(kSearch * round_trip, queue) : queue);
}

}  // namespace swarmfs::net
