// What is to be mounted, as one value: what the user named, what an earlier mount kept of it, and
// the trackers the user added.
//
// Threads: any; pure. Memory: that of the source. Errors: none.
#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "fs/cache_dir.h"
#include "fs/source.h"
#include "storage/hash.h"
#include "storage/magnet.h"
#include "storage/metainfo.h"
#include "storage/metainfo_sources.h"

namespace swarmfs::fs {

struct MountPlan {
  storage::InfoHash info_hash;
  std::string title;                               // for people; never empty
  std::optional<storage::Metainfo> metainfo;       // empty: it must come from peers
  std::vector<std::byte> torrent;                  // what `metainfo` was parsed from
  std::vector<std::vector<std::string>> trackers;  // BEP 12 tiers, each URL once
  std::size_t user_tiers = 0;                      // the first ones, which the user named
  std::vector<std::string> web_seeds;              // BEP 19 URLs, each once
  std::vector<storage::HostPort> hinted_peers;     // named by the link, not by the user
  std::vector<storage::FileRange> selected;        // by the link; empty: all files
  std::vector<std::string> warnings;               // about the link
};

[[nodiscard]] const storage::InfoHash& info_hash_of(const Source& source);

// `kept`: of this torrent. A .torrent file that the user names goes before it.
[[nodiscard]] MountPlan plan_mount(Source source, std::optional<KeptTorrent> kept,
                                   const std::vector<std::string>& more_trackers);

}  // namespace swarmfs::fs
