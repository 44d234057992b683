#include "fs/torrent_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "storage/disk.h"

namespace swarmfs::fs {
namespace {

Complaint cannot_open(const std::string& path, int error) {
  const std::string said = path + ": " + std::strerror(error);
  const bool is_link =
      path.starts_with("magnet:") || path.starts_with("http:") || path.starts_with("https:");
  if (is_link) {
    return {path +
            ": magnet links and URLs cannot be mounted yet; download the .torrent file first"};
  }
  if (error == ENOENT) return {said + "; check the path of the .torrent file"};
  if (error == EACCES || error == EPERM) return {said + "; make the file readable for you"};
  return {said};
}

// Of a regular file that may grow meanwhile.
OrComplaint<std::vector<std::byte>> read_whole(int fd, const std::string& path) {
  std::vector<std::byte> bytes(storage::kMaxTorrentSize + 1);
  std::size_t size = 0;
  while (size < bytes.size()) {
    const ssize_t n = ::read(fd, bytes.data() + size, bytes.size() - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Complaint{path + ": cannot be read: " + std::strerror(errno)};
    if (n == 0) break;
    size += static_cast<std::size_t>(n);
  }
  bytes.resize(size);
  return bytes;
}

}  // namespace

OrComplaint<TorrentFile> open_torrent_file(const std::string& path) {
  // Without O_NONBLOCK, opening a FIFO would wait for its writer.
  const storage::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return cannot_open(path, errno);
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return cannot_open(path, errno);
  if (S_ISDIR(info.st_mode)) return Complaint{path + ": is a directory; name a .torrent file"};
  if (!S_ISREG(info.st_mode)) {
    return Complaint{path + ": not a regular file; save the torrent to a file first"};
  }
  OrComplaint<std::vector<std::byte>> bytes = read_whole(fd.get(), path);
  if (!bytes) return bytes.error();
  Result<storage::Metainfo> metainfo = storage::parse_metainfo(*bytes);
  if (!metainfo) {
    return Complaint{path + ": not a torrent that can be mounted: " + metainfo.error().message()};
  }
  std::error_code ec;
  const std::filesystem::path canonical = std::filesystem::canonical(path, ec);
  return TorrentFile{ec ? path : canonical.string(), std::move(*bytes), std::move(*metainfo)};
}

}  // namespace swarmfs::fs
