// The lab's networks in virtual time, held against what anybody could reach on them: the oracle's
// bound for each read.
#include "tests/sim/scenario.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

namespace swarmfs::sim {
namespace {

constexpr std::uint64_t kRuns = 3;

class ScenarioTest : public testing::TestWithParam<std::size_t> {};

TEST_P(ScenarioTest, ReachesItsAim) {
  const Scenario& scenario = scenarios()[GetParam()];
  const Row row = run_scenario(scenario, {.seed = 1, .count = kRuns});
  std::printf("%s%s", table_head().c_str(), table_line(row).c_str());
  for (const std::string& what : row.broken) {
    ADD_FAILURE() << scenario.name << ": " << what << "\nrepeat with: scripts/sim --scenario "
                  << scenario.name << " --runs 3 --verbose";
  }
}

std::string name_of(const testing::TestParamInfo<std::size_t>& info) {
  std::string name = scenarios()[info.param].name;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Lab, ScenarioTest, testing::Range<std::size_t>(0, scenarios().size()),
                         name_of);

}  // namespace
}  // namespace swarmfs::sim
