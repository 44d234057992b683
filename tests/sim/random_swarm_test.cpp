// Random swarms: whatever the peers, the readers and the disk are like, the rules hold. A thousand
// seeds, in shards so that ctest -j runs them side by side.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/sim/random_swarm.h"

namespace swarmfs::sim {
namespace {

constexpr std::uint64_t kSeeds = 2000;
constexpr std::uint64_t kShards = 20;

std::string report(std::uint64_t seed, const Outcome& outcome) {
  std::string text = "repeat with: scripts/sim --seed " + std::to_string(seed) + "\n" +
                     describe(random_swarm(seed));
  for (const std::string& violation : outcome.violations) text += "  " + violation + "\n";
  return text;
}

class RandomSwarmTest : public testing::TestWithParam<std::uint64_t> {};

// Every read ends with the true bytes within its bound while a dependable peer is there; no request
// breaks a rule; when nobody reads, nothing is requested; after stop() every buffer is given back.
// (audit.cpp and world.cpp check.)
TEST_P(RandomSwarmTest, KeepsEveryRule) {
  for (std::uint64_t seed = GetParam() + 1; seed <= kSeeds; seed += kShards) {
    const Outcome outcome = run_random_swarm(seed);
    EXPECT_TRUE(outcome.violations.empty()) << report(seed, outcome);
    EXPECT_GT(outcome.reads, 0U) << "seed " << seed << " tested nothing";
  }
}
INSTANTIATE_TEST_SUITE_P(Shard, RandomSwarmTest, testing::Range<std::uint64_t>(0, kShards));

// 20: the same seed gives the same run, byte for byte and microsecond for microsecond.
TEST(DeterminismTest, TheSameSeedGivesTheSameTrace) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const Outcome first = run_random_swarm(seed);
    const Outcome second = run_random_swarm(seed);
    EXPECT_EQ(first.trace, second.trace)
        << "scripts/sim --seed " << seed << " differs from run to run";
    EXPECT_EQ(first.received, second.received);
  }
}

TEST(DeterminismTest, AnotherSeedGivesAnotherTrace) {
  EXPECT_NE(run_random_swarm(1).trace, run_random_swarm(2).trace);
}

}  // namespace
}  // namespace swarmfs::sim
