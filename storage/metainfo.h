// A .torrent file, checked and cleaned: nothing in here can name a path outside the mount or
// overflow an offset.
//
// Threads: immutable after parse. Memory: bounded by kMaxTorrentSize and the token limit (while
// parsing: 60 MiB for 100,000 ordinary files, under 200 MiB for the worst file we could make).
// Errors: StorageErrc, whose message says what is wrong with the file in words for a user.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "storage/hash.h"
#include "storage/layout.h"
#include "storage/metainfo_limits.h"
#include "storage/metainfo_sources.h"
#include "storage/result.h"

namespace swarmfs::storage {

// A visible file. Pad files (BEP 47) are not listed; their ranges are in Layout::pads(). Symbolic
// links are not listed either: their targets are the torrent's to choose, and they have no bytes.
struct FileEntry {
  std::vector<std::string> path;  // cleaned components, unique in their directory, without the
                                  // torrent's name; never empty
  std::uint64_t offset = 0;       // torrent offset of the first byte
  std::uint64_t length = 0;       // bytes; 0 is legal
  bool executable = false;        // BEP 47 attr "x"
  // Its place in the torrent's own list, where padding and links count too (BEP 53 numbers files
  // so).
  std::uint32_t index = 0;
  // As the torrent has it, where that is not `path`: what others call it. Not cleaned, and never
  // for use on this host.
  std::vector<std::string> original = {};
};

struct Metainfo {
  std::string name;  // cleaned; the single file's name, or the top folder
  InfoHash info_hash;
  Layout layout;
  std::vector<Sha1Digest> piece_hashes;  // layout.piece_count() of them
  std::vector<FileEntry> files = {};
  bool single_file = false;  // files[0].path == {name}
  // BEP 12 tiers of URLs; `announce` is a last tier of its own if not in them.
  std::vector<std::vector<std::string>> trackers = {};
  std::vector<std::string> web_seeds = {};         // BEP 19 url-list
  std::vector<HostPort> nodes = {};                // BEP 5 host, port
  bool is_private = false;                         // BEP 27
  std::optional<std::int64_t> creation_date = {};  // Unix seconds
  bool has_v2 = false;                             // hybrid (BEP 52): served through its v1 half
  std::vector<std::string> warnings = {};          // oddities that were accepted, one line each
  std::string original_name = {};                  // not cleaned: what others call it
};

// Requires nothing of `bytes`. A v2-only torrent is StorageErrc::v2_only after its structure was
// checked.
[[nodiscard]] Result<Metainfo> parse_metainfo(std::span<const std::byte> bytes);

}  // namespace swarmfs::storage
