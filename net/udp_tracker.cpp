#include "net/udp_tracker.h"

#include <algorithm>
#include <boost/asio/error.hpp>
#include <map>
#include <utility>

#include "net/http.h"
#include "net/secret_random.h"
#include "storage/wait_list.h"

namespace swarmfs::net {
namespace {

// BEP 15
constexpr std::uint64_t kProtocolId = 0x41727101980;
enum Action : std::uint32_t { kConnect = 0, kAnnounce = 1, kError = 3 };
constexpr std::size_t kReplyHeaderSize = 8;       // action, transaction
constexpr std::size_t kConnectReplySize = 16;     // and the connection id
constexpr std::size_t kAnnounceReplySize = 20;    // and interval, leechers, seeders
constexpr std::size_t kAnnounceRequestSize = 98;  // without options

// BEP 41: options behind the announce.
constexpr std::uint8_t kUrlDataOption = 2;
constexpr std::size_t kMaxOptionSize = 255;  // its length is one byte

// ---- Bytes

template <class Integer>
void put(std::vector<std::byte>& out, Integer value) {
  for (std::size_t shift = 8 * sizeof(value); shift > 0; shift -= 8) {
    out.push_back(static_cast<std::byte>(value >> (shift - 8)));
  }
}

void put_bytes(std::vector<std::byte>& out, std::span<const std::byte> bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

template <class Integer>
Integer get(std::span<const std::byte> from, std::size_t at) {
  Integer value = 0;
  for (std::size_t i = 0; i < sizeof(value); ++i) {
    value = static_cast<Integer>(value << 8 | std::to_integer<Integer>(from[at + i]));
  }
  return value;
}

std::string_view characters(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::uint32_t event_number(AnnounceEvent event) {
  switch (event) {
    case AnnounceEvent::none:
      return 0;
    case AnnounceEvent::started:
      return 2;
    case AnnounceEvent::stopped:
      return 3;
  }
  return 0;
}

}  // namespace

Result<UdpUrl> parse_udp_url(std::string_view url) {
  constexpr std::string_view kScheme = "udp:";
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  std::string scheme(url.substr(0, kScheme.size()));
  std::transform(scheme.begin(), scheme.end(), scheme.begin(), lower);
  if (scheme != kScheme) return NetErrc::unsupported_scheme;
  // Hosts, ports and paths have the same rules, and other clients take port 80 for granted too.
  const auto parsed = parse_http_url("http:" + std::string(url.substr(kScheme.size())));
  if (!parsed) return parsed.error();
  if (parsed->target.size() > kMaxUdpUrlData) return NetErrc::bad_url;
  return UdpUrl{parsed->host, parsed->host_is_address, parsed->port, parsed->path,
                parsed->target == "/" ? "" : parsed->target};
}

std::vector<std::byte> encode_udp_connect(std::uint32_t transaction) {
  std::vector<std::byte> out;
  put(out, kProtocolId);
  put(out, std::uint32_t{kConnect});
  put(out, transaction);
  return out;
}

std::vector<std::byte> encode_udp_announce(std::uint64_t connection_id, std::uint32_t transaction,
                                           const AnnounceRequest& request,
                                           std::string_view url_data) {
  std::vector<std::byte> out;
  out.reserve(kAnnounceRequestSize + url_data.size() + 2 * (url_data.size() / kMaxOptionSize + 1));
  put(out, connection_id);
  put(out, std::uint32_t{kAnnounce});
  put(out, transaction);
  put_bytes(out, request.info_hash.bytes);
  put_bytes(out, request.peer_id.bytes);
  put(out, request.downloaded);
  put(out, request.left);
  put(out, std::uint64_t{0});  // uploaded
  put(out, event_number(request.event));
  put(out, std::uint32_t{0});  // our address: the one it comes from
  put(out, request.key);
  put(out, request.num_want);
  put(out, request.port);
  for (; !url_data.empty(); url_data.remove_prefix(std::min(kMaxOptionSize, url_data.size()))) {
    const std::string_view part = url_data.substr(0, kMaxOptionSize);
    put(out, kUrlDataOption);
    put(out, static_cast<std::uint8_t>(part.size()));
    put_bytes(out, std::as_bytes(std::span(part)));
  }
  return out;
}

std::optional<std::uint32_t> udp_transaction(std::span<const std::byte> datagram) {
  if (datagram.size() < kReplyHeaderSize) return std::nullopt;
  return get<std::uint32_t>(datagram, 4);
}

std::optional<UdpReply> decode_udp_reply(std::span<const std::byte> datagram, bool ipv6) {
  if (datagram.size() < kReplyHeaderSize) return std::nullopt;
  const auto action = get<std::uint32_t>(datagram, 0);
  AnnounceReply reply;
  if (action == kConnect && datagram.size() >= kConnectReplySize) {
    return UdpConnected{get<std::uint64_t>(datagram, kReplyHeaderSize)};
  }
  if (action == kAnnounce && datagram.size() >= kAnnounceReplySize) {
    reply.interval = announce_interval(get<std::uint32_t>(datagram, 8), std::nullopt);
    add_compact_peers(reply.peers, characters(datagram.subspan(kAnnounceReplySize)), ipv6);
    return reply;
  }
  if (action == kError) {
    std::string_view text = characters(datagram.subspan(kReplyHeaderSize));
    text = text.substr(0, text.find('\0'));  // some trackers send C strings
    reply.failure_reason = text.empty() ? "no reason given" : shown_text(text);
    return reply;
  }
  return std::nullopt;
}

// ---- The exchange

namespace {

// One request to one address: first to connect, then, with a connection id, to announce.
struct Attempt {
  UdpEndpoint to;
  std::optional<std::uint32_t> transaction;    // of what was sent last
  std::optional<std::uint64_t> connection_id;  // empty: connecting
  bool id_is_fresh = false;                    // this attempt got it: not one from the cache
  unsigned timeouts = 0;                       // of this request
  TimePoint resend_at;
};

// One announce() at work.
struct Exchange {
  Exchange(asio::any_io_executor executor, UdpAnnounce w)
      : what(std::move(w)), changed(std::move(executor)) {}

  [[nodiscard]] bool more_addresses() const { return attempts.size() < what.addresses.size(); }
  [[nodiscard]] TimePoint next_event() const {
    TimePoint next = more_addresses() ? next_address_at : TimePoint::max();
    for (const Attempt& attempt : attempts) next = std::min(next, attempt.resend_at);
    return next;
  }

  UdpAnnounce what;
  std::vector<Attempt> attempts;  // of what.addresses, in that order
  TimePoint next_address_at;      // when one more is asked
  std::optional<UdpAnswer> answer;
  storage::WaitList changed;
};

Duration patience(unsigned timeouts) {
  return kUdpRetransmit * (1 << std::min(timeouts, kMaxUdpDoublings));
}

}  // namespace

struct UdpTrackers::State {
  State(asio::any_io_executor e, Clock& c, UdpPort& p, std::uint64_t s)
      : executor(std::move(e)), clock(c), port(p), random(s) {}

  static Task<Result<UdpAnswer>> announce(std::shared_ptr<State> self, UdpAnnounce what);
  // Sends again what is due, and asks the next address when it is.
  void act(Exchange& exchange);
  void begin_request(Exchange& exchange, Attempt& attempt);
  void renew_transaction(Exchange& exchange, Attempt& attempt);
  void send(const Exchange& exchange, Attempt& attempt);
  void time_out(Exchange& exchange, Attempt& attempt);
  bool take(std::span<const std::byte> datagram, const UdpEndpoint& from);
  void take_connected(Exchange& exchange, Attempt& attempt, std::uint64_t connection_id);
  void take_reply(Exchange& exchange, Attempt& attempt, AnnounceReply reply);
  void forget(const Exchange& exchange);
  [[nodiscard]] std::uint32_t draw_transaction();
  [[nodiscard]] std::optional<std::uint64_t> known_id(const UdpEndpoint& of) const;

  struct Id {
    std::uint64_t value;
    TimePoint until;
  };
  struct Waiting {
    Exchange* exchange;
    std::size_t attempt;
  };
  asio::any_io_executor executor;
  Clock& clock;
  UdpPort& port;
  SecretRandom random;
  std::map<std::uint32_t, Waiting> requests;  // by transaction id
  std::map<UdpEndpoint, Id> ids;
  UdpPort::Subscription listening;
};

std::uint32_t UdpTrackers::State::draw_transaction() {
  for (;;) {
    const auto transaction = static_cast<std::uint32_t>(random());
    if (!requests.contains(transaction)) return transaction;
  }
}

std::optional<std::uint64_t> UdpTrackers::State::known_id(const UdpEndpoint& of) const {
  const auto found = ids.find(of);
  if (found == ids.end() || found->second.until <= clock.now()) return std::nullopt;
  return found->second.value;
}

void UdpTrackers::State::renew_transaction(Exchange& exchange, Attempt& attempt) {
  if (attempt.transaction) requests.erase(*attempt.transaction);
  attempt.transaction = draw_transaction();
  const auto index = static_cast<std::size_t>(&attempt - exchange.attempts.data());
  requests.emplace(*attempt.transaction, Waiting{&exchange, index});
}

void UdpTrackers::State::begin_request(Exchange& exchange, Attempt& attempt) {
  renew_transaction(exchange, attempt);
  attempt.timeouts = 0;
  send(exchange, attempt);
}

void UdpTrackers::State::send(const Exchange& exchange, Attempt& attempt) {
  attempt.resend_at = clock.now() + patience(attempt.timeouts);
  if (!attempt.connection_id) {
    return port.send(encode_udp_connect(*attempt.transaction), attempt.to);
  }
  AnnounceRequest request = exchange.what.request;
  if (attempt.to.address().is_v6()) {
    request.num_want = std::min(request.num_want, kMaxIPv6PeersWanted);
  }
  const auto packet = encode_udp_announce(*attempt.connection_id, *attempt.transaction, request,
                                          exchange.what.url_data);
  port.send(packet, attempt.to);
}

// An id from the cache may be one that the tracker has forgotten, and one that has expired must not
// be used (BEP 15): back to connecting, in no more of a hurry than before.
void UdpTrackers::State::time_out(Exchange& exchange, Attempt& attempt) {
  ++attempt.timeouts;
  const bool usable = attempt.id_is_fresh && known_id(attempt.to) == attempt.connection_id;
  if (attempt.connection_id && !usable) {
    ids.erase(attempt.to);
    attempt.connection_id.reset();
    renew_transaction(exchange, attempt);
  }
  send(exchange, attempt);
}

void UdpTrackers::State::act(Exchange& exchange) {
  const TimePoint now = clock.now();
  for (Attempt& attempt : exchange.attempts) {
    if (attempt.resend_at <= now) time_out(exchange, attempt);
  }
  if (!exchange.more_addresses() || exchange.next_address_at > now) return;
  exchange.next_address_at = now + exchange.what.next_address;
  const UdpEndpoint& to = exchange.what.addresses[exchange.attempts.size()];
  Attempt& attempt = exchange.attempts.emplace_back();
  attempt.to = to;
  attempt.connection_id = known_id(to);
  begin_request(exchange, attempt);
}

bool UdpTrackers::State::take(std::span<const std::byte> datagram, const UdpEndpoint& from) {
  const auto transaction = udp_transaction(datagram);
  if (!transaction) return false;
  const auto found = requests.find(*transaction);
  if (found == requests.end()) return false;
  Exchange& exchange = *found->second.exchange;
  Attempt& attempt = exchange.attempts[found->second.attempt];
  if (attempt.to != from) return false;
  auto reply = decode_udp_reply(datagram, from.address().is_v6());
  if (!reply) return true;
  if (auto* const answer = std::get_if<AnnounceReply>(&*reply)) {
    // Only an error may come before we have announced.
    if (!attempt.connection_id && answer->failure_reason.empty()) return true;
    take_reply(exchange, attempt, std::move(*answer));
  } else if (!attempt.connection_id) {
    take_connected(exchange, attempt, std::get<UdpConnected>(*reply).connection_id);
  }
  return true;
}

void UdpTrackers::State::take_connected(Exchange& exchange, Attempt& attempt,
                                        std::uint64_t connection_id) {
  const TimePoint now = clock.now();
  std::erase_if(ids, [now](const auto& entry) { return entry.second.until <= now; });
  ids.insert_or_assign(attempt.to, Id{connection_id, now + kConnectionIdLife});
  attempt.connection_id = connection_id;
  attempt.id_is_fresh = true;
  exchange.next_address_at = now + kUdpRetransmit;  // this address lives
  begin_request(exchange, attempt);
  exchange.changed.wake_all();
}

void UdpTrackers::State::take_reply(Exchange& exchange, Attempt& attempt, AnnounceReply reply) {
  if (!reply.failure_reason.empty() && attempt.connection_id && !attempt.id_is_fresh) {
    // It may be our old id that it does not like.
    ids.erase(attempt.to);
    attempt.connection_id.reset();
    begin_request(exchange, attempt);
  } else if (!exchange.answer) {
    exchange.answer = UdpAnswer{std::move(reply), attempt.to};
  }
  exchange.changed.wake_all();
}

void UdpTrackers::State::forget(const Exchange& exchange) {
  for (const Attempt& attempt : exchange.attempts) requests.erase(*attempt.transaction);
}

Task<Result<UdpAnswer>> UdpTrackers::State::announce(std::shared_ptr<State> self,
                                                     UdpAnnounce what) {
  std::erase_if(what.addresses, [&self](const UdpEndpoint& e) { return !self->port.can_reach(e); });
  if (what.addresses.empty()) co_return error_code(asio::error::network_unreachable);
  Exchange exchange(self->executor, std::move(what));
  exchange.attempts.reserve(exchange.what.addresses.size());
  struct Forget {
    State& state;
    Exchange& exchange;
    ~Forget() { state.forget(exchange); }
  };
  const Forget guard{*self, exchange};
  Timer due(self->clock, [&exchange] { exchange.changed.wake_all(); });
  exchange.next_address_at = self->clock.now();
  const TimePoint end = self->clock.now() + exchange.what.deadline;
  while (!exchange.answer && self->clock.now() < end) {
    self->act(exchange);
    due.arm(std::min(end, exchange.next_event()));
    co_await exchange.changed.wait();
  }
  if (!exchange.answer) co_return NetErrc::timed_out;
  co_return *std::move(exchange.answer);
}

UdpTrackers::UdpTrackers(asio::any_io_executor executor, Clock& clock, UdpPort& port,
                         std::uint64_t seed)
    : state_(std::make_shared<State>(std::move(executor), clock, port, seed)) {
  state_->listening = port.listen([state = state_.get()](auto datagram, const UdpEndpoint& from) {
    return state->take(datagram, from);
  });
}

UdpTrackers::~UdpTrackers() = default;

Task<Result<UdpAnswer>> UdpTrackers::announce(UdpAnnounce what) {
  return State::announce(state_, std::move(what));
}

}  // namespace swarmfs::net
