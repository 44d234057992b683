#include "fs/proc_files.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

namespace swarmfs::fs {
namespace {

TEST(ProcFiles, ReadsTheMountTable) {
  const auto mounts = parse_mountinfo(
      "22 1 8:1 / / rw,relatime shared:1 master:2 - ext4 /dev/sda1 rw\n"
      "97 22 0:51 / /mnt/a\\040b\\134c ro,nosuid - fuse.swarmfs film\\040(2020).mkv "
      "ro,user_id=0\n");
  ASSERT_EQ(mounts.size(), 2U);
  EXPECT_EQ(mounts[0].device, "8:1");
  EXPECT_EQ(mounts[0].mountpoint, "/");
  EXPECT_EQ(mounts[0].type, "ext4");
  EXPECT_EQ(mounts[1].device, "0:51");
  EXPECT_EQ(mounts[1].mountpoint, "/mnt/a b\\c");
  EXPECT_EQ(mounts[1].type, "fuse.swarmfs");
  EXPECT_EQ(mounts[1].source, "film (2020).mkv");
}

TEST(ProcFiles, SkipsLinesThatAreNone) {
  EXPECT_TRUE(parse_mountinfo("").empty());
  EXPECT_TRUE(parse_mountinfo("\n\n- - - -\n1 2 3\n").empty());
  EXPECT_TRUE(parse_mountinfo("22 1 8:1 / / rw - ext4\n").empty());
}

TEST(ProcFiles, ReadsTheTableOfThisMachine) {
  const auto mounts = read_mountinfo();
  ASSERT_FALSE(mounts.empty());
}

std::string status(const std::string& own, const std::string& shared, const std::string& blocked,
                   const std::string& state = "S (sleeping)") {
  return "Name:\tdd\nState:\t" + state + "\nSigQ:\t0/1\nSigPnd:\t" + own + "\nShdPnd:\t" + shared +
         "\nSigBlk:\t" + blocked + "\nSigIgn:\t0000000000000000\n";
}

TEST(ProcFiles, LetsAReaderGoForSignalsThatEndIt) {
  const std::string none = "0000000000000000";
  for (const char* const ending : {"0000000000000001", "0000000000000002", "0000000000000004",
                                   "0000000000000100", "0000000000004000"}) {
    EXPECT_EQ(judge_reader(status(ending, none, none)), Reader::leaves) << ending;
    EXPECT_EQ(judge_reader(status(none, ending, none)), Reader::leaves) << ending;
  }
  EXPECT_EQ(judge_reader(status(none, none, none, "Z (zombie)")), Reader::leaves);
}

TEST(ProcFiles, KeepsAReaderForSignalsItLivesWith) {
  const std::string none = "0000000000000000";
  EXPECT_EQ(judge_reader(status("0000000000400000", none, none)), Reader::stays) << "SIGURG";
  EXPECT_EQ(judge_reader(status(none, "0000000000010000", none)), Reader::stays) << "SIGCHLD";
  EXPECT_EQ(judge_reader(status(none, "0000000000000002", "0000000000000002")), Reader::stays)
      << "SIGINT is blocked: it did not cause the interrupt";
  EXPECT_EQ(judge_reader(status(none, none, none)), Reader::stays);
}

TEST(ProcFiles, SaysWhenItCannotTell) {
  EXPECT_EQ(judge_reader(""), Reader::unknown);
  EXPECT_EQ(judge_reader("SigPnd:\tzebra\nShdPnd:\t0\nSigBlk:\t0\n"), Reader::unknown);
  EXPECT_EQ(read_reader(0), Reader::unknown);
}

TEST(ProcFiles, TellsWaitingForAPageFromWaitingForUs) {
  EXPECT_TRUE(is_page_wait("folio_wait_bit_common"));
  EXPECT_FALSE(is_page_wait("request_wait_answer"));
  EXPECT_FALSE(is_page_wait("0"));
  EXPECT_FALSE(is_page_wait(""));
  EXPECT_TRUE(is_exiting("12 (a) b) (c) S 1 12 12 0 -1 4194308 90 0 0"));
  EXPECT_FALSE(is_exiting("12 (dd) S 1 12 12 0 -1 4194304 90 0 0"));
  EXPECT_FALSE(is_exiting("12 (dd) S 1"));
  EXPECT_FALSE(is_exiting(""));
}

TEST(ProcFiles, SeesRealProcesses) {
  EXPECT_EQ(read_reader(::getpid()), Reader::stays);
  EXPECT_FALSE(waits_elsewhere(::getpid()));
  EXPECT_FALSE(waits_elsewhere(0));
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) ::_exit(0);
  siginfo_t info = {};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT), 0);
  EXPECT_EQ(read_reader(child), Reader::leaves) << "a zombie";
  EXPECT_TRUE(waits_elsewhere(child));
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_EQ(read_reader(child), Reader::leaves) << "gone";
  EXPECT_TRUE(waits_elsewhere(child));
}

}  // namespace
}  // namespace swarmfs::fs
