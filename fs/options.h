// The command line as a checked value. Whatever the user may set stands in Options, and nowhere
// else.
//
// Threads: any; pure: nothing is opened, resolved or printed. Memory: the words. Errors: a
// Complaint with kExitUsage.
#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fs/byte_size.h"
#include "fs/complaint.h"
#include "net/torrent_session.h"

namespace swarmfs::fs {

// The first of the range that BitTorrent clients have used from the start.
inline constexpr std::uint16_t kDefaultPort = 6881;
// How long a read waits on a `-o soft` mount when `timeo` does not say: what NFS waits over TCP.
inline constexpr std::chrono::seconds kDefaultSoftTimeout{60};

// When --memory-limit does not say.
inline constexpr std::uint64_t kDefaultMemoryLimit = net::kUsualMemory;

// What is fetched beyond what readers are about to read.
enum class Prefetch : std::uint8_t {
  none,
  file,     // the whole of every file that is open
  torrent,  // everything that is shown
};

enum class LogLevel : std::uint8_t { debug, info, warning, error };

struct Options {
  enum class Action : std::uint8_t { mount, check, help, version };
  Action action = Action::mount;
  LogLevel log_level = LogLevel::info;
  bool foreground = false;
  bool debug = false;  // implies foreground and LogLevel::debug
  bool allow_local = false;
  bool allow_other = false;
  bool dht = true;
  bool pex = true;
  bool lsd = true;
  bool web_seeds = true;
  // A magnet's mount is there at once, and empty until its metadata has come; wait_metadata: only
  // when it has.
  bool wait_metadata = false;
  bool ephemeral = false;  // the cache of this mount goes when the mount goes
  Prefetch prefetch = Prefetch::none;
  bool verify = false;  // hash what the cache holds before the mount is there
  std::uint16_t port = kDefaultPort;
  std::string source;      // as typed
  std::string mountpoint;  // as typed
  std::vector<storage::HostPort> peers;
  std::vector<std::string> trackers;                 // URLs, besides those of the source
  std::vector<storage::HostPort> dht_bootstrap;      // besides the usual routers
  std::optional<std::string> interface;              // a name or an address, as typed; empty: any
  std::optional<std::string> cache_dir;              // as typed
  std::optional<Amount> cache_size;                  // of all torrents together; empty: any
  std::optional<Amount> min_free;                    // left to others; empty: a small reserve
  std::uint64_t memory_limit = kDefaultMemoryLimit;  // bytes
  std::optional<std::string> fsname;                 // empty: the torrent's name
  std::optional<std::chrono::seconds> soft_timeout;  // empty: reads wait for ever (hard)
  std::optional<std::chrono::seconds> wait_metadata_limit;  // empty: for ever
  std::vector<std::string> kernel_options;                  // for libfuse, which knows all of them
};

[[nodiscard]] OrComplaint<Options> parse_options(int argc, const char* const* argv);
[[nodiscard]] std::string help_text();

// "a,b=c\,d" as {"a", "b=c,d"}: commas separate, a backslash takes the next character as it is.
[[nodiscard]] std::vector<std::string> split_mount_options(std::string_view list);

}  // namespace swarmfs::fs
