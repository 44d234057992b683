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

#include "fs/complaint.h"
#include "net/torrent_session.h"

namespace swarmfs::fs {

// The first of the range that BitTorrent clients have used from the start.
inline constexpr std::uint16_t kDefaultPort = 6881;
// How long a read waits on a `-o soft` mount when `timeo` does not say: what NFS waits over TCP.
inline constexpr std::chrono::seconds kDefaultSoftTimeout{60};

enum class LogLevel : std::uint8_t { debug, info, warning, error };

struct Options {
  enum class Action : std::uint8_t { mount, check, help, version };
  Action action = Action::mount;
  std::string source;      // as typed
  std::string mountpoint;  // as typed
  bool foreground = false;
  bool debug = false;  // implies foreground and LogLevel::debug
  std::vector<net::PeerName> peers;
  std::vector<std::string> trackers;  // URLs, besides those of the source
  bool dht = true;
  std::vector<net::PeerName> dht_bootstrap;  // besides the usual routers
  bool pex = true;
  bool lsd = true;
  std::optional<std::string>
      interface;  // a name or an address, as typed; empty: the system's choice
  std::optional<std::string> cache_dir;  // as typed
  std::uint16_t port = kDefaultPort;
  bool allow_local = false;
  LogLevel log_level = LogLevel::info;
  bool allow_other = false;
  std::optional<std::chrono::seconds> soft_timeout;  // empty: reads wait for ever (hard)
  std::optional<std::string> fsname;                 // empty: the torrent's name
  // A magnet's mount is there at once, and empty until its metadata has come; wait_metadata: only
  // when it has. Without a limit: for ever.
  bool wait_metadata = false;
  std::optional<std::chrono::seconds> wait_metadata_limit;
  std::vector<std::string> kernel_options;  // for libfuse, which knows all of them
};

[[nodiscard]] OrComplaint<Options> parse_options(int argc, const char* const* argv);
[[nodiscard]] std::string help_text();

// "a,b=c\,d" as {"a", "b=c,d"}: commas separate, a backslash takes the next character as it is.
[[nodiscard]] std::vector<std::string> split_mount_options(std::string_view list);

}  // namespace swarmfs::fs
