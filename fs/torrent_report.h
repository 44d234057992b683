// What `swarmfs --check` prints about a torrent or a magnet link.
//
// Threads: any; pure. Memory: one line a file, or a thing the link names. Errors: none. The text is
// safe for a terminal.
#pragma once
#include <string>

#include "storage/magnet.h"
#include "storage/metainfo.h"

namespace swarmfs::fs {

// Both end with a newline.
[[nodiscard]] std::string describe_torrent(const storage::Metainfo& metainfo);
// Only what the link says; the rest is known to peers.
[[nodiscard]] std::string describe_magnet(const storage::Magnet& magnet);

}  // namespace swarmfs::fs
