// Cache folders that go with their mount: marked by their name, so that there is no moment in which
// one of them looks like a kept one.
//
// Threads: any; it blocks on the disk. Memory: names. Errors: what cannot be removed stays, until
// the next start.
#pragma once
#include <string>

namespace swarmfs::fs {

// Whether the file behind a descriptor has no name any more.
[[nodiscard]] bool was_removed(int fd);
// The files in the folder, the lock last, and the folder. Only for who holds its lock.
void remove_cache_folder(const std::string& path);
// What crashed processes left in the cache directory: every ephemeral folder that nobody has
// locked.
void remove_left_overs(const std::string& root);

}  // namespace swarmfs::fs
