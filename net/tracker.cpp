#include "net/tracker.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <random>
#include <set>

#include "storage/bencode.h"
#include "storage/task_group.h"

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

// At most kMaxTrackerText bytes of a stranger's text that are safe to show.
std::string escaped(std::string_view text) {
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

// ---- Replies

// Ours, not the reader's usual ones: a body of 1 MiB holds 26,000 peers as dictionaries (40 bytes,
// 7 tokens each), of which we take the first 200. 200,000 tokens are 3 MiB for a moment.
constexpr bencode::Limits kReplyLimits{16, 200'000};

void add_peer(std::vector<Endpoint>& peers, const asio::ip::address& address, std::uint16_t port) {
  if (port == 0 || peers.size() >= kMaxPeersPerReply) return;
  peers.push_back(normalised(Endpoint(address, port)));
}

// BEP 23 and BEP 7: whole records of address and port, both big-endian; what is left over is
// ignored.
template <class Address>
void add_compact(std::vector<Endpoint>& peers, std::string_view records) {
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

// ---- Trackers

// What a URL is called in messages: without its path, which often holds the user's passkey.
std::string name_of(const std::string& url) {
  const auto parsed = parse_http_url(url);
  if (parsed) return (parsed->tls ? "https://" : "http://") + parsed->authority();
  const std::size_t host = url.find("://");
  const std::size_t end = host == std::string::npos ? url.size() : url.find('/', host + 3);
  const std::string shown = url.substr(0, end);
  const std::size_t secret = shown.rfind('@');  // user:password@host
  return escaped(secret == std::string::npos ? shown : shown.substr(secret + 1));
}

struct Tracker {
  std::string url;
  std::string name;
  std::string tracker_id;
  bool heard_us = false;       // it answered "started"
  bool working = false;        // it answered last time
  std::uint32_t failures = 0;  // in a row
  std::size_t peers = 0;       // in its last answer
  std::string error;           // of its last failure
};

struct Outcome {
  std::optional<AnnounceReply> reply;
  PeerSource source = PeerSource::tracker;
  std::string error;  // not empty: it failed
};

Outcome outcome_of(const Result<HttpReply>& http) {
  Outcome outcome;
  if (!http) {
    outcome.error = http.error().message();
    return outcome;
  }
  const Scope scope = scope_of(http->remote);
  const bool local = scope == Scope::loopback || scope == Scope::link_local;
  outcome.source = local ? PeerSource::local_tracker : PeerSource::tracker;
  auto reply = parse_announce_reply(std::as_bytes(std::span(http->body)));
  const bool failed = reply && !reply->failure_reason.empty();
  if (failed) {  // some trackers say so with a status of 400
    outcome.error = reply->failure_reason;
  } else if (http->status != 200) {
    outcome.error = "HTTP status " + std::to_string(http->status);
  } else if (!reply) {
    outcome.error = reply.error().message();
  }
  if (reply) outcome.reply = std::move(*reply);
  return outcome;
}

}  // namespace

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
    reply.failure_reason = reason->empty() ? "no reason given" : escaped(*reason);
    read_failure(root, reply);
    return reply;
  }
  const bencode::Value peers = root["peers"];
  add_compact<asio::ip::address_v4>(reply.peers, peers.string().value_or(""));
  for (const bencode::Value peer : peers.items()) add_dictionary(reply.peers, peer);
  add_compact<asio::ip::address_v6>(reply.peers, root["peers6"].string().value_or(""));
  const std::string_view id = root["tracker id"].string().value_or("");
  if (id.size() <= kMaxTrackerId) reply.tracker_id = id;
  reply.warning = escaped(root["warning message"].string().value_or(""));
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

// ---- Announcer

struct Announcer::State {
  explicit State(Parts p)
      : parts(std::move(p)), tasks(parts.executor), random(parts.identity.key + 1U) {}

  static Task<void> run(std::shared_ptr<State> self, Tracker& tracker);
  static Task<void> say_stopped(std::shared_ptr<State> self, Tracker& tracker);
  void choose_trackers();
  [[nodiscard]] HttpRequest request_to(const Tracker& tracker, AnnounceEvent event) const;
  void take(Tracker& tracker, const Outcome& outcome);
  [[nodiscard]] std::optional<Duration> pause_after(Tracker& tracker, const Outcome& outcome);

  Parts parts;
  std::vector<std::unique_ptr<Tracker>> trackers;  // never changes after the constructor
  std::vector<std::string> oddities;               // one line each, said at the start
  bool anyone_answered = false;
  storage::TaskGroup tasks;
  std::minstd_rand random;  // spreads the back-offs
};

void Announcer::State::choose_trackers() {
  std::set<std::string> known;
  std::size_t udp = 0;
  std::size_t surplus = 0;
  std::vector<std::string> urls;
  for (const auto& tier : parts.tiers) urls.insert(urls.end(), tier.begin(), tier.end());
  for (const std::string& url : urls) {
    if (!known.insert(url).second) continue;
    if (url.starts_with("udp://")) {
      ++udp;
      continue;
    }
    if (trackers.size() + oddities.size() >= kMaxTrackers) {
      ++surplus;
      continue;
    }
    const auto parsed = parse_http_url(url);
    if (!parsed) {
      oddities.push_back("tracker " + name_of(url) + ": " + parsed.error().message());
      continue;
    }
    trackers.push_back(std::make_unique<Tracker>());
    trackers.back()->url = url;
    trackers.back()->name = name_of(url);
  }
  if (udp > 0) {
    oddities.push_back("UDP trackers are not supported yet: " + std::to_string(udp) + " skipped");
  }
  if (surplus > 0) {
    oddities.push_back("too many trackers: " + std::to_string(surplus) + " skipped");
  }
}

HttpRequest Announcer::State::request_to(const Tracker& tracker, AnnounceEvent event) const {
  AnnounceRequest announce = parts.identity;
  announce.event = event;
  announce.tracker_id = tracker.tracker_id;
  std::tie(announce.downloaded, announce.left) = parts.progress();
  if (event == AnnounceEvent::stopped) announce.num_want = 0;
  HttpRequest request;
  request.url = announce_url(tracker.url, announce);
  request.source = UrlSource::tracker_list;
  request.allow_local = parts.allow_local;
  if (event == AnnounceEvent::stopped) request.deadline = kStopDeadline;
  return request;
}

void Announcer::State::take(Tracker& tracker, const Outcome& outcome) {
  const bool first_time = !tracker.working && tracker.failures == 0;
  if (!outcome.error.empty()) {
    if (tracker.working || first_time) parts.log("tracker " + tracker.name + ": " + outcome.error);
    tracker.working = false;
    tracker.error = outcome.error;
    tracker.peers = 0;
    ++tracker.failures;
    return;
  }
  const AnnounceReply& reply = *outcome.reply;
  if (!tracker.working) {
    const std::string warning = reply.warning.empty() ? "" : "; it warns: " + reply.warning;
    parts.log("tracker " + tracker.name + ": " + std::to_string(reply.peers.size()) + " peers" +
              warning);
  }
  anyone_answered = tracker.working = tracker.heard_us = true;
  tracker.failures = 0;
  tracker.peers = reply.peers.size();
  if (!reply.tracker_id.empty()) tracker.tracker_id = reply.tracker_id;
  if (!reply.peers.empty()) parts.found(reply.peers, outcome.source);
}

// Empty: never again, the tracker said so.
std::optional<Duration> Announcer::State::pause_after(Tracker& tracker, const Outcome& outcome) {
  if (outcome.error.empty()) return outcome.reply->interval;
  if (outcome.reply && outcome.reply->retry_never) return std::nullopt;
  const double fraction = static_cast<double>(random() - random.min()) /
                          (static_cast<double>(random.max() - random.min()) + 1.0);
  const Duration back_off = announce_back_off(tracker.failures, !anyone_answered, fraction);
  const Duration asked = outcome.reply ? outcome.reply->retry_in.value_or(seconds(0)) : seconds(0);
  return std::max(back_off, asked);
}

Task<void> Announcer::State::run(std::shared_ptr<State> self, Tracker& tracker) {
  for (;;) {
    const AnnounceEvent event = tracker.heard_us ? AnnounceEvent::none : AnnounceEvent::started;
    auto fetch = self->parts.fetch(self->request_to(tracker, event));
    const Result<HttpReply> reply = co_await std::move(fetch);
    const Outcome outcome = outcome_of(reply);
    self->take(tracker, outcome);
    const std::optional<Duration> pause = self->pause_after(tracker, outcome);
    if (!pause) co_return;
    co_await self->parts.clock.sleep(*pause);
  }
}

Task<void> Announcer::State::say_stopped(std::shared_ptr<State> self, Tracker& tracker) {
  auto fetch = self->parts.fetch(self->request_to(tracker, AnnounceEvent::stopped));
  (void)co_await std::move(fetch);  // whatever it says
}

Announcer::Announcer(Parts parts) : state_(std::make_shared<State>(std::move(parts))) {
  if (!state_->parts.fetch) {
    state_->parts.fetch = [&clock = state_->parts.clock](HttpRequest request) {
      return http_get(clock, std::move(request));
    };
  }
  state_->choose_trackers();
}

Announcer::~Announcer() = default;

void Announcer::start() {
  for (const std::string& line : state_->oddities) state_->parts.log(line);
  for (const auto& tracker : state_->trackers) {
    state_->tasks.spawn(State::run(state_, *tracker));
  }
}

Task<void> Announcer::stop() {
  const std::shared_ptr<State> state = state_;
  state->tasks.cancel();
  co_await state->tasks.join();
  for (const auto& tracker : state->trackers) {
    if (!std::exchange(tracker->heard_us, false)) continue;
    state->tasks.spawn(State::say_stopped(state, *tracker));
  }
  co_await state->tasks.join();
}

std::string Announcer::status() const {
  const auto& trackers = state_->trackers;
  if (trackers.empty()) return state_->oddities.empty() ? "no trackers" : state_->oddities.back();
  std::size_t working = 0;
  std::size_t peers = 0;
  std::string error;
  for (const auto& tracker : trackers) {
    working += tracker->working ? 1 : 0;
    peers += tracker->peers;
    if (error.empty()) error = tracker->error;
  }
  std::string line =
      std::to_string(working) + " of " + std::to_string(trackers.size()) + " trackers answered";
  if (working > 0) return line + ", " + std::to_string(peers) + " peers";
  return error.empty() ? line : line + " (" + error + ")";
}

}  // namespace swarmfs::net
