#include "fs/mountpoint.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>

#include "fs/fuse_session.h"
#include "fs/proc_files.h"
#include "storage/disk.h"

namespace swarmfs::fs {
namespace {

namespace files = std::filesystem;

constexpr std::string_view kOurType = "fuse.swarmfs";
// Mounts of ours stacked on one directory that are cleared; more than one is already odd.
constexpr int kMaxStacked = 8;

Complaint about(const std::string& path, std::string_view text) {
  return {path + ": " + std::string(text)};
}

// Absolute, without symbolic links; also when a dead mount is there, which realpath() trips over.
files::path canonical_path(const std::string& given, std::error_code& ec) {
  files::path path = files::absolute(given, ec).lexically_normal();
  if (ec) return {};
  if (path.filename().empty()) path = path.parent_path();  // a slash at the end
  const files::path real = files::canonical(path, ec);
  if (ec.value() != ENOTCONN) return real;
  return files::canonical(path.parent_path(), ec) / path.filename();
}

// The topmost mount at `path`, if any.
std::optional<MountLine> mount_at(const std::string& path) {
  const std::vector<MountLine> table = read_mountinfo();
  const auto found = std::find_if(table.rbegin(), table.rend(),
                                  [&path](const MountLine& m) { return m.mountpoint == path; });
  if (found == table.rend()) return std::nullopt;
  return *found;
}

// stat() answers from the cache for a dead mount; statfs() always asks.
int statfs_error(const std::string& path) {
  struct statfs info {};
  return ::statfs(path.c_str(), &info) == 0 ? 0 : errno;
}

// Takes away dead mounts of ours. True when there was one.
OrComplaint<bool> clear_dead_mounts(const std::string& path) {
  for (int cleared = 0; cleared < kMaxStacked; ++cleared) {
    const int error = statfs_error(path);
    const std::optional<MountLine> there = mount_at(path);
    const bool ours = there && there->type == kOurType;
    if (error == ENOTCONN && !ours) {
      const std::string type = there ? " (" + there->type + ")" : "";
      return about(path, "a dead mount of another program is there" + type +
                             "; unmount it: fusermount3 -u " + path);
    }
    if (error != ENOTCONN && ours) {
      return about(path, "swarmfs is already mounted there (" + there->source +
                             "); unmount it first: fusermount3 -u " + path);
    }
    if (error != ENOTCONN) return cleared > 0;
    detach_mount(path);
  }
  return about(path,
               "a dead mount of swarmfs is there and cannot be cleared; unmount it as the user "
               "who mounted it: fusermount3 -uz " +
                   path);
}

OrComplaint<void> check_empty(const std::string& path) {
  std::error_code ec;
  const bool empty = files::is_empty(path, ec);
  if (ec) return about(path, "cannot be listed: " + ec.message());
  if (empty) return {};
  return about(path,
               "the mountpoint is not empty, and what it holds would be hidden; use an empty "
               "directory");
}

bool is_program_on_path(std::string_view name) {
  const char* variable = ::secure_getenv("PATH");
  std::string list = variable != nullptr ? variable : "";
  list += ":/usr/bin:/bin:/usr/local/bin";  // where libfuse's own build would look
  for (std::size_t at = 0; at <= list.size();) {
    const std::size_t end = std::min(list.find(':', at), list.size());
    const std::string program = list.substr(at, end - at) + "/" + std::string(name);
    if (::access(program.c_str(), X_OK) == 0) return true;
    at = end + 1;
  }
  return false;
}

std::string read_text(const char* path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

OrComplaint<std::string> find_mountpoint(const std::string& given) {
  std::error_code ec;
  const files::path path = canonical_path(given, ec);
  if (ec.value() == ENOENT) {
    return about(given, "the mountpoint does not exist; make it: mkdir -p " + given);
  }
  if (ec) return about(given, ec.message());
  return {boost::system::in_place_value, path.string()};
}

OrComplaint<bool> ready_mountpoint(const std::string& path) {
  const OrComplaint<bool> cleared = clear_dead_mounts(path);
  if (!cleared) return cleared.error();
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return about(path, std::strerror(errno));
  if (!S_ISDIR(info.st_mode)) {
    return about(path, "the mountpoint is not a directory; make one: mkdir -p DIRECTORY");
  }
  // fusermount3 wants it writable, and a sticky directory owned, by who mounts.
  const bool root = ::geteuid() == 0;
  const bool others = (info.st_mode & S_ISVTX) != 0 && info.st_uid != ::geteuid();
  if (!root && (others || ::access(path.c_str(), W_OK) != 0)) {
    return about(path, "the mountpoint is not yours to write in; use a directory of your own");
  }
  if (const OrComplaint<void> empty = check_empty(path); !empty) return empty.error();
  return cleared;
}

OrComplaint<void> check_may_mount(bool allow_other) {
  const std::string device = "/dev/fuse";
  const storage::UniqueFd fd(::open(device.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd) {
    const int error = errno;
    if (error == ENOENT || error == ENODEV || error == ENXIO) {
      return about(device,
                   "FUSE is not there; load it (modprobe fuse), or start the container with "
                   "--device /dev/fuse --cap-add SYS_ADMIN");
    }
    return about(device, std::string(std::strerror(error)) +
                             "; ask for read and write access, or run as root");
  }
  if (::geteuid() == 0) return {};
  if (!is_program_on_path("fusermount3")) {
    return about("fusermount3",
                 "not found, and without it only root can mount; install it: apt "
                 "install fuse3");
  }
  if (allow_other && !lets_allow_other(read_text("/etc/fuse.conf"))) {
    return about("-o allow_other",
                 "not allowed for you; have user_allow_other put into "
                 "/etc/fuse.conf, or run as root");
  }
  return {};
}

OrComplaint<void> check_apart(const std::string& mountpoint, const std::string& torrent,
                              const std::string& cache) {
  if (is_inside(torrent, mountpoint)) {
    return about(torrent, "the torrent file is inside the mountpoint; move it elsewhere");
  }
  if (is_inside(cache, mountpoint)) {
    return about(cache,
                 "the cache directory is inside the mountpoint; choose another with "
                 "--cache-dir");
  }
  if (is_inside(mountpoint, cache)) {
    return about(mountpoint,
                 "the mountpoint is inside the cache directory; mount elsewhere, or "
                 "choose another cache with --cache-dir");
  }
  return {};
}

Complaint explain_mount_failure(const std::string& mountpoint, error_code ec,
                                std::string_view said) {
  std::string line = mountpoint + ": cannot mount: ";
  line += said.empty() ? ec.message() : std::string(said);
  const bool root = ::geteuid() == 0;
  if (ec == boost::system::errc::operation_not_permitted && root) {
    line += "; root may not mount here, as in containers without --cap-add SYS_ADMIN";
  } else if (ec == boost::system::errc::operation_not_permitted || ec == FsErrc::mount_failed ||
             ec == boost::system::errc::permission_denied) {
    line += root ? ""
                 : "; fusermount3 must be setuid root and may be confined by AppArmor: try a "
                   "mountpoint in your home directory";
  }
  return {line};
}

bool is_inside(std::string_view path, std::string_view folder) {
  if (!path.starts_with(folder)) return false;
  return path.size() == folder.size() || folder.ends_with('/') || path[folder.size()] == '/';
}

bool lets_allow_other(std::string_view fuse_conf) {
  while (!fuse_conf.empty()) {
    const std::size_t end = std::min(fuse_conf.find('\n'), fuse_conf.size());
    std::string_view text = fuse_conf.substr(0, end);
    text = text.substr(0, text.find('#'));
    const std::size_t first = text.find_first_not_of(" \t");
    const std::size_t last = text.find_last_not_of(" \t\r");
    if (first != std::string_view::npos &&
        text.substr(first, last - first + 1) == "user_allow_other") {
      return true;
    }
    fuse_conf.remove_prefix(std::min(end + 1, fuse_conf.size()));
  }
  return false;
}

}  // namespace swarmfs::fs
