#include "net/listener.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

#include "storage/wait_list.h"
#include "tests/unit/net/connections_world.h"

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

// Who comes is the test.
class ListenerTest : public ConnectionsWorld {
 protected:
  ListenerTest() {
    const Acceptor acceptor = [this] { return accept(this); };
    listener_.emplace(Listener::Parts{
        .executor = context_.get_executor(), .clock = clock_, .at = {{acceptor}, 77}});
    listener_->start();
    expected_ = listener_->expect(
        info_hash_, [this](std::unique_ptr<Stream> stream, const Handshake& handshake) {
          EXPECT_EQ(handshake.info_hash, info_hash_);
          taken_.push_back(stream->remote().address().to_string());
          streams_.push_back(std::move(stream));
        });
    settle();
  }
  ~ListenerTest() override { run_task(context_, listener_->stop()); }

  static Task<Result<std::unique_ptr<Stream>>> accept(ListenerTest* self) {
    while (self->waiting_.empty()) co_await self->somebody_.wait();
    Result<std::unique_ptr<Stream>> next = std::move(self->waiting_.front());
    self->waiting_.pop_front();
    co_return next;
  }
  FarEnd& comes(const char* from) {
    auto far = std::make_shared<FarEnd>(context_.get_executor());
    all_.push_back(far);
    const Endpoint remote(asio::ip::make_address(from), next_port_++);
    waiting_.push_back(std::make_unique<ScriptedStream>(far, remote));
    somebody_.wake_all();
    settle();
    return *far;
  }
  static Bytes handshake(const storage::InfoHash& torrent) {
    Bytes bytes;
    encode(our_handshake(torrent, filled(9)), bytes);
    return bytes;
  }
  void greets(FarEnd& far) {
    far.say(handshake(info_hash_));
    settle();
  }
  static std::string site(int n) {
    return "80." + std::to_string(n / 250) + "." + std::to_string(n % 250) + ".1";
  }

  storage::WaitList somebody_{context_.get_executor()};
  std::deque<Result<std::unique_ptr<Stream>>> waiting_;
  std::uint16_t next_port_ = 1000;
  std::vector<std::string> taken_;
  std::vector<std::unique_ptr<Stream>> streams_;
  std::optional<Listener> listener_;
  Listener::Registration expected_;
};

TEST_F(ListenerTest, HandsAPeerToItsTorrent) {
  FarEnd& far = comes("80.1.1.1");
  EXPECT_EQ(listener_->guests(), 1U);
  Bytes bytes = handshake(info_hash_);
  bytes.push_back(std::byte{42});  // what comes after it is the torrent's to read
  far.say(bytes);
  settle();
  EXPECT_THAT(taken_, ElementsAre("80.1.1.1"));
  EXPECT_EQ(listener_->guests(), 0U);
  EXPECT_EQ(far.inbound.size(), 1U);
  EXPECT_THAT(far.writes, IsEmpty());
  EXPECT_FALSE(far.closed);
}

TEST_F(ListenerTest, HangsUpOnThoseWhoAreWrongHere) {
  FarEnd& other = comes("80.1.1.1");
  other.say(handshake(filled(7)));
  FarEnd& no_peer = comes("80.1.1.2");
  no_peer.say(Bytes(kHandshakeSize, std::byte{'G'}));
  FarEnd& gone = comes("80.1.1.3");
  gone.hang_up();
  settle();
  EXPECT_TRUE(other.closed && no_peer.closed && gone.closed);
  EXPECT_THAT(taken_, IsEmpty());
  expected_.reset();
  FarEnd& late = comes("80.1.1.4");
  greets(late);
  EXPECT_TRUE(late.closed) << "the torrent is gone";
}

TEST_F(ListenerTest, WaitsTenSecondsInAll) {
  FarEnd& slow = comes("80.1.1.1");
  const Bytes whole = handshake(info_hash_);
  for (int i = 0; i < 10; ++i) {
    EXPECT_FALSE(slow.closed);
    slow.say(Bytes{whole[static_cast<std::size_t>(i)]});
    pass(1s);
  }
  EXPECT_TRUE(slow.closed);
  EXPECT_EQ(listener_->guests(), 0U);
}

TEST_F(ListenerTest, AFloodOfTheSilentDoesNotKeepAPeerOut) {
  for (int i = 0; i < 500; ++i) comes(site(i).c_str());
  EXPECT_EQ(listener_->guests(), kMaxGuests);
  FarEnd& good = comes("9.9.9.9");
  for (int i = 500; i < 560; ++i) comes(site(i).c_str());  // within its round trip
  greets(good);
  EXPECT_THAT(taken_, ElementsAre("9.9.9.9"));
  EXPECT_FALSE(good.closed);
  EXPECT_TRUE(all_.front()->closed);
}

TEST_F(ListenerTest, OneHostHasAFewPlaces) {
  for (std::size_t i = 0; i < 100; ++i) comes("80.1.1.1");
  EXPECT_EQ(listener_->guests(), kMaxGuestsPerHost);
  EXPECT_TRUE(all_.back()->closed);
  for (int i = 0; i < 100; ++i) {  // a /64 is one host
    comes(("2001:db8::" + std::to_string(i)).c_str());
  }
  EXPECT_EQ(listener_->guests(), 2 * kMaxGuestsPerHost);
}

TEST_F(ListenerTest, GoesOnAfterAnErrorOfTheSocket) {
  waiting_.emplace_back(error_code(asio::error::no_descriptors));
  FarEnd& next = comes("80.1.1.1");
  EXPECT_EQ(listener_->guests(), 0U) << "it waits for better times";
  pass(2s);
  greets(next);
  EXPECT_THAT(taken_, ElementsAre("80.1.1.1"));
}

TEST(OpenTcpPort, TakesTheNextOneThatIsFree) {
  asio::io_context io;
  std::vector<std::string> log;
  const auto note = [&log](const std::string& line) { log.push_back(line); };
  const LocalInterface loopback{{}, asio::ip::make_address("127.0.0.1")};
  const TcpPort first = open_tcp_port(io.get_executor(), 0, loopback, note);
  ASSERT_NE(first.number, 0);
  EXPECT_EQ(first.acceptors.size(), 1U) << "no IPv6 on an address of IPv4";
  EXPECT_THAT(log, IsEmpty());
  const TcpPort second = open_tcp_port(io.get_executor(), first.number, loopback, note);
  EXPECT_NE(second.number, first.number);
  EXPECT_NE(second.number, 0);
  EXPECT_EQ(log.size(), 1U);
}

TEST(OpenTcpPort, SaysWhenThereIsNone) {
  asio::io_context io;
  std::vector<std::string> log;
  const LocalInterface elsewhere{{}, asio::ip::make_address("192.0.2.1")};
  const TcpPort none = open_tcp_port(io.get_executor(), 0, elsewhere,
                                     [&log](const std::string& line) { log.push_back(line); });
  EXPECT_EQ(none.number, 0);
  EXPECT_THAT(none.acceptors, IsEmpty());
  EXPECT_EQ(log.size(), 1U);
}

}  // namespace
}  // namespace swarmfs::net
