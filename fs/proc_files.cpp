#include "fs/proc_files.h"

#include <signal.h>
#include <sys/types.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <fstream>
#include <iterator>

namespace swarmfs::fs {
namespace {

std::optional<std::string> read_text(const std::string& path) {
  std::ifstream file(path);
  if (!file) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(separator), text.size());
    parts.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

bool is_octal(char c) {
  return c >= '0' && c <= '7';
}

// The kernel writes blank, tab, newline and backslash as \ooo.
std::string unescape(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const bool escaped = text[at] == '\\' && at + 3 < text.size() && is_octal(text[at + 1]) &&
                         is_octal(text[at + 2]) && is_octal(text[at + 3]);
    if (!escaped) {
      out += text[at];
      continue;
    }
    const int code = (text[at + 1] - '0') * 64 + (text[at + 2] - '0') * 8 + (text[at + 3] - '0');
    out += static_cast<char>(code);
    at += 3;
  }
  return out;
}

// The value of "Name:\tvalue"; empty when the line is not there.
std::string_view field(std::string_view text, std::string_view name) {
  for (std::string_view line : split(text, '\n')) {
    if (!line.starts_with(name)) continue;
    line.remove_prefix(name.size());
    line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
    return line;
  }
  return {};
}

// Signal sets are hexadecimal, bit n - 1 for signal n.
std::optional<std::uint64_t> signal_set(std::string_view text, std::string_view name) {
  const std::string_view digits = field(text, name);
  std::uint64_t set = 0;
  const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), set, 16);
  if (ec != std::errc() || digits.empty()) return std::nullopt;
  return set;
}

constexpr std::uint64_t bit(int signal) {
  return std::uint64_t{1} << (signal - 1);
}
constexpr std::uint64_t kEnding =
    bit(SIGKILL) | bit(SIGINT) | bit(SIGTERM) | bit(SIGQUIT) | bit(SIGHUP);

}  // namespace

std::vector<MountLine> parse_mountinfo(std::string_view text) {
  std::vector<MountLine> mounts;
  for (const std::string_view line : split(text, '\n')) {
    const std::vector<std::string_view> words = split(line, ' ');
    // id parent major:minor root mountpoint options [optional...] - type source options
    const auto dash =
        std::find(words.begin() + std::min<std::ptrdiff_t>(6, std::ssize(words)), words.end(), "-");
    if (words.end() - dash < 3) continue;
    mounts.push_back(
        {std::string(words[2]), unescape(words[4]), unescape(dash[1]), unescape(dash[2])});
  }
  return mounts;
}

std::vector<MountLine> read_mountinfo() {
  return parse_mountinfo(read_text("/proc/self/mountinfo").value_or(""));
}

Reader judge_reader(std::string_view status_text) {
  const std::string_view state = field(status_text, "State:");
  if (state.starts_with('Z') || state.starts_with('X')) return Reader::leaves;
  const auto own = signal_set(status_text, "SigPnd:");
  const auto shared = signal_set(status_text, "ShdPnd:");
  const auto blocked = signal_set(status_text, "SigBlk:");
  if (!own || !shared || !blocked) return Reader::unknown;
  return ((*own | *shared) & ~*blocked & kEnding) != 0 ? Reader::leaves : Reader::stays;
}

Reader read_reader(int pid) {
  if (pid <= 0) return Reader::unknown;  // of another pid namespace
  if (const auto text = read_text("/proc/" + std::to_string(pid) + "/status")) {
    return judge_reader(*text);
  }
  // Gone, or hidden from us (hidepid).
  return ::kill(pid, 0) != 0 && errno == ESRCH ? Reader::leaves : Reader::unknown;
}

bool is_exiting(std::string_view stat_text) {
  constexpr std::uint64_t kExiting = 0x4;  // PF_EXITING, linux/sched.h
  // The second field, the name in brackets, may hold blanks and brackets; flags is the ninth.
  const std::size_t name_end = stat_text.rfind(") ");
  if (name_end == std::string_view::npos) return false;
  const std::vector<std::string_view> words = split(stat_text.substr(name_end + 2), ' ');
  if (words.size() < 7) return false;
  std::uint64_t flags = 0;
  const std::string_view digits = words[6];
  const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), flags);
  return ec == std::errc() && (flags & kExiting) != 0;
}

bool is_page_wait(std::string_view wchan_text) {
  // The second one is what kernels before 5.16 call it.
  return wchan_text == "folio_wait_bit_common" || wchan_text == "wait_on_page_bit_common";
}

bool waits_elsewhere(int tid) {
  if (tid <= 0) return false;  // of another pid namespace
  const std::string directory = "/proc/" + std::to_string(tid);
  const std::optional<std::string> stat = read_text(directory + "/stat");
  if (!stat) return ::kill(tid, 0) != 0 && errno == ESRCH;
  return is_exiting(*stat) || is_page_wait(read_text(directory + "/wchan").value_or(""));
}

std::optional<std::chrono::seconds> read_request_timeout() {
  std::optional<std::chrono::seconds> shortest;
  for (const char* const name : {"default_request_timeout", "max_request_timeout"}) {
    std::ifstream file(std::string("/proc/sys/fs/fuse/") + name);
    unsigned seconds = 0;
    if (!(file >> seconds) || seconds == 0) continue;
    const std::chrono::seconds found(seconds);
    shortest = std::min(shortest.value_or(found), found);
  }
  return shortest;
}

}  // namespace swarmfs::fs
