// The command line of swarmfsctl as a checked value.
//
// Threads: any; pure: nothing is opened or printed. Memory: the words. Errors: a Complaint with
// kExitUsage.
#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fs/complaint.h"

namespace swarmfs::fs {

struct CtlOptions {
  enum class Action : std::uint8_t { list, size, remove, verify, help, version, nothing };
  Action action = Action::nothing;  // nothing: there were no words at all
  bool json = false;
  bool all = false;                                // remove
  std::optional<std::chrono::seconds> older_than;  // with `all`
  std::optional<std::string> cache_dir;            // as typed
  std::vector<std::string> torrents;               // hashes, their beginnings, or names, as typed
};

[[nodiscard]] OrComplaint<CtlOptions> parse_ctl_options(int argc, const char* const* argv);
[[nodiscard]] std::string ctl_help_text();

// "45s", "90m", "12h", "30d", "2w": a number and its unit, a century at most.
[[nodiscard]] std::optional<std::chrono::seconds> parse_age(std::string_view text);

}  // namespace swarmfs::fs
