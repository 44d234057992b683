#include "fs/mounted_torrent.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <optional>
#include <utility>

#include "fs/cache_dir.h"
#include "fs/fuse_session.h"
#include "fs/log.h"
#include "fs/mountpoint.h"
#include "fs/stall_reason.h"
#include "fs/stderr_capture.h"
#include "fs/torrent_fs.h"
#include "net/clock.h"
#include "net/torrent_session.h"
#include "net/udp_port.h"
#include "storage/disk.h"
#include "storage/task_group.h"
#include "storage/worker_pool.h"

namespace swarmfs::fs {
namespace {

using namespace std::chrono_literals;

// SHA-1 does 1.3 GB/s on one thread, more than a network brings. Two, so that a slow write does not
// hold up a read.
constexpr unsigned kHashThreads = 1;
constexpr unsigned kDiskThreads = 2;
// Trackers get one second to hear that we leave; past this, something is wrong.
constexpr unsigned kShutdownSeconds = 3;
// 100 peers, trackers, some files. More than that is for the limits of net/ to refuse.
constexpr rlim_t kWantedDescriptors = 4096;
// How often start-up looks whether the kernel's first request was answered: it is there already.
constexpr net::Duration kReadyPoll = 2ms;
// Readers that have waited so long, while nothing came, are told why on the terminal.
constexpr net::Duration kStallCheck = 1s;
constexpr int kQuietChecks = 2;

void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= kWantedDescriptors) return;
  limit.rlim_cur = std::min(kWantedDescriptors, limit.rlim_max);
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

// A second signal, or the deadline. Works whatever the engine thread is doing.
void end_now(int) {
  ::_exit(kExitFailure);
}

void begin_last_seconds() {
  static bool begun = false;
  if (std::exchange(begun, true)) return;
  for (const int signal : {SIGINT, SIGTERM, SIGALRM}) std::signal(signal, end_now);
  ::alarm(kShutdownSeconds);
}

// One mounted torrent, in order of construction.
struct Program {
  Program(asio::io_context& context, Log l)
      : io(context),
        log(std::move(l)),
        clock(io.get_executor()),
        hashers(io.get_executor(), kHashThreads),
        disk_workers(io.get_executor(), kDiskThreads),
        signals(io, SIGINT, SIGTERM),
        watchers(io.get_executor()),
        life(io.get_executor()) {}

  asio::io_context& io;
  Log log;
  net::RealClock clock;
  storage::WorkerPool hashers;
  storage::WorkerPool disk_workers;
  std::unique_ptr<storage::RealDisk> disk;
  std::unique_ptr<net::UdpPort> udp;
  std::unique_ptr<net::TorrentSession> session;
  std::unique_ptr<TorrentFs> fs;
  std::unique_ptr<FuseSession> fuse;
  asio::signal_set signals;
  storage::TaskGroup watchers;  // end when the mount does
  storage::TaskGroup life;
};

Task<void> stop_on_signal(Program& p) {
  co_await p.signals.async_wait(asio::use_awaitable);
  p.signals.clear();
  begin_last_seconds();
  p.log.write(LogLevel::info, "asked to stop: unmounting");
  p.fuse->request_stop();
}

Task<void> report_live(Program& p, StartReport& report, std::string mountpoint) {
  while (!p.fuse->ready()) co_await p.clock.sleep(kReadyPoll);
  report.live();
  p.log.write(LogLevel::info, "mounted on " + mountpoint);
}

Task<void> show_stalls(Program& p) {
  std::uint64_t received = 0;
  for (int quiet = 0;;) {
    co_await p.clock.sleep(kStallCheck);
    const net::SwarmStatus status = p.session->swarm().status();
    const bool stalled = p.fs->held_reads() > 0 && status.received_bytes == received;
    received = status.received_bytes;
    quiet = stalled ? quiet + 1 : 0;
    const auto ranges = p.fs->waiting_for();
    const bool reachable = std::all_of(ranges.begin(), ranges.end(), [&p](storage::ByteRange r) {
      return p.session->swarm().reachable(r);
    });
    const std::string why = stall_reason(status, p.session->trackers_status(), reachable);
    p.log.show_status(quiet >= kQuietChecks ? why : "");
  }
}

// Until unmounted or told to stop. Unmounted first, network second: nobody waits for a tracker.
Task<void> live(Program& p) {
  p.udp->start();
  p.session->start();
  co_await p.fuse->serve();
  begin_last_seconds();
  p.log.show_status("");
  p.watchers.cancel();
  co_await p.watchers.join();
  co_await p.fs->stop();
  co_await p.session->stop();
  co_await p.udp->stop();
  p.log.write(LogLevel::info, "unmounted");
}

std::optional<Complaint> build(Program& p, const Options& options, TorrentFile torrent,
                               const CacheDir& cache, const std::string& mountpoint) {
  auto disk = storage::RealDisk::open(cache.path(), p.disk_workers);
  if (!disk) return Complaint{cache.path() + "/data: " + disk.error().message()};
  p.disk = std::move(*disk);

  const std::string name = torrent.metainfo.name;
  const std::int64_t mtime = torrent.metainfo.creation_date.value_or(cache.added());
  const auto log = [l = p.log](int level, const std::string& line) { l(level, line); };
  p.udp = net::open_udp_port(p.io.get_executor(), options.port, {},
                             [log](const std::string& line) { log(1, line); });
  p.session = std::make_unique<net::TorrentSession>(
      net::TorrentSession::Parts{.executor = p.io.get_executor(),
                                 .clock = p.clock,
                                 .dialer = net::tcp_dialer(p.io.get_executor()),
                                 .metainfo = std::move(torrent.metainfo),
                                 .hashers = p.hashers,
                                 .disk = p.disk.get(),
                                 .peers = options.peers,
                                 .port = options.port,
                                 .udp = p.udp.get(),
                                 .allow_local = options.allow_local,
                                 .log = log});
  p.fs = std::make_unique<TorrentFs>(
      TorrentFs::Parts{.executor = p.io.get_executor(),
                       .clock = p.clock,
                       .metainfo = p.session->metainfo(),
                       .store = p.session->store(),
                       .want = [&s = *p.session](net::Wish wish) { return s.swarm().want(wish); },
                       .options = {.owner = {.uid = ::getuid(), .gid = ::getgid(), .mtime = mtime},
                                   .soft_timeout = options.soft_timeout}});

  std::string said;
  StderrCapture fusermount;  // it has its own way of complaining
  const MountOptions how{.mountpoint = mountpoint,
                         .fsname = options.fsname.value_or(name),
                         .allow_other = options.allow_other,
                         .debug = options.debug,
                         .extra = options.kernel_options};
  auto fuse = FuseSession::mount(p.io.get_executor(), p.clock, how, *p.fs, log, &said);
  const std::string fusermount_said = fusermount.finish();
  if (!fuse) {
    return explain_mount_failure(mountpoint, fuse.error(), said.empty() ? fusermount_said : said);
  }
  p.fuse = std::move(*fuse);
  return std::nullopt;
}

}  // namespace

int run_mounted(const Options& options, TorrentFile torrent, const std::string& mountpoint,
                const std::string& cache_root, StartReport report) {
  raise_descriptor_limit();
  report.waiting_for("the cache directory " + cache_root);
  const OrComplaint<CacheDir> cache =
      CacheDir::claim(cache_root, torrent.metainfo.info_hash, torrent.bytes);
  if (!cache) return report.failed(cache.error());

  // Never destroyed: that would wait for name lookups that were given up.
  static asio::io_context* const io = new asio::io_context(1);
  Program p(*io, options.foreground ? Log::to_stderr(options.log_level)
                                    : Log::to_syslog(options.log_level));
  for (const std::string& line : torrent.metainfo.warnings) p.log.write(LogLevel::warning, line);
  report.waiting_for("the kernel to mount " + mountpoint);
  if (const auto complaint = build(p, options, std::move(torrent), *cache, mountpoint)) {
    return report.failed(*complaint);
  }
  p.watchers.spawn(stop_on_signal(p));
  p.watchers.spawn(report_live(p, report, mountpoint));
  if (p.log.is_terminal()) p.watchers.spawn(show_stalls(p));
  p.life.spawn(live(p));
  while (p.life.size() > 0) p.io.run_one();
  return EXIT_SUCCESS;
}

}  // namespace swarmfs::fs
