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

// "2", "4-8".
std::string range_text(const storage::FileRange& range) {
  const std::string first = std::to_string(range.first);
  return range.first == range.last ? first : first + "-" + std::to_string(range.last);
}

// One line each, the first with the label.
std::string lines(std::string_view label, const std::vector<std::string>& texts) {
  std::string out;
  for (const std::string& text : texts) out += line(out.empty() ? label : "", text);
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
  out += lines("web seed", metainfo.web_seeds);
  for (const std::string& warning : metainfo.warnings) out += line("warning", warning);
  out += line("files", counted(metainfo.files.size(), "file"));
  return out + files_text(metainfo);
}

std::string describe_magnet(const storage::Magnet& magnet) {
  std::string out = line("name", magnet.name.empty() ? "not in the link" : magnet.name);
  if (magnet.info_hash) out += line("info-hash", magnet.info_hash->hex());
  if (magnet.v2_hash) out += line("v2 info-hash", magnet.v2_hash->hex());
  if (magnet.length) out += line("size", size_text(*magnet.length) + ", says the link");
  out += lines("trackers", magnet.trackers);
  std::vector<std::string> peers;
  for (const auto& [host, port] : magnet.peers) {
    const bool v6 = host.find(':') != std::string::npos;
    peers.push_back((v6 ? "[" + host + "]" : host) + ":" + std::to_string(port));
  }
  out += lines("peers", peers);
  out += lines("web seed", magnet.web_seeds);
  for (const std::string& warning : magnet.warnings) out += line("warning", warning);
  std::vector<std::string> selected;
  for (const storage::FileRange& range : magnet.selected) selected.push_back(range_text(range));
  if (!selected.empty()) out += line("selects files", join(selected, ", ") + ", counted from 0");
  return out;
}

}  // namespace swarmfs::fs
