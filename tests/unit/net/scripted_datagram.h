// A datagram socket in memory whose far end is a test: what arrives, from whom, and what was sent.
#pragma once
#include <algorithm>
#include <boost/asio/error.hpp>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/datagram.h"
#include "storage/wait_list.h"

namespace swarmfs::net {

inline UdpEndpoint udp_at(const char* address, std::uint16_t port) {
  return {asio::ip::make_address(address), port};
}

// The network around one socket. Outlives it.
struct FarNet {
  struct Sent {
    std::string payload;
    UdpEndpoint to;
  };
  explicit FarNet(asio::any_io_executor executor) : readable(executor) {}
  void arrive(std::string payload, const UdpEndpoint& from) {
    waiting.emplace_back(std::move(payload), from);
    readable.wake_all();
  }
  void fail(error_code ec) {
    receive_error = ec;
    readable.wake_all();
  }

  std::deque<std::pair<std::string, UdpEndpoint>> waiting;
  std::vector<Sent> sent;
  error_code receive_error;  // once nothing waits
  error_code send_error;
  bool closed = false;
  storage::WaitList readable;
};

class ScriptedDatagram final : public Datagram {
 public:
  ScriptedDatagram(std::shared_ptr<FarNet> far, const UdpEndpoint& local)
      : far_(std::move(far)), local_(local) {}
  ~ScriptedDatagram() override { close(); }

  Result<void> send_now(std::span<const std::byte> payload, const UdpEndpoint& to) override {
    if (far_->closed) return error_code(asio::error::bad_descriptor);
    if (far_->send_error) return far_->send_error;
    far_->sent.push_back(
        {std::string(reinterpret_cast<const char*>(payload.data()), payload.size()), to});
    return {};
  }
  Result<Received> receive_now(std::span<std::byte> into) override {
    if (far_->closed) return error_code(asio::error::bad_descriptor);
    if (far_->waiting.empty()) {
      return far_->receive_error ? far_->receive_error : error_code(asio::error::would_block);
    }
    const auto [payload, from] = std::move(far_->waiting.front());
    far_->waiting.pop_front();
    Received received{0, from};
    if (payload.size() > into.size()) return received;
    const auto bytes = std::as_bytes(std::span(payload));
    std::copy(bytes.begin(), bytes.end(), into.begin());
    received.size = payload.size();
    return received;
  }
  Task<void> wait_readable() override {
    const auto far = far_;
    while (!far->closed && far->waiting.empty() && !far->receive_error) {
      co_await far->readable.wait();
    }
  }
  void close() override {
    far_->closed = true;
    far_->readable.wake_all();
  }
  UdpEndpoint local() const override { return local_; }

 private:
  std::shared_ptr<FarNet> far_;
  UdpEndpoint local_;
};

}  // namespace swarmfs::net
