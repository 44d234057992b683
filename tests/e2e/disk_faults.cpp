// Preloaded into swarmfs (LD_PRELOAD) by test_crash.py and test_disk_faults.py: sees each system
// call that changes the cache directory, and can end the process at any of them, fail them, or
// write down what they did. The process under test is not built for it, and does not know. Only
// what swarmfs uses is caught: where off_t has 64 bits, names without 64.
//
// SWARMFS_FAULTS_IN names the cache directory, SWARMFS_FAULTS a folder that says what to do; each
// file in it is optional:
//   kill_at      "17": SIGKILL in place of the 17th call; "17 half": after the first half of it, if
//   it writes bytes record       a line a call is appended: what it is, before it begins and after
//   it has ended (see Call) fail_writes  an errno: so fail calls that write bytes, allocate or
//   sync. Looked at before each call fail_reads   an errno: so does reading bytes. The same clock
//   seconds: the wall clock is wrong by so much. The same
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace {

template <class Function>
Function* next(Function*, const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}
// The C library's own.
#define REAL(name) (next(&::name, #name))

std::string environment(const char* name) {
  const char* const value = ::getenv(name);
  return value != nullptr ? value : "";
}

// What stands in a small file; empty when it is not there.
std::string said_in(const std::string& path) {
  static auto* const real_open = REAL(open);
  static auto* const real_read = REAL(read);
  const int fd = real_open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {};
  std::array<char, 64> text{};
  const ssize_t n = real_read(fd, text.data(), text.size());
  ::close(fd);
  return {text.data(), n > 0 ? static_cast<std::size_t>(n) : 0};
}

struct Settings {
  std::string cache = environment("SWARMFS_FAULTS_IN");
  std::string folder = environment("SWARMFS_FAULTS");
  std::uint64_t kill_at = 0;
  bool half = false;
  int record = -1;

  Settings() {
    const std::string kill = said_in(folder + "/kill_at");
    kill_at = std::strtoull(kill.c_str(), nullptr, 10);
    half = kill.find("half") != std::string::npos;
    record = REAL(open)((folder + "/record").c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  }
  [[nodiscard]] long now(const char* file) const {
    return std::strtol(said_in(folder + "/" + file).c_str(), nullptr, 10);
  }
  [[nodiscard]] bool concerns(const std::string& path) const {
    return !cache.empty() && path.compare(0, cache.size(), cache) == 0 &&
           (path.size() == cache.size() || path[cache.size()] == '/');
  }
};

const Settings& settings() {
  static const Settings once;
  return once;
}

std::string path_of(int fd) {
  std::array<char, PATH_MAX> path{};
  const ssize_t n =
      ::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), path.data(), path.size());
  return {path.data(), n > 0 ? static_cast<std::size_t>(n) : 0};
}

std::string path_of(int folder, const char* name) {
  if (name[0] == '/') return name;
  return (folder == AT_FDCWD ? std::string() : path_of(folder) + "/") + name;
}

// Which file it is, whatever it is called by now.
std::uint64_t inode_of(int fd) {
  struct stat info {};
  return ::fstat(fd, &info) == 0 ? info.st_ino : 0;
}

std::string hex(const iovec* parts, int count) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (int i = 0; i < count; ++i) {
    const auto* const bytes = static_cast<const unsigned char*>(parts[i].iov_base);
    for (std::size_t k = 0; k < parts[i].iov_len; ++k) {
      text += kDigits[bytes[k] >> 4U];
      text += kDigits[bytes[k] & 15U];
    }
  }
  return text;
}

// One call that changes the cache directory, from before it to after it.
//   b NUMBER NAME INODE OFFSET SIZE PATH PATH2 BYTES    e NUMBER RESULT INODE
// separated by tabs; what a call has not is "-".
class Call {
 public:
  struct About {
    const char* name;
    std::string path;
    std::string path2 = "-";
    std::uint64_t inode = 0;
    std::int64_t offset = -1;
    std::int64_t size = -1;
    const iovec* parts = nullptr;
    int part_count = 0;
  };

  explicit Call(const About& about) : concerns_(settings().concerns(about.path)) {
    if (!concerns_) return;
    static std::mutex mutex;
    const std::lock_guard lock(mutex);
    static std::uint64_t calls = 0;
    number_ = ++calls;
    write_down(about);
    if (number_ != settings().kill_at) return;
    halved_ = settings().half && about.part_count > 0;
    ::dprintf(STDERR_FILENO, "killed at call %llu: %s %s\n",
              static_cast<unsigned long long>(number_), about.name, about.path.c_str());
    if (!halved_) die();
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;
  ~Call() {
    if (!concerns_) return;
    const int kept = errno;
    if (halved_) die();
    if (settings().record >= 0) {
      append("e\t" + std::to_string(number_) + "\t" + std::to_string(result_) + "\t" +
             std::to_string(inode_) + "\n");
    }
    errno = kept;
  }

  // Whether it is to fail; errno is set then.
  [[nodiscard]] bool fails(const char* which) {
    const long error = concerns_ ? settings().now(which) : 0;
    if (error == 0) return false;
    errno = static_cast<int>(error);
    result_ = -1;
    return true;
  }
  [[nodiscard]] bool halved() const { return halved_; }
  template <class Result>
  Result ended(Result result, std::uint64_t inode = 0) {
    result_ = static_cast<std::int64_t>(result);
    inode_ = inode;
    return result;
  }

 private:
  [[noreturn]] static void die() {
    ::kill(::getpid(), SIGKILL);
    while (true) ::pause();
  }
  static void append(const std::string& line) {
    static auto* const real_write = REAL(write);
    if (real_write(settings().record, line.data(), line.size()) !=
        static_cast<ssize_t>(line.size()))
      ::abort();
  }
  void write_down(const About& about) const {
    if (settings().record < 0) return;
    append("b\t" + std::to_string(number_) + "\t" + about.name + "\t" +
           std::to_string(about.inode) + "\t" + std::to_string(about.offset) + "\t" +
           std::to_string(about.size) + "\t" + about.path + "\t" + about.path2 + "\t" +
           hex(about.parts, about.part_count) + "\n");
  }

  bool concerns_;
  bool halved_ = false;
  std::uint64_t number_ = 0;
  std::int64_t result_ = -1;
  std::uint64_t inode_ = 0;
};

// The first half of the bytes.
std::vector<iovec> half_of(const iovec* parts, int count) {
  std::vector<iovec> some(parts, parts + count);
  std::size_t size = 0;
  for (const iovec& part : some) size += part.iov_len;
  size /= 2;
  for (iovec& part : some) {
    part.iov_len = std::min(part.iov_len, size);
    size -= part.iov_len;
  }
  return some;
}

ssize_t write_parts(const char* name, int fd, const iovec* parts, int count, off_t offset) {
  static auto* const real_pwritev = REAL(pwritev);
  Call call({.name = name,
             .path = path_of(fd),
             .inode = inode_of(fd),
             .offset = offset,
             .parts = parts,
             .part_count = count});
  if (call.fails("fail_writes")) return -1;
  std::vector<iovec> some(parts, parts + count);
  if (call.halved()) some = half_of(parts, count);
  return call.ended(real_pwritev(fd, some.data(), count, offset));
}

template <class Function>
int on_descriptor(const char* name, int fd, std::int64_t offset, std::int64_t size,
                  Function&& function) {
  Call call(
      {.name = name, .path = path_of(fd), .inode = inode_of(fd), .offset = offset, .size = size});
  if (call.fails("fail_writes")) return -1;
  return call.ended(function());
}

template <class Function>
int on_path(const char* name, std::string path, std::string path2, Function&& function) {
  Call call({.name = name, .path = std::move(path), .path2 = std::move(path2)});
  if (call.fails("fail_writes")) return -1;
  return call.ended(function());
}

// Whether a file was made can be seen by its not having been there.
int open_at(int folder, const char* name, int flags, mode_t mode) {
  static auto* const real = REAL(openat);
  if ((flags & O_CREAT) == 0) return real(folder, name, flags, mode);
  const bool there = ::faccessat(folder, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
  Call call({.name = there ? "open" : "create", .path = path_of(folder, name)});
  if (call.fails("fail_writes")) return -1;
  const int fd = real(folder, name, flags, mode);
  return call.ended(fd, fd >= 0 ? inode_of(fd) : 0);
}

bool read_fails(int fd) {
  const long error = settings().now("fail_reads");
  if (error == 0 || !settings().concerns(path_of(fd))) return false;
  errno = static_cast<int>(error);
  return true;
}

mode_t mode_in(int flags, va_list list) {
  return (flags & (O_CREAT | O_TMPFILE)) != 0 ? static_cast<mode_t>(va_arg(list, int)) : mode_t{0};
}

}  // namespace

#define MODE_OF(flags)                      \
  va_list list;                             \
  va_start(list, flags);                    \
  const mode_t mode = mode_in(flags, list); \
  va_end(list)

extern "C" {

int open(const char* path, int flags, ...) {
  MODE_OF(flags);
  return open_at(AT_FDCWD, path, flags, mode);
}
int openat(int folder, const char* path, int flags, ...) {
  MODE_OF(flags);
  return open_at(folder, path, flags, mode);
}
int mkdir(const char* path, mode_t mode) noexcept {
  return on_path("mkdir", path, "-", [=] { return REAL(mkdir)(path, mode); });
}

ssize_t write(int fd, const void* bytes, size_t size) {
  const iovec part{const_cast<void*>(bytes), size};
  if (!settings().concerns(path_of(fd))) return REAL(write)(fd, bytes, size);
  const off_t at = ::lseek(fd, 0, SEEK_CUR);
  const ssize_t n = write_parts("write", fd, &part, 1, at);
  if (n > 0) ::lseek(fd, at + n, SEEK_SET);
  return n;
}
ssize_t pwrite(int fd, const void* bytes, size_t size, off_t offset) {
  const iovec part{const_cast<void*>(bytes), size};
  return write_parts("pwrite", fd, &part, 1, offset);
}
ssize_t pwritev(int fd, const iovec* parts, int count, off_t offset) {
  return write_parts("pwritev", fd, parts, count, offset);
}

int fsync(int fd) {
  return on_descriptor("fsync", fd, -1, -1, [=] { return REAL(fsync)(fd); });
}
int fdatasync(int fd) {
  return on_descriptor("fdatasync", fd, -1, -1, [=] { return REAL(fdatasync)(fd); });
}
int ftruncate(int fd, off_t size) noexcept {
  return on_descriptor("ftruncate", fd, -1, size, [=] { return REAL(ftruncate)(fd, size); });
}
int fallocate(int fd, int mode, off_t offset, off_t size) {
  return on_descriptor("fallocate", fd, offset, size,
                       [=] { return REAL(fallocate)(fd, mode, offset, size); });
}

int rename(const char* from, const char* to) noexcept {
  return on_path("rename", from, to, [=] { return REAL(rename)(from, to); });
}
int renameat(int folder, const char* from, int folder2, const char* to) noexcept {
  return on_path("rename", path_of(folder, from), path_of(folder2, to),
                 [=] { return REAL(renameat)(folder, from, folder2, to); });
}
int unlink(const char* path) noexcept {
  return on_path("unlink", path, "-", [=] { return REAL(unlink)(path); });
}
int unlinkat(int folder, const char* path, int flags) noexcept {
  return on_path("unlink", path_of(folder, path), "-",
                 [=] { return REAL(unlinkat)(folder, path, flags); });
}

ssize_t pread(int fd, void* bytes, size_t size, off_t offset) {
  return read_fails(fd) ? -1 : REAL(pread)(fd, bytes, size, offset);
}
ssize_t preadv2(int fd, const iovec* parts, int count, off_t offset, int flags) {
  return read_fails(fd) ? -1 : REAL(preadv2)(fd, parts, count, offset, flags);
}

int clock_gettime(clockid_t clock, timespec* time) noexcept {
  static auto* const real = REAL(clock_gettime);
  const int result = real(clock, time);
  if (clock == CLOCK_REALTIME && !settings().folder.empty())
    time->tv_sec += settings().now("clock");
  return result;
}

}  // extern "C"
