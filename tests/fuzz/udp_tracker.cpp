// What a UDP tracker answers (BEP 15), and its URL (BEP 41). The first byte says which.
#include "net/udp_tracker.h"

#include "tests/fuzz/fuzz_target.h"

void swarmfs::fuzz::run(Bytes input) {
  using namespace net;
  if (input.empty()) return;
  const auto choice = std::to_integer<unsigned>(input[0]);
  input = input.subspan(1);
  if (choice % 3 == 2) {
    const auto url = parse_udp_url(text_of(input));
    if (!url) return;
    require(!url->host.empty() && url->port != 0, "a host and a port");
    require(url->url_data.size() <= kMaxUdpUrlData, "the limit of a URL's path");
    return;
  }
  (void)udp_transaction(input);
  const auto answer = decode_udp_reply(input, choice % 3 == 1);
  const auto* reply = answer ? std::get_if<AnnounceReply>(&*answer) : nullptr;
  if (!reply) return;
  require(reply->peers.size() <= kMaxPeersPerReply, "the limit of peers");
  for (const Endpoint& peer : reply->peers) {
    require(peer.port() != 0, "a peer has a port");
    // The other way there is IPv4 written as IPv6.
    require(peer.address().is_v4() || choice % 3 == 1, "a peer of the family");
  }
  require(reply->interval >= kMinInterval && reply->interval <= kMaxInterval,
          "the interval's range");
  require(reply->failure_reason.size() <= kMaxTrackerText && is_printable(reply->failure_reason),
          "a text to show");
}
