#include "storage/disk.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <string>
#include <utility>

namespace swarmfs::storage {
namespace {
// What O_DIRECT wants of offsets, sizes and memory: the logical block size of the device at the
// least. 4 KiB suits every one that Linux supports.
constexpr std::size_t kDirectAlignment = 4096;
// With more than this under way the device does not keep up: the page cache takes what comes, or
// the memory of blocks would wait for it.
constexpr std::size_t kMaxDirectBacklog = 16 * 1024 * 1024;

using Parts = std::vector<std::span<const std::byte>>;

bool is_aligned(std::span<const std::byte> part) {
  return reinterpret_cast<std::uintptr_t>(part.data()) % kDirectAlignment == 0 &&
         part.size() % kDirectAlignment == 0;
}

// Takes the parts from the first that cannot be written with O_DIRECT on.
Parts cut_unaligned(Parts& from) {
  const auto first = std::find_if_not(from.begin(), from.end(), is_aligned);
  Parts rest(first, from.end());
  from.erase(first, from.end());
  return rest;
}

std::uint64_t size_of(const Parts& parts) {
  std::uint64_t size = 0;
  for (const auto& part : parts) size += part.size();
  return size;
}

error_code last_error() {
  return {errno, boost::system::system_category()};
}

error_code read_all(int fd, std::uint64_t offset, std::span<std::byte> into) {
  while (!into.empty()) {
    const ssize_t n = ::pread(fd, into.data(), into.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return last_error();
    if (n == 0) return StorageErrc::short_read;
    into = into.subspan(static_cast<std::size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
  return {};
}

error_code write_all(int fd, std::uint64_t offset, const Parts& from) {
  std::vector<iovec> rest;
  for (const auto& part : from) rest.push_back({const_cast<std::byte*>(part.data()), part.size()});
  std::size_t first = 0;
  while (first < rest.size()) {
    const int count = static_cast<int>(std::min<std::size_t>(rest.size() - first, IOV_MAX));
    const ssize_t n = ::pwritev(fd, &rest[first], count, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return last_error();
    offset += static_cast<std::uint64_t>(n);
    auto left = static_cast<std::size_t>(n);
    while (first < rest.size() && left >= rest[first].iov_len) left -= rest[first++].iov_len;
    if (left > 0) {
      rest[first].iov_base = static_cast<std::byte*>(rest[first].iov_base) + left;
      rest[first].iov_len -= left;
    }
  }
  return {};
}

// Read ahead of whoever reads the file from front to back: the kernel's own 128 KiB leave a fast
// disk idle between two requests (measured: 0.5 of 1.9 GB/s).
constexpr std::uint64_t kReadahead = 8 * 1024 * 1024;
// Reads of one such reader arrive out of order by up to this much.
constexpr std::uint64_t kOutOfOrder = 1024 * 1024;

error_code check_length(int fd, std::uint64_t size) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return last_error();
  if (static_cast<std::uint64_t>(info.st_size) < size) return StorageErrc::short_read;
  return {};
}

}  // namespace

UniqueFd::~UniqueFd() {
  if (fd_ >= 0) ::close(fd_);
}

error_code punch_hole(int fd, ByteRange range) {
  const auto begin = static_cast<off_t>(range.begin);
  const auto size = static_cast<off_t>(range.size());
  int failed = 0;
  do {
    failed = ::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, begin, size);
  } while (failed != 0 && errno == EINTR);
  return failed != 0 ? last_error() : error_code();
}

Result<std::unique_ptr<RealDisk>> RealDisk::open(const std::filesystem::path& directory,
                                                 WorkerPool& workers) {
  const std::filesystem::path path = directory / "data";
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
  if (!fd) return last_error();
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return last_error();
  if (!S_ISREG(info.st_mode)) return error_code(EINVAL, boost::system::system_category());
  // The same file, whatever its name leads to by now. Refused where the file system cannot.
  const std::string same = "/proc/self/fd/" + std::to_string(fd.get());
  UniqueFd direct(::open(same.c_str(), O_WRONLY | O_DIRECT | O_CLOEXEC));
  return std::make_unique<RealDisk>(std::move(fd), workers, std::move(direct));
}

RealDisk::RealDisk(UniqueFd fd, WorkerPool& workers, UniqueFd direct)
    : fd_(std::move(fd)), direct_(std::move(direct)), workers_(workers) {
  struct stat info {};
  if (::fstat(fd_.get(), &info) == 0) size_ = static_cast<std::uint64_t>(info.st_size);
}

bool RealDisk::expect(std::uint64_t size) {
  struct stat info {};
  if (::fstat(fd_.get(), &info) != 0) return false;
  const bool whole = static_cast<std::uint64_t>(info.st_size) >= size_;
  size_ = static_cast<std::uint64_t>(info.st_size);
  length_ = std::max(size_, length_for(size));
  if (::ftruncate(fd_.get(), static_cast<off_t>(length_)) == 0) {
    size_ = length_;
  } else {
    length_ = 0;
  }
  return whole;
}

// On the engine thread, so that whoever is told doubts what it has before anything else is done.
error_code RealDisk::judge(error_code result, std::uint64_t cuts_before) {
  if (cuts_before != cuts_) return result ? result : make_error_code(StorageErrc::short_read);
  if (result != StorageErrc::short_read || !check_length(fd_.get(), size_)) return result;
  ++cuts_;
  struct stat info {};
  if (::fstat(fd_.get(), &info) == 0) size_ = static_cast<std::uint64_t>(info.st_size);
  if (length_ > 0 && ::ftruncate(fd_.get(), static_cast<off_t>(length_)) == 0) size_ = length_;
  return result;
}

Task<error_code> RealDisk::read(std::uint64_t offset, std::span<std::byte> into) {
  error_code result;
  const std::uint64_t cuts = cuts_;
  const ByteRange ahead = note_read({offset, offset + into.size()});
  auto job = [fd = fd_.get(), offset, into, ahead, size = size_, &result] {
    if (!ahead.empty()) ::readahead(fd, static_cast<off_t>(ahead.begin), ahead.size());
    result = read_all(fd, offset, into);
    if (!result) result = check_length(fd, size);
  };
  co_await workers_.run(job);
  co_return judge(result, cuts);
}

// What the page cache should get while the reader has the range: nothing, unless it goes on where
// the last one ended.
ByteRange RealDisk::note_read(ByteRange range) {
  const bool goes_on = range.end > read_end_ && range.begin <= read_end_ + kOutOfOrder &&
                       range.begin + kOutOfOrder >= read_end_;
  if (!goes_on) ahead_end_ = 0;
  read_end_ = range.end;
  const std::uint64_t end = std::min(range.end + kReadahead, size_);
  if (!goes_on || end <= range.end || ahead_end_ > range.end + kReadahead / 2) return {};
  return {std::max(std::exchange(ahead_end_, end), range.end), end};
}

bool RealDisk::read_now(std::uint64_t offset, std::span<std::byte> into) {
  while (!into.empty()) {
    const iovec part{into.data(), into.size()};
    const ssize_t n = ::preadv2(fd_.get(), &part, 1, static_cast<off_t>(offset), RWF_NOWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    into = into.subspan(static_cast<std::size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
  read_end_ = offset;
  return !check_length(fd_.get(), size_);
}

struct RealDisk::Write {
  std::uint64_t offset;
  Parts from;
  std::uint64_t size;  // of the file, at least
  error_code result = {};
  bool refused = false;  // O_DIRECT was

  void run(int fd, int direct);
};

void RealDisk::Write::run(int fd, int direct) {
  result = check_length(fd, size);
  if (result) return;
  if (direct >= 0) {
    Parts rest = cut_unaligned(from);
    const Parts aligned = std::exchange(from, std::move(rest));
    if (!aligned.empty()) {
      // Whatever the error is, an ordinary write tells.
      refused = static_cast<bool>(write_all(direct, offset, aligned));
      if (refused) result = write_all(fd, offset, aligned);
      offset += size_of(aligned);
    }
  }
  if (!result) result = write_all(fd, offset, from);
  if (!result) result = check_length(fd, size);
}

Task<error_code> RealDisk::write(std::uint64_t offset,
                                 std::vector<std::span<const std::byte>> from) {
  const bool direct = direct_ && !direct_refused_ && offset % kDirectAlignment == 0 &&
                      writing_bytes_ <= kMaxDirectBacklog;
  const std::uint64_t bytes = size_of(from);
  writing_bytes_ += bytes;
  const std::uint64_t cuts = cuts_;
  Write write{offset, std::move(from), size_};
  auto job = [&write, fd = fd_.get(), direct_fd = direct ? direct_.get() : -1] {
    write.run(fd, direct_fd);
  };
  co_await workers_.run(job);
  writing_bytes_ -= bytes;
  direct_refused_ = direct_refused_ || write.refused;
  const error_code result = judge(write.result, cuts);
  if (!result) size_ = std::max(size_, offset + bytes);
  co_return result;
}

Task<error_code> RealDisk::punch(ByteRange range) {
  error_code result;
  auto job = [fd = fd_.get(), range, &result] { result = punch_hole(fd, range); };
  co_await workers_.run(job);
  co_return result;
}

Task<error_code> RealDisk::sync() {
  error_code result;
  auto job = [fd = fd_.get(), &result] {
    if (::fdatasync(fd) != 0) result = last_error();
  };
  co_await workers_.run(job);
  co_return result;
}

}  // namespace swarmfs::storage
