#include "fs/stall_reason.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace swarmfs::fs {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(StallReasonTest, NamesTheFirstThingThatIsMissing) {
  net::SwarmStatus swarm;
  EXPECT_THAT(stall_reason(swarm, "1 of 2 trackers answered", false),
              HasSubstr("no peers known; 1 of 2 trackers answered"));
  swarm.known_addresses = 3;
  EXPECT_THAT(stall_reason(swarm, "", false), HasSubstr("3 peers known, none connected"));
  swarm.dialling = 2;
  EXPECT_THAT(stall_reason(swarm, "", false), HasSubstr("2 being tried"));
  swarm.connected = 1;
  EXPECT_THAT(stall_reason(swarm, "", false), HasSubstr("none of 1 peer connected has this part"));
  EXPECT_THAT(stall_reason(swarm, "", true), HasSubstr("all choking"));
  swarm.unchoked = 1;
  EXPECT_THAT(stall_reason(swarm, "", true), HasSubstr("1 peer could send"));
}

TEST(StallReasonTest, DoesNotBlameTrackersWhenPeersAreThere) {
  net::SwarmStatus swarm;
  swarm.known_addresses = swarm.connected = 1;
  EXPECT_THAT(stall_reason(swarm, "no trackers", true), Not(HasSubstr("trackers")));
}

}  // namespace
}  // namespace swarmfs::fs
