#include "net/udp_port.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/post.hpp>

#include "tests/unit/net/loopback_server.h"
#include "tests/unit/net/scripted_datagram.h"

namespace swarmfs::net {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

class UdpPortTest : public testing::Test {
 protected:
  void SetUp() override {
    std::vector<std::unique_ptr<Datagram>> sockets;
    sockets.push_back(std::make_unique<ScriptedDatagram>(four, udp_at("0.0.0.0", 6881)));
    sockets.push_back(std::make_unique<ScriptedDatagram>(six, udp_at("::", 6881)));
    port = std::make_unique<UdpPort>(context.get_executor(), std::move(sockets));
    port->start();
  }
  void TearDown() override {
    if (port) run_task(context, port->stop());
  }
  // Takes what begins with `start`.
  UdpPort::Listener taking(const std::string& start, std::vector<std::string>& into) {
    return [start, &into](std::span<const std::byte> bytes, const UdpEndpoint&) {
      if (!text(bytes).starts_with(start)) return false;
      into.push_back(text(bytes));
      return true;
    };
  }
  void send(const std::string& payload, const UdpEndpoint& to) {
    port->send(std::as_bytes(std::span(payload)), to);
  }
  void settle() {
    context.restart();
    context.poll();
  }
  asio::io_context context;
  std::shared_ptr<FarNet> four = std::make_shared<FarNet>(context.get_executor());
  std::shared_ptr<FarNet> six = std::make_shared<FarNet>(context.get_executor());
  std::unique_ptr<UdpPort> port;
  const UdpEndpoint stranger = udp_at("192.0.2.1", 1234);
};

TEST_F(UdpPortTest, GivesADatagramToTheFirstListenerThatTakesIt) {
  std::vector<std::string> dht, trackers, all;
  const auto first = port->listen(taking("d", dht));
  const auto second = port->listen(taking("t", trackers));
  const auto third = port->listen(taking("", all));
  four->arrive("dht", stranger);
  six->arrive("tracker", udp_at("2001:db8::1", 5));
  four->arrive("utp", stranger);
  settle();
  EXPECT_THAT(dht, ElementsAre("dht"));
  EXPECT_THAT(trackers, ElementsAre("tracker"));
  EXPECT_THAT(all, ElementsAre("utp"));
}

TEST_F(UdpPortTest, SaysWhoSentIt) {
  UdpEndpoint sender;
  const auto listening = port->listen([&sender](auto, const UdpEndpoint& from) {
    sender = from;
    return true;
  });
  four->arrive("x", stranger);
  settle();
  EXPECT_EQ(sender, stranger);
}

TEST_F(UdpPortTest, SendsThroughTheSocketOfTheFamily) {
  send("a", stranger);
  send("b", udp_at("2001:db8::1", 5));
  ASSERT_EQ(four->sent.size(), 1u);
  EXPECT_EQ(four->sent[0].payload, "a");
  EXPECT_EQ(four->sent[0].to, stranger);
  ASSERT_EQ(six->sent.size(), 1u);
  EXPECT_EQ(six->sent[0].payload, "b");
  four->send_error = asio::error::network_unreachable;
  send("lost", stranger);  // and nothing is said
}

TEST_F(UdpPortTest, ListenersMayComeAndGoWhileTheyAreCalled) {
  std::vector<std::string> heard;
  UdpPort::Subscription one, two, late;
  one = port->listen([&](auto, const UdpEndpoint&) {
    heard.push_back("one");
    two = {};
    late = port->listen([&](auto, const UdpEndpoint&) {
      heard.push_back("late");
      return true;
    });
    one = {};
    return false;
  });
  two = port->listen([&](auto, const UdpEndpoint&) {
    heard.push_back("two");
    return true;
  });
  four->arrive("x", stranger);
  settle();
  EXPECT_THAT(heard, ElementsAre("one", "late"));
}

TEST_F(UdpPortTest, ASubscriptionMayOutliveThePort) {
  std::vector<std::string> heard;
  auto listening = port->listen(taking("", heard));
  TearDown();
  port.reset();
  listening = {};
}

TEST_F(UdpPortTest, LetsOthersWorkDuringAFlood) {
  std::size_t taken = 0, taken_when_another_worked = 0;
  const auto listening = port->listen([&](auto, const UdpEndpoint&) {
    if (++taken == 1) {  // as soon as the flood is there, somebody else has something to do
      asio::post(context, [&] { taken_when_another_worked = taken; });
    }
    return true;
  });
  for (std::size_t i = 0; i < 10 * kMaxDatagramsPerTurn; ++i) four->arrive("x", stranger);
  settle();
  EXPECT_EQ(taken, 10 * kMaxDatagramsPerTurn);
  EXPECT_EQ(taken_when_another_worked, kMaxDatagramsPerTurn);
}

TEST_F(UdpPortTest, GoesOnAfterWhatIsOfNoUse) {
  std::vector<std::string> heard;
  const auto listening = port->listen(taking("", heard));
  four->arrive(std::string(kMaxDatagram + 1, 'x'), stranger);
  four->arrive("", stranger);
  four->arrive(std::string(kMaxDatagram, 'y'), stranger);
  settle();
  EXPECT_THAT(heard, ElementsAre(std::string(kMaxDatagram, 'y')));
}

TEST_F(UdpPortTest, ABrokenSocketTakesNothingFromTheOther) {
  std::vector<std::string> heard;
  const auto listening = port->listen(taking("", heard));
  four->fail(asio::error::bad_descriptor);
  settle();
  six->arrive("x", udp_at("2001:db8::1", 5));
  settle();
  EXPECT_THAT(heard, ElementsAre("x"));
}

TEST_F(UdpPortTest, IsSilentOnceStopped) {
  EXPECT_TRUE(port->can_reach(stranger));
  EXPECT_EQ(port->local().size(), 2u);
  run_task(context, port->stop());
  EXPECT_FALSE(port->can_reach(stranger));
  EXPECT_THAT(port->local(), IsEmpty());
  send("x", stranger);
  EXPECT_THAT(four->sent, IsEmpty());
  EXPECT_TRUE(four->closed && six->closed);
}

TEST(UdpPortWithOneFamilyTest, ReachesThatOnly) {
  asio::io_context context;
  const auto far = std::make_shared<FarNet>(context.get_executor());
  std::vector<std::unique_ptr<Datagram>> sockets;
  sockets.push_back(std::make_unique<ScriptedDatagram>(far, udp_at("0.0.0.0", 1)));
  UdpPort port(context.get_executor(), std::move(sockets));
  EXPECT_TRUE(port.can_reach(udp_at("192.0.2.1", 1)));
  EXPECT_FALSE(port.can_reach(udp_at("2001:db8::1", 1)));
  port.send({}, udp_at("2001:db8::1", 1));
  EXPECT_THAT(far->sent, IsEmpty());
}

// ---- open_udp_port, on real sockets

class OpenUdpPortTest : public testing::Test {
 protected:
  std::unique_ptr<UdpPort> open(std::uint16_t number, const LocalInterface& interface = {}) {
    return open_udp_port(context.get_executor(), number, interface,
                         [this](const std::string& line) { log.push_back(line); });
  }
  asio::io_context context;
  std::vector<std::string> log;
};

TEST_F(OpenUdpPortTest, OpensBothFamiliesUnderOneNumber) {
  const auto port = open(0);
  const auto local = port->local();
  ASSERT_EQ(local.size(), 2u);
  EXPECT_EQ(local[0].port(), local[1].port());
  EXPECT_TRUE(port->can_reach(udp_at("127.0.0.1", 9)));
  EXPECT_TRUE(port->can_reach(udp_at("::1", 9)));
  EXPECT_THAT(log, IsEmpty());
}

TEST_F(OpenUdpPortTest, TakesAFreeNumberWhenTheWantedOneIsTaken) {
  const auto first = open(0);
  const std::uint16_t taken = first->local().front().port();
  const auto second = open(taken);
  const auto local = second->local();
  ASSERT_EQ(local.size(), 2u);
  EXPECT_EQ(local[0].port(), local[1].port());
  EXPECT_NE(local[0].port(), taken);
  EXPECT_THAT(log, ElementsAre("UDP port " + std::to_string(taken) + " is taken: using " +
                               std::to_string(local[0].port())));
}

TEST_F(OpenUdpPortTest, TakesAnotherNumberWhenOnlyOneFamilyHasIt) {
  const auto taken = open_datagram(context.get_executor(), {asio::ip::address_v6::any(), 0});
  ASSERT_TRUE(taken);
  const auto port = open((*taken)->local().port());
  const auto local = port->local();
  ASSERT_EQ(local.size(), 2u);
  EXPECT_EQ(local[0].port(), local[1].port());
  EXPECT_NE(local[0].port(), (*taken)->local().port());
}

TEST_F(OpenUdpPortTest, LeavesByTheAddressTheUserNamedOrNotAtAll) {
  const auto here = open(0, {.device = {}, .address = asio::ip::make_address("127.0.0.2")});
  const auto there = open(0, {.device = {}, .address = asio::ip::make_address("127.0.0.1")});
  EXPECT_FALSE(here->can_reach(udp_at("::1", 9)));
  std::string from;
  const auto listening = there->listen([&from](auto, const UdpEndpoint& sender) {
    from = sender.address().to_string();
    return true;
  });
  there->start();
  const std::string hello = "hello";
  here->send(std::as_bytes(std::span(hello)), there->local().front());
  EXPECT_TRUE(run_until(context, [&from] { return !from.empty(); }));
  EXPECT_EQ(from, "127.0.0.2");
  run_task(context, there->stop());
  EXPECT_THAT(log, IsEmpty());
}

TEST_F(OpenUdpPortTest, SaysWhyThereIsNone) {
  const auto port = open(0, {.device = "nodevice0", .address = {}});
  EXPECT_THAT(port->local(), IsEmpty());
  EXPECT_THAT(log, ElementsAre(HasSubstr("no UDP over IPv4: "), HasSubstr("no UDP over IPv6: ")));
}

}  // namespace
}  // namespace swarmfs::net
