// Named networks, readers and what is to be reached on them: the lab's networks in virtual time
// (`home` is what a public swarm looks like behind a 100 Mbit/s line), and others that punish a
// scheduler made for those.
//
// Threads: pure. Errors: none.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tests/sim/world.h"

namespace swarmfs::sim {

struct Scenario {
  std::string name;
  std::function<WorldSpec(std::uint64_t seed)> make;
  // What fails the test. Latencies in ms of the reads that had to wait; zero: not asked.
  double p50 = 0, p90 = 0, max = 0;
  // Ratio of a read's time to the oracle's bound for it: our acceptance is 1.3 in the median and 2
  // in the 95th percentile.
  double ratio_p50 = 1.3, ratio_p95 = 2;
  double least_mib_per_s = 0;  // copies
  double open_ms = 0,
         jump_ms = 0;  // players: from open to picture at the most; from jump to picture, median
  double redundant_share = 0.1;  // of the bytes received; 15: 3 %, 10 % while stalled
  double unwanted_share =
      0.1;  // 13: bytes that come after their reader has gone: what was in flight, no more
  std::size_t bans = 0;  // how many addresses must be banned in the end
};

struct Row {
  std::string name;
  std::size_t reads = 0;
  double p50 = 0, p90 = 0, max = 0, ratio_p50 = 0, ratio_p95 = 0;
  double mib_per_s = 0, open_ms = 0, jump_ms = 0;
  std::uint32_t stalls = 0;
  double stalled_ms = 0;               // all of them together
  double redundant = 0, unwanted = 0;  // shares
  std::vector<std::string> broken;     // what misses the aim, and violations
};

struct Runs {
  std::uint64_t seed = 1;
  std::uint64_t count = 1;
  bool verbose = false;                  // print every read that waited
  std::optional<std::uint32_t> piece{};  // print what happens to it
};

[[nodiscard]] const std::vector<Scenario>& scenarios();
// The reads of `runs` runs (seeds `seed` and on) taken together: one run's first reads are too few
// to judge by.
[[nodiscard]] Row run_scenario(const Scenario& scenario, const Runs& runs);
[[nodiscard]] std::string table_head();
[[nodiscard]] std::string table_line(const Row& row);
// For the command line: one by name, or `all`. Returns the exit status.
int run_scenarios(const std::string& name, const Runs& runs);

}  // namespace swarmfs::sim
