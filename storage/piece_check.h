// Hashes pieces of the cache file again that were not written by this process: one piece for
// whoever needs it, never the file as a whole. In the order in which they were wanted, a few at a
// time, read in chunks.
//
// Threads: engine thread only; reading and hashing run on workers. Memory: kReadBufferSize a check,
// kMaxChecks of them. Errors: `done` is told. Lifetime: outlives its Wishes; co_await stop() first.
#pragma once
#include <boost/asio/any_io_executor.hpp>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "storage/disk.h"
#include "storage/hash.h"
#include "storage/layout.h"
#include "storage/piece_table.h"
#include "storage/read_view.h"
#include "storage/result.h"
#include "storage/task_group.h"
#include "storage/worker_pool.h"

namespace swarmfs::storage {

// One is read while another is hashed.
inline constexpr std::size_t kMaxChecks = 2;

class PieceChecks {
 public:
  struct Parts {
    asio::any_io_executor executor;
    const Layout& layout;
    const PieceTable& table;
    const std::vector<Sha1Digest>& piece_hashes;
    WorkerPool& hashers;
    Disk* disk;
    ReadBuffers& buffers;
    // Whether a check of a claimed piece may begin now; when that changes, call pump().
    std::function<bool(PieceIndex)> may_check;
    // Good: no error. Otherwise StorageErrc::piece_damaged, or why it could not be read.
    std::function<void(PieceIndex, error_code)> done;
  };
  explicit PieceChecks(Parts parts);

  // While it lives its pieces are checked, in order; a check that has begun is finished.
  class Wish {
   public:
    Wish(PieceChecks& checks, std::vector<PieceIndex> pieces);
    Wish(const Wish&) = delete;
    Wish& operator=(const Wish&) = delete;
    ~Wish();

   private:
    PieceChecks& checks_;
    std::vector<PieceIndex> pieces_;
  };

  // What was read so far may not be in the file any more: who is being checked is checked again.
  void doubt() { ++doubts_; }
  void pump();  // begins what can begin, and drops what is claimed no more
  [[nodiscard]] bool is_checking(PieceIndex piece) const { return running_.contains(piece); }
  [[nodiscard]] bool is_due(PieceIndex piece) const;  // it is being checked, or will be
  void close();  // no check begins, and those under way end without a result
  [[nodiscard]] Task<void> stop();

 private:
  [[nodiscard]] Task<void> check(PieceIndex piece);
  [[nodiscard]] Task<error_code> hash_piece(PieceIndex piece);

  Parts parts_;
  std::map<PieceIndex, std::uint32_t> wanted_;  // how often
  std::list<PieceIndex> queue_;                 // of them, those that have not begun
  std::set<PieceIndex> running_;
  TaskGroup tasks_;
  bool closed_ = false;
  std::uint64_t doubts_ = 0;
};

}  // namespace swarmfs::storage
