#include "net/lsd_message.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <charconv>

#include "storage/result.h"

namespace swarmfs::net {
namespace {

namespace http = boost::beast::http;

constexpr std::string_view kMethod = "BT-SEARCH";
constexpr std::size_t kInfoHashLine = std::string_view("Infohash: \r\n").size() + 40;

// The value of a header said exactly once; empty: said never or twice.
std::optional<std::string_view> only(const http::fields& fields, std::string_view name) {
  const auto [first, last] = fields.equal_range({name.data(), name.size()});
  if (first == last || std::next(first) != last) return std::nullopt;
  return std::string_view(first->value().data(), first->value().size());
}

std::optional<std::uint16_t> parse_port(std::string_view digits) {
  std::uint16_t port = 0;
  if (digits.size() > 5) return std::nullopt;  // 65535
  const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (ec != std::errc() || end != digits.data() + digits.size() || port == 0) return std::nullopt;
  return port;
}

}  // namespace

std::optional<LsdAnnounce> parse_lsd(std::span<const std::byte> datagram) {
  if (datagram.size() > kMaxLsdMessage) return std::nullopt;
  http::request_parser<http::empty_body> parser;
  error_code ec;
  parser.put(asio::buffer(datagram.data(), datagram.size()), ec);
  if (ec || !parser.is_header_done()) return std::nullopt;
  const http::request<http::empty_body>& header = parser.get();
  if (header.method_string() != kMethod || header.target() != "*" || header.version() != 11) {
    return std::nullopt;
  }
  LsdAnnounce announce;
  const auto port = only(header, "Port");
  const auto number = port ? parse_port(*port) : std::nullopt;
  if (!number || !only(header, "Host")) return std::nullopt;
  announce.port = *number;
  const auto [first, last] = header.equal_range("Infohash");
  for (auto at = first; at != last; ++at) {
    const auto hash = storage::InfoHash::from_hex({at->value().data(), at->value().size()});
    if (!hash) return std::nullopt;
    auto& hashes = announce.info_hashes;
    if (std::find(hashes.begin(), hashes.end(), *hash) == hashes.end()) hashes.push_back(*hash);
  }
  if (announce.info_hashes.empty()) return std::nullopt;
  if (header.count("cookie") > 0) {
    const auto cookie = only(header, "cookie");
    if (!cookie || cookie->size() > kMaxLsdCookie) return std::nullopt;
    announce.cookie = *cookie;
  }
  return announce;
}

namespace {

// BEP 14 ends a message with two empty lines. Without a cookie the line is left out.
std::string with_hash_lines(std::string_view group, std::string_view port, std::string_view cookie,
                            std::span<const storage::InfoHash> hashes) {
  std::string out(kMethod);
  out += " * HTTP/1.1\r\nHost: ";
  out.append(group).append("\r\nPort: ").append(port).append("\r\n");
  for (const storage::InfoHash& hash : hashes) out.append("Infohash: " + hash.hex() + "\r\n");
  if (!cookie.empty()) out.append("cookie: ").append(cookie).append("\r\n");
  return out + "\r\n\r\n";
}

}  // namespace

std::size_t lsd_capacity(std::string_view group, std::string_view cookie) {
  return (kMaxLsdMessage - with_hash_lines(group, "65535", cookie, {}).size()) / kInfoHashLine;
}

std::string encode_lsd(const LsdAnnounce& announce, std::string_view group) {
  const std::size_t fit =
      std::min(announce.info_hashes.size(), lsd_capacity(group, announce.cookie));
  return with_hash_lines(group, std::to_string(announce.port), announce.cookie,
                         std::span(announce.info_hashes).first(fit));
}

}  // namespace swarmfs::net
