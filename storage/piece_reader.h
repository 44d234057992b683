// The read side of the store: finds the bytes of a range in memory and in the cache file, and waits
// for what is not there or not hashed yet.
//
// Threads: engine thread only. Memory: a read from the file takes one buffer of its size. Errors:
// StorageErrc::closed after close(); what cannot be read back is told to `unreadable` and waited
// for. Lifetime: outlives its reads.
#pragma once
#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "storage/disk.h"
#include "storage/layout.h"
#include "storage/piece_check.h"
#include "storage/piece_memory.h"
#include "storage/piece_table.h"
#include "storage/read_view.h"
#include "storage/result.h"
#include "storage/wait_list.h"

namespace swarmfs::storage {

class PieceReader {
 public:
  struct Parts {
    asio::any_io_executor executor;
    const Layout& layout;
    PieceTable& table;
    PieceMemory& memory;
    PieceChecks& checks;
    ReadBuffers& buffers;
    Disk* disk;
    // A piece that was never fetched and need not be: true when it is there now.
    std::function<bool(PieceIndex)> make_padding;
    // A stored piece whose bytes the disk did not give.
    std::function<void(PieceIndex, error_code)> unreadable;
  };
  explicit PieceReader(Parts parts) : parts_(std::move(parts)) {}

  // As PieceStore has them.
  [[nodiscard]] std::optional<ReadView> try_read(ByteRange range);
  [[nodiscard]] Task<Result<ReadView>> read(ByteRange range);
  // Hashes a claimed piece; waits until it is known what it is.
  [[nodiscard]] Task<void> check(PieceIndex piece);
  // Called with each piece that bytes were read of.
  void on_used(std::function<void(PieceIndex)> callback) { used_ = std::move(callback); }

  void wake(PieceIndex piece);  // its readers look again
  // Its bytes are being read from the file.
  [[nodiscard]] bool is_reading(PieceIndex piece) const { return reading_.contains(piece); }
  void close();

 private:
  class Waiting;
  class Pin;
  struct Assembly;
  [[nodiscard]] std::optional<PieceIndex> first_absent(ByteRange range);
  [[nodiscard]] std::vector<PieceIndex> claimed_pieces(ByteRange range) const;
  void append_memory(const std::shared_ptr<BufferedPiece>& buffered, ByteRange part,
                     Assembly& out) const;
  [[nodiscard]] Assembly assemble(ByteRange range);
  [[nodiscard]] Task<bool> fill(ByteRange part, std::span<std::byte> into);
  void tell_used(ByteRange range) const;
  // Calls f with each piece that `range` touches, in order.
  template <class F>
  void for_each_piece(ByteRange range, F f) const {
    for (std::uint64_t at = range.begin; at < range.end;) {
      const PieceIndex piece = parts_.layout.piece_of(at);
      f(piece);
      at = parts_.layout.range(piece).end;
    }
  }

  Parts parts_;
  std::map<PieceIndex, WaitList> waiting_;
  std::map<PieceIndex, std::uint32_t> reading_;  // how often
  std::function<void(PieceIndex)> used_;
  bool closed_ = false;
};

}  // namespace swarmfs::storage
