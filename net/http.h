// One HTTP(S) GET for trackers and .torrent files: redirects, TLS and compression included, under
// one total deadline.
//
// Threads: engine thread only (Asio resolves names on a thread of its own). Memory: headers are
// capped by kMaxHttpHeaders, the body by HttpRequest::max_body before and after inflating.
// Errors: NetErrc, or the code of the resolver, socket or TLS call that failed; a status other than
// 200 is not an error. Lifetime: cancellable at any point; the Clock must outlive the call. A name
// lookup that was given up ends in the background.
#pragma once
#include <boost/asio/ip/address.hpp>
#include <cstddef>
#include <string>
#include <string_view>

#include "net/clock.h"
#include "net/connect_policy.h"
#include "net/error.h"
#include "net/http_connection.h"
#include "net/local_interface.h"
#include "net/name_lookup.h"

namespace swarmfs::net {

// From the first lookup to the last byte of the last redirect. What libtorrent allows a tracker.
inline constexpr Duration kHttpDeadline = std::chrono::seconds(30);
// A reply of 200 peers is 4 KB; 1 MiB is what libtorrent takes. Counted before and after inflating.
inline constexpr std::size_t kMaxHttpBody = 1024 * 1024;

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

[[nodiscard]] Task<Result<HttpReply>> http_get(Clock& clock, HttpRequest request);

// Undoes gzip or zlib, told apart by their first bytes. NetErrc::too_large past `max_size`,
// NetErrc::malformed_reply when damaged or cut short. What follows the end is ignored.
[[nodiscard]] Result<std::string> inflate_body(std::string_view body, std::size_t max_size);

}  // namespace swarmfs::net
