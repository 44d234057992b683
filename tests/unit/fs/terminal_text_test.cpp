#include "fs/terminal_text.h"

#include <gtest/gtest.h>

namespace swarmfs::fs {
namespace {

TEST(FittingTest, KeepsWhatFits) {
  EXPECT_EQ(fitting("waiting", 7), "waiting");
  EXPECT_EQ(fitting("", 0), "");
}

TEST(FittingTest, CutsWhatWouldWrap) {
  EXPECT_EQ(fitting("waiting for data", 7), "waiting");
  EXPECT_EQ(fitting("x", 0), "");
}

TEST(FittingTest, CutsBetweenCharactersAndCountsForeignOnesAsWide) {
  EXPECT_EQ(fitting("a\u00e9\u4e2d", 5), "a\u00e9\u4e2d");
  EXPECT_EQ(fitting("a\u00e9\u4e2d", 4), "a\u00e9");
  EXPECT_EQ(fitting("a\u00e9\u4e2d", 2), "a");
}

TEST(FittingTest, ForeignTextStaysPrintable) {
  EXPECT_EQ(fitting("a\x1b[2J", 100), "a\\x1b[2J");
  EXPECT_EQ(fitting("a\x1b[2J", 3), "a\\x");
}

TEST(TerminalColumnsTest, WhatIsNoTerminalHasTheUsualWidth) {
  EXPECT_EQ(terminal_columns(-1), 80U);
}

}  // namespace
}  // namespace swarmfs::fs
