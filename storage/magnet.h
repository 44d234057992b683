// A magnet link (BEP 9, 53) or a bare info-hash, as a checked value.
//
// What names the torrent (xt) must be right; all else is a hint, and a hint that is wrong is left
// out with a warning. Keys may be numbered (xt.1, tr.2) and in any case; unknown ones are ignored.
//
// Threads: any; pure. Memory: kMaxMagnetSize and the limits below. Errors: StorageErrc, whose
// message says what is wrong with the link in words for a user.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/hash.h"
#include "storage/metainfo_sources.h"
#include "storage/result.h"

namespace swarmfs::storage {

// Twice what Linux takes as one argument (execve(2), MAX_ARG_STRLEN).
inline constexpr std::size_t kMaxMagnetSize = 256 * 1024;
// x.pe is for the host that made the link and its friends.
inline constexpr std::size_t kMaxMagnetPeers = 100;
// Ranges of `so`, after joining those that touch. Links select a file or two.
inline constexpr std::size_t kMaxSelectedRanges = 1000;

// Indices into the torrent's own list of files, padding and links counted; both ends included. The
// torrent need not have them.
struct FileRange {
  std::uint32_t first = 0;
  std::uint32_t last = 0;
  bool operator==(const FileRange&) const = default;
};

// At least one hash is there.
struct Magnet {
  std::optional<InfoHash> info_hash;    // v1
  std::optional<Sha256Digest> v2_hash;  // BEP 52
  std::string name;                     // `dn`, cleaned as a file's name is; may be empty
  std::vector<std::string> trackers;    // each a tier of its own
  std::vector<std::string> web_seeds;   // BEP 19
  std::vector<HostPort> peers;          // `x.pe`
  std::vector<FileRange> selected;      // `so`: sorted, apart; empty: every file
  std::optional<std::uint64_t> length;  // `xl`, in bytes, as the link claims
  std::vector<std::string> warnings;    // oddities that were accepted, one line each
};

// A link, or 40 hex digits or 32 base32 characters (v1), or 64 hex digits (v2). White space around
// it is ignored.
[[nodiscard]] Result<Magnet> parse_magnet(std::string_view text);

// "magnet:", in any case.
[[nodiscard]] bool is_magnet_link(std::string_view text);

}  // namespace swarmfs::storage
