#include "fs/small_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>

namespace swarmfs::fs {

using storage::UniqueFd;

UniqueFd open_folder(const std::string& path) {
  return UniqueFd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

UniqueFd open_in(int folder, const char* name, int flags) {
  return UniqueFd(::openat(folder, name, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
}

int write_whole(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return 0;
}

int replace_file(int folder, const std::string& name, std::span<const std::byte> bytes) {
  const std::string fresh = name + ".new";
  if (::unlinkat(folder, fresh.c_str(), 0) != 0 && errno != ENOENT) return errno;
  const UniqueFd fd = open_in(folder, fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL);
  if (!fd) return errno;
  if (const int error = write_whole(fd.get(), bytes); error != 0) return error;
  if (::fsync(fd.get()) != 0) return errno;
  if (::renameat(folder, fresh.c_str(), folder, name.c_str()) != 0) return errno;
  return ::fsync(folder) == 0 ? 0 : errno;
}

std::vector<std::byte> read_whole(int folder, const char* name, std::size_t max_size) {
  const UniqueFd fd = open_in(folder, name, O_RDONLY);
  struct stat info {};
  if (!fd || ::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode) || info.st_size <= 0 ||
      static_cast<std::uint64_t>(info.st_size) > max_size) {
    return {};
  }
  std::vector<std::byte> bytes(static_cast<std::size_t>(info.st_size));
  std::size_t size = 0;
  while (size < bytes.size()) {
    const ssize_t n = ::read(fd.get(), bytes.data() + size, bytes.size() - size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return {};
    size += static_cast<std::size_t>(n);
  }
  return bytes;
}

}  // namespace swarmfs::fs
