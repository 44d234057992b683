#include "fs/file_selection.h"

#include <algorithm>

namespace swarmfs::fs {
namespace {

std::string text_of(storage::FileRange range) {
  const std::string first = std::to_string(range.first);
  return range.first == range.last ? first : first + "-" + std::to_string(range.last);
}

}  // namespace

FileSelection select_files(const storage::Metainfo& metainfo,
                           std::span<const storage::FileRange> ranges) {
  FileSelection selection;
  if (ranges.empty()) return {metainfo.files, {}};
  // Both are sorted: the files by index, and the ranges too, which are apart besides.
  auto range = ranges.begin();
  for (const storage::FileEntry& file : metainfo.files) {
    while (range != ranges.end() && range->last < file.index) ++range;
    if (range == ranges.end()) break;
    if (file.index >= range->first) selection.files.push_back(file);
  }
  const std::uint32_t last = metainfo.files.back().index;
  const auto beyond = std::find_if(ranges.begin(), ranges.end(),
                                   [last](storage::FileRange r) { return r.last > last; });
  if (beyond != ranges.end()) {
    selection.warnings.push_back("the link selects files (so=" + text_of(*beyond) +
                                 ") that the torrent does not have; its last is " +
                                 std::to_string(last));
  }
  if (selection.files.empty()) {
    selection.warnings.push_back("the link selects (so=) no file of this torrent: all are shown");
    selection.files = metainfo.files;
  }
  return selection;
}

}  // namespace swarmfs::fs
