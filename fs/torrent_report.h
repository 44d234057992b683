// What `swarmfs --check` prints about a torrent.
//
// Threads: any; pure. Memory: one line a file. Errors: none. The text is safe for a terminal.
#pragma once
#include <string>

#include "storage/metainfo.h"

namespace swarmfs::fs {

// Ends with a newline.
[[nodiscard]] std::string describe_torrent(const storage::Metainfo& metainfo);

}  // namespace swarmfs::fs
