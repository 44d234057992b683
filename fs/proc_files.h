// What /proc says about mounts, about a process with a signal pending, and about the kernel's
// request timeout: the texts are parsed by pure functions, and read by the ones that take no text.
//
// Threads: any. Memory: the text of one file. Errors: what cannot be read or parsed is absent.
#pragma once
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace swarmfs::fs {

// One line of /proc/self/mountinfo (proc(5)).
struct MountLine {
  std::string device;      // "major:minor", the st_dev of everything in the mount
  std::string mountpoint;  // unescaped
  std::string type;        // "fuse.swarmfs"
  std::string source;      // unescaped
};
[[nodiscard]] std::vector<MountLine> parse_mountinfo(std::string_view text);
[[nodiscard]] std::vector<MountLine> read_mountinfo();

// What a thread's /proc/PID/status says about a read that got a FUSE_INTERRUPT: the kernel sends
// one for any signal, but only some mean that the reader is going.
enum class Reader {
  stays,    // a signal it handles and lives on with (Go programs get SIGURG all the time)
  leaves,   // it is gone, or SIGKILL, SIGINT, SIGTERM, SIGQUIT or SIGHUP is pending and not blocked
  unknown,  // not visible to us
};
[[nodiscard]] Reader judge_reader(std::string_view status_text);
[[nodiscard]] Reader read_reader(int pid);

// True when it is certain that thread `tid` does not wait in a synchronous FUSE request: it is
// gone, on its way out, or asleep until a page of the page cache is filled (by readahead, its own
// or another's).
[[nodiscard]] bool waits_elsewhere(int tid);
// The two parts of it: /proc/TID/stat has PF_EXITING; /proc/TID/wchan is the wait for a page.
[[nodiscard]] bool is_exiting(std::string_view stat_text);
[[nodiscard]] bool is_page_wait(std::string_view wchan_text);

// After this long the kernel aborts the whole mount for one unanswered request; empty: never (the
// default). The shorter of fs.fuse.default_request_timeout and fs.fuse.max_request_timeout (6.15+).
[[nodiscard]] std::optional<std::chrono::seconds> read_request_timeout();

}  // namespace swarmfs::fs
