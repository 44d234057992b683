// What a web server's answer to a request for a range of a file means (RFC 9110, section 14).
//
// Threads: pure. Memory: none. Errors: none: an answer that makes no sense is `broken`.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "net/clock.h"
#include "net/http_connection.h"

namespace swarmfs::net {

// Longest a server may make us wait with Retry-After.
inline constexpr Duration kMaxRetryAfter = std::chrono::hours(1);

struct RangeAsked {
  std::uint64_t begin = 0, end = 0;  // of the file; half-open, not empty
  std::uint64_t file_size = 0;
};

enum class RangeReply : std::uint8_t {
  range,       // the body is what was asked for
  whole_file,  // the body is the file from its first byte on (a server without ranges)
  redirect,
  not_there,  // the server has no such file, or another one under its name
  busy,       // later, perhaps
  broken,     // not to be used
};

[[nodiscard]] RangeReply judge_range_reply(const HttpHead& head, const RangeAsked& asked);

// "bytes=0-499".
[[nodiscard]] std::string range_header(const RangeAsked& asked);

// Of a Retry-After in seconds; zero for anything else, a date included.
[[nodiscard]] Duration retry_after(std::string_view header);

}  // namespace swarmfs::net
