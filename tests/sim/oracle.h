// The least time in which a read could be answered by somebody who knows every link: no scheduler
// can be faster. Used as the measure of ours (what is reported is the ratio).
//
// It is a bound and not a schedule: each link delivers blocks from one delay after the question on,
// as fast as its rate and its TCP window (slow start) allow, and the n blocks that are missing take
// at least as long as the n earliest arrivals over all links; nor can they pass the shared line
// faster than its rate. What is queued on a link already, the verification and the scheduler's own
// ignorance are not in it.
//
// Threads: one. Errors: none; an empty answer when no link can deliver.
#pragma once
#include <memory>
#include <optional>
#include <span>

#include "tests/sim/sim_net.h"

namespace swarmfs::sim {

// Time from `now` until the last of `blocks` blocks could be here.
[[nodiscard]] std::optional<Duration> least_time(std::span<const std::shared_ptr<Pipe>> links,
                                                 const Line& line, std::size_t blocks,
                                                 TimePoint now);

}  // namespace swarmfs::sim
