#include "fs/stall_reason.h"

namespace swarmfs::fs {
namespace {

std::string counted(std::uint64_t number, const std::string& what) {
  return std::to_string(number) + " " + what + (number == 1 ? "" : "s");
}

// How far the metadata is: it is small, and its size is a number of 16 KiB blocks to a user.
std::string share(std::uint64_t have, std::uint64_t total) {
  constexpr std::uint64_t kKiB = 1024;
  const auto kib = [](std::uint64_t bytes) { return std::to_string((bytes + kKiB - 1) / kKiB); };
  return kib(have) + " of " + kib(total) + " KiB";
}

StallReason metadata_reason(const net::SwarmStatus& swarm) {
  const std::string peers = counted(swarm.connected, "peer") + " connected, ";
  if (!swarm.metadata_size) {
    return {StallKind::nobody_sends_metadata, peers + "none offers it"};
  }
  const std::string here = peers + share(swarm.metadata_bytes, *swarm.metadata_size) + " came";
  const bool none = swarm.metadata_bytes == 0;
  return {none ? StallKind::nobody_sends_metadata : StallKind::metadata_coming, here};
}

StallReason data_reason(const Stall& stall) {
  const net::SwarmStatus& swarm = stall.swarm;
  if (stall.unreachable_piece) {
    return {StallKind::nobody_has_it, "none of " + counted(swarm.connected, "connected peer") +
                                          " has piece " + std::to_string(*stall.unreachable_piece)};
  }
  if (swarm.unchoked == 0) {
    return {StallKind::all_choking,
            counted(swarm.connected, "peer") + " connected, all choking us; that can take a while"};
  }
  return {StallKind::nothing_lately,
          counted(swarm.unchoked, "peer") + " could send, nothing has come lately"};
}

StallReason peers_reason(const net::SwarmStatus& swarm) {
  if (swarm.known_addresses == 0) return {StallKind::no_peers_known, "no peers known"};
  const std::string next =
      swarm.dialling > 0 ? std::to_string(swarm.dialling) + " being tried" : "trying again soon";
  return {StallKind::none_reachable,
          counted(swarm.known_addresses, "peer") + " known, none reached, " + next};
}

}  // namespace

StallReason stall_reason(const Stall& stall) {
  StallReason reason = stall.swarm.connected == 0 ? peers_reason(stall.swarm)
                       : stall.needs_metadata     ? metadata_reason(stall.swarm)
                                                  : data_reason(stall);
  reason.text = (stall.needs_metadata ? "the metadata: " : "data: ") + reason.text;
  // What would bring more peers is of no use to one who has them, choking or not.
  const bool wants_peers =
      reason.kind == StallKind::no_peers_known || reason.kind == StallKind::none_reachable ||
      reason.kind == StallKind::nobody_has_it || reason.kind == StallKind::nobody_sends_metadata;
  if (wants_peers && !stall.sources.empty()) reason.text += "; " + stall.sources;
  return reason;
}

bool StallWatch::stalled(bool waiting, std::uint64_t received) {
  const bool nothing_came = received == received_;
  received_ = received;
  quiet_ = waiting && nothing_came ? quiet_ + 1 : 0;
  const bool stall = quiet_ >= kQuietChecks;
  if (!stall) last_.reset();
  return stall;
}

bool StallWatch::is_news(StallKind kind, net::TimePoint now) {
  std::optional<net::TimePoint>& logged = logged_[static_cast<std::size_t>(kind)];
  if (last_ == kind || (logged && now - *logged < kLogAgain)) return false;
  last_ = kind;
  logged = now;
  return true;
}

}  // namespace swarmfs::fs
