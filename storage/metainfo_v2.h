// The BEP 52 half of a .torrent: is its structure sound, and which files does it describe? The
// hashes themselves are not checked here: this version reads a hybrid torrent through its v1 half.
//
// Threads: any. Memory: a string_view per path component. Errors: StorageErrc::v2_*,
// length_out_of_range, path_too_deep, no_files, total_size_zero, too_many_pieces. Lifetime: the
// result points into the source of the values.
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "storage/bencode.h"
#include "storage/result.h"

namespace swarmfs::storage {

struct V2File {
  std::vector<std::string_view> path;  // as in the torrent, not cleaned
  std::uint64_t length = 0;            // 0 for symbolic links
};

// True: `info` says that it is v2. False: it is v1. The version is judged before anything else in
// the file.
[[nodiscard]] Result<bool> is_v2(bencode::Value info);

// Requires is_v2(info). The files in the order of the tree.
[[nodiscard]] Result<std::vector<V2File>> read_v2_files(bencode::Value root, bencode::Value info,
                                                        std::uint32_t piece_length);

}  // namespace swarmfs::storage
