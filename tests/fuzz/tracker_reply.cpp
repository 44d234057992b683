// What an HTTP tracker answers, and the numbers it gives for intervals.
#include "net/announce.h"
#include "tests/fuzz/fuzz_target.h"

void swarmfs::fuzz::run(Bytes input) {
  using namespace net;
  const auto reply = parse_announce_reply(input);
  if (!reply) return;
  require(reply->peers.size() <= kMaxPeersPerReply, "the limit of peers");
  for (const Endpoint& peer : reply->peers) require(peer.port() != 0, "a peer has a port");
  require(reply->interval >= kMinInterval && reply->interval <= kMaxInterval,
          "the interval's range");
  require(reply->tracker_id.size() <= kMaxTrackerId, "the limit of the tracker's id");
  for (const std::string& text : {reply->warning, reply->failure_reason}) {
    require(text.size() <= kMaxTrackerText && is_printable(text), "a text to show");
  }
  if (reply->retry_in) require(reply->retry_in->count() > 0, "a pause has a length");
}
