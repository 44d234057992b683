#include "net/peer_connection.h"

#include <array>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

namespace swarmfs::net {
namespace {

// Reads in a row before others get their turn: about 1 MiB on a busy loopback, under a millisecond.
constexpr int kReadsPerTurn = 4;

}  // namespace

PeerConnection::PeerConnection(asio::any_io_executor executor, Clock& clock,
                               std::unique_ptr<Stream> stream)
    : executor_(executor),
      clock_(clock),
      stream_(std::move(stream)),
      blocked_(executor),
      last_sent_(clock.now()),
      last_received_(clock.now()) {}

Task<Result<Handshake>> read_handshake(Stream& stream) {
  std::array<std::byte, kHandshakeSize> bytes;
  std::size_t filled = 0;
  while (filled < bytes.size()) {
    const std::array<asio::mutable_buffer, 1> rest{
        asio::buffer(bytes.data() + filled, bytes.size() - filled)};
    const Result<std::size_t> n = stream.read_now(rest);
    if (n) {
      filled += *n;
    } else if (n.error() == asio::error::would_block) {
      co_await stream.wait_readable();
    } else {
      co_return n.error();
    }
  }
  co_return decode_handshake(bytes);
}

void PeerConnection::send(const Handshake& ours) {
  encode(ours, unsent_);
  flush();
}

Task<Result<Handshake>> PeerConnection::receive_handshake() {
  const Result<Handshake> theirs = co_await read_handshake(*stream_);
  last_received_ = clock_.now();
  co_return theirs;
}

Task<error_code> PeerConnection::read_loop(storage::BlockPool& pool, std::uint32_t max_message_size,
                                           Handlers handlers) {
  MessageReader reader(pool, max_message_size, std::move(handlers.in));
  int reads = 0;
  while (!closed_) {
    const Result<std::size_t> n = stream_->read_now(reader.prepare(handlers.expected_blocks()));
    if (!n) {
      if (n.error() != asio::error::would_block) co_return n.error();
      reader.release();
      reads = 0;
      co_await stream_->wait_readable();
      continue;
    }
    last_received_ = clock_.now();
    if (const error_code ec = reader.commit(*n)) co_return ec;
    if (++reads == kReadsPerTurn) {
      reads = 0;
      co_await asio::post(executor_, asio::use_awaitable);
    }
  }
  co_return why_;
}

Task<void> PeerConnection::write_loop() {
  while (!closed_) {
    if (unsent_.empty()) {
      co_await blocked_.wait();
      continue;
    }
    co_await stream_->wait_writable();
    flush();
  }
}

void PeerConnection::send(const Message& message) {
  if (!closed_) encode(message, unsent_);
}

void PeerConnection::flush() {
  if (closed_ || unsent_.empty()) return;
  const std::array<asio::const_buffer, 1> all{asio::buffer(unsent_)};
  const Result<std::size_t> n = stream_->write_now(all);
  if (n) {
    last_sent_ = clock_.now();
    unsent_.erase(unsent_.begin(), unsent_.begin() + static_cast<std::ptrdiff_t>(*n));
  } else if (n.error() != asio::error::would_block) {
    close(n.error());  // read_loop reports it
    return;
  }
  if (unsent_.size() > kMaxUnsent) {
    close(NetErrc::too_large);
  } else if (!unsent_.empty()) {
    blocked_.wake_all();
  }
}

void PeerConnection::close(error_code why) {
  if (std::exchange(closed_, true)) return;
  why_ = why;
  stream_->close();
  blocked_.wake_all();
}

}  // namespace swarmfs::net
