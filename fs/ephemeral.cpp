#include "fs/ephemeral.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>
#include <vector>

#include "fs/cache_folder.h"
#include "fs/cache_usage.h"
#include "fs/small_file.h"

namespace swarmfs::fs {
namespace {

constexpr const char* kLock = "lock";

}  // namespace

bool was_removed(int fd) {
  struct stat info {};
  return ::fstat(fd, &info) != 0 || info.st_nlink == 0;
}

void remove_cache_folder(const std::string& path) {
  const storage::UniqueFd folder = open_folder(path);
  if (!folder) return;
  std::vector<std::string> names;
  std::error_code ec;
  for (const auto& entry : std::filesystem::directory_iterator(path, ec))
    names.push_back(entry.path().filename());
  for (const std::string& name : names)
    if (name != kLock) ::unlinkat(folder.get(), name.c_str(), 0);
  ::unlinkat(folder.get(), kLock, 0);
  ::rmdir(path.c_str());
}

void remove_left_overs(const std::string& root) {
  for (const std::string& name : cache_folders(root)) {
    if (!name.ends_with(kEphemeralSuffix)) continue;
    const std::string path = root + "/" + name;
    const storage::UniqueFd folder = open_folder(path);
    if (!folder) continue;
    if (const storage::UniqueFd lock = try_folder_lock(folder.get())) remove_cache_folder(path);
  }
}

}  // namespace swarmfs::fs
