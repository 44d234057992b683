// One connection to a web server: found by name, allowed by the connect policy, TLS where the URL
// says so. Requests go out as text; replies come one after the other, their bodies in parts.
//
// Threads: engine thread only (Asio resolves names on a thread of its own). Memory: what is read
// ahead of a body, at most 2 x kMaxHttpHeaders. Errors: NetErrc, or the code of the resolver,
// socket or TLS call that failed. Lifetime: held by shared_ptr while a call is under way; close()
// ends the call. No deadlines of its own but kConnectTimeout.
#pragma once
#include <boost/asio/ip/tcp.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "net/clock.h"
#include "net/connect_policy.h"
#include "net/error.h"
#include "net/local_interface.h"
#include "net/name_lookup.h"

namespace swarmfs::net {

// Servers send less than 1 KB; 64 KiB leaves room for cookies.
inline constexpr std::uint32_t kMaxHttpHeaders = 64 * 1024;
inline constexpr int kMaxRedirects = 5;  // as libtorrent
// A host that does not answer its SYN for so long (one retransmission after 1 s, one after 3 s) is
// left for its next address.
inline constexpr Duration kConnectTimeout = std::chrono::seconds(4);
inline constexpr std::size_t kMaxHostAddresses = 8;  // 8 x 4 s is http_get's deadline

struct HttpUrl {
  bool tls = false;
  std::string host;  // lower case; an IPv6 address stands without brackets
  bool host_is_address = false;
  std::uint16_t port = 0;
  std::string path;           // still percent-encoded, never empty
  std::string target;         // path and query
  std::string authorization;  // value of the header; empty: none

  [[nodiscard]] std::string authority() const;  // host, and the port unless it is the scheme's own
  [[nodiscard]] std::string text() const;       // without credentials
  [[nodiscard]] bool same_origin(const HttpUrl& other) const;
};

// NetErrc::unsupported_scheme unless http or https; NetErrc::bad_url for what RFC 3986 refuses,
// which includes control characters and names that are not ASCII, and for port 0.
[[nodiscard]] Result<HttpUrl> parse_http_url(std::string_view url);

// Where a request goes, and what it may reach.
struct HttpHop {
  HttpUrl url;
  UrlSource source = UrlSource::tracker_list;
  bool allow_local = false;
  Scope previous = Scope::unusable;  // of the server that redirected us here
  Family family = Family::any;       // only addresses of it
  LocalInterface interface = {};     // to leave by
};

[[nodiscard]] bool is_redirect(unsigned status);
// Where a server at `here` sends us. Never from https to http, and credentials only stay with whom
// they were written for.
[[nodiscard]] Result<HttpHop> redirected(const HttpHop& from, std::string_view location,
                                         const asio::ip::address& here);

// The request line and what every request has: Host, User-Agent, credentials, and `headers` (whole
// lines).
[[nodiscard]] std::string get_request(const HttpUrl& url, std::string_view headers);

// Connects to the first endpoint that answers; every one but the last gets kConnectTimeout.
[[nodiscard]] Task<error_code> connect_to_first(Clock& clock,
                                                std::shared_ptr<asio::ip::tcp::socket> socket,
                                                std::vector<Endpoint> endpoints,
                                                LocalInterface interface = {});

// The TLS handshake failed or the certificate was refused; the message says which.
[[nodiscard]] bool is_tls_failure(error_code ec);

struct HttpHead {
  unsigned status = 0;
  std::optional<std::uint64_t> content_length;
  std::string content_range, content_encoding, content_type, location, retry_after;
  bool keep_alive = false;
};

class HttpConnection {
 public:
  explicit HttpConnection(const asio::any_io_executor& executor);
  ~HttpConnection();
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

  // Again: leaves the server for another one.
  [[nodiscard]] Task<error_code> open(Clock& clock, HttpHop hop);
  [[nodiscard]] Task<error_code> write(std::string text);
  // Of the next reply. The one before it must have been read to its end.
  [[nodiscard]] Task<Result<HttpHead>> read_head();
  // At least one byte of the body, or none at its end.
  [[nodiscard]] Task<Result<std::size_t>> read_body(std::span<std::byte> into);
  // For good; any number of times.
  void close();
  // The server has hung up, or says something unasked: no use for another request.
  [[nodiscard]] bool stale() const;
  [[nodiscard]] asio::ip::address remote() const;  // of the server; unspecified before open()
  [[nodiscard]] Duration round_trip() const;       // as TCP has measured it; zero: not known

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace swarmfs::net
