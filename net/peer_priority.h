// Which of two peers both sides should prefer (BEP 40): a number that they agree on without
// talking, so that newcomers find room and a flood of connections cannot keep everybody else out.
//
// Threads: any; pure. Memory: none. Errors: none.
#pragma once
#include <cstdint>

#include "net/stream.h"

namespace swarmfs::net {

// The larger, the better; the same for (a, b) and (b, a). Ports count only where the addresses are
// the same. 0 when the families differ: they never meet.
[[nodiscard]] std::uint32_t peer_priority(const Endpoint& a, const Endpoint& b);

}  // namespace swarmfs::net
