// Hashes again what a torrent's folder says it holds, and drops what is wrong: it is no longer
// claimed, and its space is given back. What a mount uses is only read.
//
// Threads: engine thread; reading and hashing run on the WorkerPool, kCheckLanes pieces at a time.
// Memory: kCheckChunk a lane, the metainfo, the resume file. Errors: in words, in the result.
// Lifetime: `progress` and `stop` outlive the check.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "fs/cache_folder.h"
#include "fs/cache_listing.h"
#include "storage/result.h"
#include "storage/worker_pool.h"

namespace swarmfs::fs {

// One lane hashes while the other waits for the disk.
inline constexpr unsigned kCheckLanes = 2;
// Large enough for any disk to be at its best, small enough for ^C to be felt at once.
inline constexpr std::size_t kCheckChunk = 1024 * 1024;

struct CheckProgress {
  std::uint64_t done = 0;   // bytes
  std::uint64_t total = 0;  // bytes that are said to be there
};

struct CheckResult {
  CachedTorrent torrent;  // as it was found
  std::uint32_t checked_pieces = 0;
  std::uint64_t checked_bytes = 0;
  std::uint32_t wrong_pieces = 0;
  bool dropped = false;      // the wrong ones are no longer claimed
  bool interrupted = false;  // not all was checked
  std::string problem = {};  // what could not be checked or dropped, and why
  [[nodiscard]] bool good() const { return wrong_pieces == 0 && problem.empty() && !interrupted; }
};

// `root`: the cache directory. Ends soon after `stop` is true; what was found wrong by then is
// dropped all the same.
[[nodiscard]] Task<CheckResult> check_torrent(storage::WorkerPool& workers, int root,
                                              CachedTorrent torrent,
                                              std::function<void(CheckProgress)> progress,
                                              const bool& stop);

}  // namespace swarmfs::fs
