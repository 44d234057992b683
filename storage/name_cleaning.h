// File names from a torrent, made fit to be shown: valid UTF-8, one path component each, at most
// 255 bytes, unique in their folder. Names are labels only; nothing on this host is ever opened by
// them.
//
// Threads: any (functions on values). Memory: one map entry a file and folder while making paths
// unique. Errors:   StorageErrc::too_many_same_names, too_many_folders.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "storage/result.h"

namespace swarmfs::storage {

// NAME_MAX of Linux filesystems. One longer name in a FUSE reply makes the kernel fail the whole
// listing.
inline constexpr std::size_t kMaxNameSize = 255;
// libtorrent's limit. More files of one name in one folder is an attack on the search for a free
// name.
inline constexpr std::uint32_t kMaxSameNames = 500;
// Folders below the torrent's own. The largest archives known have some ten thousand; each costs
// about 100 bytes.
inline constexpr std::uint32_t kMaxFolders = 200'000;
// Stands for a path component of which nothing usable is left.
inline constexpr std::string_view kPlaceholderName = "_";

// Bytes that are not UTF-8 (overlong forms among them) become U+FFFD; '/', NUL and other control
// characters '_'; marks that make a name read differently from its bytes (bidirectional overrides,
// zero-width characters) vanish; a name that is too long is cut between characters, before its
// extension. All else is kept: case, spaces, backslashes. Empty when nothing usable is left, which
// includes "." and "..".
[[nodiscard]] std::string clean_name(std::string_view raw);

// `number` put before the extension: "b.mkv" becomes "b.1.mkv". At most kMaxNameSize bytes.
[[nodiscard]] std::string numbered_name(const std::string& name, std::uint32_t number);

// Renames files until no two have the same path and none has that of a folder. Folders keep their
// names, and so does the first file of each name, so that a generated name never displaces one the
// torrent gave. `paths`: cleaned components, at least one each. O(n log n) in components.
[[nodiscard]] error_code make_unique(std::vector<std::vector<std::string>>& paths);

}  // namespace swarmfs::storage
