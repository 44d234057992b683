#include "storage/disk.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

namespace swarmfs::storage {
namespace {

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

error_code write_all(int fd, std::uint64_t offset,
                     const std::vector<std::span<const std::byte>>& from) {
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

}  // namespace

UniqueFd::~UniqueFd() {
  if (fd_ >= 0) ::close(fd_);
}

Result<std::unique_ptr<RealDisk>> RealDisk::open(const std::filesystem::path& directory,
                                                 WorkerPool& workers) {
  const std::filesystem::path path = directory / "data";
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
  if (!fd) return last_error();
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return last_error();
  if (!S_ISREG(info.st_mode)) return error_code(EINVAL, boost::system::system_category());
  return std::make_unique<RealDisk>(std::move(fd), workers);
}

Task<error_code> RealDisk::read(std::uint64_t offset, std::span<std::byte> into) {
  error_code result;
  auto job = [fd = fd_.get(), offset, into, &result] { result = read_all(fd, offset, into); };
  co_await workers_.run(job);
  co_return result;
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
  return true;
}

Task<error_code> RealDisk::write(std::uint64_t offset,
                                 std::vector<std::span<const std::byte>> from) {
  error_code result;
  auto job = [fd = fd_.get(), offset, &from, &result] { result = write_all(fd, offset, from); };
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
