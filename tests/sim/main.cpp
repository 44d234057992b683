// The simulator's program: the tests, or the runs that the command line asks for (see scripts/sim).
//   sim_tests --seed N [--runs K] [--verbose]    random swarms N, N+1, ...
//   sim_tests --scenario NAME [--seed N] [--runs K]    one network, or `all`; --verbose: every read
//   that waited;
//   --piece P: what is asked, cancelled and got of that piece
//   sim_tests --dht [--seed N] [--runs K]    what lookups in the simulated DHT take
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/sim/our_dht.h"
#include "tests/sim/random_swarm.h"
#include "tests/sim/scenario.h"

namespace {

using namespace swarmfs::sim;

struct Options {
  Runs runs;
  std::string scenario;
  bool asked = false;
  bool dht = false;
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    const char* value = i + 1 < argc ? argv[i + 1] : "";
    if (name == "--seed")
      options.runs.seed = std::strtoull(value, nullptr, 10), options.asked = true;
    if (name == "--runs")
      options.runs.count = std::strtoull(value, nullptr, 10), options.asked = true;
    if (name == "--scenario") options.scenario = value, options.asked = true;
    if (name == "--piece")
      options.runs.piece = static_cast<std::uint32_t>(std::strtoul(value, nullptr, 10));
    if (name == "--dht") options.dht = true;
    if (name == "--verbose") options.runs.verbose = true;
  }
  return options;
}

int run_seeds(const Runs& runs) {
  std::uint64_t failed = 0;
  for (std::uint64_t seed = runs.seed; seed < runs.seed + runs.count; ++seed) {
    const Outcome outcome = run_random_swarm(seed);
    if (outcome.violations.empty() && !runs.verbose) continue;
    failed += outcome.violations.empty() ? 0 : 1;
    std::printf(
        "seed %llu: %zu reads, %.2f MB received, %.2f redundant, %.2f corrupt, trace %016llx\n%s",
        static_cast<unsigned long long>(seed), outcome.reads,
        static_cast<double>(outcome.received) / 1e6, static_cast<double>(outcome.redundant) / 1e6,
        static_cast<double>(outcome.corrupt) / 1e6, static_cast<unsigned long long>(outcome.trace),
        describe(random_swarm(seed)).c_str());
    if (runs.verbose) {
      for (const std::string& line : outcome.log) std::printf("  log: %s\n", line.c_str());
    }
    for (const std::string& what : outcome.violations) std::printf("  BROKEN: %s\n", what.c_str());
    std::printf("  repeat with: scripts/sim --seed %llu --verbose\n",
                static_cast<unsigned long long>(seed));
    std::fflush(stdout);
  }
  std::printf("%llu of %llu seeds failed\n", static_cast<unsigned long long>(failed),
              static_cast<unsigned long long>(runs.count));
  return failed == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  if (!options.scenario.empty()) return run_scenarios(options.scenario, options.runs);
  if (options.dht) {
    print_dht_figures(options.runs.seed, options.runs.count);
    return 0;
  }
  if (options.asked) return run_seeds(options.runs);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
