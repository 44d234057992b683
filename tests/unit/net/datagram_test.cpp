#include "net/datagram.h"

#include <gtest/gtest.h>

#include <array>
#include <boost/asio/error.hpp>
#include <string>

#include "tests/unit/net/loopback_server.h"

namespace swarmfs::net {
namespace {

class UdpDatagramTest : public testing::TestWithParam<const char*> {
 protected:
  std::unique_ptr<Datagram> open() {
    const UdpEndpoint local(asio::ip::make_address(GetParam()), 0);
    auto socket = open_datagram(context.get_executor(), local);
    EXPECT_TRUE(socket) << socket.error().message();
    return std::move(*socket);
  }
  static Result<void> send(Datagram& from, const std::string& text, const UdpEndpoint& to) {
    return from.send_now(std::as_bytes(std::span(text)), to);
  }
  Result<Received> wait_and_receive(Datagram& socket, std::span<std::byte> into) {
    run_task(context, socket.wait_readable());
    return socket.receive_now(into);
  }
  std::string text(std::size_t size) const {
    return {reinterpret_cast<const char*>(buffer.data()), size};
  }
  asio::io_context context;
  std::array<std::byte, 100> buffer{};
};

TEST_P(UdpDatagramTest, CarriesDatagramsAndSaysWhoSentThem) {
  const auto a = open(), b = open();
  EXPECT_NE(a->local().port(), 0);
  EXPECT_EQ(b->receive_now(buffer).error(), asio::error::would_block);
  ASSERT_TRUE(send(*a, "first", b->local()));
  ASSERT_TRUE(send(*a, "second", b->local()));
  auto received = wait_and_receive(*b, buffer);
  ASSERT_TRUE(received);
  EXPECT_EQ(text(received->size), "first");
  EXPECT_EQ(received->from, a->local());
  received = wait_and_receive(*b, buffer);
  ASSERT_TRUE(received);
  EXPECT_EQ(text(received->size), "second");
  EXPECT_EQ(b->receive_now(buffer).error(), asio::error::would_block);
}

TEST_P(UdpDatagramTest, DropsWholeWhatDoesNotFit) {
  const auto a = open(), b = open();
  ASSERT_TRUE(send(*a, std::string(101, 'x'), b->local()));
  ASSERT_TRUE(send(*a, std::string(100, 'y'), b->local()));
  auto received = wait_and_receive(*b, buffer);
  ASSERT_TRUE(received) << received.error().message();
  EXPECT_EQ(received->size, 0u);
  received = wait_and_receive(*b, buffer);
  ASSERT_TRUE(received);
  EXPECT_EQ(text(received->size), std::string(100, 'y'));
}

TEST_P(UdpDatagramTest, GoesOnAfterAPortThatNobodyListensOn) {
  const auto a = open(), b = open();
  const UdpEndpoint nobody = open()->local();  // closed again
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(send(*a, "is anybody there?", nobody));
  ASSERT_TRUE(send(*b, "yes", a->local()));
  Result<Received> received = wait_and_receive(*a, buffer);
  while (received && received->size == 0) received = wait_and_receive(*a, buffer);
  ASSERT_TRUE(received) << received.error().message();
  EXPECT_EQ(text(received->size), "yes");
}

TEST_P(UdpDatagramTest, ClosingEndsAWait) {
  const auto socket = open();
  bool ended = false;
  asio::co_spawn(context, socket->wait_readable(), [&ended](std::exception_ptr) { ended = true; });
  context.poll();
  EXPECT_FALSE(ended);
  socket->close();
  socket->close();
  ASSERT_TRUE(run_until(context, [&ended] { return ended; }));
  EXPECT_TRUE(socket->receive_now(buffer).has_error());
  EXPECT_NE(socket->receive_now(buffer).error(), asio::error::would_block);
  EXPECT_FALSE(send(*socket, "x", socket->local()));
}

INSTANTIATE_TEST_SUITE_P(Families, UdpDatagramTest, testing::Values("127.0.0.1", "::1"));

TEST(OpenDatagramTest, AnIPv6SocketLeavesTheIPv4PortOfItsNumberAlone) {
  asio::io_context context;
  auto six = open_datagram(context.get_executor(), {asio::ip::address_v6::any(), 0});
  ASSERT_TRUE(six) << six.error().message();
  const std::uint16_t port = (*six)->local().port();
  const auto four = open_datagram(context.get_executor(), {asio::ip::address_v4::any(), port});
  EXPECT_TRUE(four) << four.error().message();
}

TEST(OpenDatagramTest, NeverSharesAPort) {
  asio::io_context context;
  const UdpEndpoint any(asio::ip::address_v4::loopback(), 0);
  auto first = open_datagram(context.get_executor(), any);
  ASSERT_TRUE(first);
  const auto second = open_datagram(context.get_executor(), (*first)->local());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error(), asio::error::address_in_use);
}

}  // namespace
}  // namespace swarmfs::net
