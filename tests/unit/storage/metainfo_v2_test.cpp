#include "storage/metainfo_v2.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/storage/torrents.h"

namespace swarmfs::storage {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(MetainfoV2, AHybridIsServedThroughItsV1Half) {
  const Metainfo metainfo = parsed(torrent_of(hybrid_info()));
  EXPECT_TRUE(metainfo.has_v2);
  EXPECT_THAT(paths_of(metainfo), ElementsAre("a", "b"));
  EXPECT_THAT(metainfo.layout.pads(), ElementsAre(ByteRange{10, 16384}));
  Dictionary tree, single = single_info();
  tree.add("f", v2_file(10, 'A'));
  EXPECT_TRUE(parsed(torrent_of(single.add("meta version", 2).add("file tree", tree))).has_v2);
}

TEST(MetainfoV2, HalvesThatDisagreeAreRefused) {
  EXPECT_EQ(error_of(torrent_of(hybrid_info(6))), StorageErrc::v2_inconsistent);
  EXPECT_EQ(error_of(torrent_of(hybrid_info(5, false))), StorageErrc::v2_inconsistent)
      << "b does not start on a piece boundary";
  Dictionary tree, info = single_info();
  tree.add("f", Dictionary().add("g", v2_file(10, 'A')));
  EXPECT_EQ(error_of(torrent_of(info.add("meta version", 2).add("file tree", tree))),
            StorageErrc::v2_inconsistent);
}

Dictionary v2_info(const Dictionary& tree) {
  Dictionary info;
  info.add("meta version", 2).add("name", "n").add("piece length", 16384).add("file tree", tree);
  return info;
}

TEST(MetainfoV2, TheVersionIsCheckedBeforeItIsNarrowed) {
  for (const std::int64_t version :
       {std::int64_t{4'294'967'298}, std::int64_t{1}, std::int64_t{-2}}) {
    Dictionary info = single_info();
    EXPECT_EQ(error_of(torrent_of(info.add("meta version", version))),
              StorageErrc::v2_unknown_version)
        << version;
  }
}

TEST(MetainfoV2, PieceLayersMustFitTheirFiles) {
  Dictionary tree;
  tree.add("f", v2_file(40'000, 'A'));
  const auto with_layer = [&](const std::string& root, std::size_t size) {
    Dictionary torrent;
    torrent.add("info", v2_info(tree))
        .add("piece layers", Dictionary().add(root, std::string(size, 'h')));
    return error_of(torrent.encode());
  };
  EXPECT_EQ(with_layer(std::string(32, 'A'), 3 * 32), StorageErrc::v2_only);
  EXPECT_EQ(with_layer(std::string(32, 'A'), 2 * 32), StorageErrc::v2_layers_malformed);
  EXPECT_EQ(with_layer(std::string(32, 'B'), 3 * 32), StorageErrc::v2_layers_malformed);
}

TEST(MetainfoV2, AMalformedTreeIsRefused) {
  const auto verdict = [](const Dictionary& tree) { return error_of(torrent_of(v2_info(tree))); };
  EXPECT_EQ(verdict(Dictionary().add("f", v2_file(10, 'A'))), StorageErrc::v2_only);
  EXPECT_EQ(verdict(Dictionary().add("d", Dictionary().add("f", v2_file(10, 'A')))),
            StorageErrc::v2_only);
  EXPECT_EQ(verdict(v2_file(10, 'A')), StorageErrc::v2_tree_malformed)
      << "the tree itself is a file";
  EXPECT_EQ(verdict(Dictionary().add("f", 1)), StorageErrc::v2_tree_malformed);
  EXPECT_EQ(verdict(Dictionary().add("f", Dictionary().add("", 1))),
            StorageErrc::v2_tree_malformed);
  EXPECT_EQ(verdict(Dictionary().add("f", v2_file(10, 0))), StorageErrc::v2_root_malformed);
  EXPECT_EQ(verdict(Dictionary().add("f", v2_file(-1, 'A'))), StorageErrc::length_out_of_range);
  EXPECT_EQ(verdict(Dictionary().add("f", v2_file(0, 0))), StorageErrc::total_size_zero);
  EXPECT_EQ(verdict(Dictionary().add("d", Dictionary())), StorageErrc::no_files);
  Dictionary leaf;
  leaf.add("length", 10).add("pieces root", std::string(32, '\0'));
  EXPECT_EQ(verdict(Dictionary().add("f", Dictionary().add("", leaf))),
            StorageErrc::v2_root_malformed);
}

TEST(MetainfoV2, TheMessageSaysThatTheTorrentIsSound) {
  EXPECT_THAT(error_of(torrent_of(v2_info(Dictionary().add("f", v2_file(10, 'A'))))).message(),
              HasSubstr("not supported yet"));
}

}  // namespace
}  // namespace swarmfs::storage
