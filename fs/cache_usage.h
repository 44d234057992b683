// The torrents' folders in a cache directory, and what they take of the disk.
//
// Threads: any; it blocks on the disk. Memory: a name a folder. Errors: what cannot be read counts
// as nothing.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace swarmfs::fs {

// What stands after the info-hash in the name of a folder that goes with its mount (--ephemeral).
inline constexpr std::string_view kEphemeralSuffix = ".ephemeral";

// A folder of ours: an info-hash in hex, perhaps with kEphemeralSuffix. Anything else in the
// directory is somebody else's, and is left alone.
[[nodiscard]] bool is_cache_folder(std::string_view name);
// By name.
[[nodiscard]] std::vector<std::string> cache_folders(const std::string& root);
// Bytes of disk that the files in all these folders take, as du counts them.
[[nodiscard]] std::uint64_t cache_usage(const std::string& root);

struct DiskSpace {
  std::uint64_t total = 0;  // bytes of the file system
  std::uint64_t free = 0;   // for us, which is less than what is free for root
};
// All zero when it cannot be told.
[[nodiscard]] DiskSpace disk_space(const std::string& path);

}  // namespace swarmfs::fs
