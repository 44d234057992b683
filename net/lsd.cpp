#include "net/lsd.h"

#include <algorithm>
#include <array>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <map>
#include <optional>
#include <random>
#include <utility>

#include "net/connect_policy.h"
#include "net/lsd_message.h"
#include "storage/task_group.h"

namespace swarmfs::net {
namespace {

// Datagrams taken in one turn of the event loop: a flood must not hold up a read.
constexpr std::size_t kMaxPerTurn = 32;

// Longer than between two announcements of a torrent.
constexpr Duration kLookAround = kLsdInterval + kLsdMinInterval;

// Who sent an announcement; a process that starts again has another cookie.
using Sender = std::pair<Endpoint, std::string>;

struct Torrent {
  TimePoint due{};                    // to be announced
  std::map<Sender, TimePoint> heard;  // and when last
};

// What was believed since `begin`, a minute ago at the most.
struct Believed {
  TimePoint begin{};
  std::size_t count = 0;
  std::map<asio::ip::address, std::size_t> by_source;
};

std::string make_cookie(std::mt19937_64& random) {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  std::string cookie;
  for (std::uint64_t left = random(); cookie.size() < 16; left >>= 4) cookie += kDigits[left & 15];
  return cookie;
}

std::string group_name(const UdpEndpoint& group) {
  const std::string address = group.address().to_string();
  return (group.address().is_v6() ? "[" + address + "]" : address) + ":" +
         std::to_string(group.port());
}

// BEP 14 is for the local network: an address that a router leads to has no business here.
bool is_local(const asio::ip::address& source, const LsdSocket& heard_on) {
  const Scope scope = scope_of(source);
  if (scope == Scope::unusable) return false;
  if (scope != Scope::global) return true;
  return std::any_of(heard_on.on_link.begin(), heard_on.on_link.end(),
                     [&source](const OnLink& link) { return link.contains(source); });
}

std::string names_of(const std::vector<std::shared_ptr<LsdSocket>>& sockets) {
  std::string names;
  for (const auto& socket : sockets) {
    if (!names.empty()) names += ", ";
    names += socket->name + (socket->group.address().is_v6() ? " (IPv6)" : " (IPv4)");
  }
  return names.empty() ? "none" : names;
}

}  // namespace

struct Lsd::State : std::enable_shared_from_this<Lsd::State> {
  explicit State(Parts p)
      : parts(std::move(p)),
        random(parts.seed),
        cookie(make_cookie(random)),
        wake(parts.clock, [this] { on_wake(); }),
        tasks(parts.executor) {}

  // ---- Sockets
  void reopen();
  static Task<void> receive(std::shared_ptr<State> self, std::shared_ptr<LsdSocket> socket);

  // ---- Announcing
  void schedule();
  void on_wake();
  [[nodiscard]] bool may_send() const { return parts.port != 0 && !sockets.empty(); }
  void send_due();
  Duration up_to(Duration limit) {
    return Duration(
        static_cast<Duration::rep>(random() % static_cast<std::uint64_t>(limit.count())));
  }

  // ---- Hearing
  void on_datagram(std::span<const std::byte> datagram, const UdpEndpoint& from,
                   const LsdSocket& socket);
  [[nodiscard]] bool may_believe(const asio::ip::address& source);
  [[nodiscard]] bool is_newcomer(Torrent& torrent, Sender sender);

  Parts parts;
  std::mt19937_64 random;
  std::string cookie;
  bool running = false;
  std::vector<std::shared_ptr<LsdSocket>> sockets;  // shared with who reads from them
  std::string names;                                // of the sockets, as last logged
  std::map<storage::InfoHash, Torrent> torrents;
  std::optional<TimePoint> opened_at, sent_at;  // when last
  Believed believed;
  std::array<std::byte, kMaxLsdMessage> buffer{};
  Timer wake;
  storage::TaskGroup tasks;
};

// The new ones are there before the old ones go: nothing is missed, and no network is told that we
// left.
void Lsd::State::reopen() {
  opened_at = parts.clock.now();
  std::vector<std::shared_ptr<LsdSocket>> opened;
  for (LsdSocket& socket : parts.open_sockets()) {
    opened.push_back(std::make_shared<LsdSocket>(std::move(socket)));
  }
  for (const auto& socket : sockets) socket->datagram->close();
  sockets = std::move(opened);
  for (const auto& socket : sockets) tasks.spawn(receive(shared_from_this(), socket));
  if (std::string now_on = names_of(sockets); now_on != names) {
    names = std::move(now_on);
    parts.log("local service discovery on: " + names);
  }
}

Task<void> Lsd::State::receive(std::shared_ptr<State> self, std::shared_ptr<LsdSocket> socket) {
  for (;;) {
    co_await socket->datagram->wait_readable();
    std::size_t taken = 0;
    for (; taken < kMaxPerTurn; ++taken) {
      const Result<Received> received = socket->datagram->receive_now(self->buffer);
      if (!received && received.error() != asio::error::would_block) co_return;
      if (!received) break;
      const auto datagram = std::span<const std::byte>(self->buffer).first(received->size);
      self->on_datagram(datagram, received->from, *socket);
    }
    if (taken == kMaxPerTurn) co_await asio::post(self->parts.executor, asio::use_awaitable);
  }
}

// ---- Announcing

// Wakes for the torrent that is due first, but never within a minute of the last datagram, and to
// see whether the networks have changed, where that is not done for a torrent.
void Lsd::State::schedule() {
  if (!running) return;
  if (!opened_at) return wake.arm(parts.clock.now());
  TimePoint next = *opened_at + (sockets.empty() ? kLsdMinInterval : kLookAround);
  if (may_send()) {
    for (const auto& [hash, torrent] : torrents) {
      const TimePoint allowed =
          sent_at ? std::max(torrent.due, *sent_at + kLsdMinInterval) : torrent.due;
      next = std::min(next, allowed);
    }
  }
  wake.arm(next);
}

void Lsd::State::on_wake() {
  const TimePoint now = parts.clock.now();
  if (!opened_at || now - *opened_at >= kLsdMinInterval) reopen();
  if (may_send() && (!sent_at || now - *sent_at >= kLsdMinInterval)) send_due();
  schedule();
}

// One datagram a network. What does not fit has its turn in a minute.
void Lsd::State::send_due() {
  const TimePoint now = parts.clock.now();
  std::vector<std::pair<TimePoint, storage::InfoHash>> due;
  for (const auto& [hash, torrent] : torrents) due.emplace_back(torrent.due, hash);
  std::sort(due.begin(), due.end());
  if (due.empty() || due.front().first > now) return;
  // Those of the coming minute too: they would have to wait longer than that.
  while (due.back().first >= now + kLsdMinInterval) due.pop_back();
  std::size_t room = due.size();
  for (const auto& socket : sockets) {
    room = std::min(room, lsd_capacity(group_name(socket->group), cookie));
  }
  LsdAnnounce announce{.port = parts.port, .info_hashes = {}, .cookie = cookie};
  for (const auto& [when, hash] : std::span(due).first(room)) {
    announce.info_hashes.push_back(hash);
    torrents.at(hash).due = now + kLsdInterval + up_to(kLsdSpread);
  }
  sent_at = now;
  for (const auto& socket : sockets) {
    const std::string message = encode_lsd(announce, group_name(socket->group));
    (void)socket->datagram->send_now(std::as_bytes(std::span(message)),
                                     socket->group);  // may be lost
  }
}

// ---- Hearing

void Lsd::State::on_datagram(std::span<const std::byte> datagram, const UdpEndpoint& from,
                             const LsdSocket& socket) {
  const asio::ip::address source = normalised(from.address());
  if (!is_local(source, socket)) return;
  const std::optional<LsdAnnounce> announce = parse_lsd(datagram);
  if (!announce || announce->cookie == cookie) return;
  const Endpoint peer(source, announce->port);
  for (const storage::InfoHash& hash : announce->info_hashes) {
    const auto ours = torrents.find(hash);
    if (ours == torrents.end()) continue;
    if (!may_believe(source)) return;
    if (is_newcomer(ours->second, {peer, announce->cookie})) {
      const TimePoint answer = parts.clock.now() + up_to(kLsdAnswerSpread);
      ours->second.due = std::min(ours->second.due, answer);
      schedule();
    }
    parts.found(hash, std::span(&peer, 1));  // may withdraw the torrent
  }
}

bool Lsd::State::may_believe(const asio::ip::address& source) {
  const TimePoint now = parts.clock.now();
  if (now - believed.begin >= std::chrono::minutes(1)) believed = {now, 0, {}};
  if (believed.count >= kMaxLsdPeers) return false;
  std::size_t& count = believed.by_source[source];
  if (count >= kMaxLsdPeersPerSource) return false;
  ++count;
  ++believed.count;
  return true;
}

// Who has been silent for two intervals has gone, and is a newcomer when it is heard again.
bool Lsd::State::is_newcomer(Torrent& torrent, Sender sender) {
  const TimePoint now = parts.clock.now();
  const TimePoint gone = now - 2 * kLsdInterval - kLsdMinInterval;
  std::erase_if(torrent.heard, [gone](const auto& entry) { return entry.second < gone; });
  if (const auto known = torrent.heard.find(sender); known != torrent.heard.end()) {
    known->second = now;
    return false;
  }
  if (torrent.heard.size() >= kMaxLsdHeard) return false;
  torrent.heard.emplace(std::move(sender), now);
  return true;
}

// ---- The face

Lsd::Lsd(Parts parts) : state_(std::make_shared<State>(std::move(parts))) {}
Lsd::~Lsd() = default;

void Lsd::start() {
  state_->running = true;
  state_->schedule();
}

void Lsd::announce(const storage::InfoHash& torrent) {
  const auto [at, is_new] = state_->torrents.try_emplace(torrent);
  if (!is_new) return;
  at->second.due = state_->parts.clock.now();
  state_->schedule();
}

void Lsd::withdraw(const storage::InfoHash& torrent) {
  state_->torrents.erase(torrent);
  state_->schedule();
}

Task<void> Lsd::stop() {
  const std::shared_ptr<State> state = state_;
  state->running = false;
  state->wake.disarm();
  for (const auto& socket : state->sockets) socket->datagram->close();
  state->tasks.cancel();
  co_await state->tasks.join();
  state->sockets.clear();
}

}  // namespace swarmfs::net
