#include "fs/file_tree.h"

#include <algorithm>
#include <cassert>
#include <span>
#include <utility>

namespace swarmfs::fs {
namespace {

constexpr std::uint32_t kFilePermissions = 0444;
constexpr std::uint32_t kExecutablePermissions = 0555;
constexpr std::uint32_t kDirectoryPermissions = 0555;
constexpr std::uint64_t kStatBlock = 512;  // the unit of st_blocks

}  // namespace

// A directory whose children are still to be added: the files below it, in order of their paths.
struct FileTree::Pending {
  Inode directory;
  std::span<const storage::FileEntry* const> files;
  std::size_t depth;  // path components that lead to the directory
};

FileTree::FileTree(Owner owner) : owner_(owner) {
  Node root;
  root.directory = root.whole = true;
  nodes_.push_back(std::move(root));
}

FileTree::FileTree(const storage::Metainfo& metainfo, std::span<const storage::FileEntry> files,
                   Owner owner)
    : FileTree(owner) {
  if (files.size() == metainfo.files.size()) {
    shown_.push_back({0, metainfo.layout.total_size()});
  } else {
    add_shown(files);
  }
  std::vector<const storage::FileEntry*> sorted;
  sorted.reserve(files.size());
  for (const storage::FileEntry& file : files) sorted.push_back(&file);
  const auto by_path = [](const storage::FileEntry* a, const storage::FileEntry* b) {
    return a->path < b->path;
  };
  std::sort(sorted.begin(), sorted.end(), by_path);

  nodes_.reserve(files.size() + 2);
  std::vector<Pending> pending;
  if (metainfo.single_file) {
    pending.push_back({kRootInode, sorted, 0});
  } else {
    const Inode top = kRootInode + 1;
    Node folder;
    folder.name = metainfo.name;
    folder.directory = folder.whole = true;
    nodes_.push_back(std::move(folder));
    node(kRootInode).first_child = top;
    node(kRootInode).child_count = node(kRootInode).subdirectories = 1;
    pending.push_back({top, sorted, 0});
  }
  // Breadth first, so that the children of a directory get consecutive inodes.
  for (std::size_t next = 0; next < pending.size(); ++next) add_children(pending[next], pending);
}

void FileTree::add_children(Pending of, std::vector<Pending>& pending) {
  const Inode first = nodes_.size() + 1;
  for (std::size_t at = 0; at < of.files.size();) {
    const storage::FileEntry& file = *of.files[at];
    assert(file.path.size() > of.depth);
    const std::string& name = file.path[of.depth];
    const bool directory = file.path.size() > of.depth + 1;
    std::size_t end = at + 1;
    const auto same_directory = [&](const storage::FileEntry& other) {
      return other.path.size() > of.depth + 1 && other.path[of.depth] == name;
    };
    while (directory && end < of.files.size() && same_directory(*of.files[end])) ++end;

    Node child;
    child.name = name;
    child.parent = of.directory;
    child.directory = directory;
    if (directory) {
      pending.push_back({nodes_.size() + 1, of.files.subspan(at, end - at), of.depth + 1});
      ++node(of.directory).subdirectories;
    } else {
      child.executable = file.executable;
      child.range = {file.offset, file.offset + file.length};
    }
    nodes_.push_back(std::move(child));
    at = end;
  }
  node(of.directory).first_child = first;
  node(of.directory).child_count = static_cast<std::uint32_t>(nodes_.size() + 1 - first);
}

void FileTree::add_shown(std::span<const storage::FileEntry> files) {
  for (const storage::FileEntry& file : files) {
    if (file.length > 0) shown_.push_back({file.offset, file.offset + file.length});
  }
  const auto before = [](storage::ByteRange a, storage::ByteRange b) { return a.begin < b.begin; };
  std::sort(shown_.begin(), shown_.end(), before);
}

const FileTree::Node* FileTree::find(Inode inode) const {
  if (inode < kRootInode || inode > nodes_.size()) return nullptr;
  return &node(inode);
}

std::optional<Inode> FileTree::lookup(Inode directory, std::string_view name) const {
  const Node* const of = find(directory);
  if (of == nullptr || !of->directory) return std::nullopt;
  if (name == ".") return directory;
  if (name == "..") return of->parent;
  if (of->child_count == 0) return std::nullopt;
  const std::span<const Node> children(&node(of->first_child), of->child_count);
  const auto before = [](const Node& child, std::string_view n) { return child.name < n; };
  const auto found = std::lower_bound(children.begin(), children.end(), name, before);
  if (found == children.end() || found->name != name) return std::nullopt;
  return of->first_child + static_cast<Inode>(found - children.begin());
}

Attributes FileTree::attributes(Inode inode, std::uint64_t present) const {
  const Node& of = node(inode);
  Attributes a;
  a.inode = inode;
  a.directory = of.directory;
  a.uid = owner_.uid;
  a.gid = owner_.gid;
  a.mtime = owner_.mtime;
  if (of.directory) {
    a.permissions = kDirectoryPermissions;
    a.links = 2 + of.subdirectories;
    return a;
  }
  a.permissions = of.executable ? kExecutablePermissions : kFilePermissions;
  a.size = of.range.size();
  a.blocks = (present + kStatBlock - 1) / kStatBlock;
  // tar takes a file without blocks for one big hole and stores zeros without reading it.
  if (a.size > 0 && a.blocks == 0) a.blocks = 1;
  return a;
}

}  // namespace swarmfs::fs
