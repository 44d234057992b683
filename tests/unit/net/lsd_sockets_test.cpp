// Real multicast, in network namespaces of the tests' own.
#include "net/lsd_sockets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <set>
#include <string>

#include "net/lsd.h"
#include "tests/unit/net/loopback_server.h"

namespace swarmfs::net {
namespace {

using testing::ElementsAre;

OnLink link_of(const char* address, unsigned prefix) {
  return {asio::ip::make_address(address), prefix};
}

TEST(OnLinkTest, ContainsWhatSharesThePrefix) {
  const auto contains = [](const OnLink& link, const char* other) {
    return link.contains(asio::ip::make_address(other));
  };
  EXPECT_TRUE(contains(link_of("203.0.113.70", 26), "203.0.113.64"));
  EXPECT_TRUE(contains(link_of("203.0.113.70", 26), "203.0.113.127"));
  EXPECT_FALSE(contains(link_of("203.0.113.70", 26), "203.0.113.63"));
  EXPECT_FALSE(contains(link_of("203.0.113.70", 26), "203.0.113.128"));
  EXPECT_TRUE(contains(link_of("2001:db8::7", 64), "2001:db8::ffff:0:0:1"));
  EXPECT_FALSE(contains(link_of("2001:db8::7", 64), "2001:db8:0:1::7"));
  EXPECT_TRUE(contains(link_of("2001:db8::7", 128), "2001:db8::7"));
  EXPECT_FALSE(contains(link_of("2001:db8::7", 128), "2001:db8::6"));
  EXPECT_FALSE(contains(link_of("10.0.0.1", 8), "::10.0.0.1"));
}

// Runs in a child process: a host with two networks, each a cable with both ends here.
class TwoNetworks {
 public:
  TwoNetworks() {
    enter_namespace();
    run("ip link set lo up");
    add_cable("lan0", "10.77.0.1/24", "fd77::1/64");
    add_cable("lan1", "10.78.0.1/24", "fd78::1/64");
  }
  static void run(const char* command) {
    if (std::system(command) != 0) fail(command);
  }
  [[noreturn]] static void fail(const char* what) {
    std::perror(what);
    std::_Exit(2);
  }

 private:
  static void enter_namespace() {
    if (::unshare(CLONE_NEWNET) == 0) return;
    const std::string root_is_me = "0 " + std::to_string(::getuid()) + " 1";
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) fail("a namespace");
    std::ofstream("/proc/self/uid_map") << root_is_me;
  }
  static void add_cable(const std::string& name, const std::string& v4, const std::string& v6) {
    run(("ip link add " + name + " type veth peer name far" + name).c_str());
    run(("ip addr add " + v4 + " dev " + name).c_str());
    run(("ip addr add " + v6 + " dev " + name + " nodad").c_str());
    run(("ip link set " + name + " up && ip link set far" + name + " up").c_str());
    // The far ends are nobody's network.
    run(("ip link set far" + name + " multicast off").c_str());
  }
};

// For EXPECT_EXIT: a child's failures are its exit status, and GoogleTest shows what it wrote.
[[noreturn]] void on_two_networks(void (*story)()) {
  const TwoNetworks host;
  story();
  const auto& result = *testing::UnitTest::GetInstance()->current_test_info()->result();
  for (int i = 0; i < result.total_part_count(); ++i) {
    std::cerr << result.GetTestPartResult(i).message() << "\n";
  }
  std::_Exit(result.Failed() ? 1 : 0);
}

std::vector<std::string> names_of(const std::vector<LsdSocket>& sockets) {
  std::vector<std::string> names;
  for (const LsdSocket& socket : sockets) {
    names.push_back(socket.name + (socket.group.address().is_v6() ? " 6" : " 4"));
  }
  return names;
}

void opens_one_socket_a_network_and_family() {
  asio::io_context context;
  const auto sockets = open_lsd_sockets(context.get_executor());
  EXPECT_THAT(names_of(sockets), ElementsAre("lan0 4", "lan0 6", "lan1 4", "lan1 6"));
  EXPECT_TRUE(sockets.at(0).on_link.at(0).contains(asio::ip::make_address("10.77.0.200")));
  EXPECT_FALSE(sockets.at(0).on_link.at(0).contains(asio::ip::make_address("10.78.0.200")));
  EXPECT_TRUE(sockets.at(3).on_link.at(0).contains(asio::ip::make_address("fd78::2")) ||
              sockets.at(3).on_link.at(1).contains(asio::ip::make_address("fd78::2")));
  const LocalInterface device{.device = "lan1", .address = {}};
  EXPECT_THAT(names_of(open_lsd_sockets(context.get_executor(), device)),
              ElementsAre("lan1 4", "lan1 6"));
  const LocalInterface address{.device = {}, .address = asio::ip::make_address("10.77.0.1")};
  EXPECT_THAT(names_of(open_lsd_sockets(context.get_executor(), address)), ElementsAre("lan0 4"));
  TwoNetworks::run("ip link set lan0 down");
  EXPECT_THAT(names_of(open_lsd_sockets(context.get_executor())), ElementsAre("lan1 4", "lan1 6"));
}

TEST(LsdSocketsDeathTest, OpensOneSocketANetworkAndFamily) {
  EXPECT_EXIT(on_two_networks(opens_one_socket_a_network_and_family), testing::ExitedWithCode(0),
              "");
}

void hears_its_own_network_and_the_group_only() {
  asio::io_context context;
  const auto speakers = open_lsd_sockets(context.get_executor());
  const auto listeners = open_lsd_sockets(context.get_executor());
  ASSERT_EQ(listeners.size(), 4u);
  const std::string hello = "hello", direct = "to your address";
  std::array<std::byte, 100> buffer{};
  for (std::size_t i = 0; i < 4; ++i) {
    const UdpEndpoint ours(speakers[i].on_link[0].address, kLsdPort);
    (void)speakers[i].datagram->send_now(std::as_bytes(std::span(direct)), ours);
    ASSERT_TRUE(speakers[i].datagram->send_now(std::as_bytes(std::span(hello)), speakers[i].group));
    // On one host a datagram has arrived when it has been sent.
    for (std::size_t j = 0; j < 4; ++j) {
      const auto received = listeners[j].datagram->receive_now(buffer);
      ASSERT_EQ(received.has_value(), i == j) << "sent on " << i << ", heard on " << j;
      if (!received) continue;
      EXPECT_EQ(received->size, hello.size());
      EXPECT_TRUE(listeners[j].on_link[0].contains(received->from.address()))
          << "from " << received->from;
      EXPECT_EQ(listeners[j].datagram->receive_now(buffer).error(), asio::error::would_block);
    }
  }
}

TEST(LsdSocketsDeathTest, HearsItsOwnNetworkAndTheGroupOnly) {
  EXPECT_EXIT(on_two_networks(hears_its_own_network_and_the_group_only), testing::ExitedWithCode(0),
              "");
}

void two_of_us_find_each_other() {
  asio::io_context context;
  RealClock clock(context.get_executor());
  std::set<Endpoint> a_found, b_found;
  const auto make = [&](std::uint16_t port, std::set<Endpoint>& found) {
    auto lsd = std::make_unique<Lsd>(Lsd::Parts{
        .executor = context.get_executor(),
        .clock = clock,
        .open_sockets = [&context] { return open_lsd_sockets(context.get_executor()); },
        .port = port,
        .seed = port,
        .found = [&found](const auto&, auto peers) { found.insert(peers.begin(), peers.end()); },
        .log = [](const std::string&) {},
    });
    lsd->announce(storage::InfoHash{});
    lsd->start();
    return lsd;
  };
  // The first to announce is not heard by the second, and answers it in a minute only.
  const auto a = make(1001, a_found), b = make(1002, b_found);
  EXPECT_TRUE(run_until(context, [&] { return a_found.size() == 4 || b_found.size() == 4; }));
  for (const Endpoint& peer : a_found) EXPECT_EQ(peer.port(), 1002);
  for (const Endpoint& peer : b_found) EXPECT_EQ(peer.port(), 1001);
  run_task(context, a->stop());
  run_task(context, b->stop());
}

TEST(LsdSocketsDeathTest, TwoOfUsFindEachOther) {
  EXPECT_EXIT(on_two_networks(two_of_us_find_each_other), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace swarmfs::net
