#include "net/tracker.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>
#include <random>
#include <set>
#include <tuple>

#include "net/name_lookup.h"
#include "net/udp_tracker.h"
#include "storage/task_group.h"
#include "storage/wait_list.h"

namespace swarmfs::net {
namespace {

using std::chrono::seconds;

// What a URL is called in messages: without its path, which often holds the user's passkey.
std::string name_of(const std::string& url) {
  if (const auto http = parse_http_url(url)) {
    return (http->tls ? "https://" : "http://") + http->authority();
  }
  const std::size_t host = url.find("://");
  const std::size_t end =
      host == std::string::npos ? url.size() : url.find_first_of("/?#", host + 3);
  const std::string shown = url.substr(0, end);
  const std::size_t secret = shown.rfind('@');  // user:password@host
  return shown_text(secret == std::string::npos ? shown : shown.substr(secret + 1));
}

struct Tier;

struct Tracker {
  explicit Tracker(const asio::any_io_executor& executor) : woken(executor) {}

  [[nodiscard]] bool host_is_address() const {
    return udp ? udp->host_is_address : parse_http_url(url)->host_is_address;
  }
  [[nodiscard]] std::optional<asio::ip::address>& heard_by(Family family) {
    return heard[family == Family::ipv6 ? 1 : 0];
  }
  [[nodiscard]] bool heard_us() const { return heard[0] || heard[1]; }

  std::string url;
  std::optional<UdpUrl> udp;  // empty: HTTP
  std::string name;
  UrlSource source = UrlSource::tracker_list;
  Tier* tier = nullptr;
  std::string tracker_id;
  // Which of its addresses answered "started", IPv4 and IPv6.
  std::array<std::optional<asio::ip::address>, 2> heard;
  bool working = false;        // it answered last time
  std::uint32_t failures = 0;  // in a row
  std::size_t peers = 0;       // in its last answer
  std::string error;           // of its last failure
  TimePoint not_before;        // of its next announce
  bool asleep = false;         // another one of its tier announces
  storage::WaitList woken;
};

// BEP 12. Until one has answered, all of them try.
struct Tier {
  std::vector<Tracker*> order;  // whom to try first
  Tracker* leader = nullptr;    // the one that keeps announcing; null: who is awake tries
};

struct Outcome {
  std::optional<AnnounceReply> reply;
  asio::ip::address remote;  // who answered
  std::string error;         // not empty: it failed
};

Outcome failure(const error_code& ec) {
  Outcome outcome;
  outcome.error = ec.message();
  return outcome;
}

Outcome outcome_of(const Result<HttpReply>& http) {
  if (!http) return failure(http.error());
  Outcome outcome;
  outcome.remote = http->remote;
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

Outcome outcome_of(const Result<UdpAnswer>& udp) {
  if (!udp) return failure(udp.error());
  return {udp->reply, udp->remote.address(), udp->reply.failure_reason};
}

}  // namespace

struct Announcer::State {
  explicit State(Parts p)
      : parts(std::move(p)), tasks(parts.executor), random(parts.identity.key + 1U) {
    if (parts.udp) udp.emplace(parts.executor, parts.clock, *parts.udp, parts.seed);
  }

  void choose_trackers();
  void add_tracker(const std::string& url, UrlSource source, Tier& tier);

  static Task<void> run(std::shared_ptr<State> self, Tracker& tracker);
  static Task<void> wait_for_turn(std::shared_ptr<State> self, Tracker& tracker);
  static Task<void> tell_other_family(std::shared_ptr<State> self, Tracker& tracker, Family family);
  static Task<void> say_stopped(std::shared_ptr<State> self, Tracker& tracker, Family family);
  // One announce; `family` restricts it to addresses of that family.
  static Task<Outcome> ask(std::shared_ptr<State> self, Tracker& tracker, AnnounceEvent event,
                           Family family);
  static Task<Outcome> ask_udp(std::shared_ptr<State> self, Tracker& tracker,
                               AnnounceRequest request, Family family);

  [[nodiscard]] Result<std::vector<UdpEndpoint>> allowed(const Tracker& tracker,
                                                         const std::vector<Endpoint>& found,
                                                         Family family) const;
  [[nodiscard]] AnnounceRequest request_to(const Tracker& tracker, AnnounceEvent event) const;
  [[nodiscard]] HttpRequest http_request(const Tracker& tracker, const AnnounceRequest& announce,
                                         Family family) const;
  void take(Tracker& tracker, const Outcome& outcome);
  void hand_on(Tracker& tracker, const Outcome& outcome);
  void settle_tier(Tracker& tracker);
  void wake_next(Tier& tier);
  [[nodiscard]] std::optional<Duration> pause_after(Tracker& tracker, const Outcome& outcome);

  Parts parts;
  std::optional<UdpTrackers> udp;
  std::vector<std::unique_ptr<Tier>> tiers;
  std::vector<std::unique_ptr<Tracker>> trackers;  // never changes after the constructor
  std::set<std::string> known;                     // URLs
  std::vector<std::string> oddities;               // one line each, said at the start
  std::size_t without_port = 0;                    // UDP trackers that there is no port for
  std::size_t surplus = 0;
  bool anyone_answered = false;
  storage::TaskGroup tasks;
  std::minstd_rand random;  // spreads the back-offs, and shuffles the tiers
};

// ---- Which trackers

// One that is not announced to is counted, or remembered as an oddity.
void Announcer::State::add_tracker(const std::string& url, UrlSource source, Tier& tier) {
  if (!known.insert(url).second) return;
  const auto udp_url = parse_udp_url(url);
  const bool is_udp = udp_url || udp_url.error() != NetErrc::unsupported_scheme;
  if (is_udp && !udp) {
    ++without_port;
    return;
  }
  if (trackers.size() + oddities.size() >= kMaxTrackers) {
    ++surplus;
    return;
  }
  error_code ec = is_udp && !udp_url ? udp_url.error() : error_code();
  if (const auto http_url = parse_http_url(url); !is_udp && !http_url) ec = http_url.error();
  if (ec) {
    oddities.push_back("tracker " + name_of(url) + ": " + ec.message());
    return;
  }
  auto tracker = std::make_unique<Tracker>(parts.executor);
  tracker->url = url;
  if (is_udp) tracker->udp = *udp_url;
  tracker->name = name_of(url);
  tracker->source = source;
  tracker->tier = &tier;
  tier.order.push_back(tracker.get());
  trackers.push_back(std::move(tracker));
}

void Announcer::State::choose_trackers() {
  for (std::size_t i = 0; i < parts.tiers.size(); ++i) {
    const UrlSource source = i < parts.user_tiers ? UrlSource::user : UrlSource::tracker_list;
    auto tier = std::make_unique<Tier>();
    for (const std::string& url : parts.tiers[i]) add_tracker(url, source, *tier);
    std::shuffle(tier->order.begin(), tier->order.end(), random);  // BEP 12
    if (!tier->order.empty()) tiers.push_back(std::move(tier));
  }
  if (without_port > 0) {
    oddities.push_back("no UDP port: " + std::to_string(without_port) + " UDP trackers skipped");
  }
  if (surplus > 0) {
    oddities.push_back("too many trackers: " + std::to_string(surplus) + " skipped");
  }
}

// ---- Asking

AnnounceRequest Announcer::State::request_to(const Tracker& tracker, AnnounceEvent event) const {
  AnnounceRequest announce = parts.identity;
  announce.event = event;
  announce.tracker_id = tracker.tracker_id;
  std::tie(announce.downloaded, announce.left) = parts.progress();
  if (event == AnnounceEvent::stopped) announce.num_want = 0;
  return announce;
}

HttpRequest Announcer::State::http_request(const Tracker& tracker, const AnnounceRequest& announce,
                                           Family family) const {
  HttpRequest request;
  request.url = announce_url(tracker.url, announce);
  request.source = tracker.source;
  request.allow_local = parts.allow_local;
  request.family = family;
  request.interface = parts.interface;
  if (announce.event == AnnounceEvent::stopped) request.deadline = kStopDeadline;
  return request;
}

// Those of `found` that a tracker of this URL may be asked at.
Result<std::vector<UdpEndpoint>> Announcer::State::allowed(const Tracker& tracker,
                                                           const std::vector<Endpoint>& found,
                                                           Family family) const {
  std::vector<UdpEndpoint> addresses;
  bool refused = false;
  for (const Endpoint& each : found) {
    const Endpoint endpoint = normalised(each);
    if (!is_of(endpoint, family)) continue;
    const bool may =
        may_ask_udp_tracker(endpoint, tracker.source, tracker.udp->path, parts.allow_local);
    if (may) addresses.emplace_back(endpoint.address(), endpoint.port());
    refused = refused || !may;
  }
  if (addresses.empty() && refused) return NetErrc::refused_address;
  if (addresses.size() > kMaxHostAddresses) addresses.resize(kMaxHostAddresses);
  return addresses;
}

Task<Outcome> Announcer::State::ask_udp(std::shared_ptr<State> self, Tracker& tracker,
                                        AnnounceRequest request, Family family) {
  UdpAnnounce announce;
  announce.request = request;
  announce.url_data = tracker.udp->url_data;
  // Who heard us once is asked in the BEP's rhythm; only a first answer is worth more datagrams.
  if (request.event != AnnounceEvent::started) announce.next_address = kUdpRetransmit;
  const bool stopped = request.event == AnnounceEvent::stopped;
  if (stopped) announce.deadline = kStopDeadline;
  Result<std::vector<Endpoint>> found = std::vector<Endpoint>();
  if (stopped && tracker.heard_by(family)) {  // a lookup could take longer than there is time
    found->emplace_back(*tracker.heard_by(family), tracker.udp->port);
  } else {
    auto lookup = look_up(tracker.udp->host, tracker.udp->port);
    found = co_await std::move(lookup);
  }
  if (!found) co_return failure(found.error());
  auto addresses = self->allowed(tracker, *found, family);
  if (!addresses) co_return failure(addresses.error());
  announce.addresses = std::move(*addresses);
  auto exchange = self->udp->announce(std::move(announce));
  const Result<UdpAnswer> answer = co_await std::move(exchange);
  co_return outcome_of(answer);
}

Task<Outcome> Announcer::State::ask(std::shared_ptr<State> self, Tracker& tracker,
                                    AnnounceEvent event, Family family) {
  const AnnounceRequest request = self->request_to(tracker, event);
  if (tracker.udp) {
    auto asking = ask_udp(self, tracker, request, family);
    co_return co_await std::move(asking);
  }
  auto fetch = self->parts.fetch(self->http_request(tracker, request, family));
  const Result<HttpReply> reply = co_await std::move(fetch);
  co_return outcome_of(reply);
}

// ---- Answers

void Announcer::State::hand_on(Tracker& tracker, const Outcome& outcome) {
  const AnnounceReply& reply = *outcome.reply;
  tracker.heard_by(family_of(outcome.remote)) = outcome.remote;
  if (!reply.tracker_id.empty()) tracker.tracker_id = reply.tracker_id;
  tracker.peers += reply.peers.size();
  if (reply.external_ip && parts.seen_at) {
    parts.seen_at(outcome.remote, *reply.external_ip);
  }
  const Scope scope = scope_of(outcome.remote);
  const bool local = scope == Scope::loopback || scope == Scope::link_local;
  const PeerSource source = local ? PeerSource::local_tracker : PeerSource::tracker;
  if (!reply.peers.empty()) parts.found(reply.peers, source);
}

void Announcer::State::take(Tracker& tracker, const Outcome& outcome) {
  const bool first_time = !tracker.working && tracker.failures == 0;
  tracker.peers = 0;
  if (!outcome.error.empty()) {
    if (tracker.working || first_time) parts.log("tracker " + tracker.name + ": " + outcome.error);
    tracker.working = false;
    tracker.error = outcome.error;
    ++tracker.failures;
    return;
  }
  const AnnounceReply& reply = *outcome.reply;
  if (!tracker.working) {
    const std::string warning = reply.warning.empty() ? "" : "; it warns: " + reply.warning;
    parts.log("tracker " + tracker.name + ": " + std::to_string(reply.peers.size()) + " peers" +
              warning);
  }
  anyone_answered = tracker.working = true;
  tracker.failures = 0;
  hand_on(tracker, outcome);
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

// ---- Tiers

// After an announce of `tracker`: who leads, and who comes next.
void Announcer::State::settle_tier(Tracker& tracker) {
  Tier& tier = *tracker.tier;
  if (tracker.working) {
    if (!tier.leader) tier.leader = &tracker;
    // Behind the leader and those that answered before; in front of those that did not.
    std::erase(tier.order, &tracker);
    const auto place = std::find_if(tier.order.begin(), tier.order.end(), [&](Tracker* other) {
      return tier.leader == &tracker || !other->working;
    });
    tier.order.insert(place, &tracker);
    return;
  }
  if (tier.leader == &tracker) tier.leader = nullptr;
  if (!tier.leader) wake_next(tier);
}

void Announcer::State::wake_next(Tier& tier) {
  Tracker* next = nullptr;
  for (Tracker* tracker : tier.order) {  // the first that is due, else the first to be
    if (!tracker->asleep) continue;
    const TimePoint now = parts.clock.now();
    if (!next || (next->not_before > now && tracker->not_before < next->not_before)) next = tracker;
  }
  if (!next) return;
  next->asleep = false;
  next->woken.wake_all();
}

// Until this one is due, and no other of its tier announces.
Task<void> Announcer::State::wait_for_turn(std::shared_ptr<State> self, Tracker& tracker) {
  for (;;) {
    const Duration early = tracker.not_before - self->parts.clock.now();
    if (early > Duration{}) {
      co_await self->parts.clock.sleep(early);
      continue;
    }
    if (!tracker.tier->leader || tracker.tier->leader == &tracker) co_return;
    tracker.asleep = true;
    while (tracker.asleep) co_await tracker.woken.wait();
  }
}

Task<void> Announcer::State::run(std::shared_ptr<State> self, Tracker& tracker) {
  for (;;) {
    const AnnounceEvent event = tracker.heard_us() ? AnnounceEvent::none : AnnounceEvent::started;
    auto asking = ask(self, tracker, event, Family::any);
    const Outcome outcome = co_await std::move(asking);
    self->take(tracker, outcome);
    const std::optional<Duration> pause = self->pause_after(tracker, outcome);
    if (pause) tracker.not_before = self->parts.clock.now() + *pause;
    self->settle_tier(tracker);
    if (!pause) co_return;
    if (tracker.working && !tracker.host_is_address()) {
      const bool over_v6 = outcome.remote.is_v6();
      co_await tell_other_family(self, tracker, over_v6 ? Family::ipv4 : Family::ipv6);
    }
    co_await wait_for_turn(self, tracker);
  }
}

// What the other family's address of the host says is a gift: that there is none, or that it does
// not answer, is no failure of the tracker.
Task<void> Announcer::State::tell_other_family(std::shared_ptr<State> self, Tracker& tracker,
                                               Family family) {
  const bool heard = tracker.heard_by(family).has_value();
  auto asking = ask(self, tracker, heard ? AnnounceEvent::none : AnnounceEvent::started, family);
  const Outcome outcome = co_await std::move(asking);
  if (outcome.error.empty()) self->hand_on(tracker, outcome);
}

Task<void> Announcer::State::say_stopped(std::shared_ptr<State> self, Tracker& tracker,
                                         Family family) {
  auto asking = ask(self, tracker, AnnounceEvent::stopped, family);
  (void)co_await std::move(asking);  // whatever it says
}

// ---- Announcer

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
    for (const Family family : {Family::ipv4, Family::ipv6}) {
      if (!tracker->heard_by(family)) continue;
      state->tasks.spawn(State::say_stopped(state, *tracker, family));
    }
  }
  co_await state->tasks.join();
  for (const auto& tracker : state->trackers) tracker->heard = {};
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
