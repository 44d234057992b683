#include "net/http.h"

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/multiple_exceptions.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/url.hpp>
#include <charconv>
#include <climits>
#include <optional>
#include <sstream>
#include <vector>

#include "net/stream.h"

namespace swarmfs::net {
namespace {

namespace http = boost::beast::http;
namespace urls = boost::urls;
using asio::ip::tcp;
using Message = http::response<http::string_body>;

constexpr auto kAsTuple = asio::as_tuple(asio::use_awaitable);

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

// Waits, and closes the socket (if any) on every way out, cancellation included.
Task<void> sleep_then_close(Clock& clock, Duration limit, std::shared_ptr<tcp::socket> socket) {
  struct Closer {
    tcp::socket* socket;
    ~Closer() {
      error_code ignored;
      if (socket) socket->close(ignored);
    }
  };
  const Closer closer{socket.get()};
  co_await clock.sleep(limit);
}

// The value of `task`; empty when `limit` passed first. Closes `to_close` (if any) when the task is
// over or has to be: cancelling alone does not end it for certain, because Asio's composed
// operations (TLS) go on when a cancellation comes between two of their steps.
template <class T>
Task<std::optional<T>> within(Clock& clock, Duration limit, Task<T> task,
                              std::shared_ptr<tcp::socket> to_close = nullptr) {
  using namespace asio::experimental::awaitable_operators;
  try {
    auto race = std::move(task) || sleep_then_close(clock, limit, std::move(to_close));
    auto first = co_await std::move(race);
    if (first.index() == 1) co_return std::nullopt;
    co_return std::get<0>(std::move(first));
  } catch (const asio::multiple_exceptions& both) {  // both were cancelled: say so in the usual way
    std::rethrow_exception(both.first_exception());
  }
}

// What one request may reach, and what it learned on the way.
struct Hop {
  HttpUrl url;
  UrlSource source = UrlSource::tracker_list;
  bool allow_local = false;
  Scope previous = Scope::unusable;  // of the server that redirected us here
  Family family = Family::any;
  LocalInterface interface = {};
};

Task<error_code> connect_once(std::shared_ptr<tcp::socket> socket, Endpoint endpoint,
                              LocalInterface interface) {
  if (const error_code ec = open_on(*socket, endpoint.protocol(), interface)) co_return ec;
  const auto [ec] = co_await socket->async_connect(endpoint, kAsTuple);
  co_return ec;
}

// The addresses of the URL's host that the policy allows.
Task<Result<std::vector<Endpoint>>> allowed_addresses(Hop hop) {
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

// ---- One request

constexpr std::size_t kReadSize = 16 * 1024;  // four times the usual reply

struct RawReply {
  Message message;
  asio::ip::address remote;
};

error_code explained(error_code ec) {  // of Beast's parser
  const bool limit = ec == http::error::body_limit || ec == http::error::header_limit ||
                     ec == http::error::buffer_overflow;
  return limit ? NetErrc::too_large : NetErrc::malformed_reply;
}

std::string request_text(const HttpUrl& url) {
  http::request<http::empty_body> request(http::verb::get, url.target, 11);
  request.set(http::field::host, url.authority());
  request.set(http::field::user_agent, "swarmfs/" SWARMFS_VERSION);
  request.set(http::field::accept_encoding, "gzip");
  request.set(http::field::connection, "close");
  if (!url.authorization.empty()) request.set(http::field::authorization, url.authorization);
  std::ostringstream text;
  text << request;
  return text.str();
}

// Reads and parses in a loop of our own: Beast's composed reads do not notice a cancellation that
// comes between two of their steps, and a fast sender never leaves one waiting.
template <class Stream>
Task<Result<Message>> exchange(Stream& stream, HttpUrl url, std::size_t max_body) {
  const std::string request = request_text(url);
  const auto text = asio::buffer(request);
  const auto [write_error, written] = co_await asio::async_write(stream, text, kAsTuple);
  if (write_error) co_return write_error;

  http::response_parser<http::string_body> parser;
  parser.header_limit(kMaxHttpHeaders);
  parser.body_limit(max_body);
  parser.eager(true);
  boost::beast::flat_buffer buffer(2 * kMaxHttpHeaders);  // all headers, and a read beyond
  error_code ec;
  while (!parser.is_done()) {
    if (buffer.size() == buffer.max_size()) co_return NetErrc::too_large;
    const auto space =
        buffer.prepare(std::min<std::size_t>(kReadSize, buffer.max_size() - buffer.size()));
    const auto [read_error, size] = co_await stream.async_read_some(space, kAsTuple);
    buffer.commit(size);
    // Many servers close without the TLS goodbye. Where the length says that all is there, it is;
    // where only the goodbye could say so, the bencoding of the body has to.
    if (read_error == asio::error::eof || read_error == asio::ssl::error::stream_truncated) {
      if (parser.got_some()) parser.put_eof(ec);
      if (ec || !parser.is_done()) co_return NetErrc::malformed_reply;
      break;
    }
    if (read_error) co_return read_error;
    buffer.consume(parser.put(buffer.data(), ec));
    if (ec && ec != http::error::need_more) co_return explained(ec);
  }
  co_return parser.release();
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

Task<Result<Message>> exchange_tls(std::shared_ptr<tcp::socket> socket, HttpUrl url,
                                   std::size_t max_body) {
  asio::ssl::stream<tcp::socket&> stream(*socket, tls_context());
  stream.set_verify_callback(asio::ssl::host_name_verification(url.host));
  // Not for addresses, RFC 6066 section 3. The macro casts away a const.
  if (!url.host_is_address && SSL_ctrl(stream.native_handle(), SSL_CTRL_SET_TLSEXT_HOSTNAME,
                                       TLSEXT_NAMETYPE_host_name, url.host.data()) != 1) {
    co_return NetErrc::bad_url;
  }
  const auto [ec] = co_await stream.async_handshake(asio::ssl::stream_base::client, kAsTuple);
  if (ec) co_return ec;
  co_return co_await exchange(stream, url, max_body);
}

Task<Result<Message>> exchange_plain(std::shared_ptr<tcp::socket> socket, HttpUrl url,
                                     std::size_t max_body) {
  co_return co_await exchange(*socket, std::move(url), max_body);
}

Task<Result<RawReply>> fetch(Clock& clock, std::shared_ptr<tcp::socket> socket, Hop hop,
                             std::size_t max_body) {
  const auto addresses = co_await allowed_addresses(hop);
  if (!addresses) co_return addresses.error();
  auto connecting = connect_to_first(clock, socket, *addresses, hop.interface);
  error_code ec = co_await std::move(connecting);
  if (ec) co_return ec;
  const Endpoint remote = socket->remote_endpoint(ec);
  if (ec) co_return ec;
  auto exchanged = hop.url.tls ? exchange_tls(socket, hop.url, max_body)
                               : exchange_plain(socket, hop.url, max_body);
  auto message = co_await std::move(exchanged);  // GCC 12 destroys a co_await inside ?: twice
  if (!message) co_return message.error();
  RawReply reply{std::move(*message), remote.address()};
  co_return reply;
}

// ---- Redirects and compression

bool is_redirect(http::status status) {
  switch (status) {
    case http::status::moved_permanently:
    case http::status::found:
    case http::status::see_other:
    case http::status::temporary_redirect:
    case http::status::permanent_redirect:
      return true;
    default:
      return false;
  }
}

// Makes `location` absolute in the place of `base`.
error_code follow_location(urls::url& base, std::string_view location) {
  if (location.empty()) return NetErrc::malformed_reply;
  const auto reference = urls::parse_uri_reference(location);
  if (!reference) return NetErrc::bad_url;
  urls::url target;
  if (!urls::resolve(base, *reference, target)) return NetErrc::bad_url;
  base = target;
  return {};
}

Result<std::string> decoded_body(Message& message, std::size_t max_size) {
  const std::string_view encoding = message[http::field::content_encoding];
  std::string& body = message.body();
  const bool is_gzip = body.size() >= 2 && body[0] == '\x1f' && body[1] == '\x8b';
  const auto named = [encoding](const char* name) { return boost::beast::iequals(encoding, name); };
  if (named("gzip") || named("x-gzip") || named("deflate")) return inflate_body(body, max_size);
  if (!encoding.empty() && !named("identity")) return NetErrc::malformed_reply;
  if (is_gzip) return inflate_body(body, max_size);  // some trackers forget to say so
  return std::move(body);
}

Task<Result<HttpReply>> get_following_redirects(Clock& clock, std::shared_ptr<tcp::socket> socket,
                                                HttpRequest request) {
  const auto parsed = urls::parse_uri(request.url);
  if (!parsed) co_return NetErrc::bad_url;
  urls::url place = *parsed;
  const Result<HttpUrl> first = to_http_url(place);
  if (!first) co_return first.error();
  Hop hop{*first,          request.source, request.allow_local,
          Scope::unusable, request.family, request.interface};
  for (int redirects = 0;; ++redirects) {
    auto reply = co_await fetch(clock, socket, hop, request.max_body);
    if (!reply) co_return reply.error();
    if (!is_redirect(reply->message.result())) {
      auto body = decoded_body(reply->message, request.max_body);
      if (!body) co_return body.error();
      HttpReply done{reply->message.result_int(), std::move(*body), reply->remote};
      co_return done;
    }
    if (redirects == kMaxRedirects) co_return NetErrc::malformed_reply;
    const std::string_view location = reply->message[http::field::location];
    if (const error_code ec = follow_location(place, location)) co_return ec;
    Result<HttpUrl> next = to_http_url(place);
    if (!next) co_return next.error();
    if (hop.url.tls && !next->tls) co_return NetErrc::malformed_reply;  // someone strips the TLS
    // Only what the user or the torrent wrote is a credential, and only for whom they wrote it;
    // lost once is lost for good, or a stranger could send us back with it.
    next->authorization = next->same_origin(hop.url) ? hop.url.authorization : std::string();
    hop.url = std::move(*next);
    hop.previous = scope_of(reply->remote);
  }
}

}  // namespace

std::string HttpUrl::authority() const {
  const bool brackets = host.find(':') != std::string::npos;
  std::string text = brackets ? '[' + host + ']' : host;
  if (port != (tls ? 443 : 80)) text += ':' + std::to_string(port);
  return text;
}

bool HttpUrl::same_origin(const HttpUrl& other) const {
  return tls == other.tls && host == other.host && port == other.port;
}

Result<HttpUrl> parse_http_url(std::string_view url) {
  const auto parsed = urls::parse_uri(url);
  if (!parsed) return NetErrc::bad_url;
  return to_http_url(*parsed);
}

Task<error_code> connect_to_first(Clock& clock, std::shared_ptr<tcp::socket> socket,
                                  std::vector<Endpoint> endpoints, LocalInterface interface) {
  error_code last = asio::error::host_not_found;
  for (const Endpoint& endpoint : endpoints) {
    error_code ignored;
    socket->close(ignored);
    auto attempt = connect_once(socket, normalised(endpoint), interface);
    // The last one may use all that is left of the deadline.
    if (&endpoint == &endpoints.back()) co_return co_await std::move(attempt);
    auto bounded = within(clock, kConnectTimeout, std::move(attempt));
    const std::optional<error_code> ec = co_await std::move(bounded);
    if (ec && !*ec) co_return error_code();
    last = ec ? *ec : error_code(NetErrc::timed_out);
  }
  co_return last;
}

Task<Result<HttpReply>> http_get(Clock& clock, HttpRequest request) {
  auto socket = std::make_shared<tcp::socket>(co_await asio::this_coro::executor);
  const Duration deadline = request.deadline;
  auto get = get_following_redirects(clock, socket, std::move(request));
  auto bounded = within(clock, deadline, std::move(get), socket);
  auto reply = co_await std::move(bounded);
  if (!reply) co_return NetErrc::timed_out;
  co_return std::move(*reply);
}

Result<std::string> inflate_body(std::string_view body, std::size_t max_size) {
  struct Inflater {
    z_stream stream{};
    ~Inflater() { inflateEnd(&stream); }
  } inflater;
  z_stream& stream = inflater.stream;
  // "deflate" is zlib by RFC 9110, but some servers send it bare; a zlib or gzip header is told by
  // its own check (RFC 1950 2.2: the first two bytes are a multiple of 31).
  const auto byte = [body](std::size_t i) { return static_cast<unsigned char>(body[i]); };
  const bool gzip = body.size() >= 2 && byte(0) == 0x1f && byte(1) == 0x8b;
  const bool zlib =
      body.size() >= 2 && (byte(0) & 0x0f) == 8 && (byte(0) * 256 + byte(1)) % 31 == 0;
  constexpr int kDetectHeader = MAX_WBITS + 32;
  if (inflateInit2(&stream, gzip || zlib ? kDetectHeader : -MAX_WBITS) != Z_OK) {
    return boost::system::errc::make_error_code(boost::system::errc::not_enough_memory);
  }
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(body.data()));  // zlib only reads it
  stream.avail_in = static_cast<uInt>(std::min<std::size_t>(body.size(), UINT_MAX));
  std::string inflated;
  std::array<char, 16 * 1024> chunk;
  for (int status = Z_OK; status != Z_STREAM_END;) {
    stream.next_out = reinterpret_cast<Bytef*>(chunk.data());
    stream.avail_out = static_cast<uInt>(chunk.size());
    status = inflate(&stream, Z_NO_FLUSH);
    if (status != Z_OK && status != Z_STREAM_END) return NetErrc::malformed_reply;
    const std::size_t made = chunk.size() - stream.avail_out;
    if (inflated.size() + made > max_size) return NetErrc::too_large;
    inflated.append(chunk.data(), made);
  }
  return inflated;
}

}  // namespace swarmfs::net
