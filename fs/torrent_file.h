// A .torrent, read and parsed: a file, or what comes on stdin.
//
// Threads: any, before the engine starts (it blocks on the disk, or on who writes to stdin).
// Memory: kMaxTorrentSize and the Metainfo. Errors: a Complaint that names the file.
#pragma once
#include <cstddef>
#include <string>
#include <vector>

#include "fs/complaint.h"
#include "storage/metainfo.h"

namespace swarmfs::fs {

struct TorrentFile {
  std::string path;  // absolute, without symbolic links; empty: it is no file
  std::vector<std::byte> bytes;
  storage::Metainfo metainfo;
};

[[nodiscard]] OrComplaint<TorrentFile> open_torrent_file(const std::string& path);

// From where `fd` stands to its end. `name`: what to call it in a complaint.
[[nodiscard]] OrComplaint<TorrentFile> read_torrent(int fd, const std::string& name);

// Of bytes that came some other way.
[[nodiscard]] OrComplaint<TorrentFile> to_torrent(const std::string& name,
                                                  std::vector<std::byte> bytes);

}  // namespace swarmfs::fs
