// The file system of one torrent as values and errors: every operation the kernel asks for, without
// libfuse. Everything is answered from memory; only a read of bytes that are not there waits, and
// it waits in a coroutine of its own.
//
// Until attach() it is live and empty: a root without entries, of which the kernel may remember
// nothing, so that the next look shows what has come.
//
// Threads:  engine thread only.
// Memory:   the tree; kMaxOpenFiles handles; kMaxHeldReads waiting READs.
// Errors:   FsErrc, and StorageErrc::closed for a read that meets the shut-down.
// Lifetime: co_await stop() before destruction; the attached store and the clock outlive it.
#pragma once
#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "fs/error.h"
#include "fs/file_tree.h"
#include "fs/open_file.h"
#include "fs/read_op.h"
#include "net/clock.h"
#include "net/swarm.h"
#include "storage/metainfo.h"
#include "storage/piece_store.h"
#include "storage/result.h"
#include "storage/task_group.h"

namespace swarmfs::fs {

// READs waiting at once. About 1 KiB each, so 16 MiB; a reader has two or three, so this is
// thousands of blocked programs. More are refused at once, which blocks nobody.
inline constexpr std::size_t kMaxHeldReads = 16 * 1024;
// Handles open at once: RLIMIT_NOFILE of 1,048,576 for one process is the common hard limit; a
// quarter of it costs us 100 MiB.
inline constexpr std::size_t kMaxOpenFiles = 256 * 1024;

using Want = std::function<net::Demand(net::Wish)>;  // Swarm::want

using Handle = std::uint64_t;  // slot and generation: a stale one is recognised

struct Entry {
  Attributes attributes;
  std::chrono::seconds name_timeout{0};  // how long the kernel may believe the name
  std::chrono::seconds attr_timeout{0};  // and the attributes
};

struct DirectoryEntry {
  std::string_view name;  // ends with a NUL; lives as long as the TorrentFs
  Entry entry;
};

struct FileSystemStatus {
  std::uint32_t block_size = 4096;
  std::uint64_t blocks = 0;
  std::uint64_t missing_blocks = 0;  // shown as free space, so that Use% is progress
  std::uint64_t files = 0;
  std::uint32_t max_name = 255;
};

class TorrentFs {
 public:
  struct Options {
    FileTree::Owner owner;
    // Empty: a read waits for ever, as on a hard NFS mount. Else FsErrc::timed_out after that long.
    std::optional<net::Duration> soft_timeout = std::nullopt;
    std::uint64_t max_readahead = Readahead::kMaxWindow;  // bytes ahead of one handle
  };
  struct Parts {
    asio::any_io_executor executor;
    net::Clock& clock;
    storage::InfoHash info_hash;
    // Swarm::want, called after attach() only; must stay callable until stop() is done and every
    // handle is released.
    Want want;
    Options options;
  };
  explicit TorrentFs(Parts parts);
  ~TorrentFs();
  TorrentFs(const TorrentFs&) = delete;
  TorrentFs& operator=(const TorrentFs&) = delete;

  // Once: the torrent is known, and `files` of it are shown. Only `store` is kept. The kernel is to
  // be told (FuseSession::root_changed).
  void attach(const storage::Metainfo& metainfo, std::span<const storage::FileEntry> files,
              storage::PieceStore& store);
  [[nodiscard]] bool attached() const { return store_ != nullptr; }

  // -- names and attributes
  [[nodiscard]] Result<Entry> lookup(Inode directory, std::string_view name) const;
  // How long the kernel may believe that a name does not exist.
  [[nodiscard]] std::chrono::seconds absence_timeout(Inode directory) const;
  [[nodiscard]] Result<Entry> getattr(Inode inode) const;
  // Entry number `index` of a directory: ".", "..", then the children by name. Empty past the last.
  [[nodiscard]] Result<std::optional<DirectoryEntry>> entry_at(Inode directory,
                                                               std::uint64_t index) const;
  [[nodiscard]] FileSystemStatus statfs() const;
  // user.swarmfs.infohash: 40 hex digits; user.swarmfs.progress: percent verified, "0.00" to
  // "100.00", 100.00 only when complete; user.swarmfs.complete: "1" or "0". The last two, once
  // attached, on files, and on the root and the torrent's folder for all that is shown.
  [[nodiscard]] Result<std::string> getxattr(Inode inode, std::string_view name) const;
  [[nodiscard]] Result<std::vector<std::string_view>> listxattr(Inode inode) const;

  // -- open files
  [[nodiscard]] Result<Handle> open(Inode inode, bool for_writing);
  // Answers `request` now or later, exactly once. `direct`: O_DIRECT is set, so an error would
  // reach the reader.
  void read(Handle handle, std::uint64_t offset, std::uint64_t size, bool direct,
            ReadRequest request);
  // The reader of a held READ is gone or about to go. No effect when it was answered.
  void interrupt(ReadId id);
  [[nodiscard]] bool holds(ReadId id) const { return held_.contains(id); }
  // Someone closed a descriptor of the handle: withdraws its wishes and gives its held READs up, of
  // which a reader that still lives asks again.
  void flush(Handle handle);
  void release(Handle handle);

  // -- the end
  // Every held READ is answered with an error, and from now on a read that would wait fails.
  void drain();
  [[nodiscard]] bool draining() const { return draining_; }
  [[nodiscard]] Task<void> stop();  // drain, then wait for the coroutines
  // No READ is held longer than this (the kernel's request timeout, when one is set).
  void limit_hold(net::Duration limit) { hold_limit_ = limit; }

  [[nodiscard]] std::size_t held_reads() const { return held_.size(); }
  // Torrent offsets that readers wait for, in no order.
  [[nodiscard]] std::vector<storage::ByteRange> waiting_for() const;
  // That, and where every reader is, with what is read ahead for it.
  [[nodiscard]] std::vector<storage::ByteRange> windows() const;
  // The bytes of every file that is open, once for each handle; of every file that is shown.
  [[nodiscard]] std::vector<storage::ByteRange> open_ranges() const;
  [[nodiscard]] const std::vector<storage::ByteRange>& shown_ranges() const {
    return tree_.shown();
  }
  [[nodiscard]] std::size_t open_files() const { return open_files_; }

 private:
  struct Slot {
    std::uint32_t generation = 0;
    std::unique_ptr<OpenFile> file;
  };
  [[nodiscard]] OpenFile* find(Handle handle) const;
  [[nodiscard]] Entry entry(Inode inode) const;
  struct Progress {
    std::uint64_t present = 0;
    std::uint64_t total = 0;
  };
  // Requires attached().
  [[nodiscard]] Progress progress(const FileTree::Node& node) const;
  [[nodiscard]] bool has_progress(const FileTree::Node& node) const;
  [[nodiscard]] bool is_there(storage::ByteRange range) const;
  void hold(OpenFile& file, storage::ByteRange range, bool direct, ReadRequest request);
  [[nodiscard]] std::optional<net::Duration> patience() const;
  void set_deadline(HeldRead& read, net::Duration waited);
  void on_deadline(OpenFile& file, HeldRead& read);
  void fail(HeldRead& read, error_code ec);

  Parts parts_;
  FileTree tree_;
  storage::PieceStore* store_ = nullptr;  // null until attached
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_slots_;
  std::size_t open_files_ = 0;
  std::unordered_map<ReadId, HeldRead*> held_;
  bool draining_ = false;
  std::optional<net::Duration> hold_limit_;
  std::uint64_t page_size_;
  storage::TaskGroup tasks_;
};

}  // namespace swarmfs::fs
