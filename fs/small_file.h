// Small files that are read and replaced as a whole.
//
// Threads: any; it blocks on the disk. Memory: the file. Errors: errno.
#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "storage/disk.h"

namespace swarmfs::fs {

// A directory, not through a symbolic link. Empty: errno says why.
[[nodiscard]] storage::UniqueFd open_folder(const std::string& path);
// A file in it, never through a symbolic link, for its owner only when it is made. The same.
[[nodiscard]] storage::UniqueFd open_in(int folder, const char* name, int flags);
// Zero or an errno.
[[nodiscard]] int write_whole(int fd, std::span<const std::byte> bytes);
// The file has its old content or the new one, never half of it, even after a crash; when this
// returns zero, the new one, even after a power cut. Zero or an errno.
[[nodiscard]] int replace_file(int folder, const std::string& name,
                               std::span<const std::byte> bytes);
// Empty also for what is not there, is no plain file, or has more than `max_size` bytes.
[[nodiscard]] std::vector<std::byte> read_whole(int folder, const char* name, std::size_t max_size);

}  // namespace swarmfs::fs
