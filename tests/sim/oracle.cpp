#include "tests/sim/oracle.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "storage/units.h"

namespace swarmfs::sim {
namespace {

constexpr double kBlockOnWire = storage::kBlockSize + 13;  // with its length, id, index and begin

// Seconds from the question at which each block has left the link's far end.
std::vector<double> departures(const Pipe& pipe, std::size_t blocks, TimePoint now) {
  const Link& link = pipe.link();
  const double delay = to_seconds(link.delay);
  double window = pipe.window_at(now + link.delay);
  double round_start = delay;  // the question has arrived
  double sent = 0;             // bytes before this round
  std::vector<double> out;
  while (out.size() < blocks) {
    const double round_bytes =
        window / link.rate >= 2 * delay ? std::numeric_limits<double>::infinity() : window;
    while (out.size() < blocks &&
           static_cast<double>(out.size() + 1) * kBlockOnWire <= sent + round_bytes) {
      const double last_byte = static_cast<double>(out.size() + 1) * kBlockOnWire;
      out.push_back(round_start + (last_byte - sent) / link.rate);
    }
    sent += round_bytes;
    round_start += 2 * delay;
    window = std::min(2 * window, pipe.full_window());
  }
  return out;
}

}  // namespace

std::optional<Duration> least_time(std::span<const std::shared_ptr<Pipe>> links, const Line& line,
                                   std::size_t blocks, TimePoint now) {
  if (links.empty()) return std::nullopt;
  if (blocks == 0) return Duration{};
  std::vector<double> arrivals, at_line;
  double least_delay = std::numeric_limits<double>::infinity();
  for (const std::shared_ptr<Pipe>& link : links) {
    const double delay = to_seconds(link->link().delay);
    least_delay = std::min(least_delay, delay);
    for (const double out : departures(*link, blocks, now)) {
      at_line.push_back(out);
      arrivals.push_back(out + delay);
    }
  }
  std::sort(arrivals.begin(), arrivals.end());
  std::sort(at_line.begin(), at_line.end());
  double bound = arrivals[blocks - 1];
  if (line.rate() > 0) {
    for (std::size_t i = 0; i < blocks; ++i) {
      const double rest = static_cast<double>(blocks - i - 1) * kBlockOnWire / line.rate();
      bound = std::max(bound, at_line[i] + rest + least_delay);
    }
  }
  return seconds_of(bound);
}

}  // namespace swarmfs::sim
