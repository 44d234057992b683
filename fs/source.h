// What the user names to be mounted: a .torrent file, a URL of one, one on stdin, a magnet link or
// an info-hash; read as far as that goes without peers.
//
// Threads: any, before the engine starts (it blocks on the disk, stdin or the network). Memory:
// that of a TorrentFile. Errors: a Complaint that names the source.
#pragma once
#include <cstdint>
#include <string>
#include <variant>

#include "fs/complaint.h"
#include "fs/torrent_file.h"
#include "net/local_interface.h"
#include "storage/magnet.h"

namespace swarmfs::fs {

// A Magnet in here has a v1 hash.
using Source = std::variant<TorrentFile, storage::Magnet>;

[[nodiscard]] OrComplaint<Source> open_source(const std::string& typed, bool allow_local,
                                              const net::LocalInterface& interface = {});

enum class SourceKind : std::uint8_t { file, standard_input, url, magnet };

// By how it is written. Only what could be both a path and an info-hash is looked up on the disk: a
// path that exists wins.
[[nodiscard]] SourceKind kind_of_source(const std::string& typed);

}  // namespace swarmfs::fs
