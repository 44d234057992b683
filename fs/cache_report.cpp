#include "fs/cache_report.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <numeric>
#include <utility>

#include "fs/terminal_text.h"

namespace swarmfs::fs {
namespace {

namespace json = boost::json;

// Enough to tell the torrents of any cache apart, and to name one to `remove`.
constexpr std::size_t kShortHash = 12;

std::string hash_text(const CachedTorrent& torrent, bool cut) {
  return cut ? torrent.info_hash.hex().substr(0, kShortHash) : torrent.info_hash.hex();
}

// For a line about one torrent.
std::string title(const CachedTorrent& torrent) {
  const std::string hash = hash_text(torrent, true);
  return torrent.name.empty() ? hash : printable(torrent.name) + " (" + hash + ")";
}

std::string counted(std::uint64_t count, const std::string& what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

std::string percent_text(const CachedTorrent& torrent) {
  if (torrent.pieces == 0) return "-";
  const std::uint64_t percent = std::uint64_t{100} * torrent.kept_pieces / torrent.pieces;
  return percent == 0 && torrent.kept_pieces > 0 ? "<1%" : std::to_string(percent) + "%";
}

std::string user_text(const CachedTorrent& torrent) {
  std::string text = torrent.ephemeral ? "ephemeral" : "";
  if (torrent.user) {
    const std::string pid = torrent.user->pid ? " by " + std::to_string(*torrent.user->pid) : "";
    text = (torrent.user->use == LockUse::mount ? "mounted" : "in use") + pid +
           (text.empty() ? "" : ", " + text);
  }
  return text.empty() ? "-" : text;
}

std::string name_text(const CachedTorrent& torrent) {
  if (torrent.name.empty()) return torrent.problem.empty() ? "(no metadata yet)" : torrent.problem;
  return printable(torrent.name) + (torrent.problem.empty() ? "" : " (" + torrent.problem + ")");
}

using Row = std::vector<std::string>;

// Columns two spaces apart, the last one as wide as it is. `right`: those set flush right.
std::string table(const std::vector<Row>& rows, const std::vector<bool>& right,
                  std::optional<std::size_t> columns) {
  std::vector<std::size_t> widths(right.size());
  for (const Row& row : rows)
    for (std::size_t i = 0; i + 1 < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  std::string text;
  for (const Row& row : rows) {
    std::string line;
    for (std::size_t i = 0; i + 1 < row.size(); ++i) {
      const std::string space(widths[i] - row[i].size(), ' ');
      line += (right[i] ? space + row[i] : row[i] + space) + "  ";
    }
    line += row.back();
    line.erase(line.find_last_not_of(' ') + 1);
    text += (columns ? fitting(line, *columns) : line) + "\n";
  }
  return text;
}

json::value name_json(const CachedTorrent& torrent) {
  return torrent.name.empty() ? json::value(nullptr) : json::value(torrent.name);
}

json::value text_or_null(const std::string& text) {
  return text.empty() ? json::value(nullptr) : json::value(text);
}

// Whose it is and who uses it: the same in every answer.
json::object identity(const CachedTorrent& torrent) {
  const bool has_pid = torrent.user && torrent.user->pid;
  return {{"info_hash", torrent.info_hash.hex()},
          {"name", name_json(torrent)},
          {"ephemeral", torrent.ephemeral},
          {"mounted", torrent.user && torrent.user->use == LockUse::mount},
          {"pid", has_pid ? json::value(*torrent.user->pid) : json::value(nullptr)}};
}

std::string lines_of(const json::value& value) {
  return json::serialize(value) + "\n";
}

std::uint64_t total_bytes(const CacheListing& listing) {
  return std::accumulate(
      listing.torrents.begin(), listing.torrents.end(), std::uint64_t{0},
      [](std::uint64_t sum, const CachedTorrent& t) { return sum + t.disk_bytes; });
}

}  // namespace

std::string human_age(std::int64_t then, std::int64_t now) {
  constexpr std::array<std::pair<std::int64_t, const char*>, 5> kUnits{{{365 * 86'400, "year"},
                                                                        {30 * 86'400, "month"},
                                                                        {86'400, "day"},
                                                                        {3'600, "hour"},
                                                                        {60, "minute"}}};
  for (const auto& [seconds, name] : kUnits) {
    if (now > then && (now - then) / seconds > 0)
      return counted(static_cast<std::uint64_t>((now - then) / seconds), name) + " ago";
  }
  return "just now";
}

std::string list_text(const CacheListing& listing, std::int64_t now,
                      std::optional<std::size_t> columns) {
  std::vector<Row> rows{{"INFO-HASH", "ON DISK", "SIZE", "KEPT", "LAST USED", "STATE", "NAME"}};
  for (const CachedTorrent& torrent : listing.torrents) {
    rows.push_back({hash_text(torrent, columns.has_value()), human_size(torrent.disk_bytes),
                    torrent.size == 0 ? "-" : human_size(torrent.size), percent_text(torrent),
                    torrent.last_used ? human_age(*torrent.last_used, now) : "-",
                    user_text(torrent), name_text(torrent)});
  }
  if (rows.size() == 1) return "the cache is empty\n";
  return table(rows, {false, true, true, true, false, false, false}, columns);
}

std::string list_json(const CacheListing& listing) {
  json::array array;
  for (const CachedTorrent& torrent : listing.torrents) {
    json::object object = identity(torrent);
    object["disk_bytes"] = torrent.disk_bytes;
    object["size"] = torrent.pieces > 0 ? json::value(torrent.size) : json::value(nullptr);
    object["pieces"] = torrent.pieces > 0 ? json::value(torrent.pieces) : json::value(nullptr);
    object["kept_pieces"] = torrent.kept_pieces;
    object["last_used"] =
        torrent.last_used ? json::value(*torrent.last_used) : json::value(nullptr);
    object["problem"] = text_or_null(torrent.problem);
    array.push_back(std::move(object));
  }
  return lines_of(array);
}

std::string size_text(const CacheListing& listing, std::uint64_t free_bytes,
                      std::optional<std::size_t> columns) {
  std::vector<const CachedTorrent*> torrents;
  for (const CachedTorrent& torrent : listing.torrents) torrents.push_back(&torrent);
  std::stable_sort(torrents.begin(), torrents.end(),
                   [](const auto* a, const auto* b) { return a->disk_bytes > b->disk_bytes; });
  std::vector<Row> rows;
  for (const CachedTorrent* torrent : torrents) {
    rows.push_back({human_size(torrent->disk_bytes), hash_text(*torrent, columns.has_value()),
                    name_text(*torrent)});
  }
  rows.push_back({human_size(total_bytes(listing)), counted(torrents.size(), "torrent"), ""});
  rows.push_back({human_size(free_bytes), "free", ""});
  return table(rows, {true, false, false}, columns);
}

std::string size_json(const CacheListing& listing, std::uint64_t free_bytes) {
  json::array torrents;
  for (const CachedTorrent& torrent : listing.torrents) {
    json::object object = identity(torrent);
    object["disk_bytes"] = torrent.disk_bytes;
    torrents.push_back(std::move(object));
  }
  return lines_of(json::object{{"total_bytes", total_bytes(listing)},
                               {"free_bytes", free_bytes},
                               {"torrents", std::move(torrents)}});
}

std::string removed_text(const Removed& removed) {
  return title(removed.torrent) + ": removed, " + human_size(removed.outcome.freed_bytes) +
         " freed\n";
}

std::string remains_line(const Removed& removed) {
  const std::uint64_t freed = removed.outcome.freed_bytes;
  return title(removed.torrent) + ": not removed: " + removed.outcome.problem +
         (freed > 0 ? " (" + human_size(freed) + " freed)" : "");
}

std::string removed_json(const std::vector<Removed>& removed) {
  json::array array;
  for (const Removed& one : removed) {
    json::object object = identity(one.torrent);
    object["removed"] = one.outcome.problem.empty();
    object["freed_bytes"] = one.outcome.freed_bytes;
    object["problem"] = text_or_null(one.outcome.problem);
    array.push_back(std::move(object));
  }
  return lines_of(array);
}

std::string checked_text(const CheckResult& checked) {
  std::string text = title(checked.torrent) + ": ";
  const std::string pieces =
      counted(checked.checked_pieces, "piece") + ", " + human_size(checked.checked_bytes);
  if (checked.wrong_pieces > 0) {
    text += std::to_string(checked.wrong_pieces) + " of " + pieces +
            (checked.wrong_pieces == 1 ? ", is wrong" : ", are wrong");
    if (checked.dropped) {
      text += "; dropped, they will be fetched again when they are read";
    } else if (checked.torrent.user) {
      const auto pid = checked.torrent.user->pid;
      text += "; nothing was changed, for " +
              (pid ? "process " + std::to_string(*pid) : "a process") +
              " has it mounted: unmount it and verify again";
    }
  } else if (checked.checked_pieces > 0) {
    text += "good: " + pieces;
    if (checked.torrent.user) text += " (it is mounted, and was only read)";
  } else if (checked.problem.empty() && !checked.interrupted) {
    text += "nothing is kept";
  }
  if (checked.interrupted) text += checked.checked_pieces > 0 ? "; interrupted" : "interrupted";
  if (!checked.problem.empty()) text += (checked.checked_pieces > 0 ? "; " : "") + checked.problem;
  return text + "\n";
}

std::string checked_json(const std::vector<CheckResult>& checked) {
  json::array array;
  for (const CheckResult& one : checked) {
    json::object object = identity(one.torrent);
    object["checked_pieces"] = one.checked_pieces;
    object["checked_bytes"] = one.checked_bytes;
    object["wrong_pieces"] = one.wrong_pieces;
    object["dropped"] = one.dropped;
    object["interrupted"] = one.interrupted;
    object["problem"] = text_or_null(one.problem);
    array.push_back(std::move(object));
  }
  return lines_of(array);
}

std::string checking_text(const CachedTorrent& torrent, CheckProgress progress,
                          std::uint64_t per_second) {
  const double share = progress.total == 0 ? 1
                                           : static_cast<double>(progress.done) /
                                                 static_cast<double>(progress.total);
  return std::to_string(static_cast<unsigned>(share * 100)) + "% of " + human_size(progress.total) +
         ", " + human_size(per_second) + "/s: " + title(torrent);
}

}  // namespace swarmfs::fs
