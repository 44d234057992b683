// What lies in a cache directory, torrent by torrent, as values; and which of them somebody means.
//
// Threads: any; it blocks on the disk. Memory: an entry a torrent, at most kMaxListed of them, and
// one torrent's metainfo at a time. Errors: a Complaint about the directory itself; what is wrong
// with a folder in it stands in its entry.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fs/cache_folder.h"
#include "fs/complaint.h"
#include "storage/disk.h"
#include "storage/hash.h"

namespace swarmfs::fs {

// Enough for any cache that people made; beyond it somebody fills the directory for fun.
inline constexpr std::size_t kMaxListed = 20'000;

struct CachedTorrent {
  std::string folder;  // its name in the cache directory
  storage::InfoHash info_hash;
  bool ephemeral = false;                      // goes with its mount
  std::string name = {};                       // of the torrent; empty: not known
  std::uint64_t disk_bytes = 0;                // what the folder's files take
  std::uint64_t size = 0;                      // of the torrent; 0: not known
  std::uint32_t pieces = 0;                    // of the torrent; 0: not known
  std::uint32_t kept_pieces = 0;               // said to be there
  std::optional<std::int64_t> last_used = {};  // Unix seconds
  std::optional<LockHolder> user = {};         // who uses it now
  // What is wrong with the folder. Empty: nothing; without a name its metadata has not come yet.
  std::string problem = {};
};

struct CacheListing {
  std::vector<CachedTorrent> torrents;  // the last used first
  std::size_t left_out = 0;             // folders beyond kMaxListed
};

[[nodiscard]] std::string resume_problem(error_code error);

// A directory that is not there is an empty cache, unless `must_exist`.
[[nodiscard]] OrComplaint<CacheListing> list_cache(const std::string& root, bool must_exist);

// Shortest part of an info-hash that names a torrent.
inline constexpr std::size_t kMinHashPrefix = 4;
// The torrent that `word` names: by its info-hash, else by the first digits of it or its exact
// name. A word that fits several is a Complaint, as is one that fits none. More than one entry: a
// torrent may have a folder that is kept and one that is ephemeral.
[[nodiscard]] OrComplaint<std::vector<const CachedTorrent*>> find_torrents(
    const CacheListing& listing, const std::string& word);

}  // namespace swarmfs::fs
