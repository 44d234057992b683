#include "net/metadata_exchange.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/net/connections_world.h"

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using Type = MetadataMessage::Type;

constexpr auto kOurs = static_cast<std::uint8_t>(ExtensionId::metadata);
constexpr std::uint8_t kTheirs = 5;

class MetadataExchangeTest : public ConnectionsWorld {
 protected:
  MetadataExchangeTest() : metadata_(3 * kMetadataPiece + 77, std::byte{7}) {
    info_hash_ = storage::sha1(metadata_);
    Connections::Config config;
    config.info_hash = info_hash_;
    config.peer_id = filled(2);
    config.offer.metadata = true;
    const auto log = [this](int, const std::string& line) { said_.push_back(line); };
    connections_.emplace(context_.get_executor(), clock_, dialer(), pool_, config, log);
    connections_->start();
    exchange_.emplace(context_.get_executor(), clock_, *connections_);
  }
  ~MetadataExchangeTest() override {
    exchange_.reset();
    run_task(context_, connections_->stop());
    connections_.reset();
  }
  void fetch() {
    exchange_->fetch(info_hash_, [this](std::vector<std::byte> found) {
      ++times_found_;
      found_ = std::move(found);
    });
  }
  FarEnd& peer(int n, const std::string& handshake) {
    const std::vector<Endpoint> one{address(n)};
    connections_->add_peers(one, PeerSource::tracker);
    settle();
    FarEnd& far = greet(n);
    say_extended(far, 0, handshake);
    settle();
    return far;
  }
  FarEnd& seed(int n) {
    return peer(
        n, "d1:md11:ut_metadatai5ee13:metadata_sizei" + std::to_string(metadata_.size()) + "ee");
  }
  static std::vector<MetadataMessage> heard(FarEnd& far) {
    static std::vector<std::string> payloads;  // what the views point into
    payloads = heard_extended(far, kTheirs);
    std::vector<MetadataMessage> all;
    for (const std::string& payload : payloads) {
      const auto message = decode_metadata(std::as_bytes(std::span(payload)));
      EXPECT_TRUE(message);
      if (message) all.push_back(*message);
    }
    return all;
  }
  void say(FarEnd& far, const MetadataMessage& message) {
    const std::vector<std::byte> payload = encode(message);
    far.say(Extended{kOurs, payload});
    settle();
  }
  // Answers what was asked of it.
  std::size_t answer(FarEnd& far, bool lie = false) {
    std::size_t count = 0;
    for (const MetadataMessage& m : heard(far)) {
      if (m.type != Type::request) continue;
      const std::size_t begin = std::size_t{m.piece} * kMetadataPiece;
      Bytes data(metadata_.begin() + static_cast<std::ptrdiff_t>(begin),
                 metadata_.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(
                                         begin + kMetadataPiece, metadata_.size())));
      if (lie) data[0] = std::byte{0};
      say(far, {Type::data, m.piece, static_cast<std::uint32_t>(metadata_.size()), data});
      ++count;
    }
    return count;
  }

  Bytes metadata_;
  storage::BlockPool pool_{0};
  std::optional<Connections> connections_;
  std::optional<MetadataExchange> exchange_;
  std::vector<std::byte> found_;
  int times_found_ = 0;
  std::vector<std::string> said_;
};

// ---- fetching

TEST_F(MetadataExchangeTest, FetchesItFromAPeer) {
  fetch();
  FarEnd& far = seed(1);
  EXPECT_EQ(exchange_->progress().size, metadata_.size());
  EXPECT_EQ(answer(far), 4U);
  EXPECT_EQ(times_found_, 1);
  EXPECT_EQ(found_, metadata_);
}

TEST_F(MetadataExchangeTest, AsksPeersThatWereThereBeforeIt) {
  FarEnd& far = seed(1);
  fetch();
  settle();
  EXPECT_EQ(answer(far), 4U);
  EXPECT_EQ(found_, metadata_);
}

TEST_F(MetadataExchangeTest, UsesTheNumberThatThePeerNamedLast) {
  fetch();
  FarEnd& far = peer(1, "d1:md11:ut_metadatai0ee13:metadata_sizei49229ee");
  EXPECT_THAT(far.writes, IsEmpty()) << "it takes none";
  say_extended(far, 0, "d1:md11:ut_metadatai5eee");
  settle();
  EXPECT_EQ(answer(far), 4U) << "the size it had said before";
  EXPECT_EQ(found_, metadata_);
}

TEST_F(MetadataExchangeTest, ALiarIsBanned) {
  fetch();
  FarEnd& liar = seed(1);
  EXPECT_EQ(answer(liar, true), 4U);
  EXPECT_TRUE(liar.closed);
  EXPECT_EQ(connections_->counts().banned, 1U);
  FarEnd& honest = seed(2);
  EXPECT_EQ(answer(honest), 4U);
  EXPECT_EQ(found_, metadata_);
  EXPECT_FALSE(honest.closed);
}

TEST_F(MetadataExchangeTest, AFloodOfAnswersEndsTheConnection) {
  fetch();
  FarEnd& far = seed(1);
  const Bytes piece(kMetadataPiece);
  const auto size = static_cast<std::uint32_t>(metadata_.size());
  for (int i = 0; i < 1000 && !far.closed; ++i) say(far, {Type::data, 0, size, piece});
  EXPECT_TRUE(far.closed);
}

TEST_F(MetadataExchangeTest, GarbageIsIgnored) {
  fetch();
  FarEnd& far = seed(1);
  for (const char* garbage : {"", "garbage", "d8:msg_typei7e5:piecei0ee", "de"})
    say_extended(far, kOurs, garbage);
  EXPECT_FALSE(far.closed);
  answer(far);
  EXPECT_EQ(found_, metadata_);
}

// ---- serving

TEST_F(MetadataExchangeTest, WithoutItRequestsAreRejected) {
  fetch();
  FarEnd& far = peer(1, "d1:md11:ut_metadatai5eee");
  say(far, {Type::request, 0});
  const auto answers = heard(far);
  ASSERT_THAT(answers, SizeIs(1));
  EXPECT_EQ(answers[0].type, Type::reject);
}

TEST_F(MetadataExchangeTest, ServesWhatItHas) {
  exchange_->serve(metadata_);
  FarEnd& far = peer(1, "d1:md11:ut_metadatai5eee");
  for (const std::uint32_t piece : {0U, 3U}) {
    say(far, {Type::request, piece});
    const auto answers = heard(far);
    ASSERT_THAT(answers, SizeIs(1));
    EXPECT_EQ(answers[0].type, Type::data);
    EXPECT_EQ(answers[0].piece, piece);
    EXPECT_EQ(answers[0].total_size, metadata_.size());
    EXPECT_EQ(answers[0].data.size(), piece == 3 ? 77U : kMetadataPiece);
  }
  say(far, {Type::request, 4});
  EXPECT_EQ(heard(far).at(0).type, Type::reject) << "there is no such piece";
}

TEST_F(MetadataExchangeTest, OneConnectionGetsEachPieceAFewTimes) {
  exchange_->serve(metadata_);
  FarEnd& far = peer(1, "d1:md11:ut_metadatai5eee");
  int served = 0, rejected = 0;
  for (int i = 0; i < 100; ++i) {
    say(far, {Type::request, 0});
    for (const MetadataMessage& m : heard(far)) ++(m.type == Type::data ? served : rejected);
    pass(100ms);
  }
  EXPECT_EQ(served, 12);
  EXPECT_EQ(rejected, 88);
}

TEST_F(MetadataExchangeTest, APeerThatDoesNotReadWaitsAndIsNotCutOff) {
  metadata_.assign(64 * kMetadataPiece, std::byte{1});
  exchange_->serve(metadata_);
  FarEnd& far = peer(1, "d1:md11:ut_metadatai5eee");
  far.room = 0;
  for (std::uint32_t piece = 0; piece < 64; ++piece) say(far, {Type::request, piece});
  EXPECT_FALSE(far.closed) << "256 KiB that nobody reads would be a flood";
  std::size_t served = 0;
  for (int i = 0; i < 100; ++i) {
    far.read_on(64 * 1024);
    settle();
    pass(100ms);
  }
  served = heard(far).size();
  EXPECT_EQ(served, 64U);
}

TEST_F(MetadataExchangeTest, AllPeersTogetherGetAMebibyteASecond) {
  metadata_.assign(64 * kMetadataPiece, std::byte{1});
  exchange_->serve(metadata_);
  std::vector<FarEnd*> peers;
  for (int n = 1; n <= 4; ++n) peers.push_back(&peer(n, "d1:md11:ut_metadatai5eee"));
  for (FarEnd* far : peers) {
    for (std::uint32_t piece = 0; piece < 64; ++piece) say(*far, {Type::request, piece});
  }
  std::vector<std::size_t> served(4);
  const auto count = [&] {
    std::size_t all = 0;
    for (std::size_t i = 0; i < 4; ++i) all += served[i] += heard(*peers[i]).size();
    return all;
  };
  EXPECT_LE(count(), 65U);
  for (int i = 0; i < 10; ++i) pass(100ms);
  EXPECT_LE(count(), 130U);
  for (int i = 0; i < 30; ++i) pass(100ms);
  EXPECT_EQ(count(), 256U) << "and everybody gets it in the end";
}

}  // namespace
}  // namespace swarmfs::net
