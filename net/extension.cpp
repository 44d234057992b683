#include "net/extension.h"
namespace swarmfs::net {
std::vector<std::byte> extension_handshake(const Endpoint&) {
  static constexpr char k[] = "d1:mde4:reqqi250e1:v13:swarmfs 0.1.0e";
  const auto b = std::as_bytes(std::span(k, sizeof k - 1));
  return {b.begin(), b.end()};
}
ExtensionHandshake parse_extension_handshake(std::span<const std::byte>) { return {}; }
}
