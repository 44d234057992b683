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
#include <tuple>
#include <vector>

#include "fs/cache_usage.h"
#include "fs/ephemeral.h"
#include "fs/small_file.h"
#include "storage/metainfo_limits.h"

namespace swarmfs::fs {
namespace {

namespace files = std::filesystem;
using storage::UniqueFd;

// Another mount that needs room holds the lock of a torrent that nobody has mounted for a moment.
constexpr int kLockTurns = 15;
constexpr useconds_t kLockPause = 20'000;
// Tries against one that removes the folder while we make it.
constexpr int kClaimTries = 5;

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

std::string read_small(int fd) {
  std::array<char, kMaxSmallFile> text{};
  const ssize_t n = ::pread(fd, text.data(), text.size(), 0);
  return {text.data(), n > 0 ? static_cast<std::size_t>(n) : 0};
}

OrComplaint<UniqueFd> take_lock(int folder, const std::string& path) {
  UniqueFd lock = open_in(folder, "lock", O_RDWR | O_CREAT);
  if (!lock) return about(path + "/lock", errno);
  int busy = ::flock(lock.get(), LOCK_EX | LOCK_NB);
  for (int turns = 0; busy != 0 && errno == EWOULDBLOCK && turns < kLockTurns; ++turns) {
    ::usleep(kLockPause);
    busy = ::flock(lock.get(), LOCK_EX | LOCK_NB);
  }
  if (busy != 0) {
    if (errno != EWOULDBLOCK) return about(path + "/lock", errno);
    std::string owner = read_small(lock.get());
    owner.resize(std::min(owner.size(), owner.find_first_not_of("0123456789")));
    return Complaint{
        path + ": already in use by process " + (owner.empty() ? "?" : owner) +
        ", which has this torrent mounted or is swarmfsctl; end that, or choose another "
        "--cache-dir"};
  }
  const std::string me = std::to_string(::getpid()) + "\n";
  if (::ftruncate(lock.get(), 0) != 0) return about(path + "/lock", errno);
  if (const int error = write_whole(lock.get(), bytes_of(me)); error != 0) {
    return about(path + "/lock", error);
  }
  return lock;
}

// What stands in the place of `data` is a file or nothing.
OrComplaint<void> check_data(int folder, const std::string& path) {
  struct stat info {};
  if (::fstatat(folder, "data", &info, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return {};
    return about(path + "/data", errno);
  }
  if (S_ISREG(info.st_mode)) return {};
  const char* const what = S_ISLNK(info.st_mode)   ? "a symbolic link"
                           : S_ISDIR(info.st_mode) ? "a directory"
                                                   : "a special file";
  return Complaint{path + "/data: is " + what +
                   " where the cache has its file; remove it, or choose another --cache-dir"};
}

// Positive, whatever the clock is set to: files made before 1970 confuse programs.
std::int64_t now_in_seconds() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::max<std::int64_t>(std::chrono::duration_cast<std::chrono::seconds>(now).count(), 1);
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

// True: the file was longer.
bool cut(int data, std::uint64_t size) {
  struct stat info {};
  if (::fstat(data, &info) != 0 || !S_ISREG(info.st_mode)) return false;
  if (static_cast<std::uint64_t>(info.st_size) <= size) return false;
  return ::ftruncate(data, static_cast<off_t>(size)) == 0;
}

// Of the pieces that `range` touches. Where the file system makes no holes, they stay.
void punch_unclaimed(int data, storage::ByteRange range, const storage::Layout& layout,
                     const storage::Bitfield& claimed) {
  for (std::uint64_t at = range.begin; at < range.end;) {
    const storage::PieceIndex piece = layout.piece_of(at);
    const storage::ByteRange bytes = layout.range(piece);
    at = bytes.end;
    if (claimed.test(piece)) continue;
    std::ignore = storage::punch_hole(data, bytes);
  }
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

OrComplaint<CacheDir> CacheDir::claim(const std::string& root, const storage::InfoHash& info_hash,
                                      bool ephemeral) {
  const std::string path =
      root + "/" + info_hash.hex() + std::string(ephemeral ? kEphemeralSuffix : "");
  UniqueFd folder;
  UniqueFd own;
  for (int tries = 0; !own; ++tries) {
    if (const OrComplaint<void> made = make_folders(path); !made) return made.error();
    folder = open_folder(path);
    if (!folder && errno == ENOENT && tries < kClaimTries) continue;
    if (!folder) return about(path, errno);
    OrComplaint<UniqueFd> lock = take_lock(folder.get(), path);
    const bool gone = was_removed(lock ? lock->get() : folder.get());
    if (gone && tries < kClaimTries) continue;
    if (!lock) return lock.error();
    own = *std::move(lock);
  }
  if (::fchmod(folder.get(), 0700) != 0) return about(path, errno);
  if (const OrComplaint<void> usable = check_data(folder.get(), path); !usable)
    return usable.error();
  const OrComplaint<std::int64_t> added = time_added(folder.get(), path);
  if (!added) return added.error();
  return CacheDir(path, info_hash, std::move(own), *added);
}

void CacheDir::remove() const {
  if (path_.ends_with(kEphemeralSuffix)) remove_cache_folder(path_);
}

std::optional<KeptTorrent> CacheDir::load_metainfo() const {
  const UniqueFd folder = open_folder(path_);
  if (!folder) return std::nullopt;
  std::vector<std::byte> bytes = read_whole(folder.get(), "metainfo", storage::kMaxTorrentSize);
  Result<storage::Metainfo> metainfo = storage::parse_metainfo(bytes);
  if (!metainfo || metainfo->info_hash != info_hash_) return std::nullopt;
  return KeptTorrent{std::move(bytes), *std::move(metainfo)};
}

OrComplaint<void> CacheDir::keep_metainfo(std::span<const std::byte> torrent) const {
  const UniqueFd folder = open_folder(path_);
  if (!folder) return about(path_, errno);
  // Usually the same as last time: no need to wear the disk.
  const std::vector<std::byte> kept =
      read_whole(folder.get(), "metainfo", storage::kMaxTorrentSize);
  if (std::equal(kept.begin(), kept.end(), torrent.begin(), torrent.end())) return {};
  const int error = replace_file(folder.get(), "metainfo", torrent);
  if (error != 0) return about(path_ + "/metainfo", error);
  return {};
}

std::optional<storage::Resume> CacheDir::load_resume(std::string* warning) const {
  const UniqueFd folder = open_folder(path_);
  if (!folder) return std::nullopt;
  const std::vector<std::byte> bytes =
      read_whole(folder.get(), "resume", storage::max_resume_size(storage::kMaxPieces));
  Result<storage::Resume> resume = storage::parse_resume(bytes);
  if (resume && resume->info_hash == info_hash_) return *std::move(resume);
  const UniqueFd data = open_data();
  if (data && cut(data.get(), 0)) {
    const error_code why =
        resume ? make_error_code(storage::StorageErrc::resume_foreign) : resume.error();
    *warning = path_ + "/resume: " + (bytes.empty() ? "there is none" : why.message()) +
               "; the cache of this torrent starts empty";
  }
  return std::nullopt;
}

int CacheDir::keep_resume(const storage::Resume& resume) const {
  const UniqueFd folder = open_folder(path_);
  if (!folder) return errno;
  return replace_file(folder.get(), "resume", storage::encode_resume(resume));
}

UniqueFd CacheDir::open_data() const {
  const UniqueFd folder = open_folder(path_);
  return folder ? open_in(folder.get(), "data", O_WRONLY) : UniqueFd();
}

bool CacheDir::trim_data(const storage::Layout& layout, const storage::Bitfield& claimed) const {
  const UniqueFd data = open_data();
  if (!data) return false;
  const bool longer = cut(data.get(), storage::RealDisk::length_for(layout.total_size()));
  const auto total = static_cast<off_t>(layout.total_size());
  for (off_t at = 0; (at = ::lseek(data.get(), at, SEEK_DATA)) >= 0 && at < total;) {
    const off_t hole = ::lseek(data.get(), at, SEEK_HOLE);
    if (hole <= at) break;
    const off_t end = std::min(hole, total);
    punch_unclaimed(data.get(), {static_cast<std::uint64_t>(at), static_cast<std::uint64_t>(end)},
                    layout, claimed);
    at = end;
  }
  return longer;
}

}  // namespace swarmfs::fs
