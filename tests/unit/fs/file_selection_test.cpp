#include "fs/file_selection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace swarmfs::fs {
namespace {

using storage::FileRange;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// A torrent of six files of which number 1 is padding and number 4 a link, so that neither shows.
class FileSelectionTest : public testing::Test {
 protected:
  FileSelectionTest() {
    for (const std::uint32_t index : {0U, 2U, 3U, 5U}) {
      metainfo_.files.push_back({{std::to_string(index)}, index, 1, false, index});
    }
  }
  FileSelection select(std::vector<FileRange> ranges) const {
    return select_files(metainfo_, ranges);
  }
  static std::vector<std::uint32_t> indices(const FileSelection& selection) {
    std::vector<std::uint32_t> indices;
    for (const storage::FileEntry& file : selection.files) indices.push_back(file.index);
    return indices;
  }

  storage::Metainfo metainfo_{
      "t", {}, storage::Layout(6, 16384), {}, {}, false, {}, {}, {}, false, {}, false, {}};
};

TEST_F(FileSelectionTest, ALinkThatSelectsNothingShowsAll) {
  EXPECT_THAT(indices(select({})), ElementsAre(0, 2, 3, 5));
  EXPECT_THAT(select({}).warnings, IsEmpty());
}

TEST_F(FileSelectionTest, NumbersCountEveryFileOfTheTorrentHiddenOnesToo) {
  EXPECT_THAT(indices(select({{2, 2}})), ElementsAre(2));
  EXPECT_THAT(indices(select({{0, 0}, {3, 5}})), ElementsAre(0, 3, 5));
  EXPECT_THAT(indices(select({{0, 1}, {4, 4}})), ElementsAre(0));
  EXPECT_THAT(select({{0, 1}, {4, 4}}).warnings, IsEmpty());
}

TEST_F(FileSelectionTest, WhatTheTorrentDoesNotHaveIsIgnoredWithAWarning) {
  const FileSelection selection = select({{3, 3}, {7, 9}});
  EXPECT_THAT(indices(selection), ElementsAre(3));
  EXPECT_THAT(selection.warnings, ElementsAre(HasSubstr("so=7-9")));
}

TEST_F(FileSelectionTest, ARangeWithoutEndTakesTheRest) {
  const FileSelection selection = select({{2, std::numeric_limits<std::uint32_t>::max()}});
  EXPECT_THAT(indices(selection), ElementsAre(2, 3, 5));
  EXPECT_EQ(selection.warnings.size(), 1U);
}

TEST_F(FileSelectionTest, NothingLeftShowsAllAndSaysSo) {
  const FileSelection hidden = select({{1, 1}});
  EXPECT_THAT(indices(hidden), ElementsAre(0, 2, 3, 5));
  EXPECT_THAT(hidden.warnings, ElementsAre(HasSubstr("all are shown")));
  const FileSelection beyond = select({{100, 200}});
  EXPECT_THAT(indices(beyond), ElementsAre(0, 2, 3, 5));
  EXPECT_EQ(beyond.warnings.size(), 2U);
}

}  // namespace
}  // namespace swarmfs::fs
