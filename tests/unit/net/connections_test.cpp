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
    config.external = external_;
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
    receiver.on_dont_have = [this](PeerKey key, std::uint32_t index) {
      note("lost " + std::to_string(index), key);
      return error_code();
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
  std::shared_ptr<ExternalAddress> external_ = std::make_shared<ExternalAddress>();
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

// BEP 54.
TEST_F(ConnectionsTest, APieceThatAPeerLostIsToldWhenThereIsWhoTakesIt) {
  const auto id = static_cast<std::uint8_t>(ExtensionId::dont_have);
  FarEnd& far = peer(1);
  far.say(HaveAll{});
  say_extended(far, id, std::string("\0\0\0\7", 4));
  receive();
  const std::vector<std::string> early = notes_;
  EXPECT_THAT(early, testing::Contains("1: lost 7"));
  say_extended(far, id, std::string("\0\0\1\0", 4));
  EXPECT_EQ(notes_.back(), "1: lost 256");
  EXPECT_FALSE(far.closed);
  say_extended(far, id, "more than an index");
  EXPECT_TRUE(far.closed);
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

// Of networks of their own, so that each has a vote.
Endpoint far_away(int n) {
  return {asio::ip::address_v4(0x50000001U + (static_cast<unsigned>(n) << 16U)), 6881};
}
const std::string kSeesUs =
    "d6:yourip4:\x09\x09\x09\x09"
    "e";

TEST_F(ConnectionsTest, PeersWeDialledSayWhereTheySeeUs) {
  for (int n = 0; n < 6; ++n) {
    const std::vector<Endpoint> one{far_away(n)};
    connections_->add_peers(one, PeerSource::tracker);
    settle();
    FarEnd& far = *far_.at(far_away(n));
    Bytes bytes;
    encode(our_handshake(info_hash_, filled(100 + n)), bytes);
    far.say(bytes);
    say_extended(far, 0, kSeesUs);
  }
  EXPECT_EQ(external_->v4(), asio::ip::make_address("9.9.9.9"));
}

// ---- Those who come to us

class IncomingTest : public ConnectionsTest {
 protected:
  // `n` comes, from `address`; its peer id is that of peer(n).
  FarEnd& comes(int n, const Endpoint& from) {
    const auto far = std::make_shared<FarEnd>(context_.get_executor());
    all_.push_back(far);
    connections_->accept(std::make_unique<ScriptedStream>(far, from),
                         our_handshake(info_hash_, filled(n)));
    settle();
    return *far;
  }
  FarEnd& comes(int n) { return comes(100 + n, {address(n).address(), 50'000}); }
  [[nodiscard]] std::size_t connected() const { return connections_->counts().connected; }
};

TEST_F(IncomingTest, IsGreetedAsEveryoneIs) {
  receive();
  FarEnd& far = comes(1);
  const Bytes heard = far.heard();
  ASSERT_GT(heard.size(), kHandshakeSize);
  const auto theirs = decode_handshake(std::span(heard).first<kHandshakeSize>());
  EXPECT_EQ(theirs->info_hash, info_hash_);
  const Bytes rest(heard.begin() + static_cast<std::ptrdiff_t>(kHandshakeSize), heard.end());
  EXPECT_THAT(messages_in(rest), SizeIs(3));
  far.say(Unchoke{});
  settle();
  EXPECT_THAT(notes_, SizeIs(2)) << "opened, and a message";
  EXPECT_EQ(connected(), 1U);
  ASSERT_THAT(connections_->all(), SizeIs(1));
  EXPECT_TRUE(connections_->all()[0]->incoming);
}

TEST_F(IncomingTest, IsRefusedWhenBanned) {
  connections_->ban(address(1), "a test");
  EXPECT_TRUE(comes(1).closed);
  EXPECT_EQ(connected(), 0U);
}

TEST_F(IncomingTest, IsRefusedWhenItIsOurselves) {
  EXPECT_TRUE(comes(2, {address(1).address(), 50'000}).closed) << "2 is our own peer id";
}

TEST_F(IncomingTest, IsRefusedWhenConnectedAlready) {
  FarEnd& first = peer(1);
  pass(60s);
  EXPECT_TRUE(comes(1).closed);
  EXPECT_FALSE(first.closed);
  EXPECT_EQ(connected(), 1U);
}

TEST_F(IncomingTest, OfTwoThatDialEachOtherTheLargerIdsDialStays) {
  FarEnd& dialled = peer(1);  // its id is the larger one, so what it dials stays
  FarEnd& came = comes(1);
  EXPECT_TRUE(dialled.closed);
  EXPECT_FALSE(came.closed);
  settle();
  EXPECT_EQ(connected(), 1U);
}

TEST_F(IncomingTest, AStrangerWithACopiedIdThrowsNobodyOut) {
  FarEnd& dialled = peer(1);
  EXPECT_TRUE(comes(101, {address(2).address(), 50'000}).closed);
  EXPECT_FALSE(dialled.closed);
}

TEST_F(IncomingTest, IsNoWitnessOfOurAddress) {
  for (int n = 0; n < 20; ++n) say_extended(comes(101 + n, far_away(n)), 0, kSeesUs);
  EXPECT_EQ(connected(), 20U);
  EXPECT_FALSE(external_->v4());
}

TEST_F(IncomingTest, IsDialledWhereItListensOnceItHasGone) {
  FarEnd& far = comes(1);
  say_extended(far, 0, "d1:pi6881ee");
  EXPECT_FALSE(dialled(1)) << "it is here";
  far.hang_up();
  settle();
  EXPECT_TRUE(dialled(1));
}

TEST_F(IncomingTest, OneHostHasThreeConnections) {
  for (int i = 0; i < 10; ++i) comes(110 + i, {address(1).address(), 50'000});
  EXPECT_EQ(connected(), 3U);
}

TEST_F(IncomingTest, HalfOfAllConnectionsAreForThoseWeChose) {
  for (int i = 0; i < 100; ++i) comes(101 + i, {address(i).address(), 50'000});
  EXPECT_EQ(connected(), 50U);
}

TEST_F(IncomingTest, LeavesWhenTheTorrentTurnsOutToBePrivate) {
  FarEnd& far = comes(1);
  connections_->make_private();
  settle();
  EXPECT_TRUE(far.closed);
}

// ---- Rest

class RestTest : public ConnectionsTest {
 protected:
  RestTest() { receive(); }
  static std::vector<Message> new_messages(FarEnd& far, Bytes& kept) {
    kept = far.heard();
    far.writes.clear();
    return messages_in(kept);
  }
  template <class M>
  static bool says(FarEnd& far) {
    Bytes kept;
    const std::vector<Message> all = new_messages(far, kept);
    return std::any_of(all.begin(), all.end(),
                       [](const Message& m) { return std::holds_alternative<M>(m); });
  }
};

TEST_F(RestTest, GivesItsPlaceBackToWhoeverGivesItAtOnce) {
  FarEnd& prompt = peer(1);
  prompt.say(Unchoke{});
  settle();
  FarEnd& slow = peer(2);
  pass(8s);
  slow.say(Unchoke{});
  settle();
  pass(36s);
  EXPECT_FALSE(says<NotInterested>(prompt));
  pass(2s);
  EXPECT_TRUE(says<NotInterested>(prompt)) << "before the minute of libtorrent is over";
  EXPECT_FALSE(says<NotInterested>(slow)) << "another wait would be long";
  connections_->wake();
  EXPECT_TRUE(says<Interested>(prompt));
  EXPECT_FALSE(says<Interested>(slow));
}

TEST_F(RestTest, DialsOneAtATimeUntilSomebodyReads) {
  pass(46s);
  std::vector<Endpoint> some;
  for (int n = 1; n <= 40; ++n) some.push_back(address(n));
  connections_->add_peers(some, PeerSource::tracker);
  settle();
  pass(25s);
  EXPECT_LE(far_.size(), 1U);
  pass(60s);
  EXPECT_LE(far_.size(), 3U);
  EXPECT_GE(far_.size(), 1U);
  connections_->wake();
  settle();
  EXPECT_EQ(far_.size(), 40U);
}

}  // namespace
}  // namespace swarmfs::net
