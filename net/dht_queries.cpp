#include "net/dht_queries.h"

#include <algorithm>
#include <array>
#include <utility>

namespace swarmfs::net {
namespace {

// 32 bits: who does not see our queries cannot answer in their place within kQueryTimeout.
constexpr std::size_t kTransactionSize = 4;

std::string make_transaction(SecretRandom& random) {
  std::array<std::byte, kTransactionSize> bytes{};
  random.fill(bytes);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

DhtQueries::DhtQueries(Clock& clock, UdpPort& udp, SecretRandom& random)
    : clock_(clock), udp_(udp), random_(random), timer_(clock, [this] { expire(); }) {}

bool DhtQueries::ask(const UdpEndpoint& to, krpc::Query query, Answer answer) {
  if (waiting_.size() >= kMaxQueries || !udp_.can_reach(to)) return false;
  std::string transaction = make_transaction(random_);
  while (waiting_.contains(transaction)) transaction = make_transaction(random_);
  const std::string bytes =
      krpc::encode({transaction, std::move(query), std::nullopt, std::string(krpc::kOurVersion)});
  waiting_.emplace(transaction, Waiting{to, clock_.now(), std::move(answer)});
  order_.emplace_back(clock_.now(), std::move(transaction));
  if (order_.size() == 1) arm();
  udp_.send(std::as_bytes(std::span(bytes)), to);
  return true;
}

void DhtQueries::on_message(const krpc::Message& message, const UdpEndpoint& from) {
  const auto at = waiting_.find(message.transaction);
  if (at == waiting_.end() || at->second.to != from) return;
  const Waiting waiting = std::move(at->second);
  waiting_.erase(at);
  learn(clock_.now() - waiting.asked);
  waiting.answer({&message, std::get_if<krpc::Reply>(&message.body), false});
}

void DhtQueries::learn(Duration round_trip) {
  last_answer_ = clock_.now();
  round_trips_.push_back(round_trip);
  if (round_trips_.size() > kRoundTrips) round_trips_.pop_front();
  if (round_trips_.size() < kRoundTrips / 4) return;
  // A rank, not a mean: the few nodes that take seconds do not count by how late they are.
  std::vector<Duration> sorted(round_trips_.begin(), round_trips_.end());
  const auto rank = static_cast<std::ptrdiff_t>(sorted.size() * 7 / 8);
  std::nth_element(sorted.begin(), sorted.begin() + rank, sorted.end());
  patience_ = std::clamp(sorted[static_cast<std::size_t>(rank)], kMinPatience, kMaxPatience);
}

void DhtQueries::expire() {
  std::vector<Waiting> silent;
  while (!order_.empty()) {
    const auto at = waiting_.find(order_.front().second);
    if (at != waiting_.end()) {
      if (clock_.now() - order_.front().first < kQueryTimeout) break;
      silent.push_back(std::move(at->second));
      waiting_.erase(at);
    }
    order_.pop_front();
  }
  arm();
  // When nobody at all has answered since, it is our line that is silent, and no node is blamed.
  for (const Waiting& waiting : silent) {
    waiting.answer({nullptr, nullptr, last_answer_ > waiting.asked});
  }
}

void DhtQueries::arm() {
  if (order_.empty()) {
    timer_.disarm();
  } else {
    timer_.arm(order_.front().first + kQueryTimeout);
  }
}

void DhtQueries::clear() {
  waiting_.clear();
  order_.clear();
  timer_.disarm();
}

}  // namespace swarmfs::net
