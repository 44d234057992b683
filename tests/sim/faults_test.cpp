// A disk that fails at each n-th call, whatever the call, on top of what an earlier run left and of
// pieces that are taken out of the cache: every read gets the truth, and in time.
#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "tests/sim/world.h"

namespace swarmfs::sim {
namespace {

constexpr std::uint64_t kSeeds = 12;

struct Fault {
  const char* name;
  std::uint32_t DiskSpec::*every;
};
constexpr Fault kFaults[] = {{"write", &DiskSpec::write_fault},
                             {"read", &DiskSpec::read_fault},
                             {"sync", &DiskSpec::sync_fault},
                             {"punch", &DiskSpec::punch_fault}};

WorldSpec small_world(std::uint64_t seed) {
  WorldSpec spec;
  spec.seed = seed;
  spec.total = 3 * 1024 * 1024 + 777;
  spec.piece_length = 64 * 1024;
  spec.pool_blocks = 640;  // 10 MiB, of which the swarm keeps most: pieces leave memory
  spec.disk = DiskSpec{.latency = 2ms, .cached = 0.3};
  spec.leftover = Leftover{.claimed = 0.6, .right = 0.8};
  spec.evict_every = 20ms;
  spec.evict_wanted = true;
  for (int i = 0; i < 3; ++i) {
    PeerSpec peer;
    peer.link.delay = 10ms;
    peer.link.rate = 3e6;
    spec.peers.push_back(peer);
  }
  ReaderSpec copy;
  ReaderSpec again = copy;
  again.start = 1500ms;
  ReaderSpec seeks;
  seeks.kind = ReaderSpec::Kind::seeks;
  seeks.count = 40;
  spec.readers = {copy, again, seeks};
  return spec;
}

void expect_right(const WorldSpec& spec, const std::string& what) {
  World world(spec);
  world.run();
  for (const std::string& violation : world.violations()) {
    ADD_FAILURE() << what << ", seed " << spec.seed << ": " << violation;
  }
}

TEST(DiskFaults, EachNthCallFailsAndEveryReadIsRight) {
  for (const Fault& fault : kFaults) {
    for (const std::uint32_t n : {1U, 2U, 3U, 7U}) {
      for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
        WorldSpec spec = small_world(seed);
        (*spec.disk).*(fault.every) = n;
        expect_right(spec, std::string("each ") + std::to_string(n) + "th " + fault.name);
      }
    }
  }
}

TEST(DiskFaults, AllAtOnceAndAFullDisk) {
  for (std::uint64_t seed = 1; seed <= 2 * kSeeds; ++seed) {
    WorldSpec spec = small_world(seed);
    for (const Fault& fault : kFaults) (*spec.disk).*(fault.every) = 3;
    if (seed % 2 == 0) spec.disk->full_after = 500'000;
    expect_right(spec, "all");
  }
}

// Nobody fetches what an earlier run left, if it is right.
TEST(Leftovers, AreReadWithoutAPeer) {
  WorldSpec spec = small_world(1);
  spec.leftover = Leftover{};
  spec.evict_every = {};
  spec.peers.clear();
  expect_right(spec, "offline");
}

TEST(Leftovers, OnlyWhatIsWrongIsFetched) {
  WorldSpec spec = small_world(2);
  spec.leftover = Leftover{.claimed = 1, .right = 0.9};
  spec.evict_every = {};
  World world(spec);
  world.run();
  EXPECT_TRUE(world.violations().empty());
  EXPECT_GT(world.status().received_bytes, 0U);
  EXPECT_LT(world.status().received_bytes, spec.total / 3);
}

}  // namespace
}  // namespace swarmfs::sim
