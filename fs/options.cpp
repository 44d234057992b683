#include "fs/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <boost/asio/ip/address.hpp>
#include <charconv>
#include <utility>

#include "fs/terminal_text.h"
#include "storage/magnet.h"
#include "storage/metainfo_sources.h"

namespace swarmfs::fs {
namespace {

// IFNAMSIZ of linux/if.h, without the terminator.
constexpr std::size_t kMaxInterfaceName = 15;
// A day is for ever to a program; the cap keeps deadlines far from overflow.
constexpr std::uint64_t kMaxSeconds = 24 * 60 * 60;
// Two pieces of 8 MiB, what connections read into, and the program itself.
constexpr std::uint64_t kLeastMemory = 32 * 1024 * 1024;
// One piece of the usual torrent must fit, or the cache keeps nothing.
constexpr std::uint64_t kLeastCache = 16 * 1024 * 1024;
constexpr const char* kWaitMetadata = "--wait-metadata";
constexpr const char* kNoLimit = "for ever";
constexpr std::string_view kUsage = "Usage: swarmfs [options] SOURCE MOUNTPOINT";
constexpr std::string_view kSeeHelp = " (swarmfs --help lists what there is)";

// What mount(8), fstab and systemd put into -o for themselves, and what our mounts have or refuse
// anyway. `suid`, `dev` and `rw` come from mount.fuse3, unasked.
constexpr std::array<std::string_view, 45> kIgnoredMountOptions{"_netdev",
                                                                "nofail",
                                                                "noauto",
                                                                "auto",
                                                                "user",
                                                                "nouser",
                                                                "users",
                                                                "owner",
                                                                "group",
                                                                "comment",
                                                                "defaults",
                                                                "rw",
                                                                "ro",
                                                                "suid",
                                                                "nosuid",
                                                                "dev",
                                                                "nodev",
                                                                "exec",
                                                                "async",
                                                                "sync",
                                                                "dirsync",
                                                                "atime",
                                                                "noatime",
                                                                "diratime",
                                                                "nodiratime",
                                                                "relatime",
                                                                "norelatime",
                                                                "strictatime",
                                                                "nostrictatime",
                                                                "lazytime",
                                                                "nolazytime",
                                                                "iversion",
                                                                "noiversion",
                                                                "mand",
                                                                "nomand",
                                                                "silent",
                                                                "loud",
                                                                "default_permissions",
                                                                "hard_remove",
                                                                "big_writes",
                                                                "large_read",
                                                                "nosymfollow",
                                                                "symfollow",
                                                                "helper",
                                                                "uhelper"};

// For the kernel, through libfuse 3.10 and newer.
constexpr std::array<std::string_view, 5> kKernelOptions{"noexec", "context", "fscontext",
                                                         "defcontext", "rootcontext"};

// Known to users of FUSE, not possible here: say why.
constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kRefusedMountOptions{{
    {"auto_unmount", "a dead mount is cleared when swarmfs starts again"},
    {"allow_root", "use allow_other"},
    {"subtype", "it is always swarmfs"},
    {"nonempty", "mount on an empty directory"},
}};

struct RawOptions {
  std::vector<std::string> words;  // positional
  std::vector<std::string> mount_options;
  std::vector<std::string> peers;
  std::vector<std::string> trackers;
  std::vector<std::string> dht_bootstrap;
  std::string cache_dir;
  std::string cache_size;
  std::string min_free;
  std::string memory_limit;
  std::string prefetch;
  std::string port;
  std::string interface;
  std::string wait_metadata;  // empty: not given; kNoLimit: given without a time
  std::string log_level;
  std::string check;
  bool foreground = false;
  bool debug = false;
  bool allow_local = false;
  bool ephemeral = false;
  bool verify = false;
  bool no_dht = false;
  bool no_pex = false;
  bool no_web_seeds = false;
  bool no_lsd = false;
  bool version = false;
  bool help = false;
};

Complaint usage(std::string line) {
  return {printable(line), kExitUsage};
}

bool contains(const auto& list, std::string_view name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

// Adds to what was given before, here or under -o.
void add_list(CLI::App& app, const char* name, std::vector<std::string>& list, const char* type,
              const char* description) {
  const auto append = [&list](const std::vector<std::string>& given) {
    list.insert(list.end(), given.begin(), given.end());
  };
  app.add_option_function<std::vector<std::string>>(name, append, description)
      ->type_name(type)
      ->allow_extra_args(false);
}

// The last one counts: what a script says at the end overrides its defaults.
void add_value(CLI::App& app, const char* name, auto& value, const char* type,
               const std::string& description) {
  app.add_option(name, value, description)
      ->type_name(type)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
}

// What is kept, how much of it, and what is fetched before anybody asks.
void add_cache_options(CLI::App& app, RawOptions& raw) {
  add_value(app, "--cache-size", raw.cache_size, "SIZE",
            "keep at most this much of all torrents together, as in 20G, or 10% of the disk; "
            "what was not read for longest goes first [no limit]");
  add_value(app, "--min-free", raw.min_free, "SIZE",
            "leave this much of the disk free, as in 5G or 5% [5%, at most 1G]");
  app.add_flag("--ephemeral", raw.ephemeral, "keep nothing: the cache goes with the mount");
  add_value(app, "--prefetch", raw.prefetch, "WHAT",
            "fetch in the background, while there is room: file (the whole of files that are "
            "open) or torrent (everything) [none]");
  add_value(app, "--memory-limit", raw.memory_limit, "SIZE",
            "use about this much memory, 32M at the least; a torrent takes two of its pieces "
            "and 24M in any case [64M]");
}

// The options that are also available under -o.
void add_long_options(CLI::App& app, RawOptions& raw) {
  app.add_flag("-f,--foreground", raw.foreground, "stay in the foreground, log to the terminal");
  app.add_flag("-d,--debug", raw.debug, "-f, and show every request of the kernel");
  add_list(app, "--peer", raw.peers, "HOST:PORT", "a peer to connect to; may be given many times");
  add_list(app, "--tracker", raw.trackers, "URL", "one more tracker; may be given many times");
  app.add_flag("--no-dht", raw.no_dht, "do not look for peers in the DHT");
  app.add_flag("--no-pex", raw.no_pex, "do not exchange peers with peers");
  app.add_flag("--no-web-seeds", raw.no_web_seeds, "do not download from web servers");
  app.add_flag("--no-lsd", raw.no_lsd, "do not look for peers on the local network");
  add_list(app, "--dht-bootstrap", raw.dht_bootstrap, "HOST:PORT",
           "one more node to enter the DHT by; may be given many times");
  add_value(app, "--interface", raw.interface, "NAME|ADDRESS",
            "use this network interface, or this address of it");
  app.add_flag(kWaitMetadata + std::string("{") + kNoLimit + "}", raw.wait_metadata,
               "mount a magnet link only when its metadata has come; fail after SECONDS")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  add_value(app, "--cache-dir", raw.cache_dir, "DIR",
            "where downloaded data is kept [$XDG_CACHE_HOME/swarmfs or ~/.cache/swarmfs]");
  add_cache_options(app, raw);
  add_value(app, "--port", raw.port, "PORT",
            "where peers connect to us (TCP, the next free one when it is taken), and of the "
            "DHT and UDP trackers [" +
                std::to_string(kDefaultPort) + "]");
  app.add_flag("--verify", raw.verify, "check all that the cache holds of the torrent, then mount");
  app.add_flag("--allow-local", raw.allow_local,
               "let trackers lead to loopback and link-local addresses (closed networks, tests)");
  add_value(app, "--log-level", raw.log_level, "LEVEL", "error, warning, info or debug [info]");
}

void add_command_line(CLI::App& app, RawOptions& raw) {
  app.set_help_flag();
  add_long_options(app, raw);
  app.add_option("-o", raw.mount_options, "mount options, see below; may be given many times")
      ->type_name("OPT[=VALUE],...")
      ->allow_extra_args(false);
  add_value(app, "--check", raw.check, "SOURCE",
            "say what a torrent or a link holds, or what is wrong with it; no mount");
  app.add_flag("-h,--help", raw.help, "show this text");
  app.add_flag("-V,--version", raw.version, "show versions: ours, libfuse's, the FUSE protocol's");
  app.add_option("words", raw.words)->group("");
  app.allow_extras();
}

// CLI11 reports by exception. `where` goes before its text.
std::optional<Complaint> parse_with(CLI::App& app, std::vector<std::string> words,
                                    const std::string& where) {
  std::reverse(words.begin(), words.end());  // as CLI11 wants them
  try {
    app.parse(words);
  } catch (const CLI::ParseError& error) {
    return usage(where + error.what() + std::string(kSeeHelp));
  }
  std::vector<std::string> unknown = app.remaining();
  std::erase(unknown, "--");  // what ends the options
  if (!unknown.empty())
    return usage(where + "unknown option " + unknown.front() + std::string(kSeeHelp));
  return std::nullopt;
}

std::optional<std::uint64_t> parse_number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (ec != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
  const std::optional<std::uint64_t> value = parse_number(text);
  if (!value || *value == 0 || *value > 65535) return std::nullopt;
  return static_cast<std::uint16_t>(*value);
}

std::optional<std::chrono::seconds> parse_seconds(std::string_view text) {
  const std::optional<std::uint64_t> value = parse_number(text);
  if (!value || *value == 0 || *value > kMaxSeconds) return std::nullopt;
  return std::chrono::seconds(*value);
}

// An address, or what may be the name of an interface (the kernel's dev_valid_name()).
bool is_interface(std::string_view text) {
  error_code not_an_address;
  asio::ip::make_address(std::string(text), not_an_address);
  if (!not_an_address) return true;
  const bool plain = std::all_of(
      text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7F && c != '/' && c != ':'; });
  return plain && !text.empty() && text.size() <= kMaxInterfaceName && text != "." && text != "..";
}

// What -o says that is not a long option.
struct MountWords {
  bool soft = false;
  std::optional<std::chrono::seconds> timeo;
  std::vector<std::string> long_options;  // as typed, without -o
};

std::optional<Complaint> take_mount_option(const std::string& option, Options& options,
                                           MountWords& words) {
  const std::size_t equals = option.find('=');
  const std::string name = option.substr(0, equals);
  const std::string value = equals == std::string::npos ? "" : option.substr(equals + 1);
  if (contains(kIgnoredMountOptions, name) || name.starts_with("x-") || name.starts_with("X-")) {
    return std::nullopt;
  }
  for (const auto& [refused, why] : kRefusedMountOptions) {
    if (name == refused) return usage("-o " + name + ": not possible: " + std::string(why));
  }
  if (contains(kKernelOptions, name)) {
    options.kernel_options.push_back(option);
  } else if (name == "allow_other") {
    options.allow_other = true;
  } else if (name == "fsname" && !value.empty()) {
    options.fsname = value;
  } else if (name == "hard") {
    words.soft = false;
  } else if (name == "soft") {
    words.soft = true;
  } else if (name == "timeo") {
    words.timeo = parse_seconds(value);
    if (!words.timeo) {
      return usage("-o " + option + ": timeo takes seconds, 1 to " + std::to_string(kMaxSeconds));
    }
  } else {
    words.long_options.push_back(option);
  }
  return std::nullopt;
}

// One at a time, so that a complaint names what was typed; in an App of its own, in which -f,
// --help and positional words do not exist.
std::optional<Complaint> take_long_option(const std::string& typed, RawOptions& raw) {
  const std::size_t equals = std::min(typed.find('='), typed.size());
  std::string name = typed.substr(0, equals);
  std::replace(name.begin(), name.end(), '_', '-');
  CLI::App app;
  app.set_help_flag();
  add_long_options(app, raw);
  app.allow_extras();
  auto complaint = parse_with(app, {"--" + name + typed.substr(equals)}, "-o " + typed + ": ");
  if (complaint && !app.remaining().empty()) {
    return usage("-o " + typed + ": unknown mount option" + std::string(kSeeHelp));
  }
  return complaint;
}

std::optional<Complaint> take_mount_options(RawOptions& raw, Options& options) {
  MountWords words;
  for (const std::string& list : raw.mount_options) {
    for (const std::string& option : split_mount_options(list)) {
      if (auto complaint = take_mount_option(option, options, words)) return complaint;
    }
  }
  for (const std::string& typed : words.long_options) {
    if (auto complaint = take_long_option(typed, raw)) return complaint;
  }
  if (words.timeo && !words.soft)
    return usage("-o timeo: needs -o soft; hard mounts wait for ever");
  if (words.soft) options.soft_timeout = words.timeo.value_or(kDefaultSoftTimeout);
  return std::nullopt;
}

// The words of one option that takes HOST:PORT.
std::optional<Complaint> take_host_ports(std::string_view option,
                                         const std::vector<std::string>& words,
                                         std::vector<storage::HostPort>& names) {
  for (const std::string& text : words) {
    const auto parsed = storage::parse_host_port(text);
    if (!parsed) {
      std::string line(option);
      line += " " + text;
      line += ": not HOST:PORT, as in 192.0.2.7:6881, [2001:db8::1]:6881 or seed.example:6881";
      return usage(std::move(line));
    }
    names.push_back(*parsed);
  }
  return std::nullopt;
}

std::optional<Complaint> take_peer_sources(const RawOptions& raw, Options& options) {
  if (auto complaint = take_host_ports("--peer", raw.peers, options.peers)) return complaint;
  if (auto complaint = take_host_ports("--dht-bootstrap", raw.dht_bootstrap, options.dht_bootstrap))
    return complaint;
  for (const std::string& url : raw.trackers) {
    if (!storage::is_tracker_url(url)) {
      return usage("--tracker " + url +
                   ": not the URL of a tracker, as in udp://tracker.example:1337/announce or "
                   "https://tracker.example/announce");
    }
  }
  options.trackers = raw.trackers;
  options.dht = !raw.no_dht;
  options.pex = !raw.no_pex;
  options.web_seeds = !raw.no_web_seeds;
  options.lsd = !raw.no_lsd;
  return std::nullopt;
}

std::optional<Complaint> take_wait_metadata(const RawOptions& raw, Options& options) {
  options.wait_metadata = !raw.wait_metadata.empty();
  if (!options.wait_metadata || raw.wait_metadata == kNoLimit) return std::nullopt;
  options.wait_metadata_limit = parse_seconds(raw.wait_metadata);
  if (options.wait_metadata_limit) return std::nullopt;
  return usage(kWaitMetadata + std::string("=") + raw.wait_metadata + ": takes seconds, 1 to " +
               std::to_string(kMaxSeconds) + ", or nothing");
}

// An option that takes bytes or a percentage.
std::optional<Complaint> take_amount(std::string_view option, const std::string& typed,
                                     std::optional<Amount>& amount) {
  if (typed.empty()) return std::nullopt;
  amount = Amount::parse(typed);
  if (amount) return std::nullopt;
  return usage(std::string(option) + " " + typed +
               ": not an amount, as in 20G, 512M or 10% (K, M, G and T are powers of 1024)");
}

std::optional<Complaint> take_prefetch(const RawOptions& raw, Options& options) {
  constexpr std::array<std::pair<std::string_view, Prefetch>, 3> kChoices{
      {{"none", Prefetch::none}, {"file", Prefetch::file}, {"torrent", Prefetch::torrent}}};
  if (raw.prefetch.empty()) return std::nullopt;
  const auto choice = std::find_if(kChoices.begin(), kChoices.end(),
                                   [&](const auto& c) { return c.first == raw.prefetch; });
  if (choice == kChoices.end())
    return usage("--prefetch " + raw.prefetch + ": must be none, file or torrent");
  options.prefetch = choice->second;
  return std::nullopt;
}

std::optional<Complaint> take_cache(const RawOptions& raw, Options& options) {
  if (!raw.cache_dir.empty()) options.cache_dir = raw.cache_dir;
  options.ephemeral = raw.ephemeral;
  if (auto complaint = take_amount("--cache-size", raw.cache_size, options.cache_size))
    return complaint;
  if (options.cache_size && options.cache_size->resolve(INT64_MAX) < kLeastCache) {
    return usage("--cache-size " + raw.cache_size + ": too small; the least is " +
                 bytes_text(kLeastCache));
  }
  if (auto complaint = take_amount("--min-free", raw.min_free, options.min_free)) return complaint;
  if (auto complaint = take_prefetch(raw, options)) return complaint;
  if (raw.memory_limit.empty()) return std::nullopt;
  const std::optional<std::uint64_t> memory = parse_bytes(raw.memory_limit);
  if (!memory) {
    return usage("--memory-limit " + raw.memory_limit +
                 ": not a size, as in 64M or 1G (K, M, G and T are powers of 1024)");
  }
  if (*memory < kLeastMemory) {
    return usage("--memory-limit " + raw.memory_limit + ": too small; the least is " +
                 bytes_text(kLeastMemory));
  }
  options.memory_limit = *memory;
  return std::nullopt;
}

std::optional<Complaint> take_values(const RawOptions& raw, Options& options) {
  if (auto complaint = take_peer_sources(raw, options)) return complaint;
  if (auto complaint = take_wait_metadata(raw, options)) return complaint;
  if (!raw.interface.empty()) {
    if (!is_interface(raw.interface)) {
      return usage("--interface " + raw.interface +
                   ": neither a network interface, as in eth0, nor an address, as in 192.0.2.7");
    }
    options.interface = raw.interface;
  }
  if (!raw.port.empty()) {
    const std::optional<std::uint16_t> port = parse_port(raw.port);
    if (!port) return usage("--port " + raw.port + ": not a port; ports are 1 to 65535");
    options.port = *port;
  }
  constexpr std::array<std::pair<std::string_view, LogLevel>, 4> kLevels{
      {{"debug", LogLevel::debug},
       {"info", LogLevel::info},
       {"warning", LogLevel::warning},
       {"error", LogLevel::error}}};
  if (!raw.log_level.empty()) {
    const auto level = std::find_if(kLevels.begin(), kLevels.end(),
                                    [&](const auto& l) { return l.first == raw.log_level; });
    if (level == kLevels.end()) {
      return usage("--log-level " + raw.log_level + ": must be error, warning, info or debug");
    }
    options.log_level = level->second;
  }
  if (auto complaint = take_cache(raw, options)) return complaint;
  options.allow_local = raw.allow_local;
  options.verify = raw.verify;
  options.foreground = raw.foreground || raw.debug;
  options.debug = raw.debug;
  if (raw.debug) options.log_level = LogLevel::debug;
  return std::nullopt;
}

std::optional<Complaint> take_words(const RawOptions& raw, Options& options) {
  if (!raw.check.empty()) {
    if (!raw.words.empty()) {
      return usage("--check takes one source and no mountpoint: what is " + raw.words.front() +
                   " for?");
    }
    options.action = Options::Action::check;
    options.source = raw.check;
    return std::nullopt;
  }
  if (raw.words.empty()) return usage("what to mount? " + std::string(kUsage));
  if (raw.words.size() == 1) {
    // A shell takes what follows the first '&' for another command.
    const bool is_link = storage::is_magnet_link(raw.words[0]);
    return usage(raw.words[0] + ": where to mount it? " + std::string(kUsage) +
                 (is_link ? "; put the link in quotes" : ""));
  }
  if (raw.words.size() > 2) {
    return usage("one source and one mountpoint, please: what is " + raw.words[2] + " for?");
  }
  options.source = raw.words[0];
  options.mountpoint = raw.words[1];
  if (options.source.empty() || options.mountpoint.empty()) {
    return usage("the source and the mountpoint must not be empty");
  }
  return std::nullopt;
}

}  // namespace

std::vector<std::string> split_mount_options(std::string_view list) {
  std::vector<std::string> options(1);
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (list[i] == ',') {
      options.emplace_back();
    } else {
      if (list[i] == '\\' && i + 1 < list.size()) ++i;
      options.back() += list[i];
    }
  }
  std::erase(options, "");
  return options;
}

OrComplaint<Options> parse_options(int argc, const char* const* argv) {
  RawOptions raw;
  CLI::App app;
  add_command_line(app, raw);
  const std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
  if (auto complaint = parse_with(app, words, "")) return *complaint;
  Options options;
  if (raw.help || raw.version) {
    options.action = raw.help ? Options::Action::help : Options::Action::version;
    return options;
  }
  if (auto complaint = take_mount_options(raw, options)) return *complaint;
  if (auto complaint = take_values(raw, options)) return *complaint;
  if (auto complaint = take_words(raw, options)) return *complaint;
  return options;
}

std::string help_text() {
  RawOptions raw;
  CLI::App app;
  add_command_line(app, raw);
  std::string text =
      "swarmfs mounts a torrent as a read-only directory; what is read is downloaded.\n\n"
      "  swarmfs [options] SOURCE MOUNTPOINT     mount\n"
      "  fusermount3 -u MOUNTPOINT               unmount\n"
      "  swarmfs --check SOURCE                  say what a torrent holds\n\n"
      "SOURCE is a .torrent file, an http or https URL of one, - for one on stdin,\n"
      "a magnet link in quotes, or an info-hash.\n\n"
      "Options:\n";
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_group().empty()) continue;
    std::string name = option->get_name(false, true);
    std::replace(name.begin(), name.end(), ',', ' ');
    if (name.starts_with(kWaitMetadata)) {  // CLI11 shows kNoLimit with it
      name = kWaitMetadata + std::string("[=SECONDS]");
    } else if (option->get_type_size() != 0) {
      name += " " + option->get_type_name();
    }
    text += "  " + name +
            (name.size() < 24 ? std::string(24 - name.size(), ' ') : "\n" + std::string(26, ' ')) +
            option->get_description() + "\n";
  }
  return text +
         "\nMount options (-o), besides every long option above (-o cache_dir=/data):\n"
         "  allow_other             other users may read too\n"
         "  hard                    a read waits until its data is there (the default)\n"
         "  soft,timeo=SECONDS      a read fails when its data has not come in time [60]\n"
         "  fsname=NAME             what df and mount show as the source\n"
         "  noexec, context=...     passed to the kernel\n"
         "What mount(8) and fstab add (_netdev, nofail, x-..., and so on) is ignored.\n";
}

}  // namespace swarmfs::fs
