#include "fs/cache_dir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <vector>

namespace swarmfs::fs {
namespace {

namespace files = std::filesystem;
using storage::UniqueFd;

// Of the small files here; their real size is below 24 bytes.
constexpr std::size_t kMaxSmallFile = 64;

Complaint about(const std::string& path, int error) {
  std::string line = path + ": " + std::strerror(error);
  if (error == ENOSPC || error == EDQUOT) {
    line += "; make room, or choose another cache directory with --cache-dir";
  } else {
    line += "; the cache needs a directory that you can write to: choose one with --cache-dir";
  }
  return {line};
}

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// Every missing folder of `path`, for the owner's eyes only.
OrComplaint<void> make_folders(const files::path& path) {
  files::path so_far;
  for (const files::path& part : path) {
    so_far /= part;
    if (::mkdir(so_far.c_str(), 0700) == 0 || errno == EEXIST) continue;
    const int error = errno;
    if (::access(so_far.c_str(), F_OK) == 0) continue;  // EROFS or EACCES, but it is there
    return about(so_far.string(), error);
  }
  return {};
}

UniqueFd open_in(int folder, const char* name, int flags) {
  return UniqueFd(::openat(folder, name, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
}

std::string read_small(int fd) {
  std::array<char, kMaxSmallFile> text{};
  const ssize_t n = ::pread(fd, text.data(), text.size(), 0);
  return {text.data(), n > 0 ? static_cast<std::size_t>(n) : 0};
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

// The file has its old content or the new one, never half of it, even after a crash. Zero or an
// errno.
int replace_file(int folder, const std::string& name, std::span<const std::byte> bytes) {
  const std::string fresh = name + ".new";
  if (::unlinkat(folder, fresh.c_str(), 0) != 0 && errno != ENOENT) return errno;
  const UniqueFd fd = open_in(folder, fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL);
  if (!fd) return errno;
  if (const int error = write_whole(fd.get(), bytes); error != 0) return error;
  if (::fsync(fd.get()) != 0) return errno;
  return ::renameat(folder, fresh.c_str(), folder, name.c_str()) == 0 ? 0 : errno;
}

OrComplaint<UniqueFd> take_lock(int folder, const std::string& path) {
  UniqueFd lock = open_in(folder, "lock", O_RDWR | O_CREAT);
  if (!lock) return about(path + "/lock", errno);
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return about(path + "/lock", errno);
    std::string owner = read_small(lock.get());
    owner.resize(std::min(owner.size(), owner.find_first_not_of("0123456789")));
    return Complaint{path + ": already in use by process " + (owner.empty() ? "?" : owner) +
                     ", which has this torrent mounted; unmount that, or choose another "
                     "--cache-dir"};
  }
  const std::string me = std::to_string(::getpid()) + "\n";
  if (::ftruncate(lock.get(), 0) != 0) return about(path + "/lock", errno);
  if (const int error = write_whole(lock.get(), bytes_of(me)); error != 0) {
    return about(path + "/lock", error);
  }
  return lock;
}

std::int64_t now_in_seconds() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::seconds>(now).count();
}

OrComplaint<std::int64_t> time_added(int folder, const std::string& path) {
  if (const UniqueFd fd = open_in(folder, "added", O_RDONLY)) {
    const std::string text = read_small(fd.get());
    std::int64_t seconds = 0;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), seconds);
    const bool whole = end == text.data() + text.size() || *end == '\n';
    if (ec == std::errc() && whole && seconds > 0) return seconds;
  }
  const std::int64_t now = now_in_seconds();
  const std::string text = std::to_string(now) + "\n";
  const int error = replace_file(folder, "added", bytes_of(text));
  if (error != 0) return about(path + "/added", error);
  return now;
}

UniqueFd open_folder(const std::string& path) {
  return UniqueFd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

// Empty also for what is too large to be a torrent, or no plain file.
std::vector<std::byte> read_metainfo(int folder) {
  const UniqueFd fd = open_in(folder, "metainfo", O_RDONLY);
  struct stat info {};
  if (!fd || ::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode) || info.st_size <= 0 ||
      static_cast<std::uint64_t>(info.st_size) > storage::kMaxTorrentSize) {
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

}  // namespace

OrComplaint<std::string> find_cache_root(const std::optional<std::string>& option,
                                         const char* xdg_cache_home, const char* home) {
  files::path root;
  if (option) {
    root = *option;
  } else if (xdg_cache_home != nullptr && xdg_cache_home[0] == '/') {
    root = files::path(xdg_cache_home) / "swarmfs";  // relative ones are to be ignored, XDG says
  } else if (home != nullptr && home[0] == '/') {
    root = files::path(home) / ".cache" / "swarmfs";
  } else {
    return Complaint{"no place for the cache: HOME is not set; choose one with --cache-dir"};
  }
  std::error_code ec;
  files::path real = files::absolute(root, ec);
  if (!ec) real = files::weakly_canonical(real, ec);
  if (ec) return about(root.string(), ec.value());
  if (real.filename().empty()) real = real.parent_path();
  return {boost::system::in_place_value, real.string()};
}

OrComplaint<CacheDir> CacheDir::claim(const std::string& root, const storage::InfoHash& info_hash) {
  const std::string path = root + "/" + info_hash.hex();
  if (const OrComplaint<void> made = make_folders(path); !made) return made.error();
  const UniqueFd folder = open_folder(path);
  if (!folder) return about(path, errno);
  OrComplaint<UniqueFd> lock = take_lock(folder.get(), path);
  if (!lock) return lock.error();
  if (::fchmod(folder.get(), 0700) != 0) return about(path, errno);
  if (::unlinkat(folder.get(), "data", 0) != 0 && errno != ENOENT)
    return about(path + "/data", errno);
  const OrComplaint<std::int64_t> added = time_added(folder.get(), path);
  if (!added) return added.error();
  return CacheDir(path, info_hash, std::move(*lock), *added);
}

std::optional<KeptTorrent> CacheDir::load_metainfo() const {
  const UniqueFd folder = open_folder(path_);
  if (!folder) return std::nullopt;
  std::vector<std::byte> bytes = read_metainfo(folder.get());
  Result<storage::Metainfo> metainfo = storage::parse_metainfo(bytes);
  if (!metainfo || metainfo->info_hash != info_hash_) return std::nullopt;
  return KeptTorrent{std::move(bytes), *std::move(metainfo)};
}

OrComplaint<void> CacheDir::keep_metainfo(std::span<const std::byte> torrent) const {
  const UniqueFd folder = open_folder(path_);
  if (!folder) return about(path_, errno);
  // Usually the same as last time: no need to wear the disk.
  const std::vector<std::byte> kept = read_metainfo(folder.get());
  if (std::equal(kept.begin(), kept.end(), torrent.begin(), torrent.end())) return {};
  const int error = replace_file(folder.get(), "metainfo", torrent);
  if (error != 0) return about(path_ + "/metainfo", error);
  return {};
}

}  // namespace swarmfs::fs
