// The simulated network: links with delay, rate, a bounded send queue, TCP slow start and jitter,
// behind a shared access line. Connections, not packets, in the way TigerBeetle's and
// FoundationDB's simulators do it: nothing is ever lost.
//
// A direction of a connection is a Pipe. The sender's bytes wait in its queue, leave in chunks of
// about a millisecond at the link's rate while less than the congestion window is unacknowledged,
// queue for the shared line, and arrive one delay later. The window starts at 10 segments (RFC
// 6928), grows by what is acknowledged (doubling per round trip) until the link is full, and starts
// again after a second of silence (RFC 5681 4.1, tcp_slow_start_after_idle).
//
// Threads: one. Memory: what is unread. Errors: as a kernel would give them. Lifetime: SimNet
// outlives its streams.
#pragma once
#include <boost/asio/buffer.hpp>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "net/stream.h"
#include "storage/wait_list.h"
#include "tests/sim/rng.h"
#include "tests/sim/sim_clock.h"

namespace swarmfs::sim {

using net::Endpoint;

inline constexpr std::size_t kSegment = 1448;  // payload of an Ethernet frame with TCP timestamps
inline constexpr std::size_t kInitialWindow = 10 * kSegment;  // RFC 6928
inline constexpr Duration kIdleReset = 1s;
// Buffer in front of the shared line, as time (what the lab's cable has). A router drops what comes
// beyond it; here nothing is dropped, but a sender that meets a full buffer slows down as if it
// were.
inline constexpr Duration kLineBuffer = 100ms;
inline constexpr std::size_t kReceiveWindow =
    4 * 1024 * 1024;  // of tcp_rmem's 6 MiB maximum, after autotuning

[[nodiscard]] constexpr double mbit(double megabits) {
  return megabits * 125'000;
}  // in bytes per second

struct Link {
  Duration delay = 10ms;    // one way
  double rate = mbit(100);  // bytes per second, each way
  Duration jitter{};        // each chunk arrives up to this much later; order is kept
  std::size_t queue =
      0;  // bytes that may wait unsent; 0: 50 ms at the link's rate, within [16 KiB, 256 KiB]
};

// The reader's access line: one FIFO that all downstream traffic passes. Rate 0: no limit.
class Line {
 public:
  explicit Line(double rate) : rate_(rate) {}
  [[nodiscard]] double rate() const { return rate_; }
  // Takes `bytes` at `now`; returns when the last of them is through.
  TimePoint pass(TimePoint now, std::size_t bytes);
  // What waits in front of it, as time.
  [[nodiscard]] Duration backlog(TimePoint now) const;

 private:
  double rate_;
  double free_at_ = 0;  // microseconds of the clock
};

class Pipe : public std::enable_shared_from_this<Pipe> {
 public:
  Pipe(SimClock& clock, const Link& link, Line* line, Rng rng);
  // The sender's side.
  std::size_t write(std::span<const asio::const_buffer> from);  // bytes taken; 0: full
  [[nodiscard]] std::size_t room() const;
  [[nodiscard]] std::size_t unsent() const { return written_ - sent_; }
  void finish();   // end of stream after what was written
  void abandon();  // nobody will read any more
  std::function<void()> on_writable;
  // The receiver's side.
  std::size_t read(std::span<const asio::mutable_buffer> into);  // bytes moved; 0: nothing there
  [[nodiscard]] std::size_t readable() const { return delivered_ - read_; }
  [[nodiscard]] bool at_end() const { return end_delivered_ && readable() == 0; }
  std::function<void()> on_readable;
  // For the oracle: the window as it will be when something is sent at `when`.
  [[nodiscard]] double window_at(TimePoint when) const;
  [[nodiscard]] double full_window() const { return full_window_; }
  [[nodiscard]] const Link& link() const { return link_; }
  [[nodiscard]] std::uint64_t total_delivered() const { return delivered_; }

 private:
  void pump();
  void send_chunk(std::size_t bytes);
  void deliver(std::size_t bytes, TimePoint through);
  void arrive(std::size_t bytes);
  void acknowledged(std::size_t bytes);
  void congested(Duration backlog);
  void compact();

  SimClock& clock_;
  Link link_;
  Line* line_;
  Rng rng_;
  std::size_t chunk_;
  double window_ = kInitialWindow;
  double full_window_;
  double slow_start_until_ = 1e18;  // bytes of window (ssthresh)
  TimePoint last_cut_{};
  double free_at_ = 0;  // microseconds of the clock at which the link can take the next chunk
  bool pump_armed_ = false;
  TimePoint last_send_{};
  TimePoint last_arrival_{};
  // One buffer, four positions in the stream: read <= delivered <= sent <= written.
  std::vector<std::byte> buffer_;
  std::uint64_t base_ = 0;  // stream position of buffer_[0]
  std::uint64_t read_ = 0, delivered_ = 0, sent_ = 0, written_ = 0;
  std::size_t in_flight_ = 0;  // sent and not acknowledged
  bool finished_ = false, end_sent_ = false, end_delivered_ = false, abandoned_ = false;
};

// A peer's end of a connection: callbacks instead of coroutines.
class Socket {
 public:
  Socket(std::shared_ptr<Pipe> in, std::shared_ptr<Pipe> out)
      : in_(std::move(in)), out_(std::move(out)) {}
  ~Socket() { close(); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  [[nodiscard]] std::vector<std::byte> read_all();
  std::size_t write(std::span<const std::byte> bytes);
  [[nodiscard]] std::size_t room() const { return out_->room(); }
  [[nodiscard]] bool at_end() const { return in_->at_end(); }
  void on_readable(std::function<void()> callback) { in_->on_readable = std::move(callback); }
  void on_writable(std::function<void()> callback) { out_->on_writable = std::move(callback); }
  void close();

 private:
  std::shared_ptr<Pipe> in_, out_;
};

// Sees what the engine does on one stream, in the order in which it does it.
class Tap {
 public:
  virtual ~Tap() = default;
  virtual void on_read(std::span<const std::byte> bytes) = 0;
  virtual void on_write(std::span<const std::byte> bytes) = 0;
  virtual void on_close() = 0;
};

class SimStream final : public net::Stream {
 public:
  SimStream(const asio::any_io_executor& executor, std::shared_ptr<Pipe> in,
            std::shared_ptr<Pipe> out, Endpoint remote, std::unique_ptr<Tap> tap);
  ~SimStream() override;
  [[nodiscard]] Result<std::size_t> read_now(std::span<const asio::mutable_buffer> into) override;
  [[nodiscard]] Result<std::size_t> write_now(std::span<const asio::const_buffer> from) override;
  [[nodiscard]] Task<void> wait_readable() override;
  [[nodiscard]] Task<void> wait_writable() override;
  void close() override;
  [[nodiscard]] Endpoint remote() const override { return remote_; }

 private:
  std::shared_ptr<Pipe> in_, out_;
  Endpoint remote_;
  std::unique_ptr<Tap> tap_;
  storage::WaitList readable_, writable_;
  bool closed_ = false;
};

class SimNet {
 public:
  enum class Dial { answers, refuses, never_answers };
  using Accept = std::function<void(std::shared_ptr<Socket>)>;
  using MakeTap = std::function<std::unique_ptr<Tap>(const Endpoint& remote)>;

  SimNet(SimLoop& loop, double line_rate, std::uint64_t seed);
  void add_host(const Endpoint& endpoint, const Link& link, Dial dial, Accept accept);
  void set_tap(MakeTap make_tap) { make_tap_ = std::move(make_tap); }
  [[nodiscard]] net::Dialer dialer();
  // Two ends of a new connection over `link`, at once.
  [[nodiscard]] std::pair<std::shared_ptr<Pipe>, std::shared_ptr<Pipe>> pipes(const Link& link);
  [[nodiscard]] const Line& line() const { return line_; }
  // The downstream pipe of the latest connection to `endpoint`; null: none.
  [[nodiscard]] std::shared_ptr<Pipe> downstream(const Endpoint& endpoint) const;
  [[nodiscard]] std::size_t dials() const { return dials_; }

 private:
  struct Host {
    Link link;
    Dial dial;
    Accept accept;
    std::weak_ptr<Pipe> downstream;
  };
  Task<Result<std::unique_ptr<net::Stream>>> connect(Endpoint endpoint);

  SimLoop& loop_;
  Line line_;
  Rng rng_;
  std::map<Endpoint, Host> hosts_;
  MakeTap make_tap_;
  std::size_t dials_ = 0;
};

}  // namespace swarmfs::sim
