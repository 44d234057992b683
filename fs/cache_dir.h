// The cache folder of one torrent: claimed by one process at a time.
//
//   <cache>/<info-hash in hex>[.ephemeral]/   0700
//     lock      flock()ed while a process uses the folder; holds its process id
//     added     Unix seconds when the torrent was first mounted here, as decimal text
//     metainfo  the .torrent file, or what came from peers in its form; 0600
//     data      the torrent's bytes and one more, sparse (storage/disk)
//     resume    which pieces are in `data`, and who sent them (storage/resume); 0600
//
// What an earlier process left in `metainfo` counts when its info-hash is the folder's. What it
// left in `resume` is a claim: a piece of `data` is hashed before anybody reads it
// (storage/piece_store). Without a `resume` that can be used, `data` is emptied. No name in here
// comes from a torrent.
//
// Threads: any, one at a time: it blocks on the disk, so not the engine's once that runs. Memory:
// one descriptor; metainfo while it is loaded or kept. Errors: a Complaint that names the path.
// Lifetime: the claim ends with the CacheDir, or with the process.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "fs/complaint.h"
#include "storage/bitfield.h"
#include "storage/disk.h"
#include "storage/hash.h"
#include "storage/layout.h"
#include "storage/metainfo.h"
#include "storage/resume.h"

namespace swarmfs::fs {

// Where caches are: what --cache-dir says, else $XDG_CACHE_HOME/swarmfs, else ~/.cache/swarmfs.
// Absolute, and without symbolic links as far as it exists; nothing is made. `xdg_cache_home` and
// `home`: the environment variables, null when not set.
[[nodiscard]] OrComplaint<std::string> find_cache_root(const std::optional<std::string>& option,
                                                       const char* xdg_cache_home,
                                                       const char* home);

struct KeptTorrent {
  std::vector<std::byte> bytes;
  storage::Metainfo metainfo;  // of `bytes`
};

class CacheDir {
 public:
  // Makes what is missing, and refuses when another process uses it. Call after any fork.
  // `ephemeral`: a folder of its own beside the kept one, which remove() or the next start takes
  // away.
  [[nodiscard]] static OrComplaint<CacheDir> claim(const std::string& root,
                                                   const storage::InfoHash& info_hash,
                                                   bool ephemeral = false);
  // An ephemeral folder goes, whole; any other stays.
  void remove() const;
  // What keep_metainfo() kept, in this process or an earlier one. Empty when there is none, or when
  // it is not this torrent's.
  [[nodiscard]] std::optional<KeptTorrent> load_metainfo() const;
  // `torrent`: the bytes of a .torrent file. Whole and on the disk, or not there at all.
  [[nodiscard]] OrComplaint<void> keep_metainfo(std::span<const std::byte> torrent) const;

  // What is said to be in `data`; empty: nothing, and `data` is emptied if it held something. When
  // that needs a word to the user, it is put in `*warning`.
  [[nodiscard]] std::optional<storage::Resume> load_resume(std::string* warning) const;
  // Whole and on the disk, with its name, or not there at all. Zero or an errno.
  [[nodiscard]] int keep_resume(const storage::Resume& resume) const;
  // Gives back the space of what nobody claims: what a process wrote before it was killed could
  // never be used, nor evicted. True: `data` was longer than the torrent.
  [[nodiscard]] bool trim_data(const storage::Layout& layout,
                               const storage::Bitfield& claimed) const;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::int64_t added() const { return added_; }  // Unix seconds

 private:
  CacheDir(std::string path, storage::InfoHash info_hash, storage::UniqueFd lock,
           std::int64_t added)
      : path_(std::move(path)), info_hash_(info_hash), lock_(std::move(lock)), added_(added) {}
  [[nodiscard]] storage::UniqueFd open_data() const;
  std::string path_;
  storage::InfoHash info_hash_;
  storage::UniqueFd lock_;
  std::int64_t added_;
};

}  // namespace swarmfs::fs
