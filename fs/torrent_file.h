// The .torrent file the user names, read and parsed.
//
// Threads: any, before the engine starts (it blocks on the disk). Memory: kMaxTorrentSize and the
// Metainfo. Errors: a Complaint that names the file.
#pragma once
#include <cstddef>
#include <string>
#include <vector>

#include "fs/complaint.h"
#include "storage/metainfo.h"

namespace swarmfs::fs {

struct TorrentFile {
  std::string path;  // absolute, without symbolic links
  std::vector<std::byte> bytes;
  storage::Metainfo metainfo;
};

[[nodiscard]] OrComplaint<TorrentFile> open_torrent_file(const std::string& path);

}  // namespace swarmfs::fs
