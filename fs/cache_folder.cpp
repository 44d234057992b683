#include "fs/cache_folder.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <span>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "fs/small_file.h"

namespace swarmfs::fs {
namespace {

using storage::UniqueFd;

constexpr std::uint64_t kStatBlock = 512;  // st_blocks counts these, whatever the file system does
// Behind our process id in `lock`, so that nobody takes us for a mount.
constexpr std::string_view kToolMark = " swarmfsctl";
// find_lock_holder() and whoever removes or shrinks an idle folder hold its lock for a moment.
constexpr int kLockTries = 20;
constexpr int kLockPauseMs = 5;

bool stat_in(int folder, const char* name, struct stat* info) {
  return ::fstatat(folder, name, info, AT_SYMLINK_NOFOLLOW) == 0;
}

bool is_plain(const UniqueFd& fd) {
  struct stat info {};
  return fd && ::fstat(fd.get(), &info) == 0 && S_ISREG(info.st_mode);
}

std::optional<LockHolder> parse_holder(std::string_view text) {
  LockHolder holder;
  int pid = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), pid);
  if (ec == std::errc() && pid > 0) {
    holder.pid = pid;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    if (text.starts_with(kToolMark)) holder.use = LockUse::tool;
  }
  return holder;
}

// That the lock that was taken is still the folder's: whoever removed the folder held it before us.
bool is_still(int folder, const UniqueFd& lock) {
  struct stat named {
  }, held{};
  return stat_in(folder, "lock", &named) && ::fstat(lock.get(), &held) == 0 &&
         named.st_ino == held.st_ino && named.st_dev == held.st_dev;
}

}  // namespace

UniqueFd open_cache_folder(int root, const std::string& name) {
  return UniqueFd(::openat(root, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

std::optional<LockHolder> find_lock_holder(int folder) {
  const UniqueFd lock = open_in(folder, "lock", O_RDONLY);
  if (!is_plain(lock)) return std::nullopt;
  // Shared: two that look at the same time do not see each other.
  if (::flock(lock.get(), LOCK_SH | LOCK_NB) == 0 || errno != EWOULDBLOCK) return std::nullopt;
  std::array<char, 64> text{};
  const ssize_t n = ::pread(lock.get(), text.data(), text.size(), 0);
  return parse_holder({text.data(), n > 0 ? static_cast<std::size_t>(n) : 0});
}

UniqueFd try_folder_lock(int folder) {
  UniqueFd lock = open_in(folder, "lock", O_RDWR | O_CREAT);
  if (!lock) return lock;
  if (!is_plain(lock)) {
    errno = EINVAL;
    return {};
  }
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) return {};
  if (!is_still(folder, lock)) {
    errno = EWOULDBLOCK;
    return {};
  }
  return lock;
}

UniqueFd take_folder_lock(int folder) {
  UniqueFd lock = try_folder_lock(folder);
  for (int i = 1; !lock && errno == EWOULDBLOCK && i < kLockTries; ++i) {
    ::poll(nullptr, 0, kLockPauseMs);
    lock = try_folder_lock(folder);
  }
  if (!lock) return lock;
  const std::string me = std::to_string(::getpid()) + std::string(kToolMark) + "\n";
  // Without it others know that we are here, though not who we are.
  if (::ftruncate(lock.get(), 0) == 0)
    std::ignore = write_whole(lock.get(), std::as_bytes(std::span(me)));
  return lock;
}

std::optional<storage::Metainfo> load_folder_metainfo(int folder,
                                                      const storage::InfoHash& info_hash) {
  const std::vector<std::byte> bytes = read_whole(folder, "metainfo", storage::kMaxTorrentSize);
  Result<storage::Metainfo> metainfo = storage::parse_metainfo(bytes);
  if (!metainfo || metainfo->info_hash != info_hash) return std::nullopt;
  return *std::move(metainfo);
}

Result<storage::Resume> load_folder_resume(int folder, const storage::InfoHash& info_hash,
                                           const storage::Layout& layout) {
  if (!is_there(folder, "resume")) return storage::empty_resume(info_hash, layout);
  const std::vector<std::byte> bytes =
      read_whole(folder, "resume", storage::max_resume_size(layout.piece_count()));
  Result<storage::Resume> resume = storage::parse_resume(bytes);
  if (resume && !storage::fits(*resume, info_hash, layout))
    return storage::StorageErrc::resume_foreign;
  return resume;
}

UniqueFd open_folder_data(int folder, int flags) {
  UniqueFd fd = open_in(folder, "data", flags);
  return is_plain(fd) ? std::move(fd) : UniqueFd();
}

std::uint64_t disk_bytes(int folder, const char* name) {
  struct stat info {};
  if (!stat_in(folder, name, &info) || !S_ISREG(info.st_mode)) return 0;
  return static_cast<std::uint64_t>(std::max<blkcnt_t>(info.st_blocks, 0)) * kStatBlock;
}

std::uint64_t disk_bytes(int folder) {
  std::uint64_t sum = 0;
  for (const char* const name : kFolderFiles) sum += disk_bytes(folder, name);
  return sum;
}

bool is_there(int folder, const char* name) {
  struct stat info {};
  return stat_in(folder, name, &info);
}

}  // namespace swarmfs::fs
