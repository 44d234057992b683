// The torrent's bytes on this host, and the only door they leave by: a read returns a byte only
// after the SHA-1 of its piece has matched the metainfo in this process. What an earlier process
// left in the cache file is claimed, not known: the first read of such a piece hashes it, and it
// alone.
//
// Threads:  engine thread only; hashing and disk run on the WorkerPool and resume here.
// Memory:   every byte not yet on disk sits in a Block; the BlockPool is the bound. Written pieces
//           stay until their memory is wanted, the least recently read leaves first. A read from
//           the file takes one buffer of its size.
// Errors:   StorageErrc::closed after close(). The error of a system call is logged, never given to
//           a reader: a cache that cannot be written costs caching, and a piece that cannot be read
//           back, or was claimed and is not what it should be, is missing again. Nobody else may
//           write to the cache file while it is in use: that it was made shorter is noticed when it
//           is read or written, other changes are not.
// Lifetime: must outlive its readers; close(), await every verify(), then co_await stop(). Each
//           store has a BlockPool of its own.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "storage/bitfield.h"
#include "storage/block_pool.h"
#include "storage/disk.h"
#include "storage/hash.h"
#include "storage/layout.h"
#include "storage/read_view.h"
#include "storage/result.h"
#include "storage/worker_pool.h"

namespace swarmfs::storage {

class PieceStore {
 public:
  enum class Put { accepted, duplicate, piece_complete };
  enum class Verdict { good, corrupt };

  struct Parts {
    asio::any_io_executor executor;
    Layout layout;
    std::vector<Sha1Digest> piece_hashes;
    BlockPool& pool;
    WorkerPool& hashers;
    Disk* disk;                                    // null: memory only
    std::function<void(const std::string&)> warn;  // one line for the log
    Bitfield claimed{};  // what an earlier process says is in the file; of another size: nothing
  };
  explicit PieceStore(Parts parts);
  ~PieceStore();

  // -- the network's side
  // Takes the buffer, never copies it. The first block_size(id) bytes of `block` count.
  [[nodiscard]] Put put_block(BlockId id, Block block);
  // Requires: put_block said piece_complete; once, and cancelled only on the way to stop(). Good:
  // the piece's readers wake. Corrupt: the piece is missing again, and the SHA-1 of each of its
  // blocks (in block order, for blaming the peers that sent them) is put in `*block_digests` when
  // not null.
  [[nodiscard]] Task<Verdict> verify(PieceIndex piece, std::vector<Sha1Digest>* block_digests);
  // SHA-1 of each block of a piece that is verified and still in memory (empty otherwise): what the
  // truth was.
  [[nodiscard]] std::vector<Sha1Digest> block_digests(PieceIndex piece) const;
  // Drops the blocks of an open piece.
  void forget(PieceIndex piece);
  [[nodiscard]] bool has_block(BlockId id) const;  // received (or padding), verified or not
  [[nodiscard]] const Bitfield& verified() const;
  // Those and the claimed ones: nobody needs to be asked for them.
  [[nodiscard]] const Bitfield& present() const;
  // Called with a piece that had been present and is missing again: its bytes could not be read
  // back or are not what they should be, could not be written and their memory was wanted, or it
  // was evicted.
  void on_lost(std::function<void(PieceIndex)> callback);

  // -- the readers' side: ranges lie within the torrent
  // At once or not at all: all of `range` verified and in memory or readable without blocking.
  [[nodiscard]] std::optional<ReadView> try_read(ByteRange range);
  // Waits until all of `range` is verified. Cancellable.
  [[nodiscard]] Task<Result<ReadView>> read(ByteRange range);
  // Bytes of `range` that are verified, or present. A piece of nothing but padding counts from its
  // first read.
  [[nodiscard]] std::uint64_t verified_bytes(ByteRange range) const;
  [[nodiscard]] std::uint64_t present_bytes(ByteRange range) const;
  // Called with each piece whose bytes a read returned.
  void on_used(std::function<void(PieceIndex)> callback);

  // -- the cache's side
  // Pieces whose data was written to the file, by this process or an earlier one (synced or not).
  [[nodiscard]] const Bitfield& in_file() const;
  [[nodiscard]] std::uint64_t file_changes() const;  // how often in_file() changed
  // False for a piece that is not in the file, or is being checked, read or punched there.
  [[nodiscard]] bool may_evict(PieceIndex piece) const;
  // Drops the piece's memory and punches its bytes out of the file; then it is missing. While the
  // hole is made its readers wait. EBUSY: not now (may_evict). The error of the punch: it is still
  // in the file, and claimed.
  [[nodiscard]] Task<error_code> evict(PieceIndex piece);
  // Hashes a claimed piece in the file; afterwards it is stored, or missing.
  [[nodiscard]] Task<void> check(PieceIndex piece);

  // The file could not be synced: the kernel may have dropped what was written to it, and it will
  // not say so again. Every piece in it is claimed from now on.
  void doubt_file();
  // The last write did, and that was said.
  [[nodiscard]] bool write_failed() const;

  // Blocks of verified pieces that are not written yet: memory that cannot be taken back.
  [[nodiscard]] std::size_t unwritten_blocks() const;
  [[nodiscard]] const Layout& layout() const;
  void close();  // every waiting and future read that would wait gets StorageErrc::closed
  // Finishes writes and hashing in flight and gives all memory back; then only what was written can
  // be read.
  [[nodiscard]] Task<void> stop();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace swarmfs::storage
