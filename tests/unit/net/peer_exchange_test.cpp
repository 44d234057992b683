#include "net/peer_exchange.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/net/connections_world.h"

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

constexpr auto kPexId = static_cast<std::uint8_t>(ExtensionId::pex);

class PeerExchangeTest : public ConnectionsWorld {
 protected:
  PeerExchangeTest() {
    Connections::Config config;
    config.info_hash = info_hash_;
    config.peer_id = filled(2);
    connections_.emplace(context_.get_executor(), clock_, dialer(), pool_, config, nullptr);
    connections_->start();
    exchange_.emplace(clock_, *connections_);
  }
  ~PeerExchangeTest() override {
    exchange_.reset();
    run_task(context_, connections_->stop());
    connections_.reset();
  }
  // Peer `n`, which takes ut_pex as number `id`.
  FarEnd& peer(int n, int id = 9) {
    const std::vector<Endpoint> one{address(n)};
    connections_->add_peers(one, PeerSource::tracker);
    settle();
    FarEnd& far = greet(n);
    say_extended(far, 0, "d1:md6:ut_pexi" + std::to_string(id) + "eee");
    return far;
  }
  void tell(FarEnd& far, const std::vector<Endpoint>& added) {
    const std::vector<std::byte> payload = encode(PexMessage{added, {}});
    far.say(Extended{kPexId, payload});
    settle();
  }
  static PexMessage only(const std::vector<std::string>& payloads) {
    EXPECT_THAT(payloads, SizeIs(1));
    const auto message = decode_pex(std::as_bytes(std::span(payloads.at(0))));
    EXPECT_TRUE(message);
    return *message;
  }

  storage::BlockPool pool_{0};
  std::optional<Connections> connections_;
  std::optional<PeerExchange> exchange_;
};

TEST_F(PeerExchangeTest, DialsWhatPeersTell) {
  FarEnd& far = peer(1);
  tell(far, {address(7), {asio::ip::make_address("127.0.0.1"), 6881}});
  EXPECT_TRUE(dialled(7));
  EXPECT_EQ(connections_->counts().known_addresses, 2U) << "nothing on this host on a peer's word";
}

TEST_F(PeerExchangeTest, TellsEachPeerOfTheOthersOnceAMinute) {
  FarEnd& first = peer(1);
  FarEnd& second = peer(2, 33);
  FarEnd& deaf = peer(3, 0);
  EXPECT_THAT(heard_extended(first, 9), IsEmpty()) << "not before there is something to say";
  pass(60s);
  EXPECT_THAT(only(heard_extended(first, 9)).added, ElementsAre(address(2), address(3)));
  EXPECT_THAT(only(heard_extended(second, 33)).added, ElementsAre(address(1), address(3)));
  EXPECT_THAT(deaf.writes, IsEmpty());
  pass(60s);
  EXPECT_THAT(heard_extended(first, 9), IsEmpty()) << "nothing has changed";
  deaf.hang_up();
  settle();
  pass(60s);
  EXPECT_THAT(only(heard_extended(first, 9)).dropped, ElementsAre(address(3)));
}

TEST_F(PeerExchangeTest, APeerMayChangeTheNumberAndEndIt) {
  FarEnd& far = peer(1);
  peer(2);
  say_extended(far, 0, "d1:md6:ut_pexi44eee");
  pass(60s);
  EXPECT_THAT(heard_extended(far, 44), SizeIs(1));
  peer(3);
  say_extended(far, 0, "d1:md6:ut_pexi0eee");
  pass(60s);
  EXPECT_THAT(far.writes, IsEmpty());
}

TEST_F(PeerExchangeTest, EarlyMessagesAreIgnoredAndAFloodEndsTheConnection) {
  FarEnd& far = peer(1);
  for (int i = 0; i < 3; ++i) tell(far, {address(10 + i)});
  EXPECT_TRUE(dialled(12)) << "a few are put up with";
  tell(far, {address(20)});
  EXPECT_FALSE(dialled(20));
  EXPECT_FALSE(far.closed);
  for (int i = 0; i < 100 && !far.closed; ++i) tell(far, {});
  EXPECT_TRUE(far.closed);
}

TEST_F(PeerExchangeTest, GarbageIsIgnored) {
  FarEnd& far = peer(1);
  say_extended(far, kPexId, "garbage");
  say_extended(far, kPexId, "");
  EXPECT_FALSE(far.closed);
}

}  // namespace
}  // namespace swarmfs::net
