#include "net/announce.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "net/connect_policy.h"
#include "storage/bencode.h"

namespace swarmfs::net {
namespace {

namespace bencode = storage::bencode;
using std::chrono::seconds;

// ---- Text

void append_encoded(std::string& url, std::string_view bytes) {
  constexpr std::string_view kUnreserved =  // RFC 3986 section 2.3
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
  constexpr std::string_view kHex = "0123456789ABCDEF";
  for (const char c : bytes) {
    if (kUnreserved.find(c) != std::string_view::npos) {
      url += c;
      continue;
    }
    const auto value = static_cast<unsigned char>(c);
    url += '%';
    url += kHex[value >> 4];
    url += kHex[value & 15];
  }
}

std::string_view characters(const storage::Sha1Digest& digest) {
  return {reinterpret_cast<const char*>(digest.bytes.data()), digest.bytes.size()};
}

// The length of the UTF-8 character at the start of `text` when it is one that only prints; 0 for
// anything that could steer a terminal or turn its text around.
std::size_t printable_prefix(std::string_view text) {
  const auto byte = [text](std::size_t i) -> std::uint32_t {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  const std::uint32_t lead = byte(0);
  if (lead >= 0x20 && lead < 0x7f) return 1;
  const std::size_t size = lead >= 0xf0 && lead < 0xf5   ? 4
                           : lead >= 0xe0 && lead < 0xf0 ? 3
                           : lead >= 0xc2 && lead < 0xe0 ? 2
                                                         : 0;
  if (size == 0) return 0;
  std::uint32_t point = lead & (0xffU >> (size + 1));
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
    point = point << 6 | (byte(i) & 0x3f);
  }
  constexpr std::array<std::uint32_t, 5> kFirst = {0, 0, 0x80, 0x800, 0x10000};
  const bool valid = point >= kFirst[size] && point <= 0x10ffff && (point & 0x1ff800) != 0xd800;
  const bool control = point < 0xa0;                           // C1
  const bool steers = (point >= 0x200b && point <= 0x200f) ||  // marks of direction
                      (point >= 0x2028 && point <= 0x202e) ||  // line separators, overrides
                      (point >= 0x2060 && point <= 0x206f) || point == 0x061c || point == 0xfeff;
  return valid && !control && !steers ? size : 0;
}

// ---- Replies

// Ours, not the reader's usual ones: a body of 1 MiB holds 26,000 peers as dictionaries (40 bytes,
// 7 tokens each), of which we take the first 200. 200,000 tokens are 3 MiB for a moment.
constexpr bencode::Limits kReplyLimits{16, 200'000};

void add_peer(std::vector<Endpoint>& peers, const asio::ip::address& address, std::uint16_t port) {
  if (port == 0 || peers.size() >= kMaxPeersPerReply) return;
  peers.push_back(normalised(Endpoint(address, port)));
}

template <class Address>
void add_records(std::vector<Endpoint>& peers, std::string_view records) {
  typename Address::bytes_type bytes;
  const std::size_t stride = bytes.size() + 2;
  for (; records.size() >= stride; records.remove_prefix(stride)) {
    const auto byte = [records](std::size_t i) { return static_cast<unsigned char>(records[i]); };
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = byte(i);
    const int port = byte(bytes.size()) << 8 | byte(bytes.size() + 1);
    add_peer(peers, Address(bytes), static_cast<std::uint16_t>(port));
  }
}

void add_dictionary(std::vector<Endpoint>& peers, const bencode::Value& peer) {
  const auto host = peer["ip"].string();
  const auto port = peer["port"].integer_as<std::uint16_t>();
  if (!host || !port || host->find('%') != std::string_view::npos) return;  // an interface of ours
  error_code ec;
  const auto address = asio::ip::make_address(*host, ec);  // names are not looked up
  if (!ec) add_peer(peers, address, *port);
}

void read_failure(const bencode::Value& root, AnnounceReply& reply) {
  const bencode::Value retry = root["retry in"];  // BEP 31: minutes, or "never"
  reply.retry_never = retry.string() == "never";
  if (const auto minutes = retry.integer()) {
    const std::int64_t bounded = std::clamp<std::int64_t>(*minutes, 0, kMaxInterval.count() / 60);
    reply.retry_in = std::clamp(seconds(bounded * 60), kMinInterval, kMaxInterval);
  } else if (root["interval"].integer() || root["min interval"].integer()) {
    reply.retry_in = reply.interval;
  }
}

// BEP 24: the bytes of the address.
std::optional<asio::ip::address> read_external_ip(std::string_view bytes) {
  asio::ip::address_v4::bytes_type v4;
  asio::ip::address_v6::bytes_type v6;
  if (bytes.size() == v4.size()) {
    std::copy(bytes.begin(), bytes.end(), v4.begin());
    return asio::ip::address(asio::ip::address_v4(v4));
  }
  if (bytes.size() != v6.size()) return std::nullopt;
  std::copy(bytes.begin(), bytes.end(), v6.begin());
  return normalised(asio::ip::address(asio::ip::address_v6(v6)));
}

}  // namespace

std::string shown_text(std::string_view text) {
  std::string shown;
  while (!text.empty()) {
    const std::size_t size = printable_prefix(text);
    std::string next(text.substr(0, size));
    if (size == 0) {
      std::array<char, 5> code{};
      std::snprintf(code.data(), code.size(), "\\x%02x", static_cast<unsigned char>(text.front()));
      next = code.data();
    }
    if (shown.size() + next.size() > kMaxTrackerText) break;
    shown += next;
    text.remove_prefix(std::max<std::size_t>(1, size));
  }
  return shown;
}

void add_compact_peers(std::vector<Endpoint>& peers, std::string_view records, bool ipv6) {
  if (ipv6) {
    add_records<asio::ip::address_v6>(peers, records);
  } else {
    add_records<asio::ip::address_v4>(peers, records);
  }
}

std::string announce_url(std::string_view base, const AnnounceRequest& request) {
  std::string url(base.substr(0, base.find('#')));
  const std::size_t query = url.find('?');
  if (query == std::string::npos) {
    url += '?';
  } else if (url.back() != '?' && url.back() != '&') {
    url += '&';
  }
  url += "info_hash=";
  append_encoded(url, characters(request.info_hash));
  url += "&peer_id=";
  append_encoded(url, characters(request.peer_id));
  url += "&port=" + std::to_string(request.port);
  url += "&uploaded=0&downloaded=" + std::to_string(request.downloaded);
  url += "&left=" + std::to_string(request.left);
  url += "&compact=1&no_peer_id=1&numwant=" + std::to_string(request.num_want);
  std::array<char, 9> key{};
  std::snprintf(key.data(), key.size(), "%08X", static_cast<unsigned>(request.key));
  url += "&key=" + std::string(key.data());
  if (request.event == AnnounceEvent::started) url += "&event=started";
  if (request.event == AnnounceEvent::stopped) url += "&event=stopped";
  if (!request.tracker_id.empty()) {
    url += "&trackerid=";
    append_encoded(url, request.tracker_id);
  }
  return url;
}

Result<AnnounceReply> parse_announce_reply(std::span<const std::byte> body) {
  const auto document = bencode::Document::read(body, kReplyLimits, bencode::Mode::lenient);
  if (!document || !document->root().is(bencode::Type::dictionary)) return NetErrc::malformed_reply;
  const bencode::Value root = document->root();
  AnnounceReply reply;
  reply.interval = announce_interval(root["interval"].integer(), root["min interval"].integer());
  if (const auto reason = root["failure reason"].string()) {
    reply.failure_reason = reason->empty() ? "no reason given" : shown_text(*reason);
    read_failure(root, reply);
    return reply;
  }
  const bencode::Value peers = root["peers"];
  add_compact_peers(reply.peers, peers.string().value_or(""), false);
  for (const bencode::Value peer : peers.items()) add_dictionary(reply.peers, peer);
  add_compact_peers(reply.peers, root["peers6"].string().value_or(""), true);
  const std::string_view id = root["tracker id"].string().value_or("");
  if (id.size() <= kMaxTrackerId) reply.tracker_id = id;
  reply.external_ip = read_external_ip(root["external ip"].string().value_or(""));
  reply.warning = shown_text(root["warning message"].string().value_or(""));
  return reply;
}

seconds announce_interval(std::optional<std::int64_t> interval,
                          std::optional<std::int64_t> min_interval) {
  const std::int64_t asked =
      std::max(interval.value_or(kDefaultInterval.count()), min_interval.value_or(0));
  return seconds(std::clamp<std::int64_t>(asked, kMinInterval.count(), kMaxInterval.count()));
}

Duration announce_back_off(std::uint32_t failures, bool eager, double fraction) {
  // 2^9 x 5 s is past the longest back-off: more doublings change nothing.
  const std::uint32_t doublings = std::min<std::uint32_t>(failures - 1, 9);
  const Duration first = eager ? kEagerAnnounceBackOff : kFirstAnnounceBackOff;
  const double length = static_cast<double>(first.count() << doublings) * (0.8 + 0.4 * fraction);
  return std::min(kMaxAnnounceBackOff, Duration(static_cast<Duration::rep>(length)));
}

}  // namespace swarmfs::net
