#include "net/connections.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/net/connections_world.h"

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

class ConnectionsTest : public ConnectionsWorld {
 protected:
  ConnectionsTest() {
    Connections::Config config;
    config.info_hash = info_hash_;
    config.peer_id = filled(2);
    config.offer.metadata = true;
    connections_.emplace(context_.get_executor(), clock_, dialer(), pool_, config, nullptr);
    connections_->start();
  }
  ~ConnectionsTest() override {
    run_task(context_, connections_->stop());
    connections_.reset();
  }
  FarEnd& peer(int n, bool fast = true, bool extensions = true,
               PeerSource source = PeerSource::tracker) {
    const std::vector<Endpoint> one{address(n)};
    connections_->add_peers(one, source);
    settle();
    return greet(n, fast, extensions);
  }
  // Takes everything, and writes it down.
  void receive() {
    Connections::Receiver receiver;
    receiver.on_open = [this](const Connected& c) { note("open", c.key); };
    receiver.on_extensions = [this](const Connected& c) {
      note("reqq " + std::to_string(c.said.request_limit.value_or(0)), c.key);
    };
    receiver.on_message = [this](PeerKey key, const Message& m) {
      note("message " + std::to_string(m.index()), key);
      return std::holds_alternative<BitfieldMessage>(m) && refuse_bitfields_
                 ? error_code(NetErrc::protocol_error)
                 : error_code();
    };
    receiver.on_block = [this](PeerKey key, std::uint32_t, std::uint32_t, std::uint32_t length,
                               storage::Block block) {
      note("block " + std::to_string(length) + (block ? "" : " lost"), key);
      return error_code();
    };
    receiver.expected_blocks = [](PeerKey) { return std::size_t{1}; };
    receiver.on_closed = [this](PeerKey key) { note("closed", key); };
    connections_->set_receiver(std::move(receiver));
  }
  void note(const std::string& what, PeerKey key) {
    notes_.push_back(std::to_string(key) + ": " + what);
  }

  storage::BlockPool pool_{0};
  std::optional<Connections> connections_;
  std::vector<std::string> notes_;
  bool refuse_bitfields_ = false;
};

TEST_F(ConnectionsTest, IsInterestedAtOnceThoughNobodyKnowsInWhat) {
  peer(1);
  const std::vector<Message> greeting = messages_in(
      Bytes(greeting_.begin() + static_cast<std::ptrdiff_t>(kHandshakeSize), greeting_.end()));
  ASSERT_THAT(greeting, SizeIs(3));
  EXPECT_TRUE(std::holds_alternative<HaveNone>(greeting[0]));
  EXPECT_TRUE(std::holds_alternative<Extended>(greeting[1]));
  EXPECT_TRUE(std::holds_alternative<Interested>(greeting[2]));
  EXPECT_THAT(as_text(greeting_), HasSubstr("11:ut_metadata"));
  EXPECT_THAT(as_text(greeting_), Not(HasSubstr("upload_only")));
}

TEST_F(ConnectionsTest, TheReceiverHearsWhatWasSaidBeforeIt) {
  FarEnd& far = peer(1);
  far.say(HaveAll{});
  say_extended(far, 0, "d4:reqqi77ee");
  far.say(Unchoke{});
  settle();
  receive();
  EXPECT_THAT(notes_, ElementsAre("1: open", "1: reqq 77",
                                  "1: message " + std::to_string(Message(HaveAll{}).index()),
                                  "1: message " + std::to_string(Message(Unchoke{}).index())));
  notes_.clear();
  far.say(Choke{});
  settle();
  EXPECT_THAT(notes_, SizeIs(1));
  far.hang_up();
  settle();
  EXPECT_THAT(notes_, SizeIs(2));
  EXPECT_EQ(notes_.back(), "1: closed");
}

TEST_F(ConnectionsTest, ABitfieldIsJudgedWhenThereIsAJudge) {
  const Bytes bits(7);
  FarEnd& bad = peer(1);
  bad.say(BitfieldMessage{bits});
  FarEnd& good = peer(2);
  good.say(HaveAll{});
  settle();
  EXPECT_FALSE(bad.closed);
  refuse_bitfields_ = true;
  receive();
  settle();
  EXPECT_TRUE(bad.closed);
  EXPECT_FALSE(good.closed);
  EXPECT_EQ(connections_->counts().connected, 1U);
}

TEST_F(ConnectionsTest, ABlockBeforeAnythingWasAskedEndsTheConnection) {
  FarEnd& far = peer(1);
  far.say(Piece{0, 0, Bytes(16384)});
  settle();
  EXPECT_TRUE(far.closed);
}

TEST_F(ConnectionsTest, AnEarlyRequestIsRejected) {
  FarEnd& fast = peer(1);
  fast.say(Request{0, 0, 16384});
  settle();
  const Bytes heard = fast.heard();
  const std::vector<Message> answer = messages_in(heard);
  ASSERT_THAT(answer, SizeIs(1));
  EXPECT_TRUE(std::holds_alternative<Reject>(answer[0]));
  FarEnd& plain = peer(2, false);
  plain.say(Request{0, 0, 16384});
  settle();
  EXPECT_THAT(plain.writes, IsEmpty());
  EXPECT_FALSE(plain.closed);
}

TEST_F(ConnectionsTest, AThousandEarlyHavesAreNoFlood) {
  FarEnd& far = peer(1);
  for (std::uint32_t piece = 0; piece < 1000; ++piece) far.say(Have{piece});
  settle();
  EXPECT_FALSE(far.closed);
  receive();
  EXPECT_THAT(notes_, SizeIs(1002));
}

TEST_F(ConnectionsTest, ThePoolMayGrowUnderOpenConnections) {
  FarEnd& far = peer(1);
  receive();
  notes_.clear();
  far.say(Piece{0, 0, Bytes(16384)});
  settle();
  pool_.grow(8);
  far.say(Piece{0, 0, Bytes(16384)});
  settle();
  EXPECT_THAT(notes_, ElementsAre("1: block 16384 lost", "1: block 16384"));
}

// ---- extensions

TEST_F(ConnectionsTest, AnExtensionsMessagesGoToItsListener) {
  std::vector<std::string> heard;
  Connections::Listener listener;
  listener.on_extensions = [&heard](const Connected& c) {
    heard.push_back("id " + std::to_string(c.said.pex_id.value_or(0)));
  };
  listener.on_message = [&heard](const Connected&, std::span<const std::byte> payload) {
    heard.push_back(as_text(payload));
    return payload.empty() ? error_code(NetErrc::protocol_error) : error_code();
  };
  listener.on_closed = [&heard](PeerKey) { heard.push_back("closed"); };
  connections_->set_listener(ExtensionId::pex, listener);
  FarEnd& far = peer(1);
  say_extended(far, 0, "d1:md6:ut_pexi9eee");
  say_extended(far, static_cast<std::uint8_t>(ExtensionId::pex), "hello");
  say_extended(far, static_cast<std::uint8_t>(ExtensionId::metadata), "not mine");
  say_extended(far, 77, "nobody's");
  say_extended(far, 0, "d1:md6:ut_pexi0eee");
  EXPECT_THAT(heard, ElementsAre("id 9", "hello", "id 0"));
  say_extended(far, static_cast<std::uint8_t>(ExtensionId::pex), "");
  EXPECT_TRUE(far.closed) << "as the listener says";
  EXPECT_EQ(heard.back(), "closed");
}

TEST_F(ConnectionsTest, AChangedOfferIsSaidToEverybody) {
  FarEnd& far = peer(1);
  FarEnd& plain = peer(2, true, false);
  ExtensionOffer offer;
  offer.metadata = true;
  offer.metadata_size = 12345;
  offer.pex = ExtensionOffer::Pex::withdrawn;
  connections_->set_offer(offer);
  const std::vector<std::string> said = heard_extended(far, 0);
  ASSERT_THAT(said, SizeIs(1));
  EXPECT_THAT(said[0], HasSubstr("13:metadata_sizei12345e"));
  EXPECT_THAT(said[0], HasSubstr("6:ut_pexi0e"));
  EXPECT_THAT(plain.writes, IsEmpty()) << "it does not speak extensions";
}

// ---- addresses

TEST_F(ConnectionsTest, WhatIsUsefulIsDialledAgainSoon) {
  FarEnd& far = peer(1);
  connections_->mark_useful(1);
  far.hang_up();
  settle();
  far_.clear();
  pass(2s);
  EXPECT_TRUE(dialled(1));
}

TEST_F(ConnectionsTest, ABanIsForGood) {
  FarEnd& far = peer(1);
  connections_->ban(address(1), "for the test");
  settle();
  EXPECT_TRUE(far.closed);
  EXPECT_EQ(connections_->counts().banned, 1U);
  far_.clear();
  pass(2h);
  EXPECT_FALSE(dialled(1));
}

TEST_F(ConnectionsTest, APrivateTorrentKeepsOnlyWhatTrackersAndTheUserNamed) {
  FarEnd& of_tracker = peer(1);
  FarEnd& of_user = peer(2, true, true, PeerSource::user);
  FarEnd& of_peers = peer(3, true, true, PeerSource::pex);
  connections_->make_private();
  settle();
  EXPECT_FALSE(of_tracker.closed || of_user.closed);
  EXPECT_TRUE(of_peers.closed);
  far_.clear();
  const std::vector<Endpoint> more{address(4)};
  connections_->add_peers(more, PeerSource::pex);
  pass(2h);
  EXPECT_FALSE(dialled(3) || dialled(4));
}

}  // namespace
}  // namespace swarmfs::net
