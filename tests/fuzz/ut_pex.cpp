// Messages of ut_pex (BEP 11).
#include "net/pex.h"
#include "tests/fuzz/fuzz_target.h"

void swarmfs::fuzz::run(Bytes input) {
  using namespace net;
  const auto message = decode_pex(input);
  if (!message) return;
  require(input.size() <= kMaxPexMessage, "the limit of a message");
  for (const auto* list : {&message->added, &message->dropped}) {
    require(list->size() <= kMaxPexTaken, "the limit of addresses");
    for (const Endpoint& peer : *list) require(peer.port() != 0, "an address has a port");
  }
  PexMessage sent = *message;
  sent.added.resize(std::min(sent.added.size(), kMaxPexSent / 2));
  sent.dropped.resize(std::min(sent.dropped.size(), kMaxPexSent / 2));
  const auto written = encode(sent);
  const auto again = decode_pex(written);
  require(again && again->added.size() == sent.added.size() &&
              again->dropped.size() == sent.dropped.size(),
          "what was written is read again");
}
