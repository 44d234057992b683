// A swarm that nobody thought of: everything is drawn from the seed. At least one peer is
// dependable (PeerSpec), so every read must end; the others may be anything.
//
// Threads: pure. Errors: none.
#pragma once
#include <cstdint>
#include <string>

#include "tests/sim/world.h"

namespace swarmfs::sim {

[[nodiscard]] WorldSpec random_swarm(std::uint64_t seed);
// What is in it, in a few lines for whoever has to find out why it failed.
[[nodiscard]] std::string describe(const WorldSpec& spec);

struct Outcome {
  std::vector<std::string> violations;
  std::vector<std::string> log;  // the engine's own
  std::uint64_t trace = 0;
  std::uint64_t received = 0, redundant = 0, corrupt = 0;
  std::size_t reads = 0;
};
// Runs the swarm of this seed and checks everything that holds for any swarm.
[[nodiscard]] Outcome run_random_swarm(std::uint64_t seed);

}  // namespace swarmfs::sim
