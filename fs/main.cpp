// The command line: what is asked for, whether it can be done, and who does it.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <variant>

#include "fs/background.h"
#include "fs/cache_dir.h"
#include "fs/fuse_session.h"
#include "fs/mounted_torrent.h"
#include "fs/mountpoint.h"
#include "fs/options.h"
#include "fs/source.h"
#include "fs/torrent_report.h"
#include "net/local_interface.h"

namespace swarmfs::fs {
namespace {

OrComplaint<net::LocalInterface> find_interface(const Options& options) {
  if (!options.interface) return net::LocalInterface();
  Result<net::LocalInterface> found = net::find_local_interface(*options.interface);
  if (found) return *std::move(found);
  return Complaint{"--interface " + *options.interface + ": " + found.error().message() +
                   "; name a network device of this machine (ip link) or one of its addresses"};
}

int mount(const Options& options) {
  const OrComplaint<std::string> cache =
      find_cache_root(options.cache_dir, std::getenv("XDG_CACHE_HOME"), std::getenv("HOME"));
  if (!cache) return complain(cache.error());
  const OrComplaint<std::string> mountpoint = find_mountpoint(options.mountpoint);
  if (!mountpoint) return complain(mountpoint.error());
  const OrComplaint<void> allowed = check_may_mount(options.allow_other);
  if (!allowed) return complain(allowed.error());
  const OrComplaint<net::LocalInterface> interface = find_interface(options);
  if (!interface) return complain(interface.error());
  OrComplaint<Source> source = open_source(options.source, options.allow_local, *interface);
  if (!source) return complain(source.error());
  const auto* const torrent = std::get_if<TorrentFile>(&*source);
  const OrComplaint<void> apart =
      check_apart(*mountpoint, torrent != nullptr ? torrent->path : "", *cache);
  if (!apart) return complain(apart.error());
  const OrComplaint<bool> cleared = ready_mountpoint(*mountpoint);
  if (!cleared) return complain(cleared.error());
  if (*cleared) complain({*mountpoint + ": cleared a dead mount of an earlier swarmfs"});

  if (options.foreground)
    return run_mounted(options, *std::move(source), *mountpoint, *cache, *interface, {});
  auto side = go_to_background(*mountpoint);
  if (const int* code = std::get_if<int>(&side)) return *code;
  return run_mounted(options, *std::move(source), *mountpoint, *cache, *interface,
                     std::move(std::get<StartReport>(side)));
}

std::string describe(const TorrentFile& torrent) {
  return describe_torrent(torrent.metainfo);
}

std::string describe(const storage::Magnet& magnet) {
  return describe_magnet(magnet);
}

int check(const Options& options) {
  const OrComplaint<net::LocalInterface> interface = find_interface(options);
  if (!interface) return complain(interface.error());
  OrComplaint<Source> source = open_source(options.source, options.allow_local, *interface);
  if (!source) return complain(source.error());
  const std::string text = std::visit([](const auto& s) { return describe(s); }, *source);
  std::fputs(text.c_str(), stdout);
  return EXIT_SUCCESS;
}

int start(int argc, const char* const* argv) {
  open_standard_descriptors();
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGHUP, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // a limit on the size of files is an error like a full disk
  const OrComplaint<Options> options = parse_options(argc, argv);
  if (!options) return complain(options.error());
  switch (options->action) {
    case Options::Action::help:
      std::fputs(help_text().c_str(), stdout);
      return EXIT_SUCCESS;
    case Options::Action::version:
      std::printf("swarmfs %s\n", SWARMFS_VERSION);
      print_fuse_versions();
      return EXIT_SUCCESS;
    case Options::Action::check:
      return check(*options);
    case Options::Action::mount:
      break;
  }
  return mount(*options);
}

}  // namespace
}  // namespace swarmfs::fs

int main(int argc, char** argv) {
  return swarmfs::fs::start(argc, argv);
}
