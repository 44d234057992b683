#include "fs/file_tree.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <string>
#include <vector>

namespace swarmfs::fs {
namespace {

using storage::ByteRange;
using storage::FileEntry;
using storage::Layout;
using storage::Metainfo;

constexpr FileTree::Owner kOwner{.uid = 7, .gid = 8, .mtime = 1'234'567'890};

FileEntry file(std::vector<std::string> path, std::uint64_t offset, std::uint64_t length,
               bool executable = false) {
  return {std::move(path), offset, length, executable};
}

Metainfo folder(std::string name, std::vector<FileEntry> files, std::uint64_t total = 1000) {
  return {
      std::move(name), {}, Layout(total, 16384), {}, std::move(files), false, {}, {}, {}, false, {},
      false,           {}};
}

FileTree tree_of(const Metainfo& metainfo) {
  return {metainfo, metainfo.files, kOwner};
}

std::vector<std::string> names_in(const FileTree& tree, Inode directory) {
  std::vector<std::string> names;
  const FileTree::Node& of = *tree.find(directory);
  for (std::uint32_t i = 0; i < of.child_count; ++i) {
    names.push_back(tree.find(of.first_child + i)->name);
  }
  return names;
}

TEST(FileTree, PutsASingleFileInTheRoot) {
  Metainfo m = folder("film.mkv", {file({"film.mkv"}, 0, 1000)});
  m.single_file = true;
  const FileTree tree = tree_of(m);
  EXPECT_EQ(names_in(tree, kRootInode), (std::vector<std::string>{"film.mkv"}));
  const auto film = tree.lookup(kRootInode, "film.mkv");
  ASSERT_TRUE(film);
  EXPECT_EQ(tree.find(*film)->range, (ByteRange{0, 1000}));
  EXPECT_EQ(tree.size(), 2U);
}

TEST(FileTree, PutsSeveralFilesInAFolderNamedAfterTheTorrent) {
  const FileTree tree = tree_of(folder("album", {file({"b"}, 0, 10), file({"a"}, 10, 20)}));
  EXPECT_EQ(names_in(tree, kRootInode), (std::vector<std::string>{"album"}));
  const Inode top = *tree.lookup(kRootInode, "album");
  EXPECT_EQ(names_in(tree, top), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(tree.find(*tree.lookup(top, "a"))->range, (ByteRange{10, 30}));
}

TEST(FileTree, FindsTheWayDownAndUp) {
  const FileTree tree = tree_of(folder("t", {file({"d", "e", "x"}, 0, 1), file({"d", "y"}, 1, 1),
                                             file({"d.z"}, 2, 1), file({"d", "e", "w"}, 3, 1)}));
  const Inode top = *tree.lookup(kRootInode, "t");
  EXPECT_EQ(names_in(tree, top), (std::vector<std::string>{"d", "d.z"}));
  const Inode d = *tree.lookup(top, "d");
  EXPECT_EQ(names_in(tree, d), (std::vector<std::string>{"e", "y"}));
  const Inode e = *tree.lookup(d, "e");
  EXPECT_EQ(names_in(tree, e), (std::vector<std::string>{"w", "x"}));
  EXPECT_EQ(tree.lookup(e, ".."), d);
  EXPECT_EQ(tree.lookup(e, "."), e);
  EXPECT_EQ(tree.lookup(kRootInode, ".."), kRootInode);
}

TEST(FileTree, HasNothingElse) {
  const FileTree tree = tree_of(folder("t", {file({"f"}, 0, 1)}));
  const Inode top = *tree.lookup(kRootInode, "t");
  EXPECT_FALSE(tree.lookup(top, "F"));
  EXPECT_FALSE(tree.lookup(top, ""));
  EXPECT_FALSE(tree.lookup(top, std::string(255, 'f')));
  EXPECT_FALSE(tree.lookup(top, std::string(256, 'f')));
  EXPECT_FALSE(tree.lookup(top, "\xff\xfe"));
  EXPECT_FALSE(tree.lookup(*tree.lookup(top, "f"), "f")) << "a file has no children";
  EXPECT_FALSE(tree.lookup(*tree.lookup(top, "f"), "..")) << "a file is no directory";
  for (const Inode nowhere : {Inode{0}, Inode{4}, ~Inode{0}}) {
    EXPECT_EQ(tree.find(nowhere), nullptr) << nowhere;
    EXPECT_FALSE(tree.lookup(nowhere, "t")) << nowhere;
  }
}

TEST(FileTree, ShowsAttributesAsAReadOnlyTreeHasThem) {
  const FileTree tree =
      tree_of(folder("t", {file({"d", "run"}, 0, 100, true), file({"plain"}, 100, 900)}));
  const Inode top = *tree.lookup(kRootInode, "t");
  const Attributes root = tree.attributes(kRootInode, 0);
  EXPECT_TRUE(root.directory);
  EXPECT_EQ(root.permissions, 0555U);
  EXPECT_EQ(root.links, 3U) << "itself, its dot, and t's dot-dot";
  const Attributes plain = tree.attributes(*tree.lookup(top, "plain"), 0);
  EXPECT_FALSE(plain.directory);
  EXPECT_EQ(plain.permissions, 0444U);
  EXPECT_EQ(plain.links, 1U);
  EXPECT_EQ(plain.size, 900U);
  EXPECT_EQ(plain.uid, 7U);
  EXPECT_EQ(plain.gid, 8U);
  EXPECT_EQ(plain.mtime, 1'234'567'890);
  const Inode run = *tree.lookup(*tree.lookup(top, "d"), "run");
  EXPECT_EQ(tree.attributes(run, 0).permissions, 0555U);
}

TEST(FileTree, CountsPresentBytesAsBlocksButNeverShowsTarAHole) {
  const FileTree tree = tree_of(folder("t", {file({"f"}, 0, 5000), file({"none"}, 5000, 0)}, 5000));
  const Inode top = *tree.lookup(kRootInode, "t");
  const Inode f = *tree.lookup(top, "f");
  EXPECT_EQ(tree.attributes(f, 0).blocks, 1U) << "GNU tar stores zeros for a file of 0 blocks";
  EXPECT_EQ(tree.attributes(f, 513).blocks, 2U);
  EXPECT_EQ(tree.attributes(f, 5000).blocks, 10U);
  EXPECT_EQ(tree.attributes(*tree.lookup(top, "none"), 0).blocks, 0U);
}

TEST(FileTree, IsTheRootAloneUntilTheTorrentIsKnown) {
  const FileTree tree(kOwner);
  EXPECT_EQ(tree.size(), 1U);
  EXPECT_TRUE(names_in(tree, kRootInode).empty());
  EXPECT_FALSE(tree.lookup(kRootInode, "t"));
  EXPECT_EQ(tree.lookup(kRootInode, "."), kRootInode);
  EXPECT_EQ(tree.attributes(kRootInode, 0).mtime, kOwner.mtime);
  EXPECT_TRUE(tree.shown().empty());
}

TEST(FileTree, ShowsOnlyWhatIsSelected) {
  const Metainfo m = folder("t", {file({"a"}, 0, 10), file({"d", "b"}, 10, 20),
                                  file({"e", "c"}, 30, 0), file({"f"}, 30, 970)});
  const std::vector<FileEntry> some{m.files[3], m.files[0]};
  const FileTree tree(m, some, kOwner);
  EXPECT_EQ(names_in(tree, *tree.lookup(kRootInode, "t")), (std::vector<std::string>{"a", "f"}));
  EXPECT_EQ(tree.shown(), (std::vector<ByteRange>{{0, 10}, {30, 1000}}));
  EXPECT_EQ(tree_of(m).shown(), (std::vector<ByteRange>{{0, 1000}})) << "padding and all";
}

TEST(FileTree, GivesTheSameInodesHoweverTheTorrentListsItsFiles) {
  std::vector<FileEntry> files{file({"b", "x"}, 0, 1), file({"a"}, 1, 1), file({"b", "c"}, 2, 1)};
  const FileTree tree = tree_of(folder("t", files));
  std::reverse(files.begin(), files.end());
  const FileTree same = tree_of(folder("t", files));
  ASSERT_EQ(tree.size(), same.size());
  for (Inode i = kRootInode; i <= tree.size(); ++i) {
    EXPECT_EQ(tree.find(i)->name, same.find(i)->name);
    EXPECT_EQ(tree.find(i)->parent, same.find(i)->parent);
  }
}

TEST(FileTree, FindsEachOfAHundredThousandFiles) {
  std::vector<FileEntry> files;
  for (std::uint64_t i = 0; i < 100'000; ++i) {
    files.push_back(file({"d" + std::to_string(i % 10), "f" + std::to_string(i)}, i, 1));
  }
  std::shuffle(files.begin(), files.end(), std::mt19937(1));
  const FileTree tree = tree_of(folder("t", files, 100'000));
  EXPECT_EQ(tree.size(), 100'000U + 10 + 2);
  const Inode top = *tree.lookup(kRootInode, "t");
  for (const FileEntry& f : files) {
    const auto found = tree.lookup(*tree.lookup(top, f.path[0]), f.path[1]);
    ASSERT_TRUE(found);
    ASSERT_EQ(tree.find(*found)->range.begin, f.offset);
  }
}

}  // namespace
}  // namespace swarmfs::fs
