#include "net/datagram.h"

#include <sys/socket.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <tuple>
#include <utility>

namespace swarmfs::net {
namespace {

using Udp = asio::ip::udp;
namespace errc = boost::system::errc;

// What fails once and may work the next time: full queues, what ICMP reported of an earlier send
// (udp(7)), and a firewall's refusal (sendto(2), EPERM).
bool is_passing(const error_code& ec) {
  return ec == asio::error::would_block || ec == asio::error::no_buffer_space ||
         ec == asio::error::no_memory || ec == asio::error::interrupted ||
         ec == asio::error::message_size || ec == asio::error::connection_refused ||
         ec == asio::error::host_unreachable || ec == asio::error::network_unreachable ||
         ec == asio::error::network_down || ec == errc::protocol_error ||
         ec == errc::no_protocol_option || ec == errc::operation_not_permitted ||
         ec == errc::permission_denied;
}

class UdpDatagram final : public Datagram {
 public:
  UdpDatagram(Udp::socket socket, const UdpEndpoint& local)
      : socket_(std::move(socket)), local_(local) {}

  Result<void> send_now(std::span<const std::byte> payload, const UdpEndpoint& to) override {
    error_code ec;
    socket_.send_to(asio::buffer(payload.data(), payload.size()), to, 0, ec);
    // No route: said, because whoever sends may know another address.
    if (ec == asio::error::network_unreachable) return ec;
    if (ec && !is_passing(ec)) return ec;
    return {};
  }

  Result<Received> receive_now(std::span<std::byte> into) override {
    Received received;
    error_code ec;
    // MSG_TRUNC: the length it had, not the one that fitted.
    const auto buffer = asio::buffer(into.data(), into.size());
    const std::size_t length = socket_.receive_from(buffer, received.from, MSG_TRUNC, ec);
    if (ec == asio::error::would_block) return ec;
    if (ec && !is_passing(ec)) return ec;
    if (!ec && length <= into.size()) received.size = length;
    return received;
  }

  Task<void> wait_readable() override {
    // The error, if any, shows in the next receive_now.
    std::tuple<error_code> ignored =
        co_await socket_.async_wait(Udp::socket::wait_read, asio::as_tuple(asio::use_awaitable));
    (void)ignored;
  }

  void close() override {
    error_code ignored;
    socket_.close(ignored);
  }

  UdpEndpoint local() const override { return local_; }

 private:
  Udp::socket socket_;
  UdpEndpoint local_;
};

}  // namespace

Result<std::unique_ptr<Datagram>> open_datagram(asio::any_io_executor executor, UdpEndpoint local,
                                                const LocalInterface& interface) {
  Udp::socket socket(executor);
  error_code ec;
  socket.open(local.protocol(), ec);
  if (ec) return ec;
  if (local.address().is_v6()) socket.set_option(asio::ip::v6_only(true), ec);
  if (ec) return ec;
  if (const error_code failed = bind_to_device(socket.native_handle(), interface)) return failed;
  socket.bind(local, ec);
  if (ec) return ec;
  return as_datagram(std::move(socket));
}

Result<std::unique_ptr<Datagram>> as_datagram(Udp::socket bound) {
  error_code ec;
  bound.non_blocking(true, ec);
  if (ec) return ec;
  const UdpEndpoint local = bound.local_endpoint(ec);
  if (ec) return ec;
  return std::make_unique<UdpDatagram>(std::move(bound), local);
}

}  // namespace swarmfs::net
