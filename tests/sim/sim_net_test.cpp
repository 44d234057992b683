// The simulator itself: time, links and disks come out as physics says, or no latency it reports
// means anything.
#include "tests/sim/sim_net.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/ip/address_v4.hpp>

#include "storage/task_group.h"
#include "tests/sim/oracle.h"
#include "tests/sim/sim_disk.h"

namespace swarmfs::sim {
namespace {

using Payload = std::vector<std::byte>;

// Writes `bytes` bytes as fast as the pipe takes them; remembers when each quantity had arrived.
class PipeTest : public testing::Test {
 protected:
  std::shared_ptr<Pipe> pipe(const Link& link, Line* line = nullptr) {
    return std::make_shared<Pipe>(loop_.clock(), link, line, Rng(1));
  }
  struct Sending {
    std::shared_ptr<Pipe> pipe;
    std::size_t left = 0;
    std::size_t arrived = 0;
    TimePoint last{};
  };
  std::shared_ptr<Sending> send(std::shared_ptr<Pipe> through, std::size_t bytes) {
    auto s = std::make_shared<Sending>(Sending{std::move(through), bytes, 0, {}});
    const auto push = [s = s.get()] {
      static const Payload kZeros(64 * 1024);
      while (s->left > 0) {
        const asio::const_buffer from(kZeros.data(), std::min(s->left, kZeros.size()));
        const std::size_t n = s->pipe->write({&from, 1});
        if (n == 0) return;
        s->left -= n;
      }
    };
    s->pipe->on_writable = push;
    s->pipe->on_readable = [this, s = s.get()] {
      Payload sink(s->pipe->readable());
      const asio::mutable_buffer into(sink.data(), sink.size());
      s->arrived += s->pipe->read({&into, 1});
      s->last = loop_.clock().now();
    };
    push();
    return s;
  }
  double ms_until_arrived(const Sending& s, std::size_t bytes) {
    EXPECT_TRUE(loop_.run_until([&] { return s.arrived >= bytes; }, loop_.start() + 1000s))
        << s.arrived;
    return to_ms(s.last - loop_.start());
  }

  SimLoop loop_;
};

TEST_F(PipeTest, TheFirstBytesTakeOneDelay) {
  const auto s = send(pipe({.delay = 40ms, .rate = mbit(100)}), 1000);
  EXPECT_NEAR(ms_until_arrived(*s, 1000), 40.1, 0.1);
}

TEST_F(PipeTest, LongTransfersRunAtTheRateOfTheLink) {
  constexpr std::size_t kBytes = 10'000'000;
  const auto s = send(pipe({.delay = 20ms, .rate = mbit(8)}), kBytes);
  EXPECT_NEAR(ms_until_arrived(*s, kBytes), 10'000, 150);  // 1 MB/s, plus the start
}

// 10 segments a round trip, then 20, 40, 80: RFC 6928 and 5681.
TEST_F(PipeTest, SlowStartDoublesTheWindowEveryRoundTrip) {
  const auto s = send(pipe({.delay = 50ms, .rate = mbit(1000)}), 2'000'000);
  EXPECT_NEAR(ms_until_arrived(*s, 10 * kSegment), 50, 2);
  EXPECT_NEAR(ms_until_arrived(*s, 30 * kSegment), 150, 2);
  EXPECT_NEAR(ms_until_arrived(*s, 70 * kSegment), 250, 2);
  EXPECT_NEAR(ms_until_arrived(*s, 150 * kSegment), 350, 2);
}

TEST_F(PipeTest, AfterASecondOfSilenceTheWindowIsSmallAgain) {
  const auto through = pipe({.delay = 50ms, .rate = mbit(1000)});
  const auto first = send(through, 3'000'000);
  ms_until_arrived(*first, 3'000'000);
  EXPECT_GT(through->window_at(loop_.clock().now()), 1'000'000);
  loop_.run_for(1500ms);
  EXPECT_EQ(through->window_at(loop_.clock().now()), static_cast<double>(kInitialWindow));
  const TimePoint again = loop_.clock().now();
  const auto second = send(through, 20 * kSegment);
  ms_until_arrived(*second, 20 * kSegment);
  EXPECT_NEAR(to_ms(second->last - again), 150, 2) << "ten segments, a round trip, ten more";
}

TEST_F(PipeTest, TheSharedLineCapsTheSumOfAllLinks) {
  Line line(mbit(16));
  std::vector<std::shared_ptr<Sending>> sendings;
  for (int i = 0; i < 4; ++i)
    sendings.push_back(send(pipe({.delay = 10ms, .rate = mbit(8)}, &line), 1'000'000));
  for (const auto& s : sendings) ms_until_arrived(*s, 1'000'000);
  EXPECT_NEAR(to_ms(loop_.elapsed()), 2000, 100) << "4 MB over 2 MB/s";
}

TEST_F(PipeTest, SendersSlowDownBeforeTheLinesBufferIsMuchMoreThanFull) {
  Line line(mbit(16));
  std::vector<std::shared_ptr<Sending>> sendings;
  for (int i = 0; i < 4; ++i) {
    sendings.push_back(send(pipe({.delay = 50ms, .rate = mbit(100)}, &line), 5'000'000));
  }
  Duration longest{};
  for (int i = 0; i < 200; ++i) {
    loop_.run_for(50ms);
    if (i >= 40) longest = std::max(longest, line.backlog(loop_.now()));
  }
  EXPECT_LT(to_ms(longest), 200);
  for (const auto& s : sendings) ms_until_arrived(*s, 5'000'000);
  EXPECT_LT(to_ms(loop_.elapsed()), 11'000) << "20 MB over 2 MB/s: the line stays busy";
}

TEST_F(PipeTest, JitterNeverReordersBytes) {
  const auto through = pipe({.delay = 10ms, .rate = mbit(50), .jitter = 40ms});
  Payload sent(200'000), got;
  for (std::size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<std::byte>(mix(i) & 0xffU);
  through->on_readable = [&] {
    Payload part(through->readable());
    const asio::mutable_buffer into(part.data(), part.size());
    through->read({&into, 1});
    got.insert(got.end(), part.begin(), part.end());
  };
  std::size_t at = 0;
  through->on_writable = [&] {
    const asio::const_buffer from(sent.data() + at, sent.size() - at);
    at += through->write({&from, 1});
  };
  through->on_writable();
  loop_.run_for(5s);
  EXPECT_EQ(got, sent);
  through->on_readable = through->on_writable = nullptr;
}

TEST_F(PipeTest, TheQueueIsBounded) {
  const auto through = pipe({.delay = 10ms, .rate = mbit(1), .queue = 50'000});
  const Payload data(1'000'000);
  const asio::const_buffer from(data.data(), data.size());
  const std::size_t taken = through->write({&from, 1});
  EXPECT_LE(taken, 50'000U);
  EXPECT_LE(through->unsent(), 50'000U);
  EXPECT_GT(through->unsent(), 45'000U);
  EXPECT_EQ(through->write({&from, 1}) > 2 * kSegment, false) << "only what has left makes room";
}

TEST_F(PipeTest, AReaderThatDoesNotReadStopsTheSender) {
  const auto through = pipe({.delay = 10ms, .rate = mbit(1000)});
  const auto s = send(through, 20'000'000);
  through->on_readable = nullptr;
  loop_.run_for(10s);
  EXPECT_GT(through->readable(), kReceiveWindow / 2);
  EXPECT_LE(through->readable(), kReceiveWindow);
}

// A block of 16 KiB over a fresh connection needs two round trips' worth of windows; the oracle
// must know.
TEST_F(PipeTest, TheOracleNeverPromisesMoreThanTheLinkCanDo) {
  for (const Link link :
       {Link{.delay = 15ms, .rate = mbit(40)}, Link{.delay = 80ms, .rate = mbit(8)},
        Link{.delay = 100ms, .rate = mbit(100)}, Link{.delay = 120ms, .rate = mbit(4)}}) {
    for (const std::size_t blocks : {1UL, 4UL, 64UL}) {
      const auto through = pipe(link);
      const std::vector<std::shared_ptr<Pipe>> links{through};
      const double bound = to_ms(*least_time(links, Line(0), blocks, loop_.clock().now()));
      const TimePoint asked = loop_.clock().now();
      loop_.run_for(link.delay);  // the question travels
      const auto s = send(through, blocks * (16 * 1024 + 13));
      ms_until_arrived(*s, blocks * (16 * 1024 + 13));
      const double took = to_ms(s->last - asked);
      EXPECT_LE(bound, took + 0.1) << to_ms(link.delay) << " ms, " << blocks << " blocks";
      EXPECT_GE(bound, took * 0.85) << "the bound is too loose to measure anything with";
      through->on_readable = through->on_writable = nullptr;
    }
  }
}

// Two SimStreams talk over the dialer's connection, through the interface that the engine uses.
class StreamTest : public testing::Test {
 protected:
  StreamTest() : net_(loop_, 0, 7), tasks_(loop_.executor()) {}
  ~StreamTest() override {
    tasks_.cancel();
    loop_.run_for(1s);
  }
  static Task<void> dial(StreamTest& test) {
    test.dialled_ = co_await test.net_.dialer()(test.endpoint_);
    test.dialled_at_ = test.loop_.clock().now();
  }
  static Task<void> wait(StreamTest& test) {
    co_await (*test.dialled_)->wait_readable();
    test.woken_at_ = test.loop_.clock().now();
  }
  void connect(const Link& link, SimNet::Dial kind = SimNet::Dial::answers) {
    net_.add_host(endpoint_, link, kind,
                  [this](std::shared_ptr<Socket> socket) { accepted_ = std::move(socket); });
    tasks_.spawn(dial(*this));
    loop_.run_for(500ms);
  }
  net::Stream& stream() { return **dialled_; }

  SimLoop loop_;
  SimNet net_;
  storage::TaskGroup tasks_;
  Endpoint endpoint_{asio::ip::make_address_v4("10.0.0.1"), 1000};
  Result<std::unique_ptr<net::Stream>> dialled_{error_code(asio::error::in_progress)};
  std::shared_ptr<Socket> accepted_;
  TimePoint dialled_at_{}, woken_at_{};
};

TEST_F(StreamTest, ConnectingTakesARoundTrip) {
  connect({.delay = 30ms});
  ASSERT_TRUE(dialled_.has_value());
  EXPECT_EQ(dialled_at_ - loop_.start(), 60ms);
  EXPECT_TRUE(accepted_);
}

TEST_F(StreamTest, ARefusalTakesARoundTripToo) {
  connect({.delay = 30ms}, SimNet::Dial::refuses);
  EXPECT_EQ(dialled_.error(), asio::error::connection_refused);
  EXPECT_EQ(dialled_at_ - loop_.start(), 60ms);
}

TEST_F(StreamTest, AHostThatNeverAnswersKeepsTheDialWaitingUntilItIsCancelled) {
  connect({}, SimNet::Dial::never_answers);
  loop_.run_for(60s);
  EXPECT_EQ(dialled_.error(), asio::error::in_progress);
  EXPECT_EQ(tasks_.size(), 1U);
  tasks_.cancel();
  loop_.settle();
  EXPECT_EQ(tasks_.size(), 0U);
}

TEST_F(StreamTest, BytesArriveAndWakeTheWaiter) {
  connect({.delay = 30ms});
  Payload buffer(100);
  const asio::mutable_buffer into(buffer.data(), buffer.size());
  EXPECT_EQ(stream().read_now({&into, 1}).error(), asio::error::would_block);
  tasks_.spawn(wait(*this));
  const TimePoint sent = loop_.clock().now();
  const Payload hello(10, std::byte{7});
  accepted_->write(hello);
  loop_.run_for(1s);
  EXPECT_NEAR(to_ms(woken_at_ - sent), 30, 0.2);
  EXPECT_EQ(stream().read_now({&into, 1}).value(), 10U);
  EXPECT_EQ(buffer[9], std::byte{7});
}

TEST_F(StreamTest, TheEndOfTheStreamComesAfterItsLastByte) {
  connect({.delay = 30ms});
  accepted_->write(Payload(10));
  accepted_->close();
  loop_.run_for(1s);
  Payload buffer(100);
  const asio::mutable_buffer into(buffer.data(), buffer.size());
  EXPECT_EQ(stream().read_now({&into, 1}).value(), 10U);
  EXPECT_EQ(stream().read_now({&into, 1}).error(), asio::error::eof);
}

TEST_F(StreamTest, ClosingTellsTheOtherSideAndWakesItsOwnWaiter) {
  connect({.delay = 30ms});
  tasks_.spawn(wait(*this));
  loop_.settle();
  stream().close();
  loop_.run_for(1s);
  EXPECT_NE(woken_at_, TimePoint{});
  EXPECT_TRUE(accepted_->at_end());
}

class DiskTest : public testing::Test {
 protected:
  static Task<void> write(SimDisk& disk, std::uint64_t offset, const Payload& data,
                          error_code& result) {
    std::vector<std::span<const std::byte>> from{data};
    result = co_await disk.write(offset, std::move(from));
  }
  static Task<void> read(SimDisk& disk, std::uint64_t offset, Payload& data, error_code& result) {
    result = co_await disk.read(offset, data);
  }
  error_code write(SimDisk& disk, std::uint64_t offset, const Payload& data) {
    error_code result = asio::error::in_progress;
    tasks_.spawn(write(disk, offset, data, result));
    loop_.run_for(1s);
    return result;
  }
  error_code read(SimDisk& disk, std::uint64_t offset, Payload& data) {
    error_code result = asio::error::in_progress;
    tasks_.spawn(read(disk, offset, data, result));
    loop_.run_for(1s);
    return result;
  }
  SimLoop loop_;
  storage::TaskGroup tasks_{loop_.executor()};
};

TEST_F(DiskTest, ReturnsWhatWasWritten) {
  SimDisk disk(loop_, {.latency = 5ms}, 1);
  const Payload data(100'000, std::byte{9});
  EXPECT_FALSE(write(disk, 12'345, data));
  Payload back(100'000);
  EXPECT_FALSE(read(disk, 12'345, back));
  EXPECT_EQ(back, data);
}

TEST_F(DiskTest, IsFullAfterTheGivenBytes) {
  SimDisk disk(loop_, {.full_after = 150'000}, 1);
  EXPECT_FALSE(write(disk, 0, Payload(100'000)));
  EXPECT_EQ(write(disk, 100'000, Payload(100'000)), boost::system::errc::no_space_on_device);
  EXPECT_EQ(disk.written(), 150'000U);
}

TEST_F(DiskTest, FailsOnTheCallItIsToldTo) {
  SimDisk disk(loop_, {.fails_on_call = 2}, 1);
  EXPECT_FALSE(write(disk, 0, Payload(10)));
  EXPECT_EQ(write(disk, 0, Payload(10)), boost::system::errc::io_error);
  EXPECT_FALSE(write(disk, 0, Payload(10)));
}

TEST_F(DiskTest, CanReturnSomethingElseThanWasWritten) {
  SimDisk disk(loop_, {.corrupt_reads = 1}, 1);
  const Payload data(1000);
  EXPECT_FALSE(write(disk, 0, data));
  Payload back(1000);
  EXPECT_FALSE(read(disk, 0, back));
  EXPECT_NE(back, data);
}

TEST_F(DiskTest, AnUnwrittenPlaceIsAShortRead) {
  SimDisk disk(loop_, {}, 1);
  Payload data(10);
  EXPECT_EQ(read(disk, 0, data), storage::StorageErrc::short_read);
  EXPECT_FALSE(disk.read_now(0, data));
}

}  // namespace
}  // namespace swarmfs::sim
