#include "fs/readahead.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <vector>

namespace swarmfs::fs {
namespace {

using namespace std::chrono_literals;
using storage::ByteRange;

constexpr std::uint64_t kKiB = 1024;
constexpr std::uint64_t kMiB = 1024 * kKiB;
constexpr std::uint64_t kFile = 1024 * kMiB;

// A reader with a clock in hand.
class Reader {
 public:
  explicit Reader(std::uint64_t file_size = kFile, std::uint64_t cap = Readahead::kMaxWindow)
      : habit_(file_size, cap) {}

  void read(std::uint64_t offset, std::uint64_t size) {
    const auto next = habit_.on_read({offset, offset + size}, now_);
    if (!next) return;
    plan_ = *next;
    ++plans_;
    farthest_ = std::max(farthest_, plan_.range.end);
  }
  // Reads `size` bytes from `offset` in READs as the kernel makes them, each taking `each` to
  // consume.
  void stream(std::uint64_t offset, std::uint64_t size, net::Duration each = 0ms) {
    for (std::uint64_t at = offset; at < offset + size; at += 128 * kKiB) {
      read(at, 128 * kKiB);
      now_ += each;
    }
  }
  void wait(net::Duration time) {
    habit_.on_wait(now_);
    now_ += time;
    habit_.on_answer(now_);
  }
  void pass(net::Duration time) { now_ += time; }

  Readahead habit_;
  net::TimePoint now_{1h};
  Readahead::Plan plan_;
  int plans_ = 0;
  std::uint64_t farthest_ = 0;
};

TEST(Readahead, LeavesProbesAlone) {
  // Measured: file, ffprobe, a thumbnailer (fuse research, section 6).
  Reader head_tail;
  head_tail.read(0, 64 * kKiB);
  head_tail.read(kFile - 64 * kKiB, 64 * kKiB);
  EXPECT_EQ(head_tail.plans_, 0);

  Reader ffprobe;
  ffprobe.stream(0, 704 * kKiB);
  ffprobe.read(kFile - 9 * kKiB, 9 * kKiB);
  ffprobe.stream(64 * kKiB, 640 * kKiB);
  EXPECT_EQ(ffprobe.plans_, 0);

  Reader thumbnail;
  thumbnail.stream(0, 640 * kKiB);
  thumbnail.read(kFile - 13 * kKiB, 13 * kKiB);
  thumbnail.stream(kFile / 3, 640 * kKiB);
  EXPECT_EQ(thumbnail.plans_, 0);

  Reader hops;
  for (std::uint64_t i = 0; i < 1000; ++i) hops.read(i * 7919 * kKiB % kFile, 4 * kKiB);
  EXPECT_EQ(hops.plans_, 0);
}

TEST(Readahead, DoesNotTakeStridesForAStream) {
  Reader reader;
  for (std::uint64_t i = 0; i < 2000; ++i) reader.read(i * 500 * kKiB, 4 * kKiB);
  EXPECT_EQ(reader.plans_, 0);
}

TEST(Readahead, ArmsAfterAMegabyteAndStartsSmall) {
  Reader reader;
  reader.stream(0, kMiB - 128 * kKiB, 100ms);
  EXPECT_EQ(reader.plans_, 0);
  reader.stream(kMiB - 128 * kKiB, 128 * kKiB, 100ms);
  EXPECT_EQ(reader.plans_, 1);
  EXPECT_EQ(reader.plan_.range, (ByteRange{kMiB, kMiB + Readahead::kFirstWindow}));
}

TEST(Readahead, ArmsOnReadsThatArriveOutOfOrder) {
  Reader reader;
  for (const std::uint64_t at : {0, 256, 128, 512, 384, 640, 896, 768, 1152, 1024}) {
    reader.read(at * kKiB, 128 * kKiB);
  }
  EXPECT_TRUE(reader.habit_.armed());
}

TEST(Readahead, KeepsTenSecondsOfAFilmAhead) {
  Reader reader;
  reader.stream(0, 40 * kMiB, 125ms);  // 1 MiB a second
  const auto ahead = reader.plan_.range.end - 40 * kMiB;
  EXPECT_GE(ahead, 7 * kMiB);
  EXPECT_LE(ahead, 10 * kMiB + kMiB / 2);
  EXPECT_NEAR(reader.plan_.pace, 1.0 * kMiB, 0.05 * kMiB);
}

TEST(Readahead, DoesNotTakeWaitingForSlowness) {
  Reader copy;
  for (std::uint64_t at = 0; at < 60 * kMiB; at += 128 * kKiB) {
    copy.read(at, 128 * kKiB);
    copy.wait(400ms);  // the network is slow, the copy is not
    copy.pass(100us);
  }
  EXPECT_GE(copy.plan_.range.size(), Readahead::kMaxWindow);
}

TEST(Readahead, GivesAGreedyReaderTheCapWithinSomeMegabytes) {
  Reader copy;
  copy.stream(0, 24 * kMiB, 50us);
  EXPECT_EQ(copy.plan_.range.size(), Readahead::kMaxWindow);
  EXPECT_LE(copy.farthest_, 24 * kMiB + Readahead::kMaxWindow);
}

TEST(Readahead, GivesASlowReaderAFewMegabytesAndNoMore) {
  Reader music;
  music.stream(0, 20 * kMiB, 3s);  // 43 KiB a second
  EXPECT_LE(music.farthest_, 20 * kMiB + Readahead::kMinWindow);
  EXPECT_GT(music.farthest_, 20 * kMiB + Readahead::kMinWindow / 2);
}

TEST(Readahead, WithdrawsAtAJumpAndArmsAnew) {
  Reader player;
  player.stream(0, 10 * kMiB, 125ms);
  ASSERT_FALSE(player.plan_.range.empty());
  player.read(600 * kMiB, 128 * kKiB);
  EXPECT_TRUE(player.plan_.range.empty()) << "a seek withdraws the old plan";
  EXPECT_FALSE(player.habit_.armed());
  player.stream(600 * kMiB, 2 * kMiB, 125ms);
  EXPECT_GT(player.plan_.range.begin, 600 * kMiB);
}

TEST(Readahead, ForgetsNothingOverAPause) {
  Reader player;
  player.stream(0, 30 * kMiB, 125ms);
  player.pass(1h);
  const std::uint64_t before = player.farthest_;
  player.stream(30 * kMiB, 4 * kMiB, 125ms);
  EXPECT_GE(player.farthest_, before);
  EXPECT_GT(player.habit_.rate(), 0.3 * kMiB) << "an hour's pause is not an hour's playing";
}

TEST(Readahead, StopsAtTheEndOfTheFile) {
  Reader reader(3 * kMiB);
  reader.stream(0, 3 * kMiB);
  EXPECT_EQ(reader.farthest_, 3 * kMiB);
}

TEST(Readahead, DoesNotPlanAnewAtEveryRead) {
  Reader copy;
  copy.stream(0, 512 * kMiB, 50us);
  EXPECT_LT(copy.plans_, 100) << "4096 READs";
}

// Whatever is read: plans lie ahead of the reader, inside the file, within the cap.
RC_GTEST_PROP(ReadaheadProperty, PlansStayInBounds, ()) {
  const auto size = *rc::gen::inRange<std::uint64_t>(1, 256 * kMiB);
  const auto cap = *rc::gen::inRange<std::uint64_t>(1, 64 * kMiB);
  Readahead habit(size, cap);
  net::TimePoint now{1h};
  std::uint64_t at = 0;
  std::uint64_t end = 0;
  const auto steps = *rc::gen::inRange(1, 400);
  for (int i = 0; i < steps; ++i) {
    const auto what = *rc::gen::inRange(0, 100);
    if (what < 3) at = *rc::gen::inRange<std::uint64_t>(0, size);
    if (what == 99) habit.on_wait(now);
    if (what == 98) habit.on_answer(now);
    if (what == 97) habit.disarm();
    if (at >= size) at = 0;
    const std::uint64_t n =
        std::min(size - at, 1 + *rc::gen::inRange<std::uint64_t>(0, 256 * kKiB));
    const auto plan = habit.on_read({at, at + n}, now);
    if (plan && !plan->range.empty()) {
      RC_ASSERT(plan->range.end <= size);
      RC_ASSERT(plan->range.size() <= cap);
      RC_ASSERT(plan->range.begin >= at);
      RC_ASSERT(plan->range.begin <= at + n + Readahead::kSlack);
      RC_ASSERT(plan->pace >= 0);
      end = plan->range.end;
    }
    if (plan && plan->range.empty()) end = 0;
    at += n;
    now += std::chrono::microseconds(*rc::gen::inRange(0, 200'000));
  }
  RC_ASSERT(end <= size);
}

// What any reader of less than a megabyte in one place costs beyond its own bytes: nothing.
RC_GTEST_PROP(ReadaheadProperty, ShortStretchesCostNothing, ()) {
  Readahead habit(kFile);
  net::TimePoint now{1h};
  const auto stretches = *rc::gen::inRange(1, 20);
  std::uint64_t at = 0;
  for (int i = 0; i < stretches; ++i) {
    const auto length = *rc::gen::inRange<std::uint64_t>(1, Readahead::kArmAfter);
    for (std::uint64_t done = 0; done < length; done += 64 * kKiB) {
      const std::uint64_t n = std::min(64 * kKiB, length - done);
      RC_ASSERT(!habit.on_read({at + done, at + done + n}, now));
      now += 1ms;
    }
    at += length + Readahead::kSlack + 1 + *rc::gen::inRange<std::uint64_t>(0, 10 * kMiB);
  }
}

}  // namespace
}  // namespace swarmfs::fs
