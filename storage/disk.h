// The cache file of one torrent, addressed by torrent offset. One of the four seams: RealDisk here,
// SimDisk in tests/sim.
//
// Threads: called on the engine thread; RealDisk does its system calls on a WorkerPool. Memory:
// none of its own. Errors: the errno of the system call (ENOTSUP where the file system cannot punch
// holes), StorageErrc::short_read when the file ends early. Lifetime: await all calls first.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "storage/result.h"
#include "storage/units.h"
#include "storage/worker_pool.h"

namespace swarmfs::storage {

// Closes what it owns.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) noexcept : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~UniqueFd();
  [[nodiscard]] int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

// Gives the space of a file's range back: it reads as zeros, and the file stays as long as it is.
// Blocks. errc::not_supported where the file system makes no holes.
[[nodiscard]] error_code punch_hole(int fd, ByteRange range);

class Disk {
 public:
  virtual ~Disk() = default;
  // Fills `into` from `offset`. `into` must stay valid until completion.
  [[nodiscard]] virtual Task<error_code> read(std::uint64_t offset, std::span<std::byte> into) = 0;
  // The same at once, without blocking: false when that is not possible now (then use read()).
  [[nodiscard]] virtual bool read_now(std::uint64_t offset, std::span<std::byte> into) = 0;
  // Writes the pieces of memory one after the other at `offset`. They must stay valid until
  // completion. StorageErrc::short_read, also of read(): somebody else made the file shorter since
  // it began. Everybody whose read or write had begun by then is told; what was in the file may
  // read as zeros from now on.
  [[nodiscard]] virtual Task<error_code> write(std::uint64_t offset,
                                               std::vector<std::span<const std::byte>> from) = 0;
  [[nodiscard]] virtual Task<error_code> sync() = 0;
  // Gives the space of `range` back; it reads as zeros. The file stays as long as it is.
  [[nodiscard]] virtual Task<error_code> punch(ByteRange range) = 0;
};

// Writes go past the page cache where the file system allows it and the device keeps up: readers
// have the bytes in the page cache of the mount already, and a second copy costs more than all the
// rest of a download (measured: half of the CPU time of reading 1 GiB).
//
// Somebody may cut the file short while it is in use. What is written then makes it long again,
// with zeros where data was; so a file of which the size is known is kept one byte longer than what
// is ever written to it, and each read and write looks at its length after it was done.
class RealDisk final : public Disk {
 public:
  // Creates or opens `directory`/data (never through a symbolic link, O_CLOEXEC, 0600).
  [[nodiscard]] static Result<std::unique_ptr<RealDisk>> open(
      const std::filesystem::path& directory, WorkerPool& workers);
  // The file as expect() makes it for `size` bytes.
  [[nodiscard]] static constexpr std::uint64_t length_for(std::uint64_t size) { return size + 1; }
  // Nothing is written past `size`: before anything is read whose hash will not be checked. Without
  // it, or where the file cannot be that long, a cut is only seen before something is written.
  // False: it is shorter than when it was opened.
  [[nodiscard]] bool expect(std::uint64_t size);
  // `direct`: the same file opened with O_DIRECT; none: every write goes through the page cache.
  RealDisk(UniqueFd fd, WorkerPool& workers, UniqueFd direct = {});
  Task<error_code> read(std::uint64_t offset, std::span<std::byte> into) override;
  bool read_now(std::uint64_t offset, std::span<std::byte> into) override;
  Task<error_code> write(std::uint64_t offset,
                         std::vector<std::span<const std::byte>> from) override;
  Task<error_code> sync() override;
  Task<error_code> punch(ByteRange range) override;

 private:
  // Of one write, which runs on a worker.
  struct Write;
  [[nodiscard]] error_code judge(error_code result, std::uint64_t cuts_before);
  [[nodiscard]] ByteRange note_read(ByteRange range);
  UniqueFd fd_;
  UniqueFd direct_;
  bool direct_refused_ = false;
  std::size_t writing_bytes_ = 0;  // of write() calls that are not complete
  std::uint64_t size_ = 0;         // what the file must have at least
  std::uint64_t length_ = 0;       // what it is made again when it was cut; 0: not known
  std::uint64_t cuts_ = 0;         // how often it was
  std::uint64_t read_end_ = 0;     // of the last read
  std::uint64_t ahead_end_ = 0;    // the page cache has been asked for what comes before
  WorkerPool& workers_;
};

}  // namespace swarmfs::storage
