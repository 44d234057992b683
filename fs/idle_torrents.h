// The torrents in a cache directory that nobody has mounted: room for those that somebody has.
//
// Threads: any; it blocks on the disk. Memory: the `resume` of one torrent at a time, and a name
// and a time each. Errors: what cannot be read, locked or punched is passed over.
#pragma once
#include <cstdint>
#include <string>

namespace swarmfs::fs {

// Frees at least `bytes`, or all there is: the torrent that was not used for longest first, and of
// it the pieces that were not used for longest. What it still has is written down before anything
// goes. Data that no `resume` vouches for goes before everything else. Bytes freed.
[[nodiscard]] std::uint64_t give_up_idle(const std::string& root, std::uint64_t bytes);

}  // namespace swarmfs::fs
