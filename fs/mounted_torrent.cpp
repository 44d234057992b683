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
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "fs/bounded_cache.h"
#include "fs/cache_dir.h"
#include "fs/cache_verify.h"
#include "fs/dht_file.h"
#include "fs/ephemeral.h"
#include "fs/file_selection.h"
#include "fs/fuse_session.h"
#include "fs/log.h"
#include "fs/mount_plan.h"
#include "fs/mountpoint.h"
#include "fs/resume_keeper.h"
#include "fs/stall_reason.h"
#include "fs/stderr_capture.h"
#include "fs/torrent_fs.h"
#include "net/clock.h"
#include "net/discovery.h"
#include "net/listener.h"
#include "net/local_interface.h"
#include "net/torrent_session.h"
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
// Room is asked for before a write, so it must not wait behind writes.
constexpr unsigned kBudgetThreads = 1;
// Trackers get one second to hear that we leave; past this, something is wrong.
constexpr unsigned kShutdownSeconds = 3;
// 100 peers, trackers, some files. More than that is for the limits of net/ to refuse.
constexpr rlim_t kWantedDescriptors = 4096;
// How often start-up looks whether the kernel's first request was answered: it is there already.
constexpr net::Duration kReadyPoll = 2ms;
// How often we look whether somebody waits and nothing comes (StallWatch).
constexpr net::Duration kStallCheck = 1s;

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
  Program(asio::io_context& context, const Options& o, StartReport& r,
          std::shared_ptr<const CacheDir> c, Log l)
      : io(context),
        options(o),
        report(r),
        cache(std::move(c)),
        log(std::move(l)),
        clock(io.get_executor()),
        hashers(io.get_executor(), kHashThreads),
        disk_workers(io.get_executor(), kDiskThreads),
        budget_workers(io.get_executor(), kBudgetThreads),
        signals(io, SIGINT, SIGTERM),
        watchers(io.get_executor()),
        life(io.get_executor()) {}

  // What the start waits for besides the mount itself: -o wait_metadata.
  [[nodiscard]] bool wants_files_first() const { return options.wait_metadata && !fs->attached(); }

  asio::io_context& io;
  const Options& options;
  StartReport& report;
  std::shared_ptr<const CacheDir> cache;
  std::string cache_root;
  Log log;
  net::RealClock clock;
  storage::WorkerPool hashers;
  storage::WorkerPool disk_workers;
  storage::WorkerPool budget_workers;
  std::string title;
  std::vector<storage::FileRange> selected;
  std::unique_ptr<storage::RealDisk> disk;
  std::unique_ptr<BoundedCache> bounded;
  net::LocalInterface interface;
  std::unique_ptr<net::Listener> listener;
  std::unique_ptr<net::Discovery> discovery;
  std::optional<storage::Resume> resume;  // what the cache held at the start
  std::unique_ptr<net::TorrentSession> session;
  std::unique_ptr<ResumeKeeper> keeper;  // once the torrent is known
  std::unique_ptr<TorrentFs> fs;
  std::unique_ptr<FuseSession> fuse;
  std::optional<Complaint> failure;  // why it all ends
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

void fail(Program& p, std::string line) {
  if (p.fuse->stopping()) return;
  p.failure = Complaint{std::move(line)};
  begin_last_seconds();
  p.fuse->request_stop();
}

// What an earlier mount says is in the cache.
storage::Bitfield claimed_pieces(const Program& p, const storage::Metainfo& metainfo) {
  if (!p.resume) return storage::Bitfield();
  if (storage::fits(*p.resume, metainfo.info_hash, metainfo.layout)) return p.resume->pieces;
  p.log.write(LogLevel::warning, p.cache->path() +
                                     "/resume: it belongs to another torrent; the "
                                     "cache of this torrent starts empty");
  return storage::Bitfield();
}

std::uint32_t unix_minutes() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto minutes = std::chrono::duration_cast<std::chrono::minutes>(now).count();
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(minutes, 1, UINT32_MAX));
}

void keep_resume(Program& p) {
  const storage::Metainfo& metainfo = p.session->metainfo();
  if (p.cache->trim_data(metainfo.layout, p.session->store().in_file())) {
    p.log.write(LogLevel::warning,
                p.cache->path() + "/data: it was longer than the torrent; the rest was cut off");
  }
  // What --verify has seen may have been cut off since.
  if (!p.disk->expect(metainfo.layout.total_size())) p.session->store().doubt_file();
  const bool known = p.resume && storage::fits(*p.resume, metainfo.info_hash, metainfo.layout);
  p.keeper = std::make_unique<ResumeKeeper>(ResumeKeeper::Parts{
      .clock = p.clock,
      .store = p.session->store(),
      .disk = *p.disk,
      .workers = p.disk_workers,
      .known = known ? *p.resume : storage::empty_resume(metainfo.info_hash, metainfo.layout),
      .now = unix_minutes,
      .peers = [&s = *p.session] { return s.peers_to_remember(); },
      .save = [cache = p.cache](const storage::Resume& r) { return cache->keep_resume(r); },
      .warn = [l = p.log](const std::string& line) { l.write(LogLevel::warning, line); },
      .used = [&b = *p.bounded](storage::PieceIndex piece) { b.on_used(piece); }});
}

// What may leave the cache when room is needed, and what fills it when there is room.
void share_cache(Program& p) {
  const storage::Metainfo& metainfo = p.session->metainfo();
  const bool known = p.resume && storage::fits(*p.resume, metainfo.info_hash, metainfo.layout);
  p.bounded->attach({.executor = p.io.get_executor(),
                     .store = p.session->store(),
                     .pinned = storage::pinned_ranges(metainfo.files),
                     .windows = [&fs = *p.fs] { return fs.windows(); },
                     .minutes = unix_minutes},
                    known ? std::span<const std::uint32_t>(p.resume->last_used)
                          : std::span<const std::uint32_t>());
  if (p.options.prefetch == Prefetch::none) return;
  const bool all = p.options.prefetch == Prefetch::torrent;
  const std::uint32_t piece = metainfo.layout.piece_length();
  // The picker gives the background a quarter of the blocks; what is complete waits to be written.
  const std::uint64_t in_flight =
      net::pool_size(piece, p.options.memory_limit) / 4 + 2 * std::uint64_t{piece};
  p.bounded->prefetch([&s = *p.session](net::Wish wish) { return s.want(wish); },
                      [&fs = *p.fs, all] { return all ? fs.shown_ranges() : fs.open_ranges(); },
                      in_flight);
}

// The torrent is known: its files appear.
void show_files(Program& p) {
  const storage::Metainfo& metainfo = p.session->metainfo();
  keep_resume(p);
  share_cache(p);
  for (const std::string& line : metainfo.warnings) p.log.write(LogLevel::warning, line);
  const FileSelection selection = select_files(metainfo, p.selected);
  for (const std::string& line : selection.warnings) p.log.write(LogLevel::warning, line);
  p.fs->attach(metainfo, selection.files, p.session->store());
}

// False when it ended without them.
Task<bool> fetch_files(Program& p) {
  const Result<void> there = co_await p.session->wait_metadata();
  if (!there) {
    if (there.error() != storage::StorageErrc::closed) {
      fail(p, p.title + ": not a torrent that can be mounted: " + there.error().message());
    }
    co_return false;
  }
  show_files(p);
  p.watchers.spawn(p.keeper->run());
  p.fuse->root_changed();
  p.log.write(LogLevel::info, "the metadata is here: " + p.session->metainfo().name);
  co_return true;
}

Task<void> bring_up(Program& p, std::string mountpoint) {
  while (!p.fuse->ready()) co_await p.clock.sleep(kReadyPoll);
  if (p.wants_files_first()) {
    p.report.take_your_time();
    const bool there = co_await fetch_files(p);
    if (!there) co_return;
  }
  p.report.live();
  p.log.write(LogLevel::info, "mounted on " + mountpoint);
  if (!p.fs->attached()) co_await fetch_files(p);
}

// Of what readers wait for.
std::optional<std::uint32_t> first_unreachable_piece(const Program& p) {
  if (!p.session->has_metadata()) return std::nullopt;
  const storage::Layout& layout = p.session->metainfo().layout;
  std::optional<std::uint32_t> first;
  for (const storage::ByteRange range : p.fs->waiting_for()) {
    std::optional<storage::PieceIndex> piece = layout.piece_of(range.begin);
    for (; piece && layout.range(*piece).begin < range.end; piece = layout.next(*piece)) {
      const storage::ByteRange bytes = layout.range(*piece);
      const bool here = p.session->store().present_bytes(bytes) == bytes.size();
      if (here || p.session->reachable(bytes)) continue;
      first = std::min(first.value_or(piece->value()), piece->value());
    }
  }
  return first;
}

// What was asked for peers, and what it said.
std::string sources_status(const Program& p) {
  const std::string trackers = p.session->trackers_status();
  const std::string dht = p.discovery->status();
  return trackers + (trackers.empty() || dht.empty() ? "" : ", ") + dht;
}

StallReason why_nothing_comes(const Program& p) {
  return stall_reason({.swarm = p.session->status(),
                       .sources = sources_status(p),
                       .needs_metadata = !p.fs->attached(),
                       .unreachable_piece = first_unreachable_piece(p)});
}

Task<void> watch_stalls(Program& p) {
  StallWatch watch;
  while (true) {
    co_await p.clock.sleep(kStallCheck);
    const net::SwarmStatus status = p.session->status();
    const bool no_files = !p.fs->attached();
    const bool stalled = watch.stalled(no_files || p.fs->held_reads() > 0,
                                       status.received_bytes + status.metadata_bytes);
    // How the metadata comes along is of interest, too: there is nothing else to see.
    if (!stalled && !no_files) {
      p.log.show_status("");
      continue;
    }
    const StallReason reason = why_nothing_comes(p);
    const std::string line = "waiting for " + reason.text;
    if (p.wants_files_first()) p.report.waiting_for(reason.text);
    p.log.show_status(line);
    if (stalled && watch.is_news(reason.kind, p.clock.now())) p.log.write(LogLevel::info, line);
  }
}

Task<void> give_up_waiting(Program& p, std::chrono::seconds limit) {
  co_await p.clock.sleep(limit);
  if (!p.wants_files_first()) co_return;
  fail(p, p.title + ": gave up after " + std::to_string(limit.count()) + " s of waiting for " +
              why_nothing_comes(p).text);
}

// A job of its own: the disk may take its time. It ends even when the mount does.
Task<void> keep_metainfo(Program& p, std::vector<std::byte> torrent) {
  auto failed = std::make_shared<std::optional<Complaint>>();
  std::function<void()> job = [cache = p.cache, failed, bytes = std::move(torrent)] {
    if (const auto kept = cache->keep_metainfo(bytes); !kept) *failed = kept.error();
  };
  co_await p.disk_workers.run(std::move(job));
  if (*failed) p.log.write(LogLevel::warning, "the metadata is not kept: " + (*failed)->line);
}

// For the next run. A table that never filled says nothing.
void remember_nodes(const Program& p) {
  const std::optional<net::DhtState> state = p.discovery->dht_state();
  if (!state || state->nodes.empty()) return;
  if (const int error = save_dht_state(p.cache_root, *state); error != 0) {
    p.log.write(LogLevel::info,
                "the DHT's nodes are not kept: " + std::string(std::strerror(error)));
  }
}

// Until unmounted or told to stop. Unmounted first, network second: nobody waits for a tracker.
Task<void> live(Program& p) {
  p.listener->start();
  p.discovery->start();
  p.session->start();
  co_await p.fuse->serve();
  begin_last_seconds();
  p.log.show_status("");
  p.watchers.cancel();
  co_await p.watchers.join();
  p.bounded->stop_prefetch();
  co_await p.fs->stop();
  remember_nodes(p);
  // Before the network is left, which may use up the time, and once more for what was written
  // since.
  if (p.keeper) co_await p.keeper->finish();
  co_await p.session->stop();
  co_await p.bounded->stop();
  if (p.keeper) co_await p.keeper->update();
  co_await p.discovery->stop();
  co_await p.listener->stop();
  p.log.write(LogLevel::info, "unmounted");
}

void build_session(Program& p, MountPlan plan) {
  if (!p.options.web_seeds) plan.web_seeds.clear();
  const auto log = [l = p.log](int level, const std::string& line) { l(level, line); };
  p.listener = std::make_unique<net::Listener>(net::Listener::Parts{
      .executor = p.io.get_executor(),
      .clock = p.clock,
      .at = net::open_tcp_port(p.io.get_executor(), p.options.port, p.interface,
                               [log](const std::string& line) { log(1, line); })});
  p.discovery =
      std::make_unique<net::Discovery>(net::Discovery::Parts{.executor = p.io.get_executor(),
                                                             .clock = p.clock,
                                                             .port = p.options.port,
                                                             .peer_port = p.listener->port(),
                                                             .interface = p.interface,
                                                             .dht = p.options.dht,
                                                             .lsd = p.options.lsd,
                                                             .routers = p.options.dht_bootstrap,
                                                             .saved = load_dht_state(p.cache_root),
                                                             .allow_local = p.options.allow_local,
                                                             .log = log});
  const auto keep = [&p](std::span<const std::byte> torrent) {
    p.life.spawn(keep_metainfo(p, {torrent.begin(), torrent.end()}));
  };
  p.session = std::make_unique<net::TorrentSession>(net::TorrentSession::Parts{
      .executor = p.io.get_executor(),
      .clock = p.clock,
      .dialer = net::tcp_dialer(p.io.get_executor(), p.interface),
      .info_hash = plan.info_hash,
      .metainfo = std::move(plan.metainfo),
      .torrent = std::move(plan.torrent),
      .trackers = std::move(plan.trackers),
      .hashers = p.hashers,
      .disk = &p.bounded->disk(),
      .web_seeds = std::move(plan.web_seeds),
      .peers = p.options.peers,
      .hinted_peers = std::move(plan.hinted_peers),
      .port = p.options.port,
      .listener = p.listener.get(),
      .discovery = p.discovery.get(),
      .interface = p.interface,
      .user_tiers = plan.user_tiers,
      .allow_local = p.options.allow_local,
      .memory_limit = p.options.memory_limit,
      .claimed = [&p](const storage::Metainfo& m) { return claimed_pieces(p, m); },
      .pex = p.options.pex,
      .log = log,
      .on_metadata = keep});
  if (p.resume) p.session->add_peers(p.resume->peers, net::PeerSource::remembered);
}

// Hashes all that is claimed.
Task<void> verify_first(Program& p, bool& stopped, bool& done) {
  const auto show = [&p](VerifyProgress progress) {
    const std::string line = progress_bar(progress);
    p.report.waiting_for(line);
    p.log.show_status(line);
    if (!p.log.is_terminal() && percent(progress) % 10 == 0) p.log.write(LogLevel::info, line);
  };
  p.report.take_your_time();
  const VerifyProgress found =
      co_await verify_cache(p.io.get_executor(), p.session->store(), show, stopped);
  p.log.show_status("");
  p.log.write(found.bad > 0 ? LogLevel::warning : LogLevel::info,
              "checked the cache: " + std::to_string(found.done) + " pieces, " +
                  std::to_string(found.bad) + " damaged and dropped");
  done = true;
}

// --verify, before there is a mount. False: a signal ended it.
bool verify_cached_pieces(Program& p) {
  if (!p.options.verify || !p.session->has_metadata()) return true;
  bool stopped = false;
  bool done = false;
  p.signals.async_wait([&stopped](error_code ec, int) { stopped = !ec; });
  p.life.spawn(verify_first(p, stopped, done));
  while (!done) p.io.run_one();
  while (p.life.size() > 0) p.io.run_one();
  if (!stopped) p.signals.cancel();
  p.io.poll();
  return !stopped;
}

std::optional<Complaint> build(Program& p, MountPlan plan, const std::string& mountpoint) {
  auto disk = storage::RealDisk::open(p.cache->path(), p.disk_workers);
  if (!disk) return Complaint{p.cache->path() + "/data: " + disk.error().message()};
  p.disk = std::move(*disk);
  p.bounded = std::make_unique<BoundedCache>(BoundedCache::Parts{
      .executor = p.io.get_executor(),
      .clock = p.clock,
      .workers = p.budget_workers,
      .disk = *p.disk,
      .root = p.cache_root,
      .limits = {.size = p.options.cache_size, .min_free = p.options.min_free},
      .warn = [l = p.log](const std::string& line) { l.write(LogLevel::warning, line); }});
  p.title = plan.title;
  p.selected = plan.selected;
  const storage::InfoHash info_hash = plan.info_hash;
  // Metadata from peers has no date, so this stays when it comes.
  const std::int64_t mtime =
      plan.metainfo ? plan.metainfo->creation_date.value_or(p.cache->added()) : p.cache->added();
  for (const std::string& line : plan.warnings) p.log.write(LogLevel::warning, line);
  std::string warning;
  p.resume = p.cache->load_resume(&warning);
  if (!warning.empty()) p.log.write(LogLevel::warning, warning);
  build_session(p, std::move(plan));
  p.fs = std::make_unique<TorrentFs>(
      TorrentFs::Parts{.executor = p.io.get_executor(),
                       .clock = p.clock,
                       .info_hash = info_hash,
                       .want = [&s = *p.session](net::Wish wish) { return s.want(wish); },
                       .options = {.owner = {.uid = ::getuid(), .gid = ::getgid(), .mtime = mtime},
                                   .soft_timeout = p.options.soft_timeout}});
  if (!verify_cached_pieces(p)) return Complaint{"stopped while the cache was checked"};
  if (p.session->has_metadata()) show_files(p);

  std::string said;
  StderrCapture fusermount;  // it has its own way of complaining
  const MountOptions how{.mountpoint = mountpoint,
                         .fsname = p.options.fsname.value_or(p.title),
                         .allow_other = p.options.allow_other,
                         .debug = p.options.debug,
                         .extra = p.options.kernel_options};
  const auto log = [l = p.log](int level, const std::string& line) { l(level, line); };
  auto fuse = FuseSession::mount(p.io.get_executor(), p.clock, how, *p.fs, log, &said);
  const std::string fusermount_said = fusermount.finish();
  if (!fuse) {
    return explain_mount_failure(mountpoint, fuse.error(), said.empty() ? fusermount_said : said);
  }
  p.fuse = std::move(*fuse);
  return std::nullopt;
}

// What was kept of the torrent, which is kept for the next time when the user has it.
OrComplaint<std::optional<KeptTorrent>> recall(const Source& source, const CacheDir& cache) {
  const auto* const torrent = std::get_if<TorrentFile>(&source);
  if (torrent == nullptr) return cache.load_metainfo();
  if (const OrComplaint<void> kept = cache.keep_metainfo(torrent->bytes); !kept)
    return kept.error();
  return std::optional<KeptTorrent>();
}

// Until the mount is gone and everything has ended. Returns the exit code.
int run(Program& p, const std::string& mountpoint) {
  p.watchers.spawn(stop_on_signal(p));
  p.watchers.spawn(bring_up(p, mountpoint));
  p.watchers.spawn(watch_stalls(p));
  p.watchers.spawn(p.bounded->watch());
  if (p.options.prefetch != Prefetch::none) p.watchers.spawn(p.bounded->look_for_prefetch());
  if (p.keeper) p.watchers.spawn(p.keeper->run());
  if (p.options.wait_metadata_limit && p.wants_files_first()) {
    p.watchers.spawn(give_up_waiting(p, *p.options.wait_metadata_limit));
  }
  p.life.spawn(live(p));
  while (p.life.size() > 0) p.io.run_one();
  if (!p.failure && p.wants_files_first()) {
    p.failure = Complaint{"stopped before the metadata was there"};
  }
  if (!p.failure) return EXIT_SUCCESS;
  if (!p.options.foreground) p.log.write(LogLevel::error, p.failure->line);
  return p.report.failed(*p.failure);
}

}  // namespace

int run_mounted(const Options& options, Source source, const std::string& mountpoint,
                const std::string& cache_root, const net::LocalInterface& interface,
                StartReport report) {
  raise_descriptor_limit();
  report.waiting_for("the cache directory " + cache_root);
  remove_left_overs(cache_root);
  OrComplaint<CacheDir> claimed =
      CacheDir::claim(cache_root, info_hash_of(source), options.ephemeral);
  if (!claimed) return report.failed(claimed.error());
  const auto cache = std::make_shared<const CacheDir>(*std::move(claimed));
  OrComplaint<std::optional<KeptTorrent>> kept = recall(source, *cache);
  if (!kept) return report.failed(kept.error());
  MountPlan plan = plan_mount(std::move(source), *std::move(kept), options.trackers);

  // Never destroyed: that would wait for name lookups that were given up.
  static asio::io_context* const io = new asio::io_context(1);
  Program p(
      *io, options, report, cache,
      options.foreground ? Log::to_stderr(options.log_level) : Log::to_syslog(options.log_level));
  p.cache_root = cache_root;
  p.interface = interface;
  report.waiting_for("the kernel to mount " + mountpoint);
  const auto complaint = build(p, std::move(plan), mountpoint);
  const int code = complaint ? report.failed(*complaint) : run(p, mountpoint);
  cache->remove();
  return code;
}

}  // namespace swarmfs::fs
