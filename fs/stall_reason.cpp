#include "fs/stall_reason.h"

namespace swarmfs::fs {
namespace {

std::string peers(std::size_t number) {
  return std::to_string(number) + (number == 1 ? " peer" : " peers");
}

}  // namespace

std::string stall_reason(const net::SwarmStatus& swarm, const std::string& trackers,
                         bool reachable) {
  const std::string said = trackers.empty() ? "" : "; " + trackers;
  if (swarm.known_addresses == 0) return "waiting for data: no peers known" + said;
  if (swarm.connected == 0) {
    const std::string next =
        swarm.dialling > 0 ? std::to_string(swarm.dialling) + " being tried" : "trying again soon";
    return "waiting for data: " + peers(swarm.known_addresses) + " known, none connected, " + next +
           said;
  }
  if (!reachable) {
    return "waiting for data: none of " + peers(swarm.connected) + " connected has this part" +
           said;
  }
  if (swarm.unchoked == 0) {
    return "waiting for data: " + peers(swarm.connected) +
           " connected, all choking us; that can take a while";
  }
  return "waiting for data: " + peers(swarm.unchoked) + " could send, nothing has come lately";
}

}  // namespace swarmfs::fs
