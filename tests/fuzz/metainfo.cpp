// A .torrent file.
#include "storage/metainfo.h"

#include <set>

#include "storage/name_cleaning.h"
#include "tests/fuzz/fuzz_target.h"

namespace swarmfs::fuzz {
namespace {

void check_name(const std::string& name) {
  require(!name.empty() && name.size() <= storage::kMaxNameSize, "a name that fits");
  require(name != "." && name != "..", "a name that leads nowhere else");
  require(name.find('/') == std::string::npos && is_printable(name), "one component");
}

void check_files(const storage::Metainfo& torrent) {
  std::set<std::vector<std::string>> paths;
  std::uint64_t end = 0;
  for (const storage::FileEntry& file : torrent.files) {
    require(!file.path.empty(), "a file has a name");
    for (const std::string& name : file.path) check_name(name);
    require(paths.insert(file.path).second, "no path twice");
    require(file.offset >= end, "files lie behind each other");
    end = file.offset + file.length;
    require(end >= file.offset && end <= torrent.layout.total_size(), "a file lies in the torrent");
  }
  for (const auto& path : paths) {
    std::vector<std::string> folder = path;
    while (folder.pop_back(), !folder.empty()) {
      require(!paths.contains(folder), "a file is no folder");
    }
  }
}

}  // namespace

void run(Bytes input) {
  const auto torrent = storage::parse_metainfo(input);
  if (!torrent) return;
  const storage::Layout& layout = torrent->layout;
  require(layout.total_size() > 0, "there is something");
  require(layout.piece_length() > 0 && layout.piece_length() <= storage::kMaxPieceLength,
          "a piece length that was checked");
  require(torrent->piece_hashes.size() == layout.piece_count(), "a hash a piece");
  require((layout.total_size() - 1) / layout.piece_length() + 1 == layout.piece_count(),
          "as many pieces as the bytes make");
  check_name(torrent->name);
  require(!torrent->files.empty(), "a file to show");
  require(!torrent->single_file || torrent->files.size() == 1, "a single file is one file");
  check_files(*torrent);
  for (const std::string& line : torrent->warnings) require(is_printable(line), "one line");
}

}  // namespace swarmfs::fuzz
