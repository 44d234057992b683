// A stream in memory whose far end is a test: what it says, how much it reads, when it hangs up.
#pragma once
#include <algorithm>
#include <boost/asio/error.hpp>
#include <cstring>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "net/peer_wire.h"
#include "net/stream.h"
#include "storage/wait_list.h"

namespace swarmfs::net {

using Bytes = std::vector<std::byte>;

// The far end. Outlives the stream.
struct FarEnd {
  explicit FarEnd(asio::any_io_executor executor) : readable(executor), writable(executor) {}
  void say(const Bytes& bytes) {
    inbound.insert(inbound.end(), bytes.begin(), bytes.end());
    readable.wake_all();
  }
  void say(const Message& message) {
    Bytes bytes;
    encode(message, bytes);
    say(bytes);
  }
  void hang_up() {
    eof = true;
    readable.wake_all();
  }
  void read_on(std::size_t bytes) {
    room += bytes;
    writable.wake_all();
  }
  [[nodiscard]] Bytes heard() const {
    Bytes all;
    for (const Bytes& write : writes) all.insert(all.end(), write.begin(), write.end());
    return all;
  }

  std::deque<std::byte> inbound;
  std::vector<Bytes> writes;  // one entry a system call
  std::size_t room = 1 << 30;
  std::size_t most_a_read = 1 << 30;
  bool eof = false;
  bool closed = false;
  error_code write_error;
  storage::WaitList readable, writable;
};

class ScriptedStream final : public Stream {
 public:
  ScriptedStream(std::shared_ptr<FarEnd> far, const Endpoint& remote)
      : far_(std::move(far)), remote_(remote) {}
  ~ScriptedStream() override { close(); }

  Result<std::size_t> read_now(std::span<const asio::mutable_buffer> into) override {
    if (far_->closed) return error_code(asio::error::bad_descriptor);
    std::size_t moved = 0;
    for (const asio::mutable_buffer& buffer : into) {
      const std::size_t n =
          std::min({buffer.size(), far_->inbound.size(), far_->most_a_read - moved});
      const auto end = far_->inbound.begin() + static_cast<std::ptrdiff_t>(n);
      std::copy(far_->inbound.begin(), end, static_cast<std::byte*>(buffer.data()));
      far_->inbound.erase(far_->inbound.begin(), end);
      moved += n;
    }
    if (moved > 0) return moved;
    if (far_->eof) return error_code(asio::error::eof);
    return error_code(asio::error::would_block);
  }
  Result<std::size_t> write_now(std::span<const asio::const_buffer> from) override {
    if (far_->closed) return error_code(asio::error::bad_descriptor);
    if (far_->write_error) return far_->write_error;
    Bytes written;
    for (const asio::const_buffer& buffer : from) {
      const std::size_t n = std::min(buffer.size(), far_->room - written.size());
      const auto* data = static_cast<const std::byte*>(buffer.data());
      written.insert(written.end(), data, data + n);
    }
    if (written.empty()) return error_code(asio::error::would_block);
    far_->room -= written.size();
    far_->writes.push_back(written);
    return written.size();
  }
  Task<void> wait_readable() override {
    const auto far = far_;
    while (!far->closed && far->inbound.empty() && !far->eof) co_await far->readable.wait();
  }
  Task<void> wait_writable() override {
    const auto far = far_;
    while (!far->closed && far->room == 0 && !far->write_error) co_await far->writable.wait();
  }
  void close() override {
    far_->closed = true;
    far_->readable.wake_all();
    far_->writable.wake_all();
  }
  Endpoint remote() const override { return remote_; }

 private:
  std::shared_ptr<FarEnd> far_;
  Endpoint remote_;
};

}  // namespace swarmfs::net
