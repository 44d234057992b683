// One message of a peer, length prefix removed; and the handshake.
#include "net/peer_wire.h"

#include <algorithm>

#include "tests/fuzz/fuzz_target.h"

void swarmfs::fuzz::run(Bytes input) {
  using namespace net;
  if (input.size() == kHandshakeSize) {
    if (const auto handshake = decode_handshake(input.first<kHandshakeSize>())) {
      std::vector<std::byte> written;
      encode(*handshake, written);
      require(std::equal(written.begin(), written.end(), input.begin(), input.end()),
              "a handshake is written the same");
    }
  }
  const auto message = decode(input);
  if (!message || std::holds_alternative<Unknown>(*message)) return;
  std::vector<std::byte> written;
  encode(*message, written);
  const Bytes body = Bytes(written).subspan(kLengthPrefixSize);
  require(read_u32(Bytes(written).first<4>()) == body.size(), "the prefix is the length");
  require(std::equal(body.begin(), body.end(), input.begin(), input.end()),
          "a message is written the same");
}
