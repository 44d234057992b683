// The command line of swarmfsctl: what is asked for, and who does it.
#include <unistd.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "fs/cache_check.h"
#include "fs/cache_dir.h"
#include "fs/cache_listing.h"
#include "fs/cache_removal.h"
#include "fs/cache_report.h"
#include "fs/cache_usage.h"
#include "fs/complaint.h"
#include "fs/ctl_options.h"
#include "fs/small_file.h"
#include "fs/terminal_text.h"
#include "storage/task_group.h"
#include "storage/worker_pool.h"

namespace swarmfs::fs {
namespace {

using namespace std::chrono_literals;

// What a shell makes of a program that ended by ^C.
constexpr int kExitInterrupted = 128 + SIGINT;
// Moves to the first column and clears the line (ECMA-48 EL).
constexpr const char* kClearLine = "\r\033[K";

int complain(const Complaint& complaint) {
  std::fprintf(stderr, "swarmfsctl: %s\n", printable(complaint.line).c_str());
  return complaint.exit_code;
}

void print(const std::string& text) {
  std::fputs(text.c_str(), stdout);
}

std::int64_t unix_now() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::optional<std::size_t> columns_of_stdout() {
  if (::isatty(STDOUT_FILENO) != 1) return std::nullopt;
  return terminal_columns(STDOUT_FILENO);
}

// What a command works on.
struct Cache {
  std::string root;
  CacheListing listing;
};

// That nothing was forgotten in what was printed or done.
int left_out(const Cache& cache) {
  if (cache.listing.left_out == 0) return EXIT_SUCCESS;
  return complain({cache.root + ": " + std::to_string(cache.listing.left_out) +
                   " more folders were not looked at"});
}

int list(const CtlOptions& options, const Cache& cache) {
  print(options.json ? list_json(cache.listing)
                     : list_text(cache.listing, unix_now(), columns_of_stdout()));
  return left_out(cache);
}

int size(const CtlOptions& options, const Cache& cache) {
  const std::uint64_t free = disk_space(cache.root).free;
  print(options.json ? size_json(cache.listing, free)
                     : size_text(cache.listing, free, columns_of_stdout()));
  return left_out(cache);
}

struct Choice {
  std::vector<CachedTorrent> torrents;  // each once
  int exit_code = EXIT_SUCCESS;         // or the failure that was complained of
};

Choice named(const CtlOptions& options, const Cache& cache) {
  Choice choice;
  for (const std::string& word : options.torrents) {
    const auto found = find_torrents(cache.listing, word);
    if (!found) {
      choice.exit_code = complain(found.error());
      continue;
    }
    for (const CachedTorrent* torrent : *found) {
      const bool again =
          std::any_of(choice.torrents.begin(), choice.torrents.end(),
                      [&](const CachedTorrent& t) { return t.folder == torrent->folder; });
      if (!again) choice.torrents.push_back(*torrent);
    }
  }
  return choice;
}

// What has no time is as old as can be.
bool is_old(const CachedTorrent& torrent, std::optional<std::chrono::seconds> age) {
  return !age || torrent.last_used.value_or(0) <= unix_now() - age->count();
}

int remove(const CtlOptions& options, const Cache& cache) {
  Choice choice = named(options, cache);
  if (options.all) {
    for (const CachedTorrent& torrent : cache.listing.torrents)
      if (is_old(torrent, options.older_than)) choice.torrents.push_back(torrent);
    choice.exit_code = left_out(cache);
  }
  const storage::UniqueFd root = open_folder(cache.root);
  std::vector<Removed> all;
  std::uint64_t freed = 0;
  for (const CachedTorrent& torrent : choice.torrents) {
    const Removed removed{torrent, remove_from_cache(root.get(), torrent.folder)};
    freed += removed.outcome.freed_bytes;
    if (!removed.outcome.problem.empty()) {
      choice.exit_code = complain({remains_line(removed)});
    } else if (!options.json) {
      print(removed_text(removed));
    }
    all.push_back(removed);
  }
  if (options.json) {
    print(removed_json(all));
  } else if (all.size() != 1) {
    print(human_size(freed) + " freed in all\n");
  }
  return choice.exit_code;
}

// The line that is replaced while pieces are hashed, on a terminal.
class ProgressLine {
 public:
  void show(const CachedTorrent& torrent, CheckProgress progress) {
    const auto now = std::chrono::steady_clock::now();
    if (!terminal_ || now - shown_ < kEvery) return;
    shown_ = now;
    const double seconds = std::chrono::duration<double>(now - began_).count();
    const auto rate = static_cast<std::uint64_t>(static_cast<double>(progress.done) / seconds);
    // A terminal may wrap when its last column is written.
    const std::string line =
        fitting(checking_text(torrent, progress, rate), terminal_columns(STDERR_FILENO) - 1);
    std::fprintf(stderr, "%s%s", kClearLine, line.c_str());
    std::fflush(stderr);
  }
  void begin() { began_ = shown_ = std::chrono::steady_clock::now(); }
  void clear() const {
    if (terminal_) std::fputs(kClearLine, stderr);
  }

 private:
  static constexpr auto kEvery = 100ms;
  bool terminal_ = ::isatty(STDERR_FILENO) == 1;
  std::chrono::steady_clock::time_point began_{};
  std::chrono::steady_clock::time_point shown_{};
};

struct Verification {
  const CtlOptions& options;
  int root;
  std::vector<CachedTorrent> torrents;
  storage::WorkerPool& workers;
  asio::signal_set& signals;
  bool stop = false;
  std::vector<CheckResult> results = {};
};

Task<void> verify_all(Verification& v) {
  ProgressLine line;
  for (const CachedTorrent& torrent : v.torrents) {
    if (v.stop) break;
    line.begin();
    const auto progress = [&line, &torrent](CheckProgress p) { line.show(torrent, p); };
    CheckResult result = co_await check_torrent(v.workers, v.root, torrent, progress, v.stop);
    line.clear();
    if (!v.options.json) {
      print(checked_text(result));
      std::fflush(stdout);
    }
    v.results.push_back(std::move(result));
  }
  v.signals.cancel();
}

int verify(const CtlOptions& options, const Cache& cache) {
  Choice choice = named(options, cache);
  if (options.torrents.empty()) {
    choice.torrents = cache.listing.torrents;
    choice.exit_code = left_out(cache);
  }
  const storage::UniqueFd root = open_folder(cache.root);
  asio::io_context io;
  storage::WorkerPool workers(io.get_executor(), kCheckLanes);
  asio::signal_set signals(io, SIGINT, SIGTERM);
  Verification v{.options = options,
                 .root = root.get(),
                 .torrents = std::move(choice.torrents),
                 .workers = workers,
                 .signals = signals};
  // Once. What is being read then takes its time, and a second ^C ends the program.
  signals.async_wait([&v](error_code ec, int) {
    v.stop = v.stop || !ec;
    v.signals.clear();
  });
  storage::TaskGroup tasks(io.get_executor());
  tasks.spawn(verify_all(v));
  io.run();
  if (options.json) {
    print(checked_json(v.results));
  } else if (options.torrents.empty() && v.torrents.empty()) {
    print("the cache is empty\n");
  }
  const bool good = std::all_of(v.results.begin(), v.results.end(),
                                [](const CheckResult& result) { return result.good(); });
  if (v.stop) return kExitInterrupted;
  return good ? choice.exit_code : kExitFailure;
}

int run(const CtlOptions& options) {
  const OrComplaint<std::string> root =
      find_cache_root(options.cache_dir, std::getenv("XDG_CACHE_HOME"), std::getenv("HOME"));
  if (!root) return complain(root.error());
  OrComplaint<CacheListing> listing = list_cache(*root, options.cache_dir.has_value());
  if (!listing) return complain(listing.error());
  const Cache cache{*root, *std::move(listing)};
  switch (options.action) {
    case CtlOptions::Action::size:
      return size(options, cache);
    case CtlOptions::Action::remove:
      return remove(options, cache);
    case CtlOptions::Action::verify:
      return verify(options, cache);
    default:
      return list(options, cache);
  }
}

int start(int argc, const char* const* argv) {
  std::signal(SIGPIPE, SIG_IGN);
  const OrComplaint<CtlOptions> options = parse_ctl_options(argc, argv);
  if (!options) return complain(options.error());
  switch (options->action) {
    case CtlOptions::Action::nothing:
      std::fputs(ctl_help_text().c_str(), stderr);
      return kExitUsage;
    case CtlOptions::Action::help:
      print(ctl_help_text());
      return EXIT_SUCCESS;
    case CtlOptions::Action::version:
      std::printf("swarmfsctl %s\n", SWARMFS_VERSION);
      return EXIT_SUCCESS;
    default:
      return run(*options);
  }
}

}  // namespace
}  // namespace swarmfs::fs

int main(int argc, char** argv) {
  const int code = swarmfs::fs::start(argc, argv);
  // A full disk or a closed pipe must not look like success.
  return std::fflush(stdout) == 0 || code != EXIT_SUCCESS ? code : EXIT_FAILURE;
}
