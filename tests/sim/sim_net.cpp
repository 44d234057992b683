#include "tests/sim/sim_net.h"

#include <algorithm>
#include <boost/asio/error.hpp>
#include <cmath>
#include <cstring>

namespace swarmfs::sim {
namespace {

double microseconds(TimePoint t) {
  return static_cast<double>(t.time_since_epoch().count());
}
TimePoint at_microseconds(double us) {
  return TimePoint(Duration(static_cast<std::int64_t>(std::ceil(us))));
}

std::size_t default_queue(double rate) {
  return std::clamp<std::size_t>(static_cast<std::size_t>(rate * 0.05), 16 * 1024, 256 * 1024);
}

}  // namespace

TimePoint Line::pass(TimePoint now, std::size_t bytes) {
  if (rate_ <= 0) return now;
  free_at_ = std::max(free_at_, microseconds(now)) + static_cast<double>(bytes) / rate_ * 1e6;
  return at_microseconds(free_at_);
}

Duration Line::backlog(TimePoint now) const {
  const double wait = free_at_ - microseconds(now);
  return wait <= 0 ? Duration{} : Duration(static_cast<std::int64_t>(wait));
}

Pipe::Pipe(SimClock& clock, const Link& link, Line* line, Rng rng)
    : clock_(clock), link_(link), line_(line), rng_(rng) {
  // About a millisecond of the link: fine enough for latencies in milliseconds, few enough events
  // to be fast.
  const auto segments = static_cast<std::size_t>(link.rate * 1e-3 / kSegment);
  chunk_ = kSegment * std::clamp<std::size_t>(segments, 1, 10);
  const double round_trip = 2 * to_seconds(link.delay);
  full_window_ = std::max<double>(
      kInitialWindow, link.rate * round_trip * 1.25 + 4.0 * static_cast<double>(chunk_));
  if (link_.queue == 0) link_.queue = default_queue(link.rate);
}

std::size_t Pipe::room() const {
  return unsent() >= link_.queue ? 0 : link_.queue - unsent();
}

std::size_t Pipe::write(std::span<const asio::const_buffer> from) {
  if (finished_) return 0;
  std::size_t taken = 0;
  if (abandoned_) {  // nobody will read it, but the sender's kernel does not know that yet
    for (const asio::const_buffer& part : from) taken += part.size();
    return taken;
  }
  for (const asio::const_buffer& part : from) {
    const std::size_t n = std::min(part.size(), room());
    const auto* data = static_cast<const std::byte*>(part.data());
    buffer_.insert(buffer_.end(), data, data + n);
    written_ += n;
    taken += n;
    if (n < part.size()) break;
  }
  if (taken > 0) pump();
  return taken;
}

void Pipe::finish() {
  if (finished_) return;
  finished_ = true;
  pump();
}

void Pipe::abandon() {
  abandoned_ = true;
  on_readable = nullptr;
}

double Pipe::window_at(TimePoint when) const {
  return in_flight_ == 0 && when - last_send_ > kIdleReset ? kInitialWindow : window_;
}

void Pipe::pump() {
  if (abandoned_ || pump_armed_) return;
  const TimePoint now = clock_.now();
  window_ = window_at(now);
  const std::uint64_t sent_before = sent_;
  while (sent_ < written_) {
    const std::size_t n = std::min<std::size_t>(chunk_, unsent());
    if (in_flight_ > 0 && static_cast<double>(in_flight_ + n) > window_)
      break;                                        // an acknowledgement will go on
    if (sent_ + n - read_ > kReceiveWindow) break;  // the reader will
    if (free_at_ > microseconds(now)) break;        // the armed pump will
    send_chunk(n);
  }
  if (finished_ && !end_sent_ && sent_ == written_) {
    end_sent_ = true;
    const TimePoint when = std::max(last_arrival_, now + link_.delay);
    clock_.schedule(when, [self = shared_from_this()] {
      self->end_delivered_ = true;
      if (self->on_readable) self->on_readable();
    });
  }
  if (sent_ > sent_before && on_writable && room() > 0) {
    clock_.schedule(now, [self = shared_from_this()] {
      if (self->on_writable) self->on_writable();
    });
  }
}

void Pipe::send_chunk(std::size_t bytes) {
  const TimePoint now = clock_.now();
  free_at_ = std::max(free_at_, microseconds(now)) + static_cast<double>(bytes) / link_.rate * 1e6;
  sent_ += bytes;
  in_flight_ += bytes;
  last_send_ = now;
  pump_armed_ = true;
  clock_.schedule(at_microseconds(free_at_), [self = shared_from_this(), bytes] {
    const TimePoint out = self->clock_.now();
    if (self->line_ != nullptr && self->line_->backlog(out) > kLineBuffer) {
      self->congested(self->line_->backlog(out));
    }
    self->deliver(bytes, self->line_ != nullptr ? self->line_->pass(out, bytes) : out);
    self->pump_armed_ = false;
    self->pump();
  });
}

void Pipe::deliver(std::size_t bytes, TimePoint through) {
  TimePoint arrival = through + link_.delay;
  if (link_.jitter > Duration{}) arrival += rng_.duration(Duration{}, link_.jitter);
  arrival = std::max(arrival, last_arrival_);
  last_arrival_ = arrival;
  clock_.schedule(arrival, [self = shared_from_this(), bytes] { self->arrive(bytes); });
}

void Pipe::arrive(std::size_t bytes) {
  if (abandoned_) return;
  delivered_ += bytes;
  clock_.schedule(clock_.now() + link_.delay,
                  [self = shared_from_this(), bytes] { self->acknowledged(bytes); });
  if (on_readable) on_readable();
}

void Pipe::acknowledged(std::size_t bytes) {
  // A window that is not used does not grow (tcp_is_cwnd_limited).
  if (window_ < 2 * static_cast<double>(in_flight_)) {
    // Doubling every round trip; after congestion by a few segments (CUBIC grows back within
    // seconds, Reno by one segment a round trip would take minutes).
    const double share = window_ < slow_start_until_ ? 1 : 4.0 * kSegment / window_;
    window_ = std::min(full_window_, window_ + share * static_cast<double>(bytes));
  }
  in_flight_ -= bytes;
  pump();
}

// CUBIC's answer to a loss (RFC 9438 4.6), at most once a round trip.
void Pipe::congested(Duration backlog) {
  const TimePoint now = clock_.now();
  if (now - last_cut_ < 2 * link_.delay + backlog) return;
  last_cut_ = now;
  window_ = slow_start_until_ = std::max(0.7 * window_, 2.0 * kSegment);
}

std::size_t Pipe::read(std::span<const asio::mutable_buffer> into) {
  std::size_t moved = 0;
  const bool was_full = sent_ - read_ + chunk_ > kReceiveWindow;
  for (const asio::mutable_buffer& part : into) {
    const std::size_t n = std::min(part.size(), readable());
    if (n > 0) std::memcpy(part.data(), buffer_.data() + (read_ - base_), n);
    read_ += n;
    moved += n;
    if (n < part.size()) break;
  }
  compact();
  if (was_full && moved > 0) {  // the window update travels back
    clock_.schedule(clock_.now() + link_.delay, [self = shared_from_this()] { self->pump(); });
  }
  return moved;
}

void Pipe::compact() {
  const std::size_t used = static_cast<std::size_t>(read_ - base_);
  if (used < 64 * 1024 || used < buffer_.size() / 2) return;
  buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(used));
  base_ = read_;
}

std::vector<std::byte> Socket::read_all() {
  std::vector<std::byte> bytes(in_->readable());
  const asio::mutable_buffer into(bytes.data(), bytes.size());
  in_->read({&into, 1});
  return bytes;
}

std::size_t Socket::write(std::span<const std::byte> bytes) {
  const asio::const_buffer from(bytes.data(), bytes.size());
  return out_->write({&from, 1});
}

void Socket::close() {
  in_->abandon();
  out_->on_writable = nullptr;
  out_->finish();
}

SimStream::SimStream(const asio::any_io_executor& executor, std::shared_ptr<Pipe> in,
                     std::shared_ptr<Pipe> out, Endpoint remote, std::unique_ptr<Tap> tap)
    : in_(std::move(in)),
      out_(std::move(out)),
      remote_(std::move(remote)),
      tap_(std::move(tap)),
      readable_(executor),
      writable_(executor) {
  in_->on_readable = [this] { readable_.wake_all(); };
  out_->on_writable = [this] { writable_.wake_all(); };
}

SimStream::~SimStream() {
  close();
}

Result<std::size_t> SimStream::read_now(std::span<const asio::mutable_buffer> into) {
  if (closed_) return error_code(asio::error::bad_descriptor);
  const std::size_t n = in_->read(into);
  if (n == 0)
    return error_code(in_->at_end() ? error_code(asio::error::eof)
                                    : error_code(asio::error::would_block));
  if (tap_) {
    std::size_t left = n;
    for (const asio::mutable_buffer& part : into) {
      const std::size_t k = std::min(left, part.size());
      if (k > 0) tap_->on_read({static_cast<const std::byte*>(part.data()), k});
      left -= k;
    }
  }
  return n;
}

Result<std::size_t> SimStream::write_now(std::span<const asio::const_buffer> from) {
  if (closed_) return error_code(asio::error::bad_descriptor);
  if (in_->at_end())
    return error_code(
        asio::error::broken_pipe);  // the peer has closed: a kernel would have seen RST
  const std::size_t n = out_->write(from);
  if (n == 0) return error_code(asio::error::would_block);
  if (tap_) {
    std::size_t left = n;
    for (const asio::const_buffer& part : from) {
      const std::size_t k = std::min(left, part.size());
      if (k > 0) tap_->on_write({static_cast<const std::byte*>(part.data()), k});
      left -= k;
    }
  }
  return n;
}

Task<void> SimStream::wait_readable() {
  while (!closed_ && in_->readable() == 0 && !in_->at_end()) co_await readable_.wait();
}

Task<void> SimStream::wait_writable() {
  while (!closed_ && out_->room() == 0 && !in_->at_end()) co_await writable_.wait();
}

void SimStream::close() {
  if (closed_) return;
  closed_ = true;
  if (tap_) tap_->on_close();
  in_->abandon();
  out_->on_writable = nullptr;
  out_->finish();
  readable_.wake_all();
  writable_.wake_all();
}

SimNet::SimNet(SimLoop& loop, double line_rate, std::uint64_t seed)
    : loop_(loop), line_(line_rate), rng_(seed) {}

void SimNet::add_host(const Endpoint& endpoint, const Link& link, Dial dial, Accept accept) {
  hosts_.insert_or_assign(endpoint, Host{link, dial, std::move(accept), {}});
}

net::Dialer SimNet::dialer() {
  return [this](Endpoint endpoint) { return connect(endpoint); };
}

std::pair<std::shared_ptr<Pipe>, std::shared_ptr<Pipe>> SimNet::pipes(const Link& link) {
  auto down = std::make_shared<Pipe>(loop_.clock(), link, line_.rate() > 0 ? &line_ : nullptr,
                                     rng_.fork(1));
  auto up = std::make_shared<Pipe>(loop_.clock(), link, nullptr, rng_.fork(2));
  return {std::move(down), std::move(up)};
}

std::shared_ptr<Pipe> SimNet::downstream(const Endpoint& endpoint) const {
  const auto host = hosts_.find(endpoint);
  return host == hosts_.end() ? nullptr : host->second.downstream.lock();
}

Task<Result<std::unique_ptr<net::Stream>>> SimNet::connect(Endpoint endpoint) {
  ++dials_;
  const auto found = hosts_.find(endpoint);
  // A host that does not answer: Linux gives up after tcp_syn_retries = 6, 127 s.
  if (found == hosts_.end() || found->second.dial == Dial::never_answers) {
    co_await loop_.clock().sleep(127s);
    co_return error_code(asio::error::timed_out);
  }
  Host& host = found->second;
  co_await loop_.clock().sleep(2 * host.link.delay);
  if (host.dial == Dial::refuses) co_return error_code(asio::error::connection_refused);
  auto [down, up] = pipes(host.link);
  host.downstream = down;
  auto stream = std::make_unique<SimStream>(loop_.executor(), down, up, endpoint,
                                            make_tap_ ? make_tap_(endpoint) : nullptr);
  host.accept(std::make_shared<Socket>(up, down));
  co_return Result<std::unique_ptr<net::Stream>>(std::move(stream));
}

}  // namespace swarmfs::sim
