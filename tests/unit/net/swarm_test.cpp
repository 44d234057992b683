#include "net/swarm.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <map>
#include <string>

#include "net/extension.h"
#include "storage/task_group.h"
#include "tests/unit/net/loopback_server.h"
#include "tests/unit/net/scripted_stream.h"

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;
using storage::kBlockSize;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::uint32_t kBlocks = 2, kPieces = 20;

storage::Sha1Digest filled(int value) {
  storage::Sha1Digest digest;
  digest.bytes.fill(static_cast<std::byte>(value));
  return digest;
}
Bytes content(std::uint32_t piece, std::uint32_t block) {
  return Bytes(kBlockSize, static_cast<std::byte>(piece * kBlocks + block + 1));
}

// One swarm, whose peers are the test.
class SwarmTest : public testing::Test {
 protected:
  SwarmTest() {
    Connections::Config config;
    config.info_hash = filled(1);
    config.peer_id = filled(2);
    const auto dial = [this](Endpoint to) { return connect(this, to); };
    const auto log = [this](int, const std::string& line) { said_.push_back(line); };
    connections_.emplace(context_.get_executor(), clock_, dial, pool_, config, log);
    swarm_.emplace(context_.get_executor(), clock_, *connections_, store_, pool_, log);
    connections_->start();
  }
  ~SwarmTest() override {
    stop();
    swarm_.reset();
    connections_.reset();
    store_.close();
    run_task(context_, store_.stop());
    EXPECT_EQ(pool_.in_use(), 0U) << "blocks leaked";
  }
  void stop() {
    run_task(context_, connections_->stop());
    run_task(context_, swarm_->stop());
  }
  static Task<Result<std::unique_ptr<Stream>>> connect(SwarmTest* self, Endpoint to) {
    auto far = std::make_shared<FarEnd>(self->context_.get_executor());
    self->far_[to] = far;
    self->all_.push_back(far);
    std::unique_ptr<Stream> stream = std::make_unique<ScriptedStream>(far, to);
    co_return stream;
  }
  static storage::PieceStore::Parts parts(SwarmTest* self) {
    const storage::Layout layout(std::uint64_t{kPieces} * kBlocks * kBlockSize,
                                 kBlocks * kBlockSize);
    std::vector<storage::Sha1Digest> hashes;
    for (std::uint32_t p = 0; p < kPieces; ++p) {
      storage::Sha1 hasher;
      for (std::uint32_t b = 0; b < kBlocks; ++b) hasher.update(content(p, b));
      hashes.push_back(hasher.finish());
    }
    return {
        self->context_.get_executor(), layout, hashes, self->pool_, self->hashers_, nullptr, {}};
  }
  void settle() {
    context_.restart();
    context_.poll();
  }
  static Endpoint address(int n) {
    return {asio::ip::address_v4(0x08080800U + static_cast<unsigned>(n)), 6881};
  }
  // Peer `n` is known, dialled, and has heard our handshake.
  FarEnd& dialled(int n) {
    const std::vector<Endpoint> all{address(n)};
    connections_->add_peers(all, PeerSource::tracker);
    settle();
    EXPECT_TRUE(far_.contains(address(n)));
    return *far_.at(address(n));
  }
  static Bytes handshake(int id, bool fast = true, bool extensions = true, int hash = 1) {
    Handshake h = our_handshake(filled(hash), filled(id));
    if (!fast) h.reserved[7] = {};
    if (!extensions) h.reserved[5] = {};
    Bytes bytes;
    encode(h, bytes);
    return bytes;
  }
  // Peer `n` is connected. What we greeted it with is forgotten.
  FarEnd& peer(int n, bool fast = true) {
    FarEnd& far = dialled(n);
    far.say(handshake(100 + n, fast));
    settle();
    EXPECT_FALSE(far.closed);
    far.writes.clear();
    return far;
  }
  FarEnd& seed(int n, bool fast = true) {
    FarEnd& far = peer(n, fast);
    if (fast) {
      far.say(HaveAll{});
    } else {
      far.say(BitfieldMessage{Bytes((kPieces + 7) / 8, std::byte{0xff})});
    }
    far.say(Unchoke{});
    settle();
    return far;
  }
  Demand want(std::uint32_t piece) {
    return swarm_->want({store_.layout().range(*store_.layout().piece_at(piece))});
  }
  [[nodiscard]] bool has(std::uint32_t piece) const {
    return store_.verified().test(*store_.layout().piece_at(piece));
  }
  // Whether saying `message` ends the connection.
  bool offends(FarEnd& far, const Message& message) {
    far.say(message);
    settle();
    return far.closed;
  }

  asio::io_context context_;
  ManualClock clock_;
  storage::BlockPool pool_{256};
  storage::WorkerPool hashers_{context_.get_executor(), 0};
  storage::PieceStore store_{parts(this)};
  std::map<Endpoint, std::shared_ptr<FarEnd>> far_;  // the latest to each address
  std::vector<std::shared_ptr<FarEnd>> all_;
  std::vector<std::string> said_;
  std::optional<Connections> connections_;
  std::optional<Swarm> swarm_;
};

std::string text(const Bytes& bytes) {  // messages, in words
  std::string out;
  for (std::span<const std::byte> rest = bytes; rest.size() >= 4;) {
    const auto length = read_u32(rest.first<4>());
    const auto message = decode(rest.subspan(4, length));
    rest = rest.subspan(4 + length);
    if (!message) return out + "garbage";
    const auto range = [](const char* name, const auto& m) {
      return std::string(name) + " " + std::to_string(m.index) + "+" + std::to_string(m.begin) +
             "," + std::to_string(m.length) + "; ";
    };
    if (const auto* r = std::get_if<Request>(&*message))
      out += range("request", *r);
    else if (const auto* c = std::get_if<Cancel>(&*message))
      out += range("cancel", *c);
    else if (const auto* j = std::get_if<Reject>(&*message))
      out += range("reject", *j);
    else if (std::holds_alternative<Interested>(*message))
      out += "interested; ";
    else if (std::holds_alternative<HaveNone>(*message))
      out += "have none; ";
    else if (std::holds_alternative<KeepAlive>(*message))
      out += "keep-alive; ";
    else if (std::holds_alternative<Extended>(*message))
      out += "extended; ";
    else
      out += "other; ";
  }
  return out;
}

// ---- greeting

TEST_F(SwarmTest, GreetsInOneWrite) {
  FarEnd& far = dialled(1);
  ASSERT_EQ(far.writes.size(), 1U);
  EXPECT_EQ(far.writes[0], handshake(2));
  far.writes.clear();
  far.say(handshake(9));
  settle();
  ASSERT_EQ(far.writes.size(), 1U);
  EXPECT_EQ(text(far.writes[0]), "have none; extended; interested; ");
  EXPECT_EQ(swarm_->status().connected, 1U);
}

TEST_F(SwarmTest, SpeaksNoExtensionThatThePeerDoesNot) {
  FarEnd& plain = dialled(1);
  plain.writes.clear();
  plain.say(handshake(9, false, false));
  settle();
  EXPECT_EQ(text(plain.heard()), "interested; ");
  FarEnd& fast = dialled(2);
  fast.writes.clear();
  fast.say(handshake(10, true, false));
  settle();
  EXPECT_EQ(text(fast.heard()), "have none; interested; ");
}

TEST_F(SwarmTest, APeerOfAnotherTorrentIsLeftAlone) {
  FarEnd& far = dialled(1);
  far.say(handshake(9, true, true, 77));
  settle();
  EXPECT_TRUE(far.closed);
  EXPECT_EQ(swarm_->status().connected, 0U);
  clock_.advance(2h);
  far_.clear();
  settle();
  EXPECT_THAT(far_, IsEmpty()) << "for good";
}

TEST_F(SwarmTest, WeDoNotTalkToOurselves) {
  FarEnd& far = dialled(1);
  far.say(handshake(2));
  settle();
  EXPECT_TRUE(far.closed);
  EXPECT_EQ(swarm_->status().connected, 0U);
}

TEST_F(SwarmTest, OnePeerAtTwoAddressesIsOnePeer) {
  peer(1);
  FarEnd& twin = dialled(2);
  twin.say(handshake(101));
  settle();
  EXPECT_TRUE(twin.closed);
  EXPECT_EQ(swarm_->status().connected, 1U);
}

TEST_F(SwarmTest, APeerThatDoesNotShakeHandsIsDroppedAfterTenSeconds) {
  FarEnd& far = dialled(1);
  clock_.advance(9s);
  settle();
  EXPECT_FALSE(far.closed);
  EXPECT_EQ(swarm_->status().dialling, 1U);
  clock_.advance(1s);
  settle();
  EXPECT_TRUE(far.closed);
  EXPECT_EQ(swarm_->status().dialling, 0U);
}

// ---- reading through it

TEST_F(SwarmTest, FetchesWhatIsWanted) {
  FarEnd& far = seed(1);
  EXPECT_EQ(swarm_->status().unchoked, 1U);
  EXPECT_THAT(far.writes, IsEmpty()) << "nothing is wanted yet";
  const Demand demand = want(3);
  settle();
  ASSERT_EQ(far.writes.size(), 1U) << "both requests in one write";
  EXPECT_EQ(text(far.writes[0]), "request 3+0,16384; request 3+16384,16384; ");
  far.say(Piece{3, 0, content(3, 0)});
  far.say(Piece{3, kBlockSize, content(3, 1)});
  settle();
  EXPECT_TRUE(has(3));
  EXPECT_EQ(swarm_->status().received_bytes, 2U * kBlockSize);
  EXPECT_EQ(swarm_->status().redundant_bytes, 0U);
}

TEST_F(SwarmTest, AWithdrawnWishIsCancelled) {
  FarEnd& far = seed(1);
  {
    const Demand demand = want(3);
    settle();
    far.writes.clear();
  }
  settle();
  EXPECT_EQ(text(far.heard()), "cancel 3+0,16384; cancel 3+16384,16384; ");
}

TEST_F(SwarmTest, HonoursTheRequestLimitOfAPeer) {
  FarEnd& far = seed(1);
  const std::string reqq = "d4:reqqi1ee";
  const auto payload = std::as_bytes(std::span(reqq));
  far.say(Extended{0, payload});
  const Demand demand = want(3);
  settle();
  EXPECT_EQ(text(far.heard()), "request 3+0,16384; ");
}

TEST_F(SwarmTest, KnowsWhatIsReachable) {
  const storage::ByteRange range{0, 2ULL * kBlocks * kBlockSize};  // pieces 0 and 1
  EXPECT_FALSE(swarm_->reachable(range));
  FarEnd& far = peer(1);
  far.say(Have{0});
  settle();
  EXPECT_FALSE(swarm_->reachable(range));
  far.say(Have{1});
  settle();
  EXPECT_TRUE(swarm_->reachable(range));
  far.hang_up();
  settle();
  EXPECT_FALSE(swarm_->reachable(range));
}

TEST_F(SwarmTest, TheOnlySenderOfABadPieceIsBanned) {
  FarEnd& liar = seed(1);
  const Demand demand = want(3);
  settle();
  liar.say(Piece{3, 0, content(3, 0)});
  liar.say(Piece{3, kBlockSize, content(4, 1)});
  settle();
  EXPECT_TRUE(liar.closed);
  EXPECT_EQ(swarm_->status().banned, 1U);
  EXPECT_EQ(swarm_->status().corrupt_bytes, 2U * kBlockSize);
  FarEnd& honest = seed(2);
  EXPECT_EQ(text(honest.heard()), "request 3+0,16384; request 3+16384,16384; ");
  honest.say(Piece{3, 0, content(3, 0)});
  honest.say(Piece{3, kBlockSize, content(3, 1)});
  settle();
  EXPECT_TRUE(has(3));
  EXPECT_FALSE(honest.closed);
}

// ---- manners

TEST_F(SwarmTest, ARequestOfAChokedPeerIsRejected) {
  FarEnd& fast = peer(1);
  EXPECT_FALSE(offends(fast, Request{3, 0, kBlockSize}));
  EXPECT_EQ(text(fast.heard()), "reject 3+0,16384; ");
  FarEnd& plain = peer(2, false);
  EXPECT_FALSE(offends(plain, Request{3, 0, kBlockSize}));
  EXPECT_THAT(plain.writes, IsEmpty()) << "BEP 3 has no such answer";
}

TEST_F(SwarmTest, KeepsQuietConnectionsAlive) {
  FarEnd& far = peer(1);
  for (int i = 0; i < 6; ++i) {
    clock_.advance(20s);
    settle();
  }
  EXPECT_EQ(text(far.heard()), "keep-alive; ");
  for (int i = 0; i < 8; ++i) {
    clock_.advance(20s);
    settle();
  }
  EXPECT_TRUE(far.closed) << "it has said nothing for longer than two of its own keep-alives";
}

TEST_F(SwarmTest, WhatAPeerMaySayIsNoOffence) {
  FarEnd& far = peer(1);
  for (const Message& m :
       {Message(KeepAlive{}), Message(Interested{}), Message(NotInterested{}), Message(Choke{}),
        Message(Unchoke{}), Message(Port{1}), Message(Suggest{4'000'000}), Message(HaveNone{}),
        Message(Have{kPieces - 1}), Message(AllowedFast{kPieces - 1}), Message(Cancel{9, 9, 9}),
        Message(Unknown{21}), Message(Extended{7, {}}), Message(Extended{0, {}})}) {
    EXPECT_FALSE(offends(far, m)) << m.index();
  }
}

// BEP 54.
TEST_F(SwarmTest, APieceThatAPeerLostIsFetchedFromAnother) {
  FarEnd& one = seed(1);
  const Demand demand = want(3);
  settle();
  EXPECT_EQ(text(one.heard()), "request 3+0,16384; request 3+16384,16384; ");
  const Bytes index{std::byte{0}, std::byte{0}, std::byte{0}, std::byte{3}};
  const Extended lost{static_cast<std::uint8_t>(ExtensionId::dont_have), index};
  EXPECT_FALSE(offends(one, lost));
  EXPECT_FALSE(swarm_->reachable(store_.layout().range(*store_.layout().piece_at(3))));
  FarEnd& other = seed(2);
  EXPECT_EQ(text(other.heard()), "request 3+0,16384; request 3+16384,16384; ");
  EXPECT_FALSE(offends(one, lost)) << "again";
}

TEST_F(SwarmTest, APieceThatIsNoneCannotBeLost) {
  int n = 1;
  const auto id = static_cast<std::uint8_t>(ExtensionId::dont_have);
  EXPECT_TRUE(offends(seed(n++), Extended{id, Bytes{{}, {}, {}, std::byte{kPieces}}}));
  EXPECT_TRUE(offends(seed(n++), Extended{id, Bytes(4, std::byte{0xff})}));
  for (const std::size_t size : {0U, 3U, 5U}) {
    EXPECT_TRUE(offends(seed(n++), Extended{id, Bytes(size)})) << size;
  }
}

TEST_F(SwarmTest, ABitfieldOfTheWrongLengthEndsTheConnection) {
  int n = 1;
  for (const std::size_t length : {0U, 2U, 4U, 1000U}) {
    EXPECT_TRUE(offends(peer(n++), BitfieldMessage{Bytes(length)})) << length;
  }
  EXPECT_FALSE(offends(peer(n), BitfieldMessage{Bytes(3, std::byte{0xff})})) << "spare bits";
}

TEST_F(SwarmTest, APieceThatDoesNotExistEndsTheConnection) {
  EXPECT_TRUE(offends(peer(1), Have{kPieces}));
  EXPECT_TRUE(offends(peer(2), Have{0xffffffff}));
  EXPECT_TRUE(offends(peer(3), AllowedFast{kPieces}));
}

TEST_F(SwarmTest, ABlockOffTheGridEndsTheConnection) {
  int n = 1;
  const Bytes data(kBlockSize), half(kBlockSize / 2), longer(kBlockSize + 1);
  for (const Message& m : {Message(Piece{kPieces, 0, data}), Message(Piece{3, 1, data}),
                           Message(Piece{3, 2 * kBlockSize, data}), Message(Piece{3, 0, half}),
                           Message(Piece{3, 0, longer}), Message(Piece{3, 0, {}}),
                           Message(Piece{3, 0xffffc000, data})}) {
    EXPECT_TRUE(offends(seed(n), m)) << n;
    ++n;
  }
}

TEST_F(SwarmTest, FastMessagesOfAPeerThatIsNotFastEndTheConnection) {
  EXPECT_TRUE(offends(peer(1, false), HaveAll{}));
  EXPECT_TRUE(offends(peer(2, false), Reject{3, 0, kBlockSize}));
  EXPECT_TRUE(offends(peer(3, false), AllowedFast{3}));
  EXPECT_TRUE(offends(peer(4), Reject{3, 1, kBlockSize})) << "and one off the grid always does";
}

TEST_F(SwarmTest, AnOversizedMessageEndsTheConnection) {
  FarEnd& far = peer(1);
  far.say(Bytes{std::byte{0}, std::byte{0x10}, std::byte{0}, std::byte{1}});  // 1 MiB + 1
  settle();
  EXPECT_TRUE(far.closed);
}

TEST_F(SwarmTest, AFloodOfBlocksNobodyAskedForEndsTheConnection) {
  FarEnd& far = seed(1);
  int blocks = 0;
  while (!far.closed && blocks < 1000) {
    far.say(Piece{3, 0, content(3, 0)});
    settle();
    ++blocks;
  }
  EXPECT_GT(blocks, 16) << "late answers are put up with";
  EXPECT_LT(blocks, 1000);
  EXPECT_FALSE(has(3));
}

TEST_F(SwarmTest, AfterAnOffenceItsRequestsGoToOthers) {
  FarEnd& bad = seed(1);
  const Demand demand = want(3);
  settle();
  EXPECT_TRUE(offends(bad, Have{kPieces}));
  FarEnd& good = seed(2);
  EXPECT_EQ(text(good.heard()), "request 3+0,16384; request 3+16384,16384; ");
  EXPECT_EQ(swarm_->status().connected, 1U);
}

TEST_F(SwarmTest, StopEndsEverything) {
  FarEnd& connected = seed(1);
  FarEnd& waiting = dialled(2);
  const Demand demand = want(3);
  settle();
  stop();
  EXPECT_TRUE(connected.closed && waiting.closed);
  EXPECT_EQ(swarm_->status().connected, 0U);
}

}  // namespace
}  // namespace swarmfs::net
