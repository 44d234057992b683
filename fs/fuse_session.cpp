#include "fs/fuse_session.h"

#define FUSE_USE_VERSION 35
#include <fcntl.h>
#include <fuse3/fuse_lowlevel.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cassert>
#include <cerrno>
#include <climits>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "fs/proc_files.h"
#include "storage/disk.h"
#include "storage/task_group.h"

extern char** environ;

namespace swarmfs::fs {
namespace {

constexpr const char* kSubtype = "swarmfs";
constexpr const char* kMountType = "fuse.swarmfs";

// Requests answered per wake-up before sockets and timers get their turn: some 0.5 ms.
constexpr int kRequestsPerTurn = 32;

// Requests the kernel may have outstanding for readahead. Its default of 12 stops every reader of
// the mount behind 12 blocked ones. The largest the protocol can say; it clamps for ordinary users.
constexpr unsigned kMaxBackground = 65535;

// A reader whose state we cannot see is let go after this long (JuiceFS waits as long).
constexpr net::Duration kUnknownReaderGrace = std::chrono::seconds(1);
// The kernel interrupts a request once; a reader that stayed is looked at again this often, because
// the signal that ends it comes without a word.
constexpr net::Duration kLookAgain = std::chrono::milliseconds(200);

// Pieces of memory in one reply. The kernel takes IOV_MAX, one of them is libfuse's header.
constexpr std::size_t kMaxExtents = IOV_MAX - 1;
// Enough for a READ of 1 MiB in 16 KiB blocks, on the stack.
constexpr std::size_t kUsualExtents = 72;

// The only errno in the program.
int to_errno(error_code ec) {
  if (ec == FsErrc::not_found) return ENOENT;
  if (ec == FsErrc::not_a_directory) return ENOTDIR;
  if (ec == FsErrc::is_a_directory) return EISDIR;
  if (ec == FsErrc::read_only) return EROFS;
  if (ec == FsErrc::bad_handle) return EBADF;
  if (ec == FsErrc::too_many_open) return ENFILE;
  if (ec == FsErrc::no_such_attribute) return ENODATA;
  if (ec == FsErrc::unsupported) return EOPNOTSUPP;
  if (ec == FsErrc::interrupted) return EINTR;
  return EIO;  // a reader cannot act on the rest
}

// libfuse logs through one function for the whole process.
const FuseSession::Log* libfuse_log = nullptr;

void log_from_libfuse(fuse_log_level level, const char* format, va_list arguments) {
  char text[2048];
  std::vsnprintf(text, sizeof text, format, arguments);
  std::string line(text);
  while (!line.empty() && (line.back() == '\n' || line.back() == ' ')) line.pop_back();
  if (libfuse_log == nullptr || !*libfuse_log || line.empty()) return;
  (*libfuse_log)(level <= FUSE_LOG_WARNING ? 2 : level <= FUSE_LOG_INFO ? 1 : 0, line);
}

// A value in an -o list: a comma would end it.
std::string escape_option(const std::string& value) {
  std::string out;
  for (const char c : value) {
    if (c == ',' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::vector<std::string> fuse_arguments(const MountOptions& options) {
  std::vector<std::string> arguments{"swarmfs"};
  const auto add = [&arguments](std::string option) {
    arguments.push_back("-o");
    arguments.push_back(std::move(option));
  };
  for (const std::string& option : options.extra) add(option);
  // After the user's, so that theirs cannot make the mount writable.
  add("ro,nosuid,nodev,noatime,default_permissions");
  add(std::string("subtype=") + kSubtype);
  add("fsname=" + escape_option(options.fsname));
  if (options.allow_other) add("allow_other");
  if (options.debug) arguments.push_back("-d");
  return arguments;
}

struct stat to_stat(const Attributes& a) {
  struct stat s = {};
  s.st_ino = a.inode;
  s.st_mode = (a.directory ? S_IFDIR : S_IFREG) | a.permissions;
  s.st_nlink = a.links;
  s.st_uid = a.uid;
  s.st_gid = a.gid;
  s.st_size = static_cast<off_t>(a.size);
  s.st_blocks = static_cast<blkcnt_t>(a.blocks);
  s.st_blksize = 4096;  // Python buffers this much: more would be read for nothing
  s.st_mtim.tv_sec = s.st_ctim.tv_sec = s.st_atim.tv_sec = a.mtime;
  return s;
}

fuse_entry_param to_entry(const Entry& entry) {
  fuse_entry_param e = {};
  e.ino = entry.attributes.inode;
  e.generation = 1;
  e.attr = to_stat(entry.attributes);
  e.attr_timeout = static_cast<double>(entry.attr_timeout.count());
  e.entry_timeout = static_cast<double>(entry.name_timeout.count());
  return e;
}

bool last_mount_at(const std::vector<MountLine>& mounts, const std::string& path,
                   const std::string& device) {
  const auto at_path = [&path](const MountLine& m) { return m.mountpoint == path; };
  const auto top = std::find_if(mounts.rbegin(), mounts.rend(), at_path);
  return top != mounts.rend() && top->device == device;
}

}  // namespace

void detach_mount(const std::string& path) {
  if (::umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) return;
  std::array<std::string, 6> words{"fusermount3", "-u", "-z", "-q", "--", path};
  std::array<char*, 7> arguments{};
  for (std::size_t i = 0; i < words.size(); ++i) arguments[i] = words[i].data();
  pid_t pid = 0;
  if (::posix_spawnp(&pid, arguments[0], nullptr, nullptr, arguments.data(), environ) == 0) {
    ::waitpid(pid, nullptr, 0);
  }
}

struct FuseSession::State : std::enable_shared_from_this<FuseSession::State> {
  State(asio::any_io_executor executor, net::Clock& c, TorrentFs& f, Log l)
      : clock(c),
        fs(f),
        log(std::move(l)),
        device(executor),
        mounts(executor),
        look_again(c, [this] { judge_interrupts(); }),
        tasks(executor) {
    libfuse_log = &log;
    fuse_set_log_func(log_from_libfuse);
  }
  ~State();

  // Starts libfuse and mounts.
  [[nodiscard]] error_code mount(const MountOptions& options);
  void serve_some();
  void judge_interrupts();
  void take_down();
  [[nodiscard]] bool is_mounted() const;
  [[nodiscard]] static Task<void> watch_mounts(std::shared_ptr<State> s);

  // A held READ that got an INTERRUPT, and whose reader did not turn out to be going.
  struct Interrupted {
    ReadId read;
    int pid;
    net::TimePoint since;
  };

  net::Clock& clock;
  TorrentFs& fs;
  Log log;
  fuse_session* session = nullptr;
  asio::posix::stream_descriptor device;
  asio::posix::stream_descriptor mounts;  // /proc/self/mountinfo: ready when the table changes
  fuse_buf buffer = {};
  std::vector<char> directory_buffer;
  std::string mountpoint;
  std::string device_number;  // of the mount, as mountinfo writes it
  ReadId next_read = 1;
  std::vector<Interrupted> interrupted;
  net::Timer look_again;
  storage::TaskGroup tasks;
  bool ready = false;
  bool stopping = false;
  bool down = false;
};

// -- the kernel's requests. Each function answers exactly once, or hands the request to TorrentFs.

namespace {

using State = FuseSession::State;

State& state_of(fuse_req_t request) {
  return *static_cast<State*>(fuse_req_userdata(request));
}

void reply_error(fuse_req_t request, error_code ec) {
  fuse_reply_err(request, to_errno(ec));
}

void on_init(void* userdata, fuse_conn_info* connection) {
  connection->max_background = kMaxBackground;
  connection->congestion_threshold = kMaxBackground;
  // ASYNC_DIO makes O_DIRECT readers unkillable. Splice gains nothing here. The rest is for
  // writers.
  connection->want &= ~static_cast<unsigned>(
      FUSE_CAP_ASYNC_DIO | FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE |
      FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_HANDLE_KILLPRIV | FUSE_CAP_ATOMIC_O_TRUNC |
      FUSE_CAP_IOCTL_DIR | FUSE_CAP_POSIX_LOCKS | FUSE_CAP_FLOCK_LOCKS);
  // libfuse fails INIT for a bit that the kernel did not offer.
  connection->want |=
      connection->capable &
      static_cast<unsigned>(FUSE_CAP_ASYNC_READ | FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO |
                            FUSE_CAP_EXPORT_SUPPORT | FUSE_CAP_EXPLICIT_INVAL_DATA);
  static_cast<State*>(userdata)->ready = true;
}

void on_lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
  const TorrentFs& fs = state_of(request).fs;
  const Result<Entry> found = fs.lookup(parent, name);
  if (!found && found.error() != FsErrc::not_found) return reply_error(request, found.error());
  fuse_entry_param e = {};  // inode 0: the absence, to be remembered
  e.entry_timeout = static_cast<double>(fs.absence_timeout(parent).count());
  if (found) e = to_entry(*found);
  fuse_reply_entry(request, &e);
}

void on_getattr(fuse_req_t request, fuse_ino_t inode, fuse_file_info*) {
  const Result<Entry> found = state_of(request).fs.getattr(inode);
  if (!found) return reply_error(request, found.error());
  const struct stat s = to_stat(found->attributes);
  fuse_reply_attr(request, &s, static_cast<double>(found->attr_timeout.count()));
}

void on_open(fuse_req_t request, fuse_ino_t inode, fuse_file_info* info) {
  TorrentFs& fs = state_of(request).fs;
  const bool for_writing = (info->flags & O_ACCMODE) != O_RDONLY || (info->flags & O_TRUNC) != 0;
  const Result<Handle> opened = fs.open(inode, for_writing);
  if (!opened) return reply_error(request, opened.error());
  info->fh = *opened;
  info->keep_cache = 1;
  // Refused when the opener was interrupted meanwhile; no RELEASE will come then.
  if (fuse_reply_open(request, info) != 0) fs.release(*opened);
}

void answer_read(void* token, ReadRequest::Extents extents, error_code ec) {
  const auto request = static_cast<fuse_req_t>(token);
  if (ec) return reply_error(request, ec);
  if (extents.empty()) {
    fuse_reply_buf(request, nullptr, 0);
    return;
  }
  if (extents.size() == 1) {
    fuse_reply_buf(request, reinterpret_cast<const char*>(extents[0].data()), extents[0].size());
    return;
  }
  if (extents.size() > kMaxExtents) {  // pieces of a few bytes
    std::vector<char> joined;
    for (const auto& extent : extents) {
      const auto* const bytes = reinterpret_cast<const char*>(extent.data());
      joined.insert(joined.end(), bytes, bytes + extent.size());
    }
    fuse_reply_buf(request, joined.data(), joined.size());
    return;
  }
  std::array<iovec, kUsualExtents> usual;
  std::vector<iovec> many(extents.size() > usual.size() ? extents.size() : 0);
  iovec* const vectors = many.empty() ? usual.data() : many.data();
  for (std::size_t i = 0; i < extents.size(); ++i) {
    vectors[i] = {const_cast<std::byte*>(extents[i].data()), extents[i].size()};
  }
  fuse_reply_iov(request, vectors, static_cast<int>(extents.size()));
}

bool read_in_background(void* token) {
  return waits_elsewhere(fuse_req_ctx(static_cast<fuse_req_t>(token))->pid);
}

constexpr ReadRequest::Asker kKernel{answer_read, read_in_background};

// Called inside libfuse, with its locks held: it must not answer, only note.
void on_interrupt(fuse_req_t request, void* read) {
  State& s = state_of(request);
  s.interrupted.push_back(
      {reinterpret_cast<ReadId>(read), fuse_req_ctx(request)->pid, s.clock.now()});
}

void on_read(fuse_req_t request, fuse_ino_t, std::size_t size, off_t offset, fuse_file_info* info) {
  State& s = state_of(request);
  const ReadId id = s.next_read++;
  fuse_req_interrupt_func(request, on_interrupt, reinterpret_cast<void*>(id));
  const bool direct = (info->flags & O_DIRECT) != 0;
  s.fs.read(info->fh, static_cast<std::uint64_t>(offset), size, direct,
            ReadRequest(id, request, kKernel));
}

void on_flush(fuse_req_t request, fuse_ino_t, fuse_file_info* info) {
  state_of(request).fs.flush(info->fh);
  fuse_reply_err(request, 0);
}

void on_release(fuse_req_t request, fuse_ino_t, fuse_file_info* info) {
  state_of(request).fs.release(info->fh);
  fuse_reply_err(request, 0);
}

void on_opendir(fuse_req_t request, fuse_ino_t, fuse_file_info* info) {
  fuse_reply_open(request, info);
}

void on_releasedir(fuse_req_t request, fuse_ino_t, fuse_file_info*) {
  fuse_reply_err(request, 0);
}

// Offsets are entry numbers: the one after an entry is where to go on.
void reply_directory(fuse_req_t request, fuse_ino_t inode, std::size_t size, off_t offset,
                     bool plus) {
  State& s = state_of(request);
  if (s.directory_buffer.size() < size) s.directory_buffer.resize(size);
  char* const buffer = s.directory_buffer.data();
  std::size_t used = 0;
  for (auto index = static_cast<std::uint64_t>(offset);; ++index) {
    const Result<std::optional<DirectoryEntry>> next = s.fs.entry_at(inode, index);
    if (!next) return reply_error(request, next.error());
    if (!*next) break;
    fuse_entry_param e = to_entry((*next)->entry);
    if (index < 2) e.ino = 0;  // "." and "..": not a lookup
    const char* const name = (*next)->name.data();
    const auto after = static_cast<off_t>(index + 1);
    const std::size_t room = size - used;
    const std::size_t taken =
        plus ? fuse_add_direntry_plus(request, buffer + used, room, name, &e, after)
             : fuse_add_direntry(request, buffer + used, room, name, &e.attr, after);
    if (taken > room) break;
    used += taken;
  }
  fuse_reply_buf(request, buffer, used);
}

void on_readdir(fuse_req_t request, fuse_ino_t inode, std::size_t size, off_t offset,
                fuse_file_info*) {
  reply_directory(request, inode, size, offset, false);
}

void on_readdirplus(fuse_req_t request, fuse_ino_t inode, std::size_t size, off_t offset,
                    fuse_file_info*) {
  reply_directory(request, inode, size, offset, true);
}

void on_statfs(fuse_req_t request, fuse_ino_t) {
  const FileSystemStatus status = state_of(request).fs.statfs();
  struct statvfs s = {};
  s.f_bsize = s.f_frsize = status.block_size;
  s.f_blocks = status.blocks;
  s.f_bfree = s.f_bavail = status.missing_blocks;
  s.f_files = status.files;
  s.f_namemax = status.max_name;
  fuse_reply_statfs(request, &s);
}

// A size of 0 asks how large the value is.
void reply_attribute(fuse_req_t request, const std::string& value, std::size_t size) {
  if (size == 0) {
    fuse_reply_xattr(request, value.size());
  } else if (size < value.size()) {
    fuse_reply_err(request, ERANGE);
  } else {
    fuse_reply_buf(request, value.data(), value.size());
  }
}

void on_getxattr(fuse_req_t request, fuse_ino_t inode, const char* name, std::size_t size) {
  const Result<std::string> value = state_of(request).fs.getxattr(inode, name);
  if (!value) return reply_error(request, value.error());
  reply_attribute(request, *value, size);
}

void on_listxattr(fuse_req_t request, fuse_ino_t inode, std::size_t size) {
  const Result<std::vector<std::string_view>> names = state_of(request).fs.listxattr(inode);
  if (!names) return reply_error(request, names.error());
  std::string list;
  for (const std::string_view name : *names) {
    list += name;
    list += '\0';
  }
  reply_attribute(request, list, size);
}

// Forgets need nothing: inodes live as long as the mount. No lseek: holes are not zeros.
fuse_lowlevel_ops operations() {
  fuse_lowlevel_ops ops = {};
  ops.init = on_init;
  ops.lookup = on_lookup;
  ops.getattr = on_getattr;
  ops.open = on_open;
  ops.read = on_read;
  ops.flush = on_flush;
  ops.release = on_release;
  ops.opendir = on_opendir;
  ops.readdir = on_readdir;
  ops.readdirplus = on_readdirplus;
  ops.releasedir = on_releasedir;
  ops.statfs = on_statfs;
  ops.getxattr = on_getxattr;
  ops.listxattr = on_listxattr;
  return ops;
}

}  // namespace

// -- the mount

error_code FuseSession::State::mount(const MountOptions& options) {
  const std::unique_ptr<char, decltype(&std::free)> resolved(
      ::realpath(options.mountpoint.c_str(), nullptr), &std::free);
  mountpoint = resolved ? resolved.get() : options.mountpoint;

  struct stat target = {};  // libfuse would mount on a plain file, too
  if (::stat(mountpoint.c_str(), &target) == 0 && !S_ISDIR(target.st_mode)) {
    return error_code(ENOTDIR, boost::system::system_category());
  }

  std::vector<std::string> words = fuse_arguments(options);
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  fuse_args arguments = FUSE_ARGS_INIT(static_cast<int>(pointers.size()), pointers.data());
  const fuse_lowlevel_ops ops = operations();
  session = fuse_session_new(&arguments, &ops, sizeof ops, this);
  fuse_opt_free_args(&arguments);
  if (session == nullptr) return FsErrc::mount_failed;
  errno = 0;
  if (fuse_session_mount(session, mountpoint.c_str()) != 0) {
    const error_code ec(errno, boost::system::system_category());
    return ec ? ec : FsErrc::mount_failed;
  }
  device.assign(fuse_session_fd(session));
  device.non_blocking(true);
  for (const MountLine& line : read_mountinfo()) {
    if (line.mountpoint == mountpoint && line.type == kMountType) device_number = line.device;
  }
  const int table = ::open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
  if (table >= 0) mounts.assign(table);
  if (const std::optional<std::chrono::seconds> timeout = read_request_timeout()) {
    // The kernel looks every 15 s, and aborts the mount when a request is older.
    fs.limit_hold(*timeout * 3 / 4);
    log(2, "the kernel aborts mounts after a request of " + std::to_string(timeout->count()) +
               " s (fs.fuse.*_request_timeout): reads that wait longer fail");
  }
  return {};
}

FuseSession::State::~State() {
  take_down();
  std::free(buffer.mem);
  if (session != nullptr) fuse_session_destroy(session);
  fuse_set_log_func(nullptr);
  libfuse_log = nullptr;
}

bool FuseSession::State::is_mounted() const {
  const std::vector<MountLine> table = read_mountinfo();
  const auto ours = [this](const MountLine& m) { return m.device == device_number; };
  return device_number.empty() || std::any_of(table.begin(), table.end(), ours);
}

// Every held READ is answered, the mount goes, and what is left of it if the kernel had aborted it.
void FuseSession::State::take_down() {
  if (std::exchange(down, true) || session == nullptr) return;
  fs.drain();
  look_again.disarm();
  fuse_session_exit(session);
  if (device.is_open()) device.release();  // libfuse closes it
  fuse_session_unmount(session);
  if (!device_number.empty() && last_mount_at(read_mountinfo(), mountpoint, device_number)) {
    detach_mount(mountpoint);
  }
}

void FuseSession::State::serve_some() {
  for (int i = 0; i < kRequestsPerTurn && !down; ++i) {
    const int received = fuse_session_receive_buf(session, &buffer);
    if (received == -EINTR) continue;
    if (received == -EAGAIN) break;
    if (received <= 0) return take_down();  // unmounted or aborted
    fuse_session_process_buf(session, &buffer);
  }
  if (!interrupted.empty()) judge_interrupts();
}

void FuseSession::State::judge_interrupts() {
  const net::TimePoint now = clock.now();
  const auto settled = [&](const Interrupted& i) {
    if (!fs.holds(i.read)) return true;
    const Reader reader = read_reader(i.pid);
    const bool long_unknown = reader == Reader::unknown && now - i.since >= kUnknownReaderGrace;
    if (reader != Reader::leaves && !long_unknown) return false;
    fs.interrupt(i.read);
    return true;
  };
  std::erase_if(interrupted, settled);
  if (!interrupted.empty()) look_again.arm(now + kLookAgain);
}

// A lazy unmount takes the mount out of the table and tells nobody; its readers would stay blocked.
Task<void> FuseSession::State::watch_mounts(std::shared_ptr<State> s) {
  while (s->mounts.is_open()) {
    co_await s->mounts.async_wait(asio::posix::descriptor_base::wait_error, asio::use_awaitable);
    if (s->down) co_return;
    if (s->is_mounted()) continue;
    s->log(1, "the mount was taken away; reads that wait are given up");
    s->fs.drain();
    co_return;
  }
}

// -- the public side

Result<std::unique_ptr<FuseSession>> FuseSession::mount(asio::any_io_executor executor,
                                                        net::Clock& clock,
                                                        const MountOptions& options, TorrentFs& fs,
                                                        Log log, std::string* why) {
  std::string said;
  auto listen = [&said](int, const std::string& line) {
    said += (said.empty() ? "" : "; ") + line;
  };
  auto state = std::make_shared<State>(std::move(executor), clock, fs, std::move(log));
  const Log during = listen;
  if (!options.debug) libfuse_log = &during;
  const error_code ec = state->mount(options);
  libfuse_log = &state->log;
  if (ec) {
    if (why != nullptr) *why = said;
    return ec;
  }
  return std::unique_ptr<FuseSession>(new FuseSession(std::move(state)));
}

FuseSession::FuseSession(std::shared_ptr<State> state) : state_(std::move(state)) {}
FuseSession::~FuseSession() {
  state_->take_down();
}

Task<void> FuseSession::serve() {
  const std::shared_ptr<State> s = state_;
  if (s->mounts.is_open()) s->tasks.spawn(State::watch_mounts(s));
  while (!s->down) {
    error_code ec;
    co_await s->device.async_wait(asio::posix::descriptor_base::wait_read,
                                  asio::redirect_error(asio::use_awaitable, ec));
    if (!ec) s->serve_some();
  }
  s->tasks.cancel();
  co_await s->tasks.join();
}

void FuseSession::request_stop() {
  state_->stopping = true;
  state_->take_down();
}

// Attributes only. This takes no lock that a request waiting for us may hold; dropping a name
// (notify_inval_entry) would take the directory's, and we would wait for ourselves. Names need it
// not: the empty root's are remembered for no time at all.
void FuseSession::root_changed() {
  if (state_->down || !state_->ready) return;
  fuse_lowlevel_notify_inval_inode(state_->session, FUSE_ROOT_ID, -1, 0);
}

bool FuseSession::stopping() const {
  return state_->stopping;
}
bool FuseSession::ready() const {
  return state_->ready;
}

void print_fuse_versions() {
  std::printf("libfuse %s\n", fuse_pkgversion());
  std::fflush(stdout);
  fuse_lowlevel_version();  // prints the protocol's
}

}  // namespace swarmfs::fs
