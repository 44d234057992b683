// A real HTTP(S) server on a free loopback port for tests, which misbehaves as told. It runs in the
// test's own io_context; no thread, no sleeping.
#pragma once
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "net/clock.h"
#include "storage/task_group.h"
#include "tests/unit/net/manual_clock.h"

namespace swarmfs::net {

class LoopbackServer {
 public:
  enum class Then { close, hold, repeat, drip };
  struct Answer {
    std::string bytes;                 // drip: sent one at a time
    Then then = Then::close;           // what follows them
    std::string repeated = {};         // Then::repeat: sent until the client has had enough
    std::function<void()> pause = {};  // Then::drip: before each byte
  };
  using Handler = std::function<Answer(const std::string& request)>;

  LoopbackServer(asio::io_context& context, Handler handler,
                 asio::ip::address address = asio::ip::address_v4::loopback(),
                 asio::ssl::context* tls = nullptr)
      : acceptor_(context, {address, 0}),
        handler_(std::move(handler)),
        tls_(tls),
        tasks_(context.get_executor()) {
    tasks_.spawn(accept_loop());
  }

  [[nodiscard]] std::uint16_t port() const { return acceptor_.local_endpoint().port(); }
  [[nodiscard]] std::string url(const std::string& path) const {
    const auto address = acceptor_.local_endpoint().address();
    const std::string host =
        address.is_v6() ? '[' + address.to_string() + ']' : address.to_string();
    return (tls_ ? "https://" : "http://") + host + ':' + std::to_string(port()) + path;
  }
  [[nodiscard]] const std::vector<std::string>& requests() const { return requests_; }
  // Connections that are open: 0 when every client has gone.
  [[nodiscard]] std::size_t open() const { return open_; }
  [[nodiscard]] Task<void> stop() {
    tasks_.cancel();
    co_await tasks_.join();
  }

 private:
  static constexpr auto kAsTuple = asio::as_tuple(asio::use_awaitable);

  Task<void> accept_loop() {
    for (;;) {
      auto [ec, socket] = co_await acceptor_.async_accept(kAsTuple);
      if (!ec) tasks_.spawn(serve(std::make_shared<asio::ip::tcp::socket>(std::move(socket))));
    }
  }

  Task<void> serve(std::shared_ptr<asio::ip::tcp::socket> socket) {
    struct Count {
      std::size_t& open;
      explicit Count(std::size_t& o) : open(o) { ++open; }
      ~Count() { --open; }
    } const count(open_);
    if (!tls_) co_return co_await answer(*socket);
    asio::ssl::stream<asio::ip::tcp::socket&> stream(*socket, *tls_);
    const auto [ec] = co_await stream.async_handshake(asio::ssl::stream_base::server, kAsTuple);
    if (!ec) co_await answer(stream);
  }

  template <class Stream>
  Task<void> answer(Stream& stream) {
    std::string request;
    auto into = asio::dynamic_buffer(request, 64 * 1024);
    const auto [ec, size] = co_await asio::async_read_until(stream, into, "\r\n\r\n", kAsTuple);
    if (ec) co_return;
    requests_.push_back(request);
    const Answer reply = handler_(request);
    const std::size_t step =
        reply.then == Then::drip ? 1 : std::max<std::size_t>(1, reply.bytes.size());
    for (std::size_t at = 0; at < reply.bytes.size(); at += step) {
      if (reply.pause) reply.pause();
      const auto part = asio::buffer(reply.bytes.data() + at, step);
      const auto [failed, written] = co_await asio::async_write(stream, part, kAsTuple);
      if (failed) co_return;
    }
    while (reply.then == Then::repeat) {
      const auto part = asio::buffer(reply.repeated);
      const auto [failed, written] = co_await asio::async_write(stream, part, kAsTuple);
      if (failed) co_return;
    }
    if (reply.then != Then::hold) co_return;
    char nothing = 0;
    const auto rest = asio::buffer(&nothing, 1);
    (void)co_await stream.async_read_some(rest, kAsTuple);
  }

  asio::ip::tcp::acceptor acceptor_;
  Handler handler_;
  asio::ssl::context* tls_;
  std::vector<std::string> requests_;
  std::size_t open_ = 0;
  storage::TaskGroup tasks_;
};

// "200 OK" with its length.
inline LoopbackServer::Answer ok(const std::string& body, const std::string& headers = {}) {
  return {"HTTP/1.1 200 OK\r\n" + headers + "Content-Length: " + std::to_string(body.size()) +
          "\r\n\r\n" + body};
}

// The whole of an answer, sent as it stands.
inline LoopbackServer::Answer raw(std::string bytes) {
  return {std::move(bytes)};
}

// Runs `context` until `done()`; false when nothing happens for 20 seconds, which is a hang.
inline bool run_until(asio::io_context& context, const std::function<bool()>& done) {
  context.restart();
  while (!done()) {
    if (context.run_one_for(std::chrono::seconds(20)) == 0) return false;
  }
  return true;
}

// Runs `task` to its end.
template <class T>
T run_task(asio::io_context& context, Task<T> task) {
  std::optional<T> result;
  asio::co_spawn(context, std::move(task), [&result](std::exception_ptr error, T value) {
    if (error) std::rethrow_exception(error);
    result = std::move(value);
  });
  if (!run_until(context, [&result] { return result.has_value(); })) {
    throw std::runtime_error("the task hangs");
  }
  return std::move(*result);
}

inline void run_task(asio::io_context& context, Task<void> task) {
  bool ended = false;
  asio::co_spawn(context, std::move(task), [&ended](std::exception_ptr error) {
    if (error) std::rethrow_exception(error);
    ended = true;
  });
  if (!run_until(context, [&ended] { return ended; })) throw std::runtime_error("the task hangs");
}

}  // namespace swarmfs::net
