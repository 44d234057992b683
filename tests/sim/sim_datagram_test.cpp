// The simulated network of datagrams: delays, losses and counts come out as they are promised, or
// no figure of the DHT that is measured in it means anything.
#include "tests/sim/sim_datagram.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <string>

#include "storage/task_group.h"

namespace swarmfs::sim {
namespace {

UdpEndpoint at(const std::string& address, std::uint16_t port = 6881) {
  return {asio::ip::make_address(address), port};
}
std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

class SimDatagramTest : public testing::Test {
 protected:
  struct Heard {
    TimePoint when;
    std::string text;
    UdpEndpoint from;
  };
  // A host that remembers what it heard.
  std::shared_ptr<std::vector<Heard>> listener(DatagramNet& net, const UdpEndpoint& local) {
    auto heard = std::make_shared<std::vector<Heard>>();
    net.attach(local, [this, heard](std::span<const std::byte> payload, const UdpEndpoint& from) {
      heard->push_back({loop_.now(),
                        std::string(reinterpret_cast<const char*>(payload.data()), payload.size()),
                        from});
    });
    return heard;
  }

  SimLoop loop_;
  const UdpEndpoint a_ = at("81.2.3.4"), b_ = at("93.5.6.7");
};

TEST_F(SimDatagramTest, AMessageTakesHalfTheRoundTripOfItsPair) {
  DatagramNet net(loop_, 1, {.loss = 0, .jitter = 0});
  const auto heard = listener(net, b_);
  net.send(a_, b_, bytes_of("hello"));
  loop_.run_for(1s);
  ASSERT_EQ(heard->size(), 1U);
  EXPECT_EQ((*heard)[0].text, "hello");
  EXPECT_EQ((*heard)[0].from, a_);
  EXPECT_EQ((*heard)[0].when - loop_.start(), net.round_trip(a_, b_) / 2);
  EXPECT_EQ(net.round_trip(a_, b_), net.round_trip(b_, a_));
}

TEST_F(SimDatagramTest, RoundTripsAreEightyMillisecondsInTheMedianAndTenToFourHundredAtTheEnds) {
  const DatagramNet net(loop_, 1);
  std::vector<Duration> trips;
  for (std::uint16_t port = 1; port <= 2000; ++port)
    trips.push_back(net.round_trip(a_, at("93.5.6.7", port)));
  std::sort(trips.begin(), trips.end());
  EXPECT_NEAR(to_ms(trips[1000]), 80, 8);
  EXPECT_GE(to_ms(trips.front()), 10);
  EXPECT_LE(to_ms(trips.back()), 400);
  EXPECT_GT(to_ms(trips.back()), 300);
}

TEST_F(SimDatagramTest, OneMessageInFiftyIsLostAndCountsAsSent) {
  DatagramNet net(loop_, 2);
  const auto heard = listener(net, b_);
  for (int i = 0; i < 10'000; ++i) net.send(a_, b_, bytes_of("x"));
  loop_.run_for(1s);
  EXPECT_NEAR(static_cast<double>(heard->size()), 9800, 60);
  EXPECT_EQ(net.traffic(a_), (Traffic{10'000, 10'000, 0, 0}));
  EXPECT_EQ(net.traffic(b_), (Traffic{0, 0, heard->size(), heard->size()}));
}

TEST_F(SimDatagramTest, MessagesOvertakeEachOtherByAFifthOfTheirDelay) {
  DatagramNet net(loop_, 3, {.loss = 0, .jitter = 0.2});
  const auto heard = listener(net, b_);
  for (char c = 'a'; c <= 'z'; ++c) net.send(a_, b_, bytes_of(std::string(1, c)));
  loop_.run_for(1s);
  std::string order;
  for (const Heard& one : *heard) order += one.text;
  EXPECT_FALSE(std::is_sorted(order.begin(), order.end())) << order;
  const Duration way = net.round_trip(a_, b_) / 2;
  EXPECT_GE(heard->front().when - loop_.start(), way);
  EXPECT_LE(heard->back().when - loop_.start(), way + way / 5);
}

TEST_F(SimDatagramTest, ASocketGivesWhatArrivedAndWouldBlockWhenNothingIsLeft) {
  DatagramNet net(loop_, 4, {.loss = 0, .jitter = 0});
  const auto socket = net.open(b_);
  EXPECT_EQ(socket->local(), b_);
  net.send(a_, b_, bytes_of("first"));
  net.send(a_, b_, bytes_of(std::string(100, 'x')));  // does not fit: dropped whole
  net.send(a_, b_, bytes_of("third"));
  loop_.run_for(1s);
  std::array<std::byte, 10> into{};
  for (const std::string expected : {"first", "third"}) {
    const auto received = socket->receive_now(into);
    ASSERT_TRUE(received);
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(into.data()), received->size), expected);
    EXPECT_EQ(received->from, a_);
  }
  EXPECT_EQ(socket->receive_now(into).error(), asio::error::would_block);
}

TEST_F(SimDatagramTest, AWaitEndsWhenAMessageComesOrTheSocketCloses) {
  DatagramNet net(loop_, 5, {.loss = 0, .jitter = 0});
  const auto socket = net.open(b_);
  storage::TaskGroup tasks(loop_.executor());
  tasks.spawn(socket->wait_readable());
  loop_.run_for(1s);
  EXPECT_EQ(tasks.size(), 1U);
  net.send(a_, b_, bytes_of("x"));
  loop_.run_for(1s);
  EXPECT_EQ(tasks.size(), 0U);
  std::array<std::byte, 10> into{};
  ASSERT_TRUE(socket->receive_now(into));
  tasks.spawn(socket->wait_readable());
  loop_.run_for(1s);
  EXPECT_EQ(tasks.size(), 1U);
  socket->close();
  loop_.settle();
  EXPECT_EQ(tasks.size(), 0U);
  EXPECT_TRUE(socket->receive_now(into).has_error());
  EXPECT_TRUE(socket->send_now(bytes_of("x"), a_).has_error());
}

TEST_F(SimDatagramTest, FamiliesDoNotMixAndAClosedPortSwallowsWhatComes) {
  DatagramNet net(loop_, 6, {.loss = 0, .jitter = 0});
  const auto four = net.open(a_), six = net.open(at("2a01:4f8::1"));
  EXPECT_EQ(four->send_now(bytes_of("x"), six->local()).error(),
            asio::error::address_family_not_supported);
  EXPECT_EQ(six->send_now(bytes_of("x"), a_).error(), asio::error::address_family_not_supported);
  EXPECT_TRUE(six->send_now(bytes_of("x"), at("2a01:4f8::2")));
  loop_.run_for(1s);
  EXPECT_EQ(net.traffic(six->local()), (Traffic{1, 1, 0, 0}));
  EXPECT_EQ(net.traffic(at("2a01:4f8::2")), Traffic{});
}

TEST_F(SimDatagramTest, ANatLetsInWhomWasWrittenToForFiveMinutes) {
  DatagramNet net(loop_, 6, {.loss = 0, .jitter = 0});
  const auto heard = listener(net, a_);
  net.put_behind_nat(a_);
  net.send(b_, a_, bytes_of("unasked"));
  loop_.run_for(1s);
  EXPECT_TRUE(heard->empty());
  net.send(a_, b_, bytes_of("hello"));
  net.send(b_, a_, bytes_of("answer"));
  loop_.run_for(1s);
  EXPECT_EQ(heard->size(), 1U);
  loop_.run_for(DatagramNet::kMapping);
  net.send(b_, a_, bytes_of("late"));
  loop_.run_for(1s);
  EXPECT_EQ(heard->size(), 1U);
}

TEST_F(SimDatagramTest, AReaderThatSleepsLosesWhatItsBufferCannotHold) {
  DatagramNet net(loop_, 7, {.loss = 0, .jitter = 0});
  const auto socket = net.open(b_);
  const std::string large(1000, 'x');
  for (int i = 0; i < 500; ++i) net.send(a_, b_, bytes_of(large));
  loop_.run_for(1s);
  std::array<std::byte, 1000> into{};
  std::size_t got = 0;
  while (socket->receive_now(into)) ++got;
  EXPECT_EQ(got, kReceiveBuffer / large.size());
}

TEST_F(SimDatagramTest, TheSameSeedGivesTheSameTraceAndAnotherSeedAnother) {
  const auto trace = [](std::uint64_t seed) {
    SimLoop loop;
    DatagramNet net(loop, seed);
    const UdpEndpoint a = at("81.2.3.4"), b = at("93.5.6.7");
    const auto echo = [&net](const UdpEndpoint& self) {
      return [&net, self](std::span<const std::byte> payload, const UdpEndpoint& from) {
        net.send(self, from, payload);
      };
    };
    net.attach(a, echo(a));
    net.attach(b, echo(b));
    net.send(a, b, bytes_of("ball"));
    loop.run_for(2s);
    return net.trace();
  };
  EXPECT_EQ(trace(1), trace(1));
  EXPECT_NE(trace(1), trace(2));
}

}  // namespace
}  // namespace swarmfs::sim
