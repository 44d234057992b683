// The program at work: the engine of one torrent, its mount, and how both start and end.
//
// Threads:  becomes the engine thread, and starts the workers. Nothing else may have threads yet.
// Memory:   that of the parts. Errors: a Complaint, told through the StartReport.
// Lifetime: everything lives inside run_mounted().
#pragma once
#include <string>

#include "fs/background.h"
#include "fs/options.h"
#include "fs/source.h"
#include "net/local_interface.h"

namespace swarmfs::fs {

// Mounts, and serves until the mount is gone: unmounted by somebody, or after SIGINT or SIGTERM. A
// magnet's mount is live and empty until its metadata has come, which -o wait_metadata waits for
// before it says so; metadata that is no torrent we can serve ends it. A second signal, or a
// shutdown that takes too long, ends the process at once. Returns the exit code. `mountpoint` and
// `cache_root`: absolute and checked.
[[nodiscard]] int run_mounted(const Options& options, Source source, const std::string& mountpoint,
                              const std::string& cache_root, const net::LocalInterface& interface,
                              StartReport report);

}  // namespace swarmfs::fs
