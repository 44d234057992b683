// Removes a torrent's folder from a cache: our files in it, by their names, then the folder. What
// somebody else put there stays, and so does the folder then.
//
// Threads: any; it blocks on the disk. Memory: none. Errors: in words.
#pragma once
#include <cstdint>
#include <string>

#include "storage/disk.h"

namespace swarmfs::fs {

struct Removal {
  std::uint64_t freed_bytes = 0;
  std::string problem = {};  // why it is still there, or a part of it; empty: it is gone
};

// `root`: the cache directory. `folder`: a name that is_cache_folder(). Nothing happens to one that
// is in use.
[[nodiscard]] Removal remove_from_cache(int root, const std::string& folder);

}  // namespace swarmfs::fs
