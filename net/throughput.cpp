#include "net/throughput.h"

#include <chrono>
#include <cmath>

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;

// Measured in steps, and averaged over about this long.
constexpr Duration kStep = 100ms;
constexpr double kMemorySeconds = 2.0;
// A burst that had queued in front of the line is shorter than this.
constexpr Duration kPeakStep = 500ms;
// A pause longer than this is no measurement: nobody asked for anything.
constexpr Duration kPause = 500ms;

double seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

void Throughput::on_bytes(std::uint64_t bytes, TimePoint now) {
  if (now - step_.since > kPause) {
    step_ = peak_step_ = {now, 0};
    return;
  }
  step_.bytes += bytes;
  peak_step_.bytes += bytes;
  if (now - peak_step_.since >= kPeakStep) {
    peak_.add(static_cast<double>(peak_step_.bytes) / seconds(now - peak_step_.since), now);
    peak_step_ = {now, 0};
  }
  if (now - step_.since < kStep) return;
  const double passed = seconds(now - step_.since);
  const double sample = static_cast<double>(step_.bytes) / passed;
  rate_ += (rate_ > 0 ? 1 - std::exp(-passed / kMemorySeconds) : 1) * (sample - rate_);
  step_ = {now, 0};
}

}  // namespace swarmfs::net
