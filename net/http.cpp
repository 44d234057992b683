#include "net/http.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <boost/asio/error.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/multiple_exceptions.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/beast/core/string.hpp>
#include <climits>
#include <optional>
#include <span>
#include <utility>

namespace swarmfs::net {
namespace {

constexpr std::size_t kReadSize = 16 * 1024;  // four times the usual reply

using Connection = std::shared_ptr<HttpConnection>;

// Waits, and closes the connection on every way out, cancellation included: cancelling alone does
// not end a call for certain, because Asio's composed operations (TLS) go on when a cancellation
// comes between two of their steps.
Task<void> sleep_then_close(Clock& clock, Duration limit, Connection connection) {
  struct Closer {
    HttpConnection& connection;
    ~Closer() { connection.close(); }
  };
  const Closer closer{*connection};
  co_await clock.sleep(limit);
}

Task<error_code> read_body(Connection connection, std::string& body, std::size_t max_size) {
  std::array<std::byte, kReadSize> part;
  while (true) {
    const auto size = co_await connection->read_body(part);
    if (!size) co_return size.error();
    if (*size == 0) co_return error_code();
    if (body.size() + *size > max_size) co_return NetErrc::too_large;
    body.append(reinterpret_cast<const char*>(part.data()), *size);
  }
}

Result<std::string> decoded_body(const HttpHead& head, std::string body, std::size_t max_size) {
  const std::string_view encoding = head.content_encoding;
  const bool is_gzip = body.size() >= 2 && body[0] == '\x1f' && body[1] == '\x8b';
  const auto named = [encoding](const char* name) { return boost::beast::iequals(encoding, name); };
  if (named("gzip") || named("x-gzip") || named("deflate")) return inflate_body(body, max_size);
  if (!encoding.empty() && !named("identity")) return NetErrc::malformed_reply;
  if (is_gzip) return inflate_body(body, max_size);  // some trackers forget to say so
  return body;
}

Task<Result<HttpReply>> get_following_redirects(Clock& clock, Connection connection,
                                                HttpRequest request) {
  const Result<HttpUrl> url = parse_http_url(request.url);
  if (!url) co_return url.error();
  HttpHop hop{*url,           request.source,   request.allow_local, Scope::unusable,
              request.family, request.interface};
  for (int redirects = 0;; ++redirects) {
    error_code ec = co_await connection->open(clock, hop);
    if (ec) co_return ec;
    const asio::ip::address remote = connection->remote();
    std::string text = get_request(hop.url, "Accept-Encoding: gzip\r\nConnection: close\r\n");
    ec = co_await connection->write(std::move(text));
    if (ec) co_return ec;
    const auto head = co_await connection->read_head();
    if (!head) {
      co_return head.error() == asio::error::eof ? NetErrc::malformed_reply : head.error();
    }
    if (head->content_length.value_or(0) > request.max_body) co_return NetErrc::too_large;
    if (!is_redirect(head->status)) {
      std::string body;
      ec = co_await read_body(connection, body, request.max_body);
      if (ec) co_return ec;
      auto decoded = decoded_body(*head, std::move(body), request.max_body);
      if (!decoded) co_return decoded.error();
      HttpReply done{head->status, std::move(*decoded), remote};
      co_return done;
    }
    if (redirects == kMaxRedirects) co_return NetErrc::malformed_reply;
    Result<HttpHop> next = redirected(hop, head->location, remote);
    if (!next) co_return next.error();
    hop = std::move(*next);
  }
}

}  // namespace

Task<Result<HttpReply>> http_get(Clock& clock, HttpRequest request) {
  using namespace asio::experimental::awaitable_operators;
  const auto connection = std::make_shared<HttpConnection>(co_await asio::this_coro::executor);
  const Duration deadline = request.deadline;
  auto get = get_following_redirects(clock, connection, std::move(request));
  try {
    auto race = std::move(get) || sleep_then_close(clock, deadline, connection);
    auto first = co_await std::move(race);
    if (first.index() == 1) co_return NetErrc::timed_out;
    co_return std::get<0>(std::move(first));
  } catch (const asio::multiple_exceptions& both) {  // both were cancelled: say so in the usual way
    std::rethrow_exception(both.first_exception());
  }
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
