// Which files of a torrent are shown when its magnet link selects some (`so=`, BEP 53).
//
// Threads: any; pure. Memory: copies of the selected files' entries. Errors: none; what makes no
// sense is left out, with a warning.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "storage/magnet.h"
#include "storage/metainfo.h"

namespace swarmfs::fs {

struct FileSelection {
  std::vector<storage::FileEntry> files;
  std::vector<std::string> warnings;
};

// `ranges` empty: all files. So too when nothing is left: an empty mount helps nobody.
[[nodiscard]] FileSelection select_files(const storage::Metainfo& metainfo,
                                         std::span<const storage::FileRange> ranges);

}  // namespace swarmfs::fs
