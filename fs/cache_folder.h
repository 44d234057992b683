// One torrent's folder in a cache (fs/cache_dir says what is in it), opened without making or
// claiming it: who uses it, what it takes on disk, what it says it holds.
//
// Threads: any; it blocks on the disk. Memory: the metainfo and the resume file while they are
// loaded. Errors: errno, or nothing where a file is not what it should be: whatever lies there may
// be anything. No symbolic link is ever followed, nothing but a plain file is ever read.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "storage/disk.h"
#include "storage/hash.h"
#include "storage/metainfo.h"
#include "storage/resume.h"

namespace swarmfs::fs {

// Everything swarmfs puts into a folder. `lock` is the last to go.
inline constexpr std::array kFolderFiles{"data",         "resume", "resume.new", "metainfo",
                                         "metainfo.new", "added",  "added.new",  "lock"};

// `name`: one that is_cache_folder(). Empty: errno says why.
[[nodiscard]] storage::UniqueFd open_cache_folder(int root, const std::string& name);

enum class LockUse : std::uint8_t { mount, tool };  // tool: swarmfsctl, which works on it

struct LockHolder {
  std::optional<int> pid;  // empty: it did not say
  LockUse use = LockUse::mount;
};
// Who uses the folder now.
[[nodiscard]] std::optional<LockHolder> find_lock_holder(int folder);
// Keeps all others out until it is closed: at once or not at all, and without a word, for who needs
// the folder for a moment. Empty: errno says why, EWOULDBLOCK when somebody uses the folder or has
// removed it.
[[nodiscard]] storage::UniqueFd try_folder_lock(int folder);
// The same, and says that we are a tool. Waits a tenth of a second
// for those who only have a look. Empty: errno says why, EWOULDBLOCK when somebody uses the folder.
[[nodiscard]] storage::UniqueFd take_folder_lock(int folder);

// Empty when there is none, or when it is not this torrent's.
[[nodiscard]] std::optional<storage::Metainfo> load_folder_metainfo(
    int folder, const storage::InfoHash& info_hash);
// That of an empty cache when there is none.
[[nodiscard]] Result<storage::Resume> load_folder_resume(int folder,
                                                         const storage::InfoHash& info_hash,
                                                         const storage::Layout& layout);
// The plain file `data`. Empty: there is none.
[[nodiscard]] storage::UniqueFd open_folder_data(int folder, int flags);

// Of one file, as du counts; 0: it is not there, or is no plain file.
[[nodiscard]] std::uint64_t disk_bytes(int folder, const char* name);
// Of all that we put there.
[[nodiscard]] std::uint64_t disk_bytes(int folder);
[[nodiscard]] bool is_there(int folder, const char* name);

}  // namespace swarmfs::fs
