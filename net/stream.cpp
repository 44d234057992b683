#include "net/stream.h"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <tuple>
#include <utility>

namespace swarmfs::net {
namespace {

using Tcp = asio::ip::tcp;
// Connections the kernel holds until we take them: what comes within one turn of the event loop.
constexpr int kBacklog = 64;
constexpr auto kAsTuple = asio::as_tuple(asio::use_awaitable);

class TcpStream final : public Stream {
 public:
  TcpStream(Tcp::socket socket, const Endpoint& remote)
      : socket_(std::move(socket)), remote_(remote) {}

  Result<std::size_t> read_now(std::span<const asio::mutable_buffer> into) override {
    error_code ec;
    const std::size_t n = socket_.read_some(into, ec);
    if (ec) return ec;
    return n;
  }
  Result<std::size_t> write_now(std::span<const asio::const_buffer> from) override {
    error_code ec;
    const std::size_t n = socket_.write_some(from, ec);
    if (ec) return ec;
    return n;
  }
  Task<void> wait_readable() override {
    // Peers without TCP_NODELAY (libtorrent) send a block's 13 bytes of header at once and hold the
    // block until they are acknowledged, which the kernel would put off by 40 ms. The option does
    // not last: it acknowledges what has come.
    const int on = 1;
    ::setsockopt(socket_.native_handle(), IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
    // The error, if any, shows in the next read_now.
    std::tuple<error_code> ignored = co_await socket_.async_wait(Tcp::socket::wait_read, kAsTuple);
    (void)ignored;
  }
  Task<void> wait_writable() override {
    std::tuple<error_code> ignored = co_await socket_.async_wait(Tcp::socket::wait_write, kAsTuple);
    (void)ignored;
  }
  void close() override {
    error_code ignored;
    socket_.close(ignored);
  }
  Endpoint remote() const override { return remote_; }

 private:
  Tcp::socket socket_;
  Endpoint remote_;
};

Result<std::unique_ptr<Stream>> as_stream(Tcp::socket socket, const Endpoint& remote) {
  error_code ec;
  socket.non_blocking(true, ec);
  if (ec) return ec;
  // Requests are small and urgent.
  socket.set_option(Tcp::no_delay(true), ec);
  return std::make_unique<TcpStream>(std::move(socket), remote);
}

Task<Result<std::unique_ptr<Stream>>> dial(asio::any_io_executor executor, LocalInterface interface,
                                           Endpoint remote) {
  Tcp::socket socket(executor);
  error_code ec = open_on(socket, remote.protocol(), interface);
  if (ec) co_return ec;
  std::tie(ec) = co_await socket.async_connect(remote, kAsTuple);
  if (ec) co_return ec;
  co_return as_stream(std::move(socket), remote);
}

// Until there is one, or the acceptor breaks.
Task<Result<std::unique_ptr<Stream>>> accept(std::shared_ptr<Tcp::acceptor> acceptor) {
  auto [ec, socket] = co_await acceptor->async_accept(kAsTuple);
  if (ec) co_return ec;
  const Endpoint remote = socket.remote_endpoint(ec);
  if (ec) co_return error_code(asio::error::connection_aborted);  // it has left already
  co_return as_stream(std::move(socket), remote);
}

}  // namespace

Dialer tcp_dialer(asio::any_io_executor executor, LocalInterface interface) {
  return [executor, interface](Endpoint remote) { return dial(executor, interface, remote); };
}

Result<std::pair<Acceptor, std::uint16_t>> open_acceptor(const asio::any_io_executor& executor,
                                                         const Endpoint& local,
                                                         const LocalInterface& interface) {
  const auto acceptor = std::make_shared<Tcp::acceptor>(executor);
  error_code ec;
  acceptor->open(local.protocol(), ec);
  if (ec) return ec;
  if (local.address().is_v6()) acceptor->set_option(asio::ip::v6_only(true), ec);
  if (ec) return ec;
  // Connections of an earlier run may linger (TIME_WAIT); a port somebody listens on stays theirs.
  acceptor->set_option(Tcp::acceptor::reuse_address(true), ec);
  if (ec) return ec;
  if (const error_code failed = bind_to_device(acceptor->native_handle(), interface)) return failed;
  acceptor->bind(local, ec);
  if (ec) return ec;
  acceptor->listen(kBacklog, ec);
  if (ec) return ec;
  const std::uint16_t port = acceptor->local_endpoint(ec).port();
  if (ec) return ec;
  return std::pair<Acceptor, std::uint16_t>([acceptor] { return accept(acceptor); }, port);
}

error_code open_on(Tcp::socket& socket, const Tcp& family, const LocalInterface& interface) {
  error_code ec;
  socket.open(family, ec);
  if (ec || interface.any()) return ec;
  const auto address = local_address(interface, family == Tcp::v6());
  if (!address) return address.error();
  if (const error_code failed = bind_to_device(socket.native_handle(), interface)) return failed;
  // A device alone chooses the address by itself, when it connects.
  if (interface.address) socket.bind({*address, 0}, ec);
  return ec;
}

}  // namespace swarmfs::net
