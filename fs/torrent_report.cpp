#include "fs/torrent_report.h"

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "fs/terminal_text.h"

namespace swarmfs::fs {
namespace {

std::string line(std::string_view label, std::string_view text) {
  constexpr std::size_t kColumn = 14;
  std::string out(label);
  out.resize(std::max(kColumn, out.size() + 1), ' ');
  return out + printable(text) + "\n";
}

std::string size_text(std::uint64_t bytes) {
  const std::string human = human_size(bytes);
  return bytes < 1024 ? human : human + " (" + std::to_string(bytes) + " bytes)";
}

std::string counted(std::uint64_t number, std::string_view what) {
  return std::to_string(number) + " " + std::string(what) + (number == 1 ? "" : "s");
}

std::string join(const std::vector<std::string>& words, std::string_view between) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : std::string(between)) + word;
  return out;
}

std::string right_aligned(std::string_view text, std::size_t width) {
  return std::string(width - std::min(width, text.size()), ' ') + std::string(text);
}

// One line a file: its size, the same in bytes, its path.
std::string files_text(const storage::Metainfo& metainfo) {
  std::uint64_t largest = 0;
  for (const storage::FileEntry& file : metainfo.files) largest = std::max(largest, file.length);
  const std::size_t digits = std::to_string(largest).size();
  constexpr std::size_t kHumanSize = 8;  // "1023 KiB"
  std::string out;
  for (const storage::FileEntry& file : metainfo.files) {
    out += "  " + right_aligned(human_size(file.length), kHumanSize) + "  " +
           right_aligned(std::to_string(file.length), digits) + "  " +
           printable(join(file.path, "/")) + (file.executable ? "  (executable)" : "") + "\n";
  }
  return out;
}

}  // namespace

std::string describe_torrent(const storage::Metainfo& metainfo) {
  std::uint64_t total = 0;
  for (const storage::FileEntry& file : metainfo.files) total += file.length;
  std::string out = line("name", metainfo.name);
  out += line("info-hash", metainfo.info_hash.hex());
  out += line("size", size_text(total));
  out += line("pieces", std::to_string(metainfo.layout.piece_count()) + " of " +
                            human_size(metainfo.layout.piece_length()));
  out += line("private", metainfo.is_private ? "yes: peers come from its trackers only" : "no");
  if (metainfo.has_v2) out += line("version", "hybrid (v1 and v2); its v1 half is used");
  if (metainfo.trackers.empty()) out += line("trackers", "none: peers must be given with --peer");
  for (std::size_t tier = 0; tier < metainfo.trackers.size(); ++tier) {
    const std::string label = tier == 0 ? "trackers" : "";
    out +=
        line(label, "tier " + std::to_string(tier + 1) + ": " + join(metainfo.trackers[tier], " "));
  }
  for (const std::string& url : metainfo.web_seeds) {
    out += line("web seed", url + " (not used by this version)");
  }
  for (const std::string& warning : metainfo.warnings) out += line("warning", warning);
  out += line("files", counted(metainfo.files.size(), "file"));
  return out + files_text(metainfo);
}

}  // namespace swarmfs::fs
