#include "net/extension.h"

#include <limits>
#include <string>

#include "storage/bencode.h"

namespace swarmfs::net {
namespace bencode = storage::bencode;

std::vector<std::byte> extension_handshake(const Endpoint& remote) {
  const auto address = remote.address();
  std::string yourip;
  const auto append = [&yourip](const auto& bytes) {
    for (const unsigned char b : bytes) yourip += static_cast<char>(b);
  };
  if (address.is_v4()) {
    append(address.to_v4().to_bytes());
  } else {
    append(address.to_v6().to_bytes());
  }
  bencode::Dictionary handshake;
  handshake.add("m", bencode::Dictionary());
  handshake.add("reqq", std::int64_t{kServedRequests});
  handshake.add("v", "swarmfs " SWARMFS_VERSION);
  handshake.add("yourip", yourip);
  const std::string text = handshake.encode();
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

ExtensionHandshake parse_extension_handshake(std::span<const std::byte> payload) {
  ExtensionHandshake handshake;
  const auto document =
      bencode::Document::read(payload, bencode::kMessageLimits, bencode::Mode::lenient);
  if (!document) return handshake;
  const auto limit = document->root()["reqq"].integer(1, std::numeric_limits<std::int32_t>::max());
  if (limit) handshake.request_limit = static_cast<std::uint32_t>(*limit);
  return handshake;
}

}  // namespace swarmfs::net
