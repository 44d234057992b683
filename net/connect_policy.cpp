#include "net/connect_policy.h"

#include <algorithm>
#include <array>

namespace swarmfs::net {
namespace {

using asio::ip::address_v4;
using asio::ip::address_v6;

struct Range {
  std::uint32_t base;
  int prefix;  // bits, 1 to 32
  Scope scope;
};

constexpr std::array kRanges = {
    Range{0x00000000, 8, Scope::unusable},          // RFC 1122 "this network"; 0.0.0.0 reaches us
    Range{0x7f000000, 8, Scope::loopback},          // RFC 1122
    Range{0xa9fe0000, 16, Scope::link_local},       // RFC 3927; cloud metadata services live here
    Range{0x0a000000, 8, Scope::private_network},   // RFC 1918
    Range{0xac100000, 12, Scope::private_network},  // RFC 1918
    Range{0xc0a80000, 16, Scope::private_network},  // RFC 1918
    Range{0x64400000, 10, Scope::private_network},  // RFC 6598
    Range{0xc0000000, 24, Scope::private_network},  // RFC 6890 protocol assignments
    Range{0xc6120000, 15, Scope::private_network},  // RFC 2544 benchmarking
    Range{0xe0000000, 4, Scope::unusable},          // RFC 5771 multicast
    Range{0xffffffff, 32, Scope::unusable},         // limited broadcast
};

Scope scope_of_v4(const address_v4& address) {
  const std::uint32_t value = address.to_uint();
  for (const Range& range : kRanges) {
    if (((value ^ range.base) >> (32 - range.prefix)) == 0) return range.scope;
  }
  return Scope::global;
}

address_v4 v4_at(const address_v6::bytes_type& bytes, std::size_t at) {
  return address_v4({bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]});
}

Scope scope_of_v6(const address_v6& address) {
  if (address.is_unspecified() || address.is_multicast()) return Scope::unusable;
  if (address.is_loopback()) return Scope::loopback;
  const address_v6::bytes_type bytes = address.to_bytes();
  if (bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80) return Scope::link_local;       // fe80::/10
  if (bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0xc0) return Scope::private_network;  // RFC 3879
  if ((bytes[0] & 0xfe) == 0xfc) return Scope::private_network;                      // RFC 4193
  if (bytes[0] == 0x20 && bytes[1] == 0x02) return scope_of_v4(v4_at(bytes, 2));     // RFC 3056
  const auto zero = [&bytes](std::size_t from, std::size_t to) {
    return std::all_of(bytes.begin() + static_cast<std::ptrdiff_t>(from),
                       bytes.begin() + static_cast<std::ptrdiff_t>(to),
                       [](unsigned char byte) { return byte == 0; });
  };
  constexpr std::array<unsigned char, 4> kNat64 = {0x00, 0x64, 0xff, 0x9b};  // RFC 6052
  const bool nat64 = std::equal(kNat64.begin(), kNat64.end(), bytes.begin()) && zero(4, 12);
  const bool compatible = zero(0, 12);  // RFC 4291 2.5.5.1, long deprecated
  if (nat64 || compatible) return scope_of_v4(v4_at(bytes, 12));
  return Scope::global;
}

}  // namespace

asio::ip::address normalised(const asio::ip::address& address) {
  if (!address.is_v6() || !address.to_v6().is_v4_mapped()) return address;
  return v4_at(address.to_v6().to_bytes(), 12);
}

Endpoint normalised(const Endpoint& endpoint) {
  return {normalised(endpoint.address()), endpoint.port()};
}

Scope scope_of(const asio::ip::address& address) {
  const asio::ip::address plain = normalised(address);
  return plain.is_v4() ? scope_of_v4(plain.to_v4()) : scope_of_v6(plain.to_v6());
}

bool may_connect(const Endpoint& endpoint, PeerSource source, bool allow_local) {
  const Scope scope = scope_of(endpoint.address());
  if (endpoint.port() == 0 || scope == Scope::unusable) return false;
  const bool trusted = source == PeerSource::user || source == PeerSource::local_tracker;
  return allow_local || scope >= Scope::private_network || trusted;
}

bool may_fetch(const Endpoint& endpoint, UrlSource source, std::string_view path, Scope previous,
               bool allow_local) {
  const Scope scope = scope_of(endpoint.address());
  if (endpoint.port() == 0 || scope == Scope::unusable) return false;
  if (allow_local) return true;
  if (scope < previous) return false;
  if (scope == Scope::global || source == UrlSource::user) return true;
  return source == UrlSource::tracker_list && path.ends_with("/announce");
}

}  // namespace swarmfs::net
