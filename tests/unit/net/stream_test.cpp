#include "net/stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <string>
#include <vector>

#include "storage/task_group.h"
#include "tests/unit/net/loopback_server.h"

namespace swarmfs::net {
namespace {

using Tcp = asio::ip::tcp;

class TcpStreamTest : public testing::Test {
 protected:
  void connect() {
    std::optional<Result<std::unique_ptr<Stream>>> dialled;
    asio::co_spawn(context_, dial_(acceptor_.local_endpoint()),
                   [&](std::exception_ptr e, Result<std::unique_ptr<Stream>> s) {
                     if (e) std::rethrow_exception(e);
                     dialled.emplace(std::move(s));
                   });
    bool accepted = false;
    acceptor_.async_accept(far_, [&](error_code ec) { accepted = !ec; });
    ASSERT_TRUE(run_until(context_, [&] { return accepted && dialled; }));
    ASSERT_TRUE(*dialled) << dialled->error().message();
    near_ = std::move(**dialled);
  }
  Result<std::size_t> read(std::span<char> into) {
    const std::array<asio::mutable_buffer, 1> buffers{asio::buffer(into.data(), into.size())};
    return near_->read_now(buffers);
  }
  Result<std::size_t> write(const std::string& bytes) {
    const std::array<asio::const_buffer, 1> buffers{asio::buffer(bytes)};
    return near_->write_now(buffers);
  }
  // Whether a wait, once spawned, has ended.
  struct Pending {
    std::shared_ptr<bool> done = std::make_shared<bool>(false);
  };
  Pending spawn(Task<void> wait) {
    Pending p;
    asio::co_spawn(context_, std::move(wait),
                   [done = p.done](std::exception_ptr) { *done = true; });
    return p;
  }
  void poll() {
    context_.restart();
    context_.poll();
  }
  bool run(const Pending& p) {
    return run_until(context_, [&] { return *p.done; });
  }

  asio::io_context context_;
  Dialer dial_ = tcp_dialer(context_.get_executor());
  Tcp::acceptor acceptor_{context_, Tcp::endpoint(asio::ip::address_v4::loopback(), 0)};
  Tcp::socket far_{context_};
  std::unique_ptr<Stream> near_;
};

TEST_F(TcpStreamTest, ReadsNothingUntilSomethingIsThere) {
  connect();
  EXPECT_EQ(near_->remote(), acceptor_.local_endpoint());
  std::array<char, 16> into{};
  EXPECT_EQ(read(into).error(), asio::error::would_block);
  const Pending wait = spawn(near_->wait_readable());
  poll();
  EXPECT_FALSE(*wait.done);
  asio::write(far_, asio::buffer("abc", 3));
  ASSERT_TRUE(run(wait));
  const auto n = read(into);
  ASSERT_TRUE(n);
  EXPECT_EQ(std::string(into.data(), *n), "abc");
  EXPECT_EQ(read(into).error(), asio::error::would_block);
}

TEST_F(TcpStreamTest, AWaitForWhatIsThereAlreadyEndsAtOnce) {
  connect();
  asio::write(far_, asio::buffer("abc", 3));
  ASSERT_TRUE(run(spawn(near_->wait_readable())));
  ASSERT_TRUE(run(spawn(near_->wait_readable()))) << "nothing was read in between";
  std::array<char, 1> one{};
  ASSERT_TRUE(read(one));
  ASSERT_TRUE(run(spawn(near_->wait_readable()))) << "two bytes are left";
}

TEST_F(TcpStreamTest, ScattersIntoAllBuffers) {
  connect();
  asio::write(far_, asio::buffer("abcdef", 6));
  ASSERT_TRUE(run(spawn(near_->wait_readable())));
  std::array<char, 2> first{};
  std::array<char, 8> second{};
  const std::array<asio::mutable_buffer, 2> buffers{asio::buffer(first), asio::buffer(second)};
  const auto n = near_->read_now(buffers);
  ASSERT_TRUE(n);
  EXPECT_EQ(*n, 6U);
  EXPECT_EQ(std::string(first.data(), 2) + std::string(second.data(), 4), "abcdef");
}

TEST_F(TcpStreamTest, SaysEofAfterTheLastByte) {
  connect();
  asio::write(far_, asio::buffer("z", 1));
  far_.close();
  ASSERT_TRUE(run(spawn(near_->wait_readable())));
  std::array<char, 4> into{};
  ASSERT_TRUE(read(into));
  ASSERT_TRUE(run(spawn(near_->wait_readable())));
  EXPECT_EQ(read(into).error(), asio::error::eof);
  EXPECT_EQ(read(into).error(), asio::error::eof) << "and goes on saying so";
}

TEST_F(TcpStreamTest, WritingWaitsForAReaderThatDoesNotRead) {
  connect();
  const std::string chunk(256 * 1024, 'x');
  std::size_t sent = 0;
  Result<std::size_t> n = write(chunk);
  for (int i = 0; n && i < 10'000; ++i) {
    sent += *n;
    n = write(chunk);
  }
  ASSERT_FALSE(n) << "2.5 GB went to nobody";
  ASSERT_EQ(n.error(), asio::error::would_block);
  const Pending wait = spawn(near_->wait_writable());
  poll();
  EXPECT_FALSE(*wait.done);
  std::vector<char> sink(sent);
  asio::read(far_, asio::buffer(sink));
  ASSERT_TRUE(run(wait));
  EXPECT_TRUE(write("more"));
}

TEST_F(TcpStreamTest, ACancelledWaitEndsAndTheStreamStillWorks) {
  connect();
  storage::TaskGroup tasks(context_.get_executor());
  tasks.spawn(near_->wait_readable());
  poll();
  ASSERT_EQ(tasks.size(), 1U);
  tasks.cancel();
  poll();
  EXPECT_EQ(tasks.size(), 0U);
  asio::write(far_, asio::buffer("abc", 3));
  ASSERT_TRUE(run(spawn(near_->wait_readable())));
  std::array<char, 4> into{};
  EXPECT_TRUE(read(into));
}

TEST_F(TcpStreamTest, CloseEndsBothWaitsAndLaterCallsFail) {
  connect();
  const std::string chunk(256 * 1024, 'x');
  while (write(chunk)) continue;
  const Pending reading = spawn(near_->wait_readable()), writing = spawn(near_->wait_writable());
  poll();
  ASSERT_FALSE(*reading.done || *writing.done);
  near_->close();
  near_->close();
  ASSERT_TRUE(run(reading));
  ASSERT_TRUE(run(writing));
  std::array<char, 4> into{};
  EXPECT_NE(read(into).error(), asio::error::would_block);
  EXPECT_FALSE(read(into));
  EXPECT_FALSE(write("x"));
  EXPECT_TRUE(run(spawn(near_->wait_readable()))) << "a wait on a closed stream must not hang";
}

TEST_F(TcpStreamTest, DestructionClosesTheConnection) {
  connect();
  near_.reset();
  char byte = 0;
  error_code ec;
  asio::read(far_, asio::buffer(&byte, 1), ec);
  EXPECT_EQ(ec, asio::error::eof);
}

TEST_F(TcpStreamTest, AWriteAfterAResetFailsAndRaisesNoSignal) {
  connect();
  far_.set_option(asio::socket_base::linger(true, 0));
  far_.close();  // RST
  ASSERT_TRUE(run(spawn(near_->wait_readable())));
  std::array<char, 4> into{};
  EXPECT_EQ(read(into).error(), asio::error::connection_reset);
  EXPECT_EQ(write("x").error(), asio::error::broken_pipe);
}

TEST_F(TcpStreamTest, ARefusedDialSaysSo) {
  const Endpoint nobody = acceptor_.local_endpoint();
  acceptor_.close();
  const auto stream = run_task(context_, dial_(nobody));
  ASSERT_FALSE(stream);
  EXPECT_EQ(stream.error(), asio::error::connection_refused);
}

TEST_F(TcpStreamTest, ADialCanBeCancelled) {
  // A backlog that is full leaves the SYN unanswered: the dial hangs.
  Tcp::acceptor busy(context_);
  busy.open(Tcp::v4());
  busy.bind(Tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  busy.listen(0);
  std::vector<Tcp::socket> crowd;
  for (int i = 0; i < 3; ++i) {
    crowd.emplace_back(context_);
    crowd.back().async_connect(busy.local_endpoint(), [](error_code) {});
  }
  poll();
  storage::TaskGroup tasks(context_.get_executor());
  struct Attempt {
    static Task<void> run(Dialer dial, Endpoint to, std::optional<error_code>* outcome) {
      const Result<std::unique_ptr<Stream>> stream = co_await dial(to);
      *outcome = stream ? error_code() : stream.error();
    }
  };
  std::optional<error_code> outcome;
  tasks.spawn(Attempt::run(dial_, busy.local_endpoint(), &outcome));
  poll();
  ASSERT_FALSE(outcome) << "the dial did not hang: " << outcome->message();
  tasks.cancel();
  poll();
  EXPECT_EQ(tasks.size(), 0U);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(*outcome, asio::error::operation_aborted);
}

TEST_F(TcpStreamTest, LeavesByTheInterfaceTheUserNamed) {
  for (const auto& [name, seen] :
       {std::pair("127.0.0.2", "127.0.0.2"), std::pair("lo", "127.0.0.1")}) {
    const auto interface = find_local_interface(name);
    ASSERT_TRUE(interface) << interface.error().message();
    dial_ = tcp_dialer(context_.get_executor(), *interface);
    far_ = Tcp::socket(context_);
    connect();
    EXPECT_EQ(far_.remote_endpoint().address().to_string(), seen) << name;
  }
}

TEST_F(TcpStreamTest, DoesNotLeaveByAnotherWayThanTheUserNamed) {
  for (const LocalInterface& interface :
       {LocalInterface{.device = {}, .address = asio::ip::make_address("::1")},
        LocalInterface{.device = {}, .address = asio::ip::make_address("192.0.2.77")},
        LocalInterface{.device = "nodevice0", .address = {}}}) {
    dial_ = tcp_dialer(context_.get_executor(), interface);
    const auto stream = run_task(context_, dial_(acceptor_.local_endpoint()));
    EXPECT_FALSE(stream) << interface.device;
  }
}

}  // namespace
}  // namespace swarmfs::net
