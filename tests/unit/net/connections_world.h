// Connections whose peers are the test: addresses that answer when told, and what was said to them.
#pragma once
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "net/connections.h"
#include "storage/task_group.h"
#include "tests/unit/net/loopback_server.h"
#include "tests/unit/net/scripted_stream.h"

namespace swarmfs::net {

inline storage::Sha1Digest filled(int value) {
  storage::Sha1Digest digest;
  digest.bytes.fill(static_cast<std::byte>(value));
  return digest;
}

inline std::string as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Messages after the handshake, decoded. Views point into the bytes they were read from.
inline std::vector<Message> messages_in(const Bytes& bytes) {
  std::vector<Message> all;
  for (std::span<const std::byte> rest = bytes; rest.size() >= 4;) {
    const auto length = read_u32(rest.first<4>());
    const auto message = decode(rest.subspan(4, length));
    if (message) all.push_back(*message);
    rest = rest.subspan(4 + length);
  }
  return all;
}

class ConnectionsWorld : public testing::Test {
 protected:
  void settle() {
    context_.restart();
    context_.poll();
  }
  void pass(Duration time) {
    clock_.advance(time);
    settle();
  }
  Dialer dialer() {
    return [this](Endpoint to) { return connect(this, to); };
  }
  static Task<Result<std::unique_ptr<Stream>>> connect(ConnectionsWorld* self, Endpoint to) {
    auto far = std::make_shared<FarEnd>(self->context_.get_executor());
    self->far_[to] = far;
    self->all_.push_back(far);
    std::unique_ptr<Stream> stream = std::make_unique<ScriptedStream>(far, to);
    co_return stream;
  }
  static Endpoint address(int n) {
    return {asio::ip::address_v4(0x08080800U + static_cast<unsigned>(n)), 6881};
  }
  [[nodiscard]] bool dialled(int n) const { return far_.contains(address(n)); }
  // Peer `n`, just dialled, answers the handshake. What we greeted it with is forgotten.
  FarEnd& greet(int n, bool fast = true, bool extensions = true) {
    FarEnd& far = *far_.at(address(n));
    Handshake theirs = our_handshake(info_hash_, filled(100 + n));
    if (!fast) theirs.reserved[7] = {};
    if (!extensions) theirs.reserved[5] = {};
    Bytes bytes;
    encode(theirs, bytes);
    far.say(bytes);
    settle();
    greeting_ = far.heard();
    far.writes.clear();
    return far;
  }
  void say_extended(FarEnd& far, std::uint8_t id, const std::string& text) {
    far.say(Extended{id, std::as_bytes(std::span(text))});
    settle();
  }
  // What was said to it as messages of extension `id`, one string a message; forgotten then.
  static std::vector<std::string> heard_extended(FarEnd& far, std::uint8_t id) {
    std::vector<std::string> payloads;
    const Bytes bytes = far.heard();
    for (const Message& message : messages_in(bytes)) {
      const auto* extended = std::get_if<Extended>(&message);
      if (extended != nullptr && extended->id == id) payloads.push_back(as_text(extended->payload));
    }
    far.writes.clear();
    return payloads;
  }

  asio::io_context context_;
  ManualClock clock_;
  storage::InfoHash info_hash_ = filled(1);
  std::map<Endpoint, std::shared_ptr<FarEnd>> far_;  // the latest to each address
  std::vector<std::shared_ptr<FarEnd>> all_;
  Bytes greeting_;
};

}  // namespace swarmfs::net
