// Writes down which pieces the cache file holds, so that the next process finds them. A piece is
// claimed only after a sync of the data that began when the piece had been written: what was in the
// file before the sync is noted, synced, and then written down. A piece that leaves the file is
// written down soon; in between its claim is harmless, since a claimed piece is hashed before
// anybody reads it.
//
// Threads:  engine thread; saving runs on the WorkerPool.
// Memory:   a Resume.
// Errors:   logged once until it works again: what cannot be written is not remembered.
// Lifetime: one at a time of run() and finish(); its parts outlive both.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "net/clock.h"
#include "net/stream.h"
#include "storage/disk.h"
#include "storage/piece_store.h"
#include "storage/result.h"
#include "storage/resume.h"
#include "storage/worker_pool.h"

namespace swarmfs::fs {

// A crash loses what came since the last time: this, and what the sync takes.
inline constexpr net::Duration kResumeInterval = std::chrono::seconds(2);

class ResumeKeeper {
 public:
  struct Parts {
    net::Clock& clock;
    storage::PieceStore& store;
    storage::Disk& disk;
    storage::WorkerPool& workers;
    storage::Resume known;  // what was there at the start, for its times; of this torrent
    std::function<std::uint32_t()> now;                 // Unix minutes
    std::function<std::vector<net::Endpoint>()> peers;  // that delivered, the best first
    std::function<int(const storage::Resume&)> save;    // runs on a worker; zero or an errno
    std::function<void(const std::string&)> warn;
    std::function<void(storage::PieceIndex)> used = {};  // told of each use, too
  };
  explicit ResumeKeeper(Parts parts);
  ~ResumeKeeper();
  ResumeKeeper(const ResumeKeeper&) = delete;
  ResumeKeeper& operator=(const ResumeKeeper&) = delete;

  [[nodiscard]] Task<void> run();     // until cancelled
  [[nodiscard]] Task<void> update();  // when something came into the file or left it
  [[nodiscard]] Task<void> finish();  // in any case: times of use, and peers
  // Unix minutes of the last read of a piece, or of when it came into the file; 0: never.
  [[nodiscard]] std::uint32_t last_used(storage::PieceIndex piece) const {
    return last_used_[piece.value()];
  }

 private:
  [[nodiscard]] Task<void> write();
  void fail(const std::string& why);

  Parts parts_;
  std::vector<std::uint32_t> last_used_;
  std::uint64_t written_changes_ = 0;  // PieceStore::file_changes() that are in the file
  bool failed_ = false;
};

}  // namespace swarmfs::fs
