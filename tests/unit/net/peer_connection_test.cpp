#include "net/peer_connection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "storage/task_group.h"
#include "tests/unit/net/loopback_server.h"
#include "tests/unit/net/scripted_stream.h"

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;

storage::Sha1Digest filled(int value) {
  storage::Sha1Digest digest;
  digest.bytes.fill(static_cast<std::byte>(value));
  return digest;
}

class PeerConnectionTest : public testing::Test {
 protected:
  ~PeerConnectionTest() override {
    connection_.close();
    settle();
    EXPECT_EQ(tasks_.size(), 0U) << "close() must end whatever runs";
  }
  void settle() {
    context_.restart();
    context_.poll();
  }
  static Task<void> shake(PeerConnectionTest* self) {
    self->connection_.send(our_handshake(filled(1), filled(2)));
    self->theirs_ = co_await self->connection_.receive_handshake();
  }
  static Task<void> read(PeerConnectionTest* self) {
    PeerConnection::Handlers handlers;
    handlers.in.on_message = [self](const Message& m) {
      ++self->messages_;
      return std::holds_alternative<Choke>(m) ? error_code(NetErrc::protocol_error) : error_code();
    };
    handlers.in.on_block = [self](std::uint32_t, std::uint32_t, std::uint32_t, storage::Block) {
      ++self->blocks_;
      return error_code();
    };
    handlers.expected_blocks = [] { return std::size_t{4}; };
    self->why_ = co_await self->connection_.read_loop(self->pool_, 20'000, std::move(handlers));
  }
  void start_loops() {
    tasks_.spawn(read(this));
    tasks_.spawn(connection_.write_loop());
    settle();
  }
  static Bytes their_handshake() {
    Bytes bytes;
    encode(our_handshake(filled(1), filled(9)), bytes);
    return bytes;
  }

  asio::io_context context_;
  ManualClock clock_;
  storage::BlockPool pool_{64};
  std::shared_ptr<FarEnd> far_ = std::make_shared<FarEnd>(context_.get_executor());
  PeerConnection connection_{context_.get_executor(), clock_,
                             std::make_unique<ScriptedStream>(far_, Endpoint())};
  storage::TaskGroup tasks_{context_.get_executor()};
  std::optional<Result<Handshake>> theirs_;
  std::optional<error_code> why_;
  int messages_ = 0, blocks_ = 0;
};

TEST_F(PeerConnectionTest, SpeaksFirst) {
  tasks_.spawn(shake(this));
  settle();
  Bytes expected;
  encode(our_handshake(filled(1), filled(2)), expected);
  EXPECT_EQ(far_->heard(), expected);
  EXPECT_FALSE(theirs_);
}

TEST_F(PeerConnectionTest, AHandshakeMayComeInDribbles) {
  tasks_.spawn(shake(this));
  for (const std::byte b : their_handshake()) {
    settle();
    EXPECT_FALSE(theirs_);
    far_->say(Bytes{b});
  }
  settle();
  ASSERT_TRUE(theirs_ && *theirs_);
  EXPECT_EQ((*theirs_)->peer_id, filled(9));
}

TEST_F(PeerConnectionTest, WhatFollowsTheHandshakeInTheSameSegmentIsNotLost) {
  Bytes segment = their_handshake();
  encode(Unchoke{}, segment);
  encode(Have{3}, segment);
  far_->say(segment);
  tasks_.spawn(shake(this));
  settle();
  ASSERT_TRUE(theirs_ && *theirs_);
  start_loops();
  EXPECT_EQ(messages_, 2);
}

TEST_F(PeerConnectionTest, AnotherProtocolIsRefused) {
  Bytes http(68, std::byte{'G'});
  far_->say(http);
  tasks_.spawn(shake(this));
  settle();
  ASSERT_TRUE(theirs_);
  EXPECT_EQ(theirs_->error(), NetErrc::protocol_error);
}

TEST_F(PeerConnectionTest, AHandshakeCutShortIsTheEndOfTheStream) {
  Bytes half = their_handshake();
  half.resize(67);
  far_->say(half);
  far_->hang_up();
  tasks_.spawn(shake(this));
  settle();
  ASSERT_TRUE(theirs_);
  EXPECT_EQ(theirs_->error(), asio::error::eof);
}

TEST_F(PeerConnectionTest, AHandshakeWithASilentPeerCanBeCancelled) {
  tasks_.spawn(shake(this));
  settle();
  tasks_.cancel();
  settle();
  EXPECT_EQ(tasks_.size(), 0U);
}

TEST_F(PeerConnectionTest, ReadsUntilTheEnd) {
  start_loops();
  for (int i = 0; i < 3; ++i) far_->say(Unchoke{});
  far_->say(Piece{1, 0, Bytes(storage::kBlockSize)});
  far_->hang_up();
  settle();
  EXPECT_EQ(messages_, 3);
  EXPECT_EQ(blocks_, 1);
  EXPECT_EQ(why_, error_code(asio::error::eof));
}

TEST_F(PeerConnectionTest, AHandlersErrorEndsTheConnection) {
  start_loops();
  far_->say(Choke{});
  far_->say(Unchoke{});
  settle();
  EXPECT_EQ(messages_, 1);
  EXPECT_EQ(why_, error_code(NetErrc::protocol_error));
}

TEST_F(PeerConnectionTest, AnAnnouncementOfTooMuchEndsTheConnection) {
  start_loops();
  far_->say(Bytes{std::byte{0}, std::byte{0}, std::byte{0x4e}, std::byte{0x21}});  // 20,001
  settle();
  EXPECT_EQ(why_, error_code(NetErrc::too_large));
}

TEST_F(PeerConnectionTest, ASilentConnectionHoldsNoBlocks) {
  start_loops();
  far_->say(Unchoke{});
  settle();
  EXPECT_EQ(pool_.in_use(), 0U);
}

TEST_F(PeerConnectionTest, APeerThatTalksWithoutEndLetsOthersHaveTheirTurn) {
  for (int i = 0; i < 1000; ++i) far_->say(Unchoke{});
  far_->most_a_read = 5;
  tasks_.spawn(read(this));
  context_.restart();
  context_.run_one();  // starts the coroutine
  EXPECT_GT(messages_, 0);
  EXPECT_LT(messages_, 10);
  settle();
  EXPECT_EQ(messages_, 1000);
}

TEST_F(PeerConnectionTest, WhatIsSentTogetherLeavesInOneWrite) {
  connection_.send(HaveNone{});
  connection_.send(Interested{});
  EXPECT_TRUE(far_->writes.empty()) << "not before flush()";
  clock_.advance(5s);
  connection_.flush();
  EXPECT_EQ(far_->writes.size(), 1U);
  EXPECT_EQ(far_->heard().size(), 10U);
  EXPECT_EQ(connection_.last_sent(), clock_.now());
  connection_.flush();
  EXPECT_EQ(far_->writes.size(), 1U) << "nothing is left";
}

TEST_F(PeerConnectionTest, WhatDoesNotFitIsSentWhenThereIsRoom) {
  start_loops();
  far_->room = 3;
  connection_.send(Have{1});
  connection_.flush();
  settle();
  EXPECT_EQ(far_->heard().size(), 3U);
  far_->read_on(2);
  settle();
  far_->read_on(100);
  settle();
  Bytes expected;
  encode(Have{1}, expected);
  EXPECT_EQ(far_->heard(), expected);
}

TEST_F(PeerConnectionTest, APeerThatNeverReadsIsDroppedAtTheLimit) {
  start_loops();
  far_->room = 0;
  std::size_t unsent = 0;
  while (!far_->closed && unsent < 10 * kMaxUnsent) {
    connection_.send(Request{1, 2, 3});
    connection_.flush();
    unsent += 17;
  }
  EXPECT_GT(unsent, kMaxUnsent);
  EXPECT_LE(unsent, kMaxUnsent + 17);
  settle();
  ASSERT_TRUE(why_);
  EXPECT_EQ(*why_, error_code(NetErrc::too_large)) << "and the log can say why";
}

TEST_F(PeerConnectionTest, AFailedWriteEndsTheConnectionAndSaysWhy) {
  start_loops();
  far_->write_error = asio::error::broken_pipe;
  connection_.send(Interested{});
  connection_.flush();
  settle();
  EXPECT_TRUE(far_->closed);
  EXPECT_EQ(why_, error_code(asio::error::broken_pipe));
}

TEST_F(PeerConnectionTest, CloseEndsBothLoops) {
  start_loops();
  connection_.close();
  connection_.close();
  settle();
  EXPECT_EQ(why_, error_code(asio::error::operation_aborted));
  EXPECT_EQ(tasks_.size(), 0U);
  connection_.send(Interested{});
  connection_.flush();
  EXPECT_TRUE(far_->writes.empty());
}

TEST_F(PeerConnectionTest, RemembersWhenItHeardSomething) {
  start_loops();
  clock_.advance(7s);
  const TimePoint before = connection_.last_received();
  far_->say(KeepAlive{});
  settle();
  EXPECT_EQ(connection_.last_received() - before, 7s);
}

}  // namespace
}  // namespace swarmfs::net
