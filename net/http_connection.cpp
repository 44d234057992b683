#include "net/http_connection.h"

#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/multiple_exceptions.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/url.hpp>
#include <cerrno>
#include <charconv>
#include <utility>

#include "net/stream.h"

namespace swarmfs::net {
namespace {

namespace http = boost::beast::http;
namespace urls = boost::urls;
using asio::ip::tcp;

constexpr auto kAsTuple = asio::as_tuple(asio::use_awaitable);
// One read of a body: what a fast line has brought meanwhile.
constexpr std::size_t kReadSize = 64 * 1024;

// ---- URLs

bool valid_host_name(std::string_view host) {
  if (host.ends_with('.')) host.remove_suffix(1);       // the root's dot
  if (host.empty() || host.size() > 253) return false;  // RFC 1035 2.3.4
  std::size_t label = 0;
  for (const char c : host) {
    const bool letter_or_digit = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (c == '.' ? label == 0 : !letter_or_digit && c != '-' && c != '_') return false;
    label = c == '.' ? 0 : label + 1;
    if (label > 63) return false;
  }
  return label > 0;
}

std::optional<std::uint16_t> port_of(const urls::url_view& url, bool tls) {
  const std::string_view digits = url.port();
  if (digits.empty()) return tls ? 443 : 80;
  std::uint16_t port = 0;
  const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (ec != std::errc() || end != digits.data() + digits.size() || port == 0) return std::nullopt;
  return port;
}

std::string basic_authorization(const urls::url_view& url) {
  if (!url.has_userinfo()) return {};
  const std::string plain = url.userinfo();
  std::string encoded(4 * ((plain.size() + 2) / 3) + 1, '\0');  // and the terminator OpenSSL adds
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(encoded.data()),
                                   reinterpret_cast<const unsigned char*>(plain.data()),
                                   static_cast<int>(plain.size()));
  encoded.resize(static_cast<std::size_t>(size));
  return "Basic " + encoded;
}

Result<HttpUrl> to_http_url(const urls::url_view& parsed) {
  HttpUrl url;
  if (parsed.scheme_id() != urls::scheme::http && parsed.scheme_id() != urls::scheme::https) {
    return NetErrc::unsupported_scheme;
  }
  url.tls = parsed.scheme_id() == urls::scheme::https;
  const auto port = port_of(parsed, url.tls);
  if (!port) return NetErrc::bad_url;
  url.port = *port;
  url.host = parsed.encoded_host_address();
  std::transform(url.host.begin(), url.host.end(), url.host.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  switch (parsed.host_type()) {
    case urls::host_type::ipv4:
    case urls::host_type::ipv6:
      url.host_is_address = true;
      break;
    case urls::host_type::name:
      if (!valid_host_name(url.host)) return NetErrc::bad_url;
      break;
    default:
      return NetErrc::bad_url;
  }
  url.path = parsed.encoded_path();
  if (url.path.empty()) url.path = "/";
  // Boost.URL 1.81 takes "http://h:80x" for the path "x" of port 80.
  if (url.path.front() != '/') return NetErrc::bad_url;
  url.target = url.path;
  if (parsed.has_query()) url.target += '?' + std::string(parsed.encoded_query());
  url.authorization = basic_authorization(parsed);
  return url;
}

// ---- Connecting

Task<error_code> connect_once(std::shared_ptr<tcp::socket> socket, Endpoint endpoint,
                              LocalInterface interface) {
  if (const error_code ec = open_on(*socket, endpoint.protocol(), interface)) co_return ec;
  const auto [ec] = co_await socket->async_connect(endpoint, kAsTuple);
  co_return ec;
}

// As connect_once(), for a while.
Task<error_code> connect_soon(Clock& clock, std::shared_ptr<tcp::socket> socket, Endpoint endpoint,
                              LocalInterface interface) {
  using namespace asio::experimental::awaitable_operators;
  try {
    auto attempt = connect_once(socket, endpoint, interface);
    auto race = std::move(attempt) || clock.sleep(kConnectTimeout);
    const auto first = co_await std::move(race);
    if (first.index() == 1) co_return NetErrc::timed_out;
    co_return std::get<0>(first);
  } catch (const asio::multiple_exceptions& both) {  // both were cancelled: say so in the usual way
    std::rethrow_exception(both.first_exception());
  }
}

// The addresses of the URL's host that the policy allows.
Task<Result<std::vector<Endpoint>>> allowed_addresses(HttpHop hop) {
  auto addresses = co_await look_up(hop.url.host, hop.url.port);
  if (!addresses) co_return addresses.error();
  std::erase_if(*addresses,
                [&hop](const Endpoint& e) { return !is_of(normalised(e), hop.family); });
  if (addresses->empty()) co_return error_code(asio::error::host_not_found);
  std::erase_if(*addresses, [&hop](const Endpoint& endpoint) {
    return !may_fetch(endpoint, hop.source, hop.url.path, hop.previous, hop.allow_local);
  });
  if (addresses->empty()) co_return NetErrc::refused_address;
  if (addresses->size() > kMaxHostAddresses) addresses->resize(kMaxHostAddresses);
  co_return std::move(*addresses);
}

asio::ssl::context& tls_context() {
  // Made at the first https URL, because reading the system's certificates takes milliseconds.
  static asio::ssl::context context = [] {
    asio::ssl::context made(asio::ssl::context::tls_client);
    error_code ignored;  // without certificates every handshake fails, which is reported there
    made.set_default_verify_paths(ignored);
    made.set_verify_mode(asio::ssl::verify_peer);
    SSL_CTX_set_min_proto_version(made.native_handle(), TLS1_2_VERSION);
    return made;
  }();
  return context;
}

error_code explained(error_code ec) {  // of Beast's parser
  const bool limit = ec == http::error::body_limit || ec == http::error::header_limit ||
                     ec == http::error::buffer_overflow;
  return limit ? NetErrc::too_large : NetErrc::malformed_reply;
}

}  // namespace

// ---- URLs

std::string HttpUrl::authority() const {
  const bool brackets = host.find(':') != std::string::npos;
  std::string text = brackets ? '[' + host + ']' : host;
  if (port != (tls ? 443 : 80)) text += ':' + std::to_string(port);
  return text;
}

std::string HttpUrl::text() const {
  return (tls ? "https://" : "http://") + authority() + target;
}

bool HttpUrl::same_origin(const HttpUrl& other) const {
  return tls == other.tls && host == other.host && port == other.port;
}

Result<HttpUrl> parse_http_url(std::string_view url) {
  const auto parsed = urls::parse_uri(url);
  if (!parsed) return NetErrc::bad_url;
  return to_http_url(*parsed);
}

bool is_redirect(unsigned status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

Result<HttpHop> redirected(const HttpHop& from, std::string_view location,
                           const asio::ip::address& here) {
  if (location.empty()) return NetErrc::malformed_reply;
  const std::string base_text = from.url.text();
  const auto base = urls::parse_uri(base_text);
  const auto reference = urls::parse_uri_reference(location);
  urls::url target;
  if (!base || !reference || !urls::resolve(*base, *reference, target)) return NetErrc::bad_url;
  Result<HttpUrl> next = to_http_url(target);
  if (!next) return next.error();
  if (from.url.tls && !next->tls) return NetErrc::malformed_reply;  // someone strips the TLS
  // Only what the user or the torrent wrote is a credential, and only for whom they wrote it; lost
  // once is lost for good, or a stranger could send us back with it.
  next->authorization = next->same_origin(from.url) ? from.url.authorization : std::string();
  HttpHop hop = from;
  hop.url = std::move(*next);
  hop.previous = scope_of(here);
  return hop;
}

std::string get_request(const HttpUrl& url, std::string_view headers) {
  std::string text = "GET " + url.target + " HTTP/1.1\r\nHost: " + url.authority() +
                     "\r\nUser-Agent: swarmfs/" SWARMFS_VERSION "\r\n";
  if (!url.authorization.empty()) text += "Authorization: " + url.authorization + "\r\n";
  return text.append(headers) + "\r\n";
}

// ---- Connecting

Task<error_code> connect_to_first(Clock& clock, std::shared_ptr<tcp::socket> socket,
                                  std::vector<Endpoint> endpoints, LocalInterface interface) {
  error_code last = asio::error::host_not_found;
  for (const Endpoint& endpoint : endpoints) {
    error_code ignored;
    socket->close(ignored);
    // The last one may use all that is left of the deadline.
    auto attempt = &endpoint == &endpoints.back()
                       ? connect_once(socket, normalised(endpoint), interface)
                       : connect_soon(clock, socket, normalised(endpoint), interface);
    last = co_await std::move(attempt);
    // Aborted: somebody closed the socket, and means it.
    if (!last || last == asio::error::operation_aborted) break;
  }
  co_return last;
}

bool is_tls_failure(error_code ec) {
  return ec.category() == asio::error::get_ssl_category() ||
         ec.category() == asio::ssl::error::get_stream_category();
}

// ---- One connection

struct HttpConnection::State {
  explicit State(const asio::any_io_executor& executor)
      : socket(std::make_shared<tcp::socket>(executor)) {}

  Task<error_code> shake_hands(HttpUrl url);
  Task<error_code> read_some();
  Task<error_code> parse_more();

  std::shared_ptr<tcp::socket> socket;
  std::optional<asio::ssl::stream<tcp::socket&>> tls;
  boost::beast::flat_buffer buffer{2 * kMaxHttpHeaders};  // all headers, and a read beyond
  std::optional<http::response_parser<http::buffer_body>> parser;
  bool needs_more = true;  // the parser can do nothing with what is in the buffer
  bool closed = false;
};

Task<error_code> HttpConnection::State::shake_hands(HttpUrl url) {
  tls.emplace(*socket, tls_context());
  tls->set_verify_callback(asio::ssl::host_name_verification(url.host));
  // Not for addresses, RFC 6066 section 3. The macro casts away a const.
  if (!url.host_is_address && SSL_ctrl(tls->native_handle(), SSL_CTRL_SET_TLSEXT_HOSTNAME,
                                       TLSEXT_NAMETYPE_host_name, url.host.data()) != 1) {
    co_return NetErrc::bad_url;
  }
  const auto [ec] = co_await tls->async_handshake(asio::ssl::stream_base::client, kAsTuple);
  co_return ec;
}

// Appends to the buffer.
Task<error_code> HttpConnection::State::read_some() {
  const std::size_t room = buffer.max_size() - buffer.size();
  if (room == 0) co_return NetErrc::too_large;
  const auto space = buffer.prepare(std::min(kReadSize, room));
  std::tuple<error_code, std::size_t> got;
  if (tls) {
    got = co_await tls->async_read_some(space, kAsTuple);
  } else {
    got = co_await socket->async_read_some(space, kAsTuple);
  }
  buffer.commit(std::get<1>(got));
  co_return std::get<0>(got);
}

// One step: reads when it has to, then parses. In a loop of our own, because Beast's composed reads
// do not notice a cancellation that comes between two of their steps, and a fast sender never
// leaves one waiting.
Task<error_code> HttpConnection::State::parse_more() {
  error_code ec;
  if (std::exchange(needs_more, false) || buffer.size() == 0) {
    ec = co_await read_some();
    // Many servers close without the TLS goodbye. Where the length says that all is there, it is;
    // where only the goodbye could say so, what is in the body has to.
    if (ec == asio::error::eof || ec == asio::ssl::error::stream_truncated) {
      error_code incomplete;
      if (!parser->got_some()) co_return asio::error::eof;
      parser->put_eof(incomplete);
      if (incomplete || !parser->is_done()) co_return NetErrc::malformed_reply;
      co_return error_code();
    }
    if (ec) co_return ec;
  }
  buffer.consume(parser->put(buffer.data(), ec));
  if (ec == http::error::need_more) {
    needs_more = true;
  } else if (ec && ec != http::error::need_buffer) {
    co_return explained(ec);
  }
  co_return error_code();
}

HttpConnection::HttpConnection(const asio::any_io_executor& executor)
    : state_(std::make_unique<State>(executor)) {}

HttpConnection::~HttpConnection() = default;

Task<error_code> HttpConnection::open(Clock& clock, HttpHop hop) {
  State& s = *state_;
  s.tls.reset();
  s.parser.reset();
  s.buffer.clear();
  const auto addresses = co_await allowed_addresses(hop);
  if (!addresses) co_return addresses.error();
  if (s.closed) co_return asio::error::operation_aborted;
  auto connecting = connect_to_first(clock, s.socket, *addresses, hop.interface);
  error_code ec = co_await std::move(connecting);
  if (ec) co_return ec;
  s.socket->set_option(tcp::no_delay(true), ec);  // requests are small and urgent
  if (!ec && hop.url.tls) ec = co_await s.shake_hands(hop.url);
  co_return ec;
}

Task<error_code> HttpConnection::write(std::string text) {
  State& s = *state_;
  const auto buffer = asio::buffer(text);
  std::tuple<error_code, std::size_t> done;
  if (s.tls) {
    done = co_await asio::async_write(*s.tls, buffer, kAsTuple);
  } else {
    done = co_await asio::async_write(*s.socket, buffer, kAsTuple);
  }
  co_return std::get<0>(done);
}

Task<Result<HttpHead>> HttpConnection::read_head() {
  State& s = *state_;
  s.parser.emplace();
  s.parser->header_limit(kMaxHttpHeaders);
  s.parser->body_limit(boost::none);  // whoever reads the body counts
  s.needs_more = s.buffer.size() == 0;
  while (!s.parser->is_header_done()) {
    const error_code ec = co_await s.parse_more();
    if (ec) co_return ec;
  }
  const auto& message = s.parser->get();
  const auto field = [&message](http::field name) { return std::string(message[name]); };
  HttpHead head{.status = message.result_int(),
                .content_length = {},
                .content_range = field(http::field::content_range),
                .content_encoding = field(http::field::content_encoding),
                .content_type = field(http::field::content_type),
                .location = field(http::field::location),
                .retry_after = field(http::field::retry_after),
                .keep_alive = s.parser->keep_alive()};
  if (const auto length = s.parser->content_length()) head.content_length = *length;
  co_return head;
}

Task<Result<std::size_t>> HttpConnection::read_body(std::span<std::byte> into) {
  State& s = *state_;
  auto& body = s.parser->get().body();
  body.data = into.data();
  body.size = into.size();
  body.more = true;
  while (!s.parser->is_done() && body.size == into.size()) {
    const error_code ec = co_await s.parse_more();
    if (ec) co_return ec;
  }
  co_return into.size() - body.size;
}

void HttpConnection::close() {
  state_->closed = true;
  error_code ignored;
  state_->socket->close(ignored);
}

bool HttpConnection::stale() const {
  const State& s = *state_;
  if (!s.socket->is_open() || s.buffer.size() > 0) return true;
  char byte = 0;
  const auto n = ::recv(s.socket->native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return n >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

Duration HttpConnection::round_trip() const {
  tcp_info info{};
  socklen_t size = sizeof info;
  const int failed =
      ::getsockopt(state_->socket->native_handle(), IPPROTO_TCP, TCP_INFO, &info, &size);
  return std::chrono::microseconds(failed ? 0 : info.tcpi_rtt);
}

asio::ip::address HttpConnection::remote() const {
  error_code ec;
  const Endpoint endpoint = state_->socket->remote_endpoint(ec);
  return ec ? asio::ip::address() : endpoint.address();
}

}  // namespace swarmfs::net
