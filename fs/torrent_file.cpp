#include "fs/torrent_file.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <utility>

#include "storage/disk.h"
#include "storage/magnet.h"

namespace swarmfs::fs {
namespace {

Complaint cannot_open(const std::string& path, int error) {
  const std::string said = path + ": " + std::strerror(error);
  if (error == ENOENT) return {said + "; check the path of the .torrent file"};
  if (error == EACCES || error == EPERM) return {said + "; make the file readable for you"};
  return {said};
}

// Of what may still grow. One byte more than a torrent may have, so that too many are noticed.
OrComplaint<std::vector<std::byte>> read_whole(int fd, const std::string& name) {
  std::vector<std::byte> bytes(storage::kMaxTorrentSize + 1);
  std::size_t size = 0;
  while (size < bytes.size()) {
    const ssize_t n = ::read(fd, bytes.data() + size, bytes.size() - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) {  // whoever gave us stdin made it so
      pollfd waiting{fd, POLLIN, 0};
      ::poll(&waiting, 1, -1);
      continue;
    }
    if (n < 0) return Complaint{name + ": cannot be read: " + std::strerror(errno)};
    if (n == 0) break;
    size += static_cast<std::size_t>(n);
  }
  bytes.resize(size);
  return bytes;
}

// What people mistake for a torrent, and what to do instead. Empty: it is something else.
std::string_view mistaken_for_torrent(const std::vector<std::byte>& bytes) {
  std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  if (text.starts_with('<')) {
    return "a web page, not a torrent; get the .torrent that the page offers for download";
  }
  if (storage::is_magnet_link(text)) {
    return "a magnet link, not a torrent; give the link itself, in quotes";
  }
  return {};
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
    return Complaint{path +
                     ": not a regular file; save the torrent to a file, or pipe it in and "
                     "say - instead of a name"};
  }
  OrComplaint<TorrentFile> torrent = read_torrent(fd.get(), path);
  if (!torrent) return torrent;
  std::error_code ec;
  const std::filesystem::path canonical = std::filesystem::canonical(path, ec);
  torrent->path = ec ? path : canonical.string();
  return torrent;
}

OrComplaint<TorrentFile> read_torrent(int fd, const std::string& name) {
  OrComplaint<std::vector<std::byte>> bytes = read_whole(fd, name);
  if (!bytes) return bytes.error();
  return to_torrent(name, *std::move(bytes));
}

OrComplaint<TorrentFile> to_torrent(const std::string& name, std::vector<std::byte> bytes) {
  Result<storage::Metainfo> metainfo = storage::parse_metainfo(bytes);
  if (metainfo) return TorrentFile{"", std::move(bytes), *std::move(metainfo)};
  const std::string_view mistaken = mistaken_for_torrent(bytes);
  if (!mistaken.empty()) return Complaint{name + ": this is " + std::string(mistaken)};
  return Complaint{name + ": not a torrent that can be mounted: " + metainfo.error().message()};
}

}  // namespace swarmfs::fs
