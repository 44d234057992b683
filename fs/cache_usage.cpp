#include "fs/cache_usage.h"

#include <dirent.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <functional>
#include <memory>

#include "fs/cache_folder.h"
#include "fs/small_file.h"

namespace swarmfs::fs {
namespace {

constexpr std::size_t kHashDigits = 40;  // SHA-1 in hex

void each_entry(const std::string& folder, const std::function<void(int, const char*)>& visit) {
  storage::UniqueFd fd = open_folder(folder);
  const auto close = [](DIR* d) { ::closedir(d); };
  const std::unique_ptr<DIR, decltype(close)> directory(fd ? ::fdopendir(fd.get()) : nullptr,
                                                        close);
  if (!directory) return;
  const int own = fd.release();  // the directory closes it
  while (const dirent* const entry = ::readdir(directory.get())) visit(own, entry->d_name);
}

}  // namespace

bool is_cache_folder(std::string_view name) {
  if (name.ends_with(kEphemeralSuffix)) name.remove_suffix(kEphemeralSuffix.size());
  return name.size() == kHashDigits &&
         name.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::vector<std::string> cache_folders(const std::string& root) {
  std::vector<std::string> names;
  each_entry(root, [&names](int, const char* name) {
    if (is_cache_folder(name)) names.emplace_back(name);
  });
  std::sort(names.begin(), names.end());
  return names;
}

std::uint64_t cache_usage(const std::string& root) {
  std::uint64_t bytes = 0;
  const auto add = [&bytes](int folder, const char* name) { bytes += disk_bytes(folder, name); };
  for (const std::string& folder : cache_folders(root)) each_entry(root + "/" + folder, add);
  return bytes;
}

DiskSpace disk_space(const std::string& path) {
  struct statvfs info {};
  if (::statvfs(path.c_str(), &info) != 0) return {};
  return {std::uint64_t{info.f_blocks} * info.f_frsize,
          std::uint64_t{info.f_bavail} * info.f_frsize};
}

}  // namespace swarmfs::fs
