// What swarmfsctl prints: text for people, safe for a terminal, and JSON for programs.
//
// Threads: any; pure. Memory: the text. Errors: none. Everything ends with a newline, or is empty.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fs/cache_check.h"
#include "fs/cache_listing.h"
#include "fs/cache_removal.h"

namespace swarmfs::fs {

// "just now", "5 minutes ago", "3 days ago", "2 years ago"; what lies ahead is just now, too.
[[nodiscard]] std::string human_age(std::int64_t then, std::int64_t now);

// `columns`: of the terminal; the hashes and names are cut to fit it. Empty: no terminal, nothing
// is cut. `now`: Unix seconds.
[[nodiscard]] std::string list_text(const CacheListing& listing, std::int64_t now,
                                    std::optional<std::size_t> columns);
[[nodiscard]] std::string list_json(const CacheListing& listing);

// The largest first.
[[nodiscard]] std::string size_text(const CacheListing& listing, std::uint64_t free_bytes,
                                    std::optional<std::size_t> columns);
[[nodiscard]] std::string size_json(const CacheListing& listing, std::uint64_t free_bytes);

struct Removed {
  CachedTorrent torrent;
  Removal outcome;
};
[[nodiscard]] std::string removed_text(const Removed& removed);  // of one that is gone
[[nodiscard]] std::string remains_line(const Removed& removed);  // of one that is not; no newline
[[nodiscard]] std::string removed_json(const std::vector<Removed>& removed);

[[nodiscard]] std::string checked_text(const CheckResult& checked);
[[nodiscard]] std::string checked_json(const std::vector<CheckResult>& checked);
// One line without a newline, while it goes on. `per_second`: bytes.
[[nodiscard]] std::string checking_text(const CachedTorrent& torrent, CheckProgress progress,
                                        std::uint64_t per_second);

}  // namespace swarmfs::fs
