// Going to the background only when the mount works: the process that was started waits for the one
// that goes on, and ends with what that one says.
//
// Threads: none may exist yet (it forks), nor an io_context. Memory: one pipe. Errors: what the
// child says is printed by the parent, which ends with its code. Lifetime: a StartReport that is
// destroyed without a word counts as a failure.
#pragma once
#include <chrono>
#include <string>
#include <utility>
#include <variant>

#include "fs/complaint.h"
#include "storage/disk.h"

namespace swarmfs::fs {

// What a start may take. A mount takes milliseconds; a slow disk or an automounter below the cache,
// seconds.
inline constexpr std::chrono::milliseconds kStartDeadline{30'000};

// How the start goes, told to whoever waits for it: the parent process, or the user directly.
class StartReport {
 public:
  // In the foreground: complaints go to stderr.
  StartReport() = default;
  explicit StartReport(storage::UniqueFd pipe) : pipe_(std::move(pipe)) {}

  // What a long start is waiting for, in a few words. The parent shows it on a terminal, and gives
  // up after kStartDeadline.
  void waiting_for(const std::string& what);
  // From now on the parent waits as long as it takes: the user said so.
  void take_your_time();
  // The kernel's first request was answered. From now on nobody reads our stderr.
  void live();
  // Returns the exit code.
  [[nodiscard]] int failed(const Complaint& complaint);

 private:
  void tell(char kind, const std::string& text);
  storage::UniqueFd pipe_;
  std::string told_;  // by waiting_for()
};

// Opens /dev/null for what of stdin, stdout and stderr is closed, so that no file of ours gets
// their numbers. Call first.
void open_standard_descriptors();

// "swarmfs: LINE" on stderr. Returns the exit code.
int complain(const Complaint& complaint);

// Forks. In the child: the report to make, in a session of its own, in "/", with nothing open but
// stderr, until live(). In the parent, which waits until the child is live and a statfs() of
// `mountpoint` shows it: the code to end with.
[[nodiscard]] std::variant<int, StartReport> go_to_background(
    const std::string& mountpoint, std::chrono::milliseconds deadline = kStartDeadline);

}  // namespace swarmfs::fs
