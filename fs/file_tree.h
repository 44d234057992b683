// The directories and files of one torrent: which inode has which name, and where its bytes lie.
//
// Inode 1 is the root; below it lies the torrent's single file, or the folder named after it.
// Numbers follow from the metainfo and from which files are shown alone, so they are the same in
// every such mount, and they are never reused.
//
// Threads:  immutable after construction.
// Memory:   one Node an entry, nothing else; the metainfo is not referred to.
// Errors:   empty results for what does not exist.
// Lifetime: a plain value; views in results live as long as the tree.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "storage/metainfo.h"
#include "storage/units.h"

namespace swarmfs::fs {

using Inode = std::uint64_t;
inline constexpr Inode kRootInode = 1;  // FUSE_ROOT_ID

// What stat() shows. fuse_session turns it into a struct stat.
struct Attributes {
  Inode inode = 0;
  bool directory = false;
  std::uint32_t permissions = 0;
  std::uint32_t links = 1;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint64_t size = 0;
  std::uint64_t blocks = 0;  // of 512 bytes
  std::int64_t mtime = 0;
};

class FileTree {
 public:
  struct Node {
    std::string name;
    Inode parent = kRootInode;
    bool directory = false;
    bool executable = false;
    storage::ByteRange range;  // torrent offsets of a file's bytes; empty for directories
    bool whole = false;     // stands for all that is shown: the root and the torrent's own folder
    Inode first_child = 0;  // children have consecutive inodes, sorted by name
    std::uint32_t child_count = 0;
    std::uint32_t subdirectories = 0;
  };
  struct Owner {
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    // Of every entry. The same in every mount of the torrent, or scanners read everything again.
    std::int64_t mtime = 0;
  };

  // The root alone, empty: the torrent is not known yet.
  explicit FileTree(Owner owner);
  // `files`: those of the torrent that are shown.
  FileTree(const storage::Metainfo& metainfo, std::span<const storage::FileEntry> files,
           Owner owner);

  [[nodiscard]] const Node* find(Inode inode) const;
  // Knows "." and ".." too. Empty also when `directory` is none.
  [[nodiscard]] std::optional<Inode> lookup(Inode directory, std::string_view name) const;
  // Requires find(inode). `present`: how many of the file's bytes are there.
  [[nodiscard]] Attributes attributes(Inode inode, std::uint64_t present) const;
  [[nodiscard]] std::size_t size() const { return nodes_.size(); }  // entries, the root included
  // Where the bytes of all files lie, sorted and disjoint; the whole torrent when all are shown.
  [[nodiscard]] const std::vector<storage::ByteRange>& shown() const { return shown_; }

 private:
  struct Pending;
  void add_children(Pending of, std::vector<Pending>& pending);
  void add_shown(std::span<const storage::FileEntry> files);
  [[nodiscard]] Node& node(Inode inode) { return nodes_[static_cast<std::size_t>(inode - 1)]; }
  [[nodiscard]] const Node& node(Inode inode) const {
    return nodes_[static_cast<std::size_t>(inode - 1)];
  }

  Owner owner_;
  std::vector<Node> nodes_;  // by inode - 1
  std::vector<storage::ByteRange> shown_;
};

}  // namespace swarmfs::fs
