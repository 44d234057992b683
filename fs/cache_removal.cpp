#include "fs/cache_removal.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>

#include "fs/cache_folder.h"

namespace swarmfs::fs {
namespace {

using storage::UniqueFd;

std::string in_use(int folder) {
  const std::optional<LockHolder> holder = find_lock_holder(folder);
  const std::string who =
      holder && holder->pid ? "process " + std::to_string(*holder->pid) : "another process";
  if (holder && holder->use == LockUse::tool)
    return who + " (swarmfsctl) is at work on it; try again then";
  return who + " has it mounted; unmount it first";
}

// The names are ours, whatever they stand for: a symbolic link goes itself, not where it leads.
void remove_files(int folder, Removal& removal) {
  for (const char* const name : kFolderFiles) {
    const std::uint64_t bytes = disk_bytes(folder, name);
    if (::unlinkat(folder, name, 0) == 0) {
      removal.freed_bytes += bytes;
    } else if (errno != ENOENT && removal.problem.empty()) {
      removal.problem = std::string(name) + ": " + std::strerror(errno);
    }
  }
}

}  // namespace

Removal remove_from_cache(int root, const std::string& folder) {
  Removal removal;
  const UniqueFd directory = open_cache_folder(root, folder);
  if (!directory) {
    const bool foreign = errno == ELOOP || errno == ENOTDIR;
    removal.problem = foreign ? "no folder of ours: left alone" : std::strerror(errno);
    return removal;
  }
  // What is no lock at all (a link, a pipe) keeps nobody out, and no mount can have it.
  const UniqueFd lock = take_folder_lock(directory.get());
  if (!lock && errno == EWOULDBLOCK) {
    removal.problem = in_use(directory.get());
    return removal;
  }
  remove_files(directory.get(), removal);
  if (!removal.problem.empty()) return removal;
  if (::unlinkat(root, folder.c_str(), AT_REMOVEDIR) != 0) {
    removal.problem = errno == ENOTEMPTY || errno == EEXIST
                          ? "there is something in it that is not ours; the rest is gone"
                          : std::strerror(errno);
  }
  return removal;
}

}  // namespace swarmfs::fs
