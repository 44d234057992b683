#include "tests/sim/sim_datagram.h"

#include <algorithm>
#include <array>
#include <boost/asio/error.hpp>
#include <stdexcept>

namespace swarmfs::sim {
namespace {

// Round trips between homes and servers all over the world, in milliseconds: a line through these
// points is the distribution. Half are below 80, one in twenty above 250.
struct Quantile {
  double share, ms;
};
constexpr std::array kRoundTrips{Quantile{0, 10},   Quantile{0.05, 22},  Quantile{0.25, 48},
                                 Quantile{0.5, 80}, Quantile{0.75, 135}, Quantile{0.95, 250},
                                 Quantile{1, 400}};

Duration round_trip_at(double share) {
  const auto above = std::find_if(kRoundTrips.begin() + 1, kRoundTrips.end() - 1,
                                  [share](const Quantile& q) { return share < q.share; });
  const Quantile& high = *above;
  const Quantile& low = *(above - 1);
  const double ms = low.ms + (high.ms - low.ms) * (share - low.share) / (high.share - low.share);
  return Duration(static_cast<std::int64_t>(ms * 1e3));
}

std::uint64_t fold(std::uint64_t state, std::span<const std::byte> bytes) {
  for (std::size_t at = 0; at < bytes.size();) {
    std::uint64_t word = 0;
    for (const std::size_t end = std::min(bytes.size(), at + 8); at < end; ++at)
      word = word << 8 | std::to_integer<std::uint64_t>(bytes[at]);
    state = mix(state ^ word) + bytes.size();
  }
  return state;
}

std::uint64_t fold(std::uint64_t state, const UdpEndpoint& endpoint) {
  if (endpoint.address().is_v4()) {
    const auto bytes = endpoint.address().to_v4().to_bytes();
    state = fold(state, std::as_bytes(std::span(bytes)));
  } else {
    const auto bytes = endpoint.address().to_v6().to_bytes();
    state = fold(state, std::as_bytes(std::span(bytes)));
  }
  return mix(state + endpoint.port());
}

}  // namespace

Traffic operator-(const Traffic& later, const Traffic& earlier) {
  return {later.messages_sent - earlier.messages_sent, later.bytes_sent - earlier.bytes_sent,
          later.messages_received - earlier.messages_received,
          later.bytes_received - earlier.bytes_received};
}

DatagramNet::DatagramNet(SimLoop& loop, std::uint64_t seed, Weather weather)
    : loop_(loop), weather_(weather), rng_(seed), distances_(rng_.next()) {}

std::unique_ptr<net::Datagram> DatagramNet::open(const UdpEndpoint& local) {
  return std::make_unique<SimDatagram>(loop_.executor(), *this, local);
}

void DatagramNet::attach(const UdpEndpoint& local, Arrival on_arrival) {
  if (!hosts_.emplace(local, std::move(on_arrival)).second)
    throw std::logic_error("two sockets at one endpoint");
}

void DatagramNet::detach(const UdpEndpoint& local) {
  hosts_.erase(local);
}

void DatagramNet::send(const UdpEndpoint& from, const UdpEndpoint& to,
                       std::span<const std::byte> payload) {
  Traffic& sender = traffic_[from];
  ++sender.messages_sent;
  sender.bytes_sent += payload.size();
  note(from, to, payload);
  if (const auto nat = behind_nat_.find(from); nat != behind_nat_.end())
    nat->second[to] = loop_.now();
  if (tap_) tap_({loop_.now(), from, to, payload});
  const bool lost = rng_.chance(weather_.loss);
  const double late = rng_.real();
  if (lost || !hosts_.contains(to)) return;
  const Duration way = round_trip(from, to) / 2;
  const auto jitter = static_cast<double>(way.count()) * weather_.jitter * late;
  loop_.clock().schedule(
      loop_.now() + way + Duration(static_cast<std::int64_t>(jitter)),
      [this, from, to, copy = Bytes(payload.begin(), payload.end())] { arrive(from, to, copy); });
}

void DatagramNet::arrive(const UdpEndpoint& from, const UdpEndpoint& to, const Bytes& payload) {
  const auto host = hosts_.find(to);
  if (host == hosts_.end()) return;  // it closed meanwhile
  if (const auto nat = behind_nat_.find(to); nat != behind_nat_.end()) {
    const auto wrote = nat->second.find(from);
    if (wrote == nat->second.end() || loop_.now() - wrote->second > kMapping) return;
  }
  Traffic& receiver = traffic_[to];
  ++receiver.messages_received;
  receiver.bytes_received += payload.size();
  const Arrival on_arrival = host->second;  // it may detach itself
  on_arrival(payload, from);
}

void DatagramNet::note(const UdpEndpoint& from, const UdpEndpoint& to,
                       std::span<const std::byte> payload) {
  trace_ = mix(trace_ + static_cast<std::uint64_t>(loop_.elapsed().count()));
  trace_ = fold(fold(fold(trace_, from), to), payload);
}

Traffic DatagramNet::traffic(const UdpEndpoint& endpoint) const {
  const auto found = traffic_.find(endpoint);
  return found == traffic_.end() ? Traffic{} : found->second;
}

Duration DatagramNet::round_trip(const UdpEndpoint& a, const UdpEndpoint& b) const {
  const std::uint64_t there = fold(fold(distances_, std::min(a, b)), std::max(a, b));
  return round_trip_at(Rng(there).real());
}

SimDatagram::SimDatagram(const asio::any_io_executor& executor, DatagramNet& net,
                         const UdpEndpoint& local)
    : net_(net), local_(local), readable_(executor) {
  net_.attach(local_, [this](std::span<const std::byte> payload, const UdpEndpoint& from) {
    if (queued_ + payload.size() > kReceiveBuffer) return;
    queued_ += payload.size();
    queue_.push_back({Bytes(payload.begin(), payload.end()), from});
    readable_.wake_all();
  });
}

SimDatagram::~SimDatagram() {
  close();
}

Result<void> SimDatagram::send_now(std::span<const std::byte> payload, const UdpEndpoint& to) {
  if (closed_) return error_code(asio::error::bad_descriptor);
  if (to.address().is_v4() != local_.address().is_v4())
    return error_code(asio::error::address_family_not_supported);
  if (payload.size() > kLargestDatagram) return error_code(asio::error::message_size);
  net_.send(local_, to, payload);
  return {};
}

Result<net::Received> SimDatagram::receive_now(std::span<std::byte> into) {
  if (closed_) return error_code(asio::error::bad_descriptor);
  while (!queue_.empty()) {
    const Waiting first = std::move(queue_.front());
    queue_.pop_front();
    queued_ -= first.payload.size();
    if (first.payload.size() > into.size()) continue;
    std::copy(first.payload.begin(), first.payload.end(), into.begin());
    return net::Received{first.payload.size(), first.from};
  }
  return error_code(asio::error::would_block);
}

Task<void> SimDatagram::wait_readable() {
  while (!closed_ && queue_.empty()) co_await readable_.wait();
}

void SimDatagram::close() {
  if (closed_) return;
  closed_ = true;
  net_.detach(local_);
  readable_.wake_all();
}

}  // namespace swarmfs::sim
