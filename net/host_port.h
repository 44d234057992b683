// A host and port as somebody wrote them down: an address or a name that has yet to be looked up.
//
// Threads: any. Memory: the text. Errors: none; whether it may be contacted is decided after
// resolution, by net/connect_policy.
#pragma once
#include <cstdint>
#include <string>

namespace swarmfs::net {

struct HostPort {
  std::string host;  // an address or a name; IPv6 without brackets
  std::uint16_t port = 0;
  bool operator==(const HostPort&) const = default;
};

}  // namespace swarmfs::net
