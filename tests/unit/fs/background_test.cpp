#include "fs/background.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <functional>
#include <string>
#include <thread>

namespace swarmfs::fs {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::IsEmpty;

// What the user sees when the background process does `child`.
struct Seen {
  int code;
  std::string text;
};

Seen start(const std::function<void(StartReport&)>& child,
           std::chrono::milliseconds deadline = kStartDeadline) {
  testing::internal::CaptureStderr();
  auto side = go_to_background("/", deadline);
  if (auto* report = std::get_if<StartReport>(&side)) {
    child(*report);
    std::_Exit(0);
  }
  return {std::get<int>(side), testing::internal::GetCapturedStderr()};
}

TEST(BackgroundTest, TheParentEndsWithTheChildsComplaintAndCode) {
  const Seen seen = start([](StartReport& report) {
    report.waiting_for("something");
    std::_Exit(report.failed({"the thing: the cause; the remedy", 7}));
  });
  EXPECT_EQ(seen.code, 7);
  EXPECT_EQ(seen.text, "swarmfs: the thing: the cause; the remedy\n");
}

TEST(BackgroundTest, AComplaintStaysOneLine) {
  const Seen seen = start([](StartReport& report) { std::_Exit(report.failed({"two\nlines"})); });
  EXPECT_EQ(seen.text, "swarmfs: two lines\n");
}

TEST(BackgroundTest, AMountThatIsNotThereIsNoSuccess) {
  const Seen seen = start([](StartReport& report) { report.live(); });  // "/" is not FUSE
  EXPECT_EQ(seen.code, kExitFailure);
  EXPECT_THAT(seen.text, HasSubstr("/: mounted, but it does not answer"));
}

TEST(BackgroundTest, AChildThatDiesIsAFailureWithItsReason) {
  const Seen seen = start([](StartReport&) { ::raise(SIGKILL); });
  EXPECT_EQ(seen.code, kExitFailure);
  EXPECT_THAT(seen.text, HasSubstr("ended by a signal: Killed"));
}

TEST(BackgroundTest, AChildThatEndsSilentlyIsAFailure) {
  const Seen seen = start([](StartReport&) { std::_Exit(9); });
  EXPECT_EQ(seen.code, 9);
  EXPECT_THAT(seen.text, HasSubstr("without a word"));
  EXPECT_EQ(start([](StartReport&) { std::_Exit(0); }).code, kExitFailure);
}

TEST(BackgroundTest, AStartThatTakesTooLongIsGivenUp) {
  const auto hang = [](StartReport& report) {
    report.waiting_for("a tape");
    while (true) ::pause();
  };
  const Seen seen = start(hang, 300ms);
  EXPECT_EQ(seen.code, kExitFailure);
  EXPECT_THAT(seen.text, HasSubstr("did not come up within 0 s (a tape)"));
}

TEST(BackgroundTest, AStartMayTakeItsTimeWhenTheUserSaidSo) {
  const auto slow = [](StartReport& report) {
    report.take_your_time();
    std::this_thread::sleep_for(900ms);  // three times as long as the parent waits otherwise
    std::_Exit(report.failed({"at last"}));
  };
  EXPECT_EQ(start(slow, 300ms).text, "swarmfs: at last\n");
}

TEST(BackgroundTest, ControlCReachesTheChildAndEndsBoth) {
  const Seen seen = start([](StartReport&) {
    ::kill(::getppid(), SIGINT);
    while (true) ::pause();  // until the forwarded SIGINT ends us
  });
  EXPECT_EQ(seen.code, kExitFailure);
  EXPECT_THAT(seen.text, IsEmpty());
}

TEST(BackgroundTest, TheChildHoldsNothingThatItInherited) {
  const int inherited = ::fcntl(STDIN_FILENO, F_DUPFD, 100);  // not where the pipe goes
  const Seen seen = start([inherited](StartReport& report) {
    const bool closed = ::fcntl(inherited, F_GETFD) == -1;
    const bool alone = ::getsid(0) == ::getpid();
    char folder[8] = {};
    const bool at_root = ::getcwd(folder, sizeof folder) != nullptr && std::string(folder) == "/";
    std::_Exit(report.failed({closed && alone && at_root ? "a daemon" : "not a daemon"}));
  });
  ::close(inherited);
  EXPECT_EQ(seen.text, "swarmfs: a daemon\n");
}

}  // namespace
}  // namespace swarmfs::fs
