// One connection to a peer: handshake, messages in, messages out. Knows the wire, not the swarm.
//
// Threads: engine thread only. Memory: MessageReader's, plus at most kMaxUnsent bytes the peer does
// not read. Errors: the stream's, NetErrc::protocol_error, too_large. Lifetime: await read_loop()
// and write_loop() first.
#pragma once
#include <boost/asio/error.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "net/clock.h"
#include "net/message_reader.h"
#include "net/peer_wire.h"
#include "net/stream.h"
#include "storage/wait_list.h"

namespace swarmfs::net {

// Bytes waiting for a peer that does not read. What we send is small (requests, cancels, rejects):
// this much is a flood.
inline constexpr std::size_t kMaxUnsent = 256 * 1024;

// The 68 bytes of the peer's handshake, and none beyond. No deadline of its own.
[[nodiscard]] Task<Result<Handshake>> read_handshake(Stream& stream);

class PeerConnection {
 public:
  struct Handlers {
    MessageReader::Handlers in;
    std::function<std::size_t()> expected_blocks;  // unanswered requests
  };
  PeerConnection(asio::any_io_executor executor, Clock& clock, std::unique_ptr<Stream> stream);

  void send(const Handshake& ours);  // at once
  // The peer's. No deadline of its own.
  [[nodiscard]] Task<Result<Handshake>> receive_handshake();
  // Calls the handlers until the connection ends, and says why.
  [[nodiscard]] Task<error_code> read_loop(storage::BlockPool& pool, std::uint32_t max_message_size,
                                           Handlers handlers);
  // Sends what could not be sent at once, until close().
  [[nodiscard]] Task<void> write_loop();

  void send(const Message& message);  // queued until flush()
  void flush();                       // one write for all that was queued
  // Ends the connection; read_loop() returns `why`.
  void close(error_code why = asio::error::operation_aborted);
  [[nodiscard]] std::size_t unsent() const {
    return unsent_.size();
  }  // bytes the peer does not read
  [[nodiscard]] TimePoint last_sent() const { return last_sent_; }
  [[nodiscard]] TimePoint last_received() const { return last_received_; }

 private:
  asio::any_io_executor executor_;
  Clock& clock_;
  std::unique_ptr<Stream> stream_;
  std::vector<std::byte> unsent_;
  storage::WaitList blocked_;  // write_loop waits here for something to do
  bool closed_ = false;
  error_code why_;  // closed_ is set
  TimePoint last_sent_;
  TimePoint last_received_;
};

}  // namespace swarmfs::net
