#include "storage/metainfo_v2.h"

#include <algorithm>
#include <bit>
#include <map>
#include <optional>
#include <utility>

#include "storage/metainfo_limits.h"
#include "storage/units.h"

namespace swarmfs::storage {
namespace {

using bencode::Entries;
using bencode::Entry;
using bencode::Type;
using bencode::Value;

constexpr std::int64_t kMetaVersion = 2;  // BEP 52
constexpr std::size_t kHashSize = 32;     // SHA-256

std::uint64_t pieces_of(std::uint64_t length, std::uint32_t piece_length) {
  return length == 0 ? 0 : (length - 1) / piece_length + 1;
}

// A walk over the file tree. The way from the top to the current node stands on an explicit stack,
// whose depth the bencode reader has bounded.
class TreeReader {
 public:
  explicit TreeReader(std::uint32_t piece_length) : piece_length_(piece_length) {}

  error_code read(Value tree) {
    if (!tree.is(Type::dictionary)) return StorageErrc::v2_tree_missing;
    if (tree[""]) return StorageErrc::v2_tree_malformed;  // the tree is a folder, never a file
    enter(tree);
    while (!folders_.empty()) {
      Folder& folder = folders_.back();
      if (folder.at == folder.end) {
        folders_.pop_back();
        if (!path_.empty()) path_.pop_back();
        continue;
      }
      const Entry entry = *folder.at;
      ++folder.at;
      if (const error_code ec = read_node(entry)) return ec;
    }
    if (files_.empty()) return StorageErrc::no_files;
    return total_ == 0 ? error_code(StorageErrc::total_size_zero) : error_code();
  }

  error_code check_layers(Value layers) const {
    if (!layers) return {};  // as with a magnet link: the hashes could come from peers
    if (!layers.is(Type::dictionary)) return StorageErrc::v2_layers_malformed;
    for (const Entry layer : layers.entries()) {
      const auto root = pieces_by_root_.find(layer.key);
      if (root == pieces_by_root_.end()) return StorageErrc::v2_layers_malformed;
      const std::optional<std::string_view> hashes = layer.value.string();
      if (!hashes || hashes->size() != root->second * kHashSize)
        return StorageErrc::v2_layers_malformed;
    }
    return {};
  }

  std::vector<V2File> take() { return std::move(files_); }

 private:
  struct Folder {
    Entries::Iterator at, end;
  };

  void enter(Value folder) {
    folders_.push_back({folder.entries().begin(), folder.entries().end()});
  }

  error_code read_node(const Entry& entry) {
    if (!entry.value.is(Type::dictionary) || entry.key.empty())
      return StorageErrc::v2_tree_malformed;
    const Entries children = entry.value.entries();
    auto child = children.begin();
    path_.push_back(entry.key);
    if (children.empty() || !(*child).key.empty()) {  // keys are sorted: "" comes first
      if (path_.size() > kMaxFolderDepth) return StorageErrc::path_too_deep;
      enter(entry.value);
      return {};
    }
    const error_code ec = read_file((*child).value);
    ++child;
    if (child != children.end()) return StorageErrc::v2_tree_malformed;  // a file has no siblings
    path_.pop_back();
    return ec;
  }

  error_code read_file(Value file) {
    if (!file.is(Type::dictionary)) return StorageErrc::v2_tree_malformed;
    const std::string_view attributes = file["attr"].string().value_or("");
    if (attributes.find('p') != attributes.npos) return StorageErrc::v2_padding;
    if (attributes.find('l') != attributes.npos) {
      files_.push_back({path_, 0});
      return {};
    }
    const std::optional<std::int64_t> number = file["length"].integer(0, kMaxFileLength);
    if (!number) return StorageErrc::length_out_of_range;
    const auto length = static_cast<std::uint64_t>(*number);
    if (const error_code ec = count_pieces(file["pieces root"], length)) return ec;
    total_ += length;
    files_.push_back({path_, length});
    return {};
  }

  error_code count_pieces(Value root, std::uint64_t length) {
    if (length == 0) return {};  // a root is meaningless here, and ignored
    const std::optional<std::string_view> hash = root.string();
    if (!hash || hash->size() != kHashSize) return StorageErrc::v2_root_malformed;
    if (std::all_of(hash->begin(), hash->end(), [](char c) { return c == 0; })) {
      return StorageErrc::v2_root_malformed;
    }
    const std::uint64_t pieces = pieces_of(length, piece_length_);
    if (pieces > kMaxPieces - pieces_) return StorageErrc::too_many_pieces;
    pieces_ += pieces;
    pieces_by_root_.emplace(*hash, pieces);
    return {};
  }

  std::uint32_t piece_length_;
  std::vector<Folder> folders_;
  std::vector<std::string_view> path_;  // of the current node
  std::vector<V2File> files_;
  std::map<std::string_view, std::uint64_t> pieces_by_root_;
  std::uint64_t total_ = 0;
  std::uint64_t pieces_ = 0;
};

}  // namespace

Result<bool> is_v2(Value info) {
  const Value version = info["meta version"];
  if (!version) {
    if (info["file tree"]) return StorageErrc::v2_version_missing;
    return false;
  }
  if (version.integer() != kMetaVersion) return StorageErrc::v2_unknown_version;
  return true;
}

Result<std::vector<V2File>> read_v2_files(Value root, Value info, std::uint32_t piece_length) {
  // Two readers of an info dictionary in odd form could see two torrents; BEP 52 has it refused.
  const Result<bencode::Document> canonical =
      bencode::Document::read(info.raw(), bencode::kTorrentLimits, bencode::Mode::strict);
  if (!canonical) return StorageErrc::v2_not_canonical;
  if (piece_length < kBlockSize || !std::has_single_bit(piece_length))
    return StorageErrc::v2_piece_length;
  TreeReader tree(piece_length);
  if (const error_code ec = tree.read(info["file tree"])) return ec;
  if (const error_code ec = tree.check_layers(root["piece layers"])) return ec;
  return tree.take();
}

}  // namespace swarmfs::storage
