#include "fs/ctl_options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "fs/terminal_text.h"

namespace swarmfs::fs {
namespace {

using Action = CtlOptions::Action;

constexpr std::string_view kSeeHelp = " (swarmfsctl --help says more)";
// Keeps sums with times of day far from overflow; nobody's cache is older.
constexpr std::int64_t kMaxAgeDays = 36'525;

struct Command {
  Action action;
  const char* name;
  const char* arguments;
  const char* description;
};
constexpr std::array<Command, 4> kCommands{{
    {Action::list, "list", "", "one line a torrent, the last used first"},
    {Action::size, "size", "", "what the torrents take on disk, and what is free"},
    {Action::remove, "remove", " TORRENT...", "remove torrents that are not mounted"},
    {Action::verify, "verify", " [TORRENT...]",
     "hash again what is kept, all or these; drop what is wrong"},
}};

struct RawCtl {
  std::vector<std::string> torrents;
  std::string cache_dir;
  std::string older_than;
  bool json = false;
  bool all = false;
  bool help = false;
  bool version = false;
};

Complaint usage(std::string line) {
  return {printable(line), kExitUsage};
}

void add_help(CLI::App& app, RawCtl& raw) {
  app.set_help_flag();
  app.add_flag("-h,--help", raw.help);
  app.add_flag("-V,--version", raw.version);
  app.allow_extras();
}

void add_command(CLI::App& cache, const Command& command, RawCtl& raw) {
  CLI::App* const app = cache.add_subcommand(command.name);
  add_help(*app, raw);
  app->add_flag("--json", raw.json);
  app->add_option("--cache-dir", raw.cache_dir)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  if (command.action == Action::remove) {
    app->add_flag("--all", raw.all);
    app->add_option("--older-than", raw.older_than)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  }
  if (command.action == Action::remove || command.action == Action::verify)
    app->add_option("torrents", raw.torrents);
}

// What none of the commands given so far knows.
std::optional<Complaint> complain_of_unknown(const CLI::App& app, const CLI::App& cache) {
  std::vector<std::string> unknown = app.remaining(true);
  std::erase(unknown, "--");  // what ends the options
  if (unknown.empty()) return std::nullopt;
  const std::string& word = unknown.front();
  if (word.starts_with("-") && word != "-")
    return usage("unknown option " + word + std::string(kSeeHelp));
  if (app.get_subcommands().empty())
    return usage("unknown command " + word + "; there is one: cache" + std::string(kSeeHelp));
  if (cache.get_subcommands().empty()) {
    return usage("cache " + word + ": unknown command; it must be list, size, remove or verify" +
                 std::string(kSeeHelp));
  }
  return usage("cache " + cache.get_subcommands().front()->get_name() + ": what is " + word +
               " for?" + std::string(kSeeHelp));
}

std::optional<Complaint> take_removal(const RawCtl& raw, CtlOptions& options) {
  if (raw.all && !raw.torrents.empty())
    return usage("cache remove: name the torrents or give --all, not both");
  if (!raw.all && raw.torrents.empty()) {
    return usage("cache remove: which torrents? Name them by info-hash, or give --all" +
                 std::string(kSeeHelp));
  }
  options.all = raw.all;
  if (raw.older_than.empty()) return std::nullopt;
  if (!raw.all) return usage("--older-than goes with --all");
  options.older_than = parse_age(raw.older_than);
  if (options.older_than) return std::nullopt;
  return usage("--older-than " + raw.older_than +
               ": not an age, as in 30d, 2w or 12h (also m and s)");
}

OrComplaint<CtlOptions> to_options(const RawCtl& raw, const CLI::App& app, const CLI::App& cache) {
  CtlOptions options;
  if (raw.help || raw.version) {
    options.action = raw.help ? Action::help : Action::version;
    return options;
  }
  if (const auto unknown = complain_of_unknown(app, cache)) return *unknown;
  if (app.get_subcommands().empty()) return options;
  if (cache.get_subcommands().empty())
    return usage("cache: what to do? list, size, remove or verify" + std::string(kSeeHelp));
  const std::string& name = cache.get_subcommands().front()->get_name();
  options.action = std::find_if(kCommands.begin(), kCommands.end(), [&](const Command& c) {
                     return c.name == name;
                   })->action;
  options.json = raw.json;
  options.torrents = raw.torrents;
  if (!raw.cache_dir.empty()) options.cache_dir = raw.cache_dir;
  if (std::find(raw.torrents.begin(), raw.torrents.end(), "") != raw.torrents.end())
    return usage("cache " + name + ": an empty word names no torrent");
  if (options.action == Action::remove) {
    if (const auto complaint = take_removal(raw, options)) return *complaint;
  }
  return options;
}

}  // namespace

std::optional<std::chrono::seconds> parse_age(std::string_view text) {
  constexpr std::array<std::pair<char, std::int64_t>, 5> kUnits{
      {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86'400}, {'w', 7 * 86'400}}};
  if (text.size() < 2) return std::nullopt;
  const auto unit = std::find_if(kUnits.begin(), kUnits.end(),
                                 [&](const auto& u) { return u.first == text.back(); });
  std::uint64_t number = 0;
  const char* const last = text.data() + text.size() - 1;
  const auto [end, ec] = std::from_chars(text.data(), last, number);
  if (unit == kUnits.end() || ec != std::errc() || end != last) return std::nullopt;
  if (number > static_cast<std::uint64_t>(kMaxAgeDays * 86'400 / unit->second)) return std::nullopt;
  return std::chrono::seconds(static_cast<std::int64_t>(number) * unit->second);
}

OrComplaint<CtlOptions> parse_ctl_options(int argc, const char* const* argv) {
  RawCtl raw;
  CLI::App app;
  add_help(app, raw);
  // At most one: the words after it are then never taken for another.
  app.require_subcommand(0, 1);
  CLI::App* const cache = app.add_subcommand("cache");
  add_help(*cache, raw);
  cache->require_subcommand(0, 1);
  for (const Command& command : kCommands) add_command(*cache, command, raw);
  std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
  std::reverse(words.begin(), words.end());  // as CLI11 wants them
  try {
    app.parse(words);
  } catch (const CLI::ParseError& error) {
    return usage(error.what() + std::string(kSeeHelp));
  }
  return to_options(raw, app, *cache);
}

std::string ctl_help_text() {
  std::string text =
      "swarmfsctl looks after what swarmfs keeps of torrents.\n\n"
      "  swarmfsctl cache COMMAND [options]\n\n"
      "Commands:\n";
  for (const Command& command : kCommands) {
    const std::string name = std::string(command.name) + command.arguments;
    text += "  " + name + std::string(24 - name.size(), ' ') + command.description + "\n";
  }
  return text +
         "\nTORRENT is an info-hash, the first digits of one (4 at the least), or a name.\n\n"
         "Options:\n"
         "  --cache-dir DIR         the cache [$XDG_CACHE_HOME/swarmfs or ~/.cache/swarmfs]\n"
         "  --json                  for programs: bytes and Unix seconds\n"
         "  --all                   remove: every torrent\n"
         "  --older-than AGE        remove --all: only what was not used for 30d, 2w, 12h...\n"
         "  -h --help               show this text\n"
         "  -V --version            show the version\n\n"
         "Exit codes: 0, all is well; 1, something could not be done or (verify) was wrong;\n"
         "2, the command line makes no sense.\n";
}

}  // namespace swarmfs::fs
