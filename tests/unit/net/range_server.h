// A real web server on a free loopback port for tests of web seeds: it serves ranges of what it is
// given, keeps its connections, and answers otherwise when told. No thread, no sleeping.
#pragma once
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "storage/task_group.h"

namespace swarmfs::net {

class RangeServer {
 public:
  struct Request {
    std::string path;
    std::uint64_t begin = 0, end = 0;  // half-open; both 0: the whole file
    std::size_t connection = 0;        // counted from 0
    std::string text;
  };
  enum class Then { keep, close, hold };
  struct Answer {
    std::string bytes;
    Then then = Then::keep;
  };

  explicit RangeServer(asio::io_context& context)
      : acceptor_(context, {asio::ip::address_v4::loopback(), 0}), tasks_(context.get_executor()) {
    tasks_.spawn(accept_loop());
  }

  std::map<std::string, std::string> files;  // by path, as it stands in the request
  // Instead of the file; empty: the file.
  std::function<std::optional<Answer>(const Request&)> instead;
  std::vector<Request> requests;
  std::size_t connections = 0;  // so far
  std::size_t open = 0;

  [[nodiscard]] std::string url(const std::string& path = "/") const {
    return "http://127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port()) + path;
  }
  [[nodiscard]] Task<void> stop() {
    tasks_.cancel();
    co_await tasks_.join();
  }

  // "206 Partial Content" of this file.
  [[nodiscard]] std::string partial(const Request& request) const {
    const std::string& file = files.at(request.path);
    const std::string body = file.substr(request.begin, request.end - request.begin);
    return "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes " + std::to_string(request.begin) +
           '-' + std::to_string(request.end - 1) + '/' + std::to_string(file.size()) +
           "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }
  [[nodiscard]] static std::string empty(const std::string& status,
                                         const std::string& headers = {}) {
    return "HTTP/1.1 " + status + "\r\n" + headers + "Content-Length: 0\r\n\r\n";
  }
  [[nodiscard]] static std::string whole(const std::string& body) {
    return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }

 private:
  static constexpr auto kAsTuple = asio::as_tuple(asio::use_awaitable);
  using Socket = asio::ip::tcp::socket;

  Task<void> accept_loop() {
    for (;;) {
      auto [ec, socket] = co_await acceptor_.async_accept(kAsTuple);
      if (!ec) tasks_.spawn(serve(std::make_shared<Socket>(std::move(socket)), connections++));
    }
  }

  static Request parsed(const std::string& text, std::size_t connection) {
    Request request{.path = {}, .connection = connection, .text = text};
    request.path = text.substr(4, text.find(' ', 4) - 4);
    if (const auto at = text.find("Range: bytes="); at != std::string::npos) {
      unsigned long long first = 0, last = 0;
      if (std::sscanf(text.c_str() + at, "Range: bytes=%llu-%llu", &first, &last) == 2) {
        request.begin = first;
        request.end = last + 1;
      }
    }
    return request;
  }

  Answer answer_to(const Request& request) const {
    if (instead) {
      if (auto other = instead(request)) return *other;
    }
    if (!files.contains(request.path)) return {empty("404 Not Found")};
    return {partial(request)};
  }

  Task<void> serve(std::shared_ptr<Socket> socket, std::size_t number) {
    struct Count {
      std::size_t& count;
      explicit Count(std::size_t& c) : count(c) { ++count; }
      ~Count() { --count; }
    } const counted(open);
    std::string buffer;
    for (;;) {
      auto into = asio::dynamic_buffer(buffer, 64 * 1024);
      const auto [ec, size] = co_await asio::async_read_until(*socket, into, "\r\n\r\n", kAsTuple);
      if (ec) co_return;
      requests.push_back(parsed(buffer.substr(0, size), number));
      buffer.erase(0, size);
      const Answer answer = answer_to(requests.back());
      const auto bytes = asio::buffer(answer.bytes);
      const auto [failed, written] = co_await asio::async_write(*socket, bytes, kAsTuple);
      if (failed || answer.then == Then::close) co_return;
      if (answer.then == Then::hold) {
        char nothing = 0;
        const auto rest = asio::buffer(&nothing, 1);
        (void)co_await socket->async_read_some(rest, kAsTuple);
        co_return;
      }
    }
  }

  asio::ip::tcp::acceptor acceptor_;
  storage::TaskGroup tasks_;
};

}  // namespace swarmfs::net
