// One HTTP(S) GET for trackers and .torrent files: redirects, TLS and compression included, under
// one total deadline.
//
// Threads: engine thread only (Asio resolves names on a thread of its own). Memory: headers are
// capped by kMaxHttpHeaders, the body by HttpRequest::max_body before and after inflating.
// Errors: NetErrc, or the code of the resolver, socket or TLS call that failed; a status other than
// 200 is not an error. Lifetime: cancellable at any point; the Clock must outlive the call. A name
// lookup that was given up ends in the background.
#pragma once
#include <boost/asio/ip/tcp.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "net/clock.h"
#include "net/connect_policy.h"
#include "net/error.h"
#include "net/local_interface.h"
#include "net/name_lookup.h"

namespace swarmfs::net {

// From the first lookup to the last byte of the last redirect. What libtorrent allows a tracker.
inline constexpr Duration kHttpDeadline = std::chrono::seconds(30);
// A reply of 200 peers is 4 KB; 1 MiB is what libtorrent takes. Counted before and after inflating.
inline constexpr std::size_t kMaxHttpBody = 1024 * 1024;
// Servers send less than 1 KB; 64 KiB leaves room for cookies.
inline constexpr std::uint32_t kMaxHttpHeaders = 64 * 1024;
inline constexpr int kMaxRedirects = 5;  // as libtorrent
// A host that does not answer its SYN for so long (one retransmission after 1 s, one after 3 s) is
// left for its next address.
inline constexpr Duration kConnectTimeout = std::chrono::seconds(4);
inline constexpr std::size_t kMaxHostAddresses = 8;  // 8 x 4 s is the deadline

struct HttpUrl {
  bool tls = false;
  std::string host;  // lower case; an IPv6 address stands without brackets
  bool host_is_address = false;
  std::uint16_t port = 0;
  std::string path;           // still percent-encoded, never empty
  std::string target;         // path and query
  std::string authorization;  // value of the header; empty: none

  [[nodiscard]] std::string authority() const;  // host, and the port unless it is the scheme's own
  [[nodiscard]] bool same_origin(const HttpUrl& other) const;
};

// NetErrc::unsupported_scheme unless http or https; NetErrc::bad_url for what RFC 3986 refuses,
// which includes control characters and names that are not ASCII, and for port 0.
[[nodiscard]] Result<HttpUrl> parse_http_url(std::string_view url);

struct HttpRequest {
  std::string url;
  UrlSource source = UrlSource::tracker_list;  // decides what the connect policy lets it reach
  bool allow_local = false;
  Duration deadline = kHttpDeadline;
  std::size_t max_body = kMaxHttpBody;
  Family family = Family::any;    // only addresses of it
  LocalInterface interface = {};  // to leave by
};

struct HttpReply {
  unsigned status = 0;
  std::string body;          // inflated
  asio::ip::address remote;  // who answered, after redirects
};

// Connects to the first endpoint that answers; every one but the last gets kConnectTimeout.
[[nodiscard]] Task<error_code> connect_to_first(Clock& clock,
                                                std::shared_ptr<asio::ip::tcp::socket> socket,
                                                std::vector<Endpoint> endpoints,
                                                LocalInterface interface = {});

[[nodiscard]] Task<Result<HttpReply>> http_get(Clock& clock, HttpRequest request);

// Undoes gzip or zlib, told apart by their first bytes. NetErrc::too_large past `max_size`,
// NetErrc::malformed_reply when damaged or cut short. What follows the end is ignored.
[[nodiscard]] Result<std::string> inflate_body(std::string_view body, std::size_t max_size);

}  // namespace swarmfs::net
