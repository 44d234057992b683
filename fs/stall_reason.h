// Why readers wait and nothing comes, in words for a user.
//
// Threads: any; pure. Memory: one line. Errors: none.
#pragma once
#include <string>

#include "net/swarm.h"

namespace swarmfs::fs {

// `trackers`: Announcer::status(). `reachable`: some connected peer has all that readers wait for.
[[nodiscard]] std::string stall_reason(const net::SwarmStatus& swarm, const std::string& trackers,
                                       bool reachable);

}  // namespace swarmfs::fs
