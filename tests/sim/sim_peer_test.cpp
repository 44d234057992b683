// The simulated peers, asked by a small scripted client that is not the engine: each character does
// what its name says.
#include "tests/sim/sim_peer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/ip/address_v4.hpp>

#include "storage/task_group.h"

namespace swarmfs::sim {
namespace {

constexpr std::uint32_t kBlock = storage::kBlockSize;

// Says hello, is interested, and asks for what the test tells it to.
class SimPeerTest : public testing::Test {
 protected:
  SimPeerTest()
      : truth_(storage::Layout(1024 * 1024, 128 * 1024), 3),
        net_(loop_, 0, 5),
        tasks_(loop_.executor()) {}
  ~SimPeerTest() override { peer_.reset(); }

  static Task<void> dial(SimPeerTest& test) {
    Result<std::unique_ptr<net::Stream>> stream =
        co_await test.net_.dialer()(test.peer_->endpoint());
    test.stream_ = std::move(stream.value());
  }
  void meet(PeerSpec spec) {
    spec.link = {.delay = 20ms, .rate = mbit(8)};
    const Endpoint endpoint(asio::ip::make_address_v4("10.0.0.9"), 6881);
    peer_ = std::make_unique<SimPeer>(loop_, net_, truth_, spec, endpoint, 11);
    tasks_.spawn(dial(*this));
    loop_.run_for(100ms);
    in_.on_handshake = [this](const wire::Handshake& h) {
      greeted_ = h.info_hash == truth_.info_hash();
    };
    in_.on_message = [this](std::uint8_t id, std::span<const std::byte> body) { got(id, body); };
    wire::put_handshake(out_, {truth_.info_hash(), true, true}, 1);
    wire::put(out_, wire::kHaveNone);
    wire::put(out_, wire::kInterested);
    pass(200ms);
  }
  void got(std::uint8_t id, std::span<const std::byte> body) {
    ++seen_[id];
    if (id != wire::kPiece || body.size() < 8) return;
    const std::uint64_t at =
        std::uint64_t{wire::get_u32(body, 0)} * 128 * 1024 + wire::get_u32(body, 4);
    truth_.matches(at, body.subspan(8)) ? ++good_ : ++bad_;
  }
  void ask(std::uint32_t index, std::uint32_t begin) {
    wire::put(out_, wire::kRequest, {index, begin, kBlock});
  }
  void cancel(std::uint32_t index, std::uint32_t begin) {
    wire::put(out_, wire::kCancel, {index, begin, kBlock});
  }
  // Sends what was said, lets time pass, and hears the answers.
  void pass(Duration duration) {
    const asio::const_buffer from(out_.data(), out_.size());
    if (!out_.empty()) {
      EXPECT_EQ(stream_->write_now({&from, 1}).value(), out_.size());
    }
    out_.clear();
    loop_.run_for(duration);
    std::vector<std::byte> buffer(1 << 20);
    const asio::mutable_buffer into(buffer.data(), buffer.size());
    while (true) {
      const Result<std::size_t> n = stream_->read_now({&into, 1});
      if (!n) {
        over_ = n.error() == asio::error::eof;
        break;
      }
      in_.feed(std::span(buffer).first(*n));
    }
  }

  SimLoop loop_;
  Truth truth_;
  SimNet net_;
  storage::TaskGroup tasks_;
  std::unique_ptr<SimPeer> peer_;
  std::unique_ptr<net::Stream> stream_;
  wire::Splitter in_;
  wire::Bytes out_;
  std::map<std::uint8_t, int> seen_;
  bool greeted_ = false, over_ = false;
  int good_ = 0, bad_ = 0;
};

TEST_F(SimPeerTest, AnHonestSeedServesTrueBytes) {
  meet({});
  EXPECT_TRUE(greeted_);
  EXPECT_EQ(seen_[wire::kHaveAll], 1);
  EXPECT_EQ(seen_[wire::kUnchoke], 1);
  for (std::uint32_t b = 0; b < 8; ++b) ask(3, b * kBlock);
  pass(1s);
  EXPECT_EQ(good_, 8);
  EXPECT_EQ(bad_, 0);
}

TEST_F(SimPeerTest, ACorrupterSendsNoiseOfTheRightLength) {
  meet({.corrupts = 1});
  ask(0, 0);
  pass(1s);
  EXPECT_EQ(bad_, 1);
}

TEST_F(SimPeerTest, ASilentPeerStopsAnsweringButStaysConnected) {
  meet({.silent_after = 2});
  for (std::uint32_t b = 0; b < 8; ++b) ask(3, b * kBlock);
  pass(30s);
  EXPECT_EQ(good_, 2);
  EXPECT_FALSE(over_);
}

TEST_F(SimPeerTest, ARejecterAnswersEveryRequestWithAReject) {
  meet({.rejects = 1});
  ask(1, 0);
  ask(1, kBlock);
  pass(1s);
  EXPECT_EQ(seen_[wire::kReject], 2);
  EXPECT_EQ(good_, 0);
}

TEST_F(SimPeerTest, AnEarlyCancelSavesTheBlockAndALateOneDoesNot) {
  meet({.watermark = 4 * kBlock});
  for (std::uint32_t b = 0; b < 24; ++b) ask(b / 8, b % 8 * kBlock);
  for (std::uint32_t b = 0; b < 24; ++b) cancel(b / 8, b % 8 * kBlock);
  pass(2s);
  EXPECT_EQ(good_ + seen_[wire::kReject], 24)
      << "BEP 6: each request is answered, by data or by a reject";
  EXPECT_GE(good_, 4) << "what is in the send buffer cannot be recalled";
  EXPECT_GE(seen_[wire::kReject], 12);
}

TEST_F(SimPeerTest, SomeIgnoreEveryCancel) {
  meet({.ignores_cancels = true});
  for (std::uint32_t b = 0; b < 8; ++b) ask(2, b * kBlock);
  for (std::uint32_t b = 0; b < 8; ++b) cancel(2, b * kBlock);
  pass(2s);
  EXPECT_EQ(good_, 8);
}

TEST_F(SimPeerTest, APulseChokerUnchokesWithinTenSeconds) {
  meet({.unchoke = Unchoke::pulse_10s});
  pass(10s);
  EXPECT_EQ(seen_[wire::kUnchoke], 1);
}

TEST_F(SimPeerTest, AChokedRequestIsRejected) {
  meet({.unchoke = Unchoke::never});
  ask(0, 0);
  pass(1s);
  EXPECT_EQ(seen_[wire::kReject], 1);
}

TEST_F(SimPeerTest, ALiarAboutItsPiecesClaimsAllAndRefusesWhatItLacks) {
  meet({.has = 0, .lies_about_pieces = true});
  EXPECT_EQ(seen_[wire::kHaveAll], 1);
  ask(0, 0);
  pass(1s);
  EXPECT_EQ(seen_[wire::kReject], 1);
}

TEST_F(SimPeerTest, OneThatHangsUpEndsTheConnection) {
  meet({.hangs_up_after = 1s});
  pass(5s);
  EXPECT_TRUE(over_);
}

TEST_F(SimPeerTest, ServesAtTheRateOfItsLink) {
  meet({});
  for (std::uint32_t p = 0; p < 8; ++p) {
    for (std::uint32_t b = 0; b < 8; ++b) ask(p, b * kBlock);
  }
  pass(600ms);  // 1 MB/s: about half of the mebibyte
  EXPECT_NEAR(good_, 33, 4);
}

}  // namespace
}  // namespace swarmfs::sim
