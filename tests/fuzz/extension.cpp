// The extension handshake (BEP 10), and lt_donthave (BEP 54).
#include "net/extension.h"

#include "tests/fuzz/fuzz_target.h"

void swarmfs::fuzz::run(Bytes input) {
  const auto handshake = net::parse_extension_handshake(input);
  if (handshake.request_limit) {
    require(*handshake.request_limit > 0 && *handshake.request_limit <= 0x7fffffff,
            "a peer that serves requests");
  }
  require(net::parse_dont_have(input).has_value() == (input.size() == 4), "an index is four bytes");
}
