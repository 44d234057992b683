#include "fs/byte_size.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace swarmfs::fs {
namespace {

constexpr std::uint64_t kKiB = 1024, kMiB = 1024 * kKiB, kGiB = 1024 * kMiB, kTiB = 1024 * kGiB;

TEST(ByteSizeTest, AUserMayWriteAnAmountInAnyUsualWay) {
  const std::vector<std::pair<std::string, std::uint64_t>> table{
      {"1", 1},
      {"4096", 4096},
      {"9223372036854775807", 9223372036854775807U},
      {"1K", kKiB},
      {"20G", 20 * kGiB},
      {"20g", 20 * kGiB},
      {"256M", 256 * kMiB},
      {"256MiB", 256 * kMiB},
      {"256MB", 256 * kMiB},
      {"256mb", 256 * kMiB},
      {"1.5T", kTiB + kTiB / 2},
      {"0.5K", 512},
      {"0064K", 64 * kKiB},
  };
  for (const auto& [text, bytes] : table) EXPECT_EQ(parse_bytes(text), bytes) << text;
}

TEST(ByteSizeTest, WhatIsNoAmountIsRefused) {
  for (const char* text : {"",
                           "0",
                           "0K",
                           "0.0001K",
                           "-1",
                           "+1",
                           " 1",
                           "1 ",
                           "1 G",
                           "G",
                           "B",
                           "iB",
                           "1iB",
                           "1i",
                           "1Ki",
                           "1.5",
                           "1.",
                           ".5G",
                           "1..5G",
                           "1.5.G",
                           "1,5G",
                           "1e3",
                           "0x10",
                           "ten",
                           "5%",
                           "1KK",
                           "1GM",
                           "1P",
                           "inf",
                           "nan",
                           "1BB",
                           "1KiBB",
                           "1\n",
                           "1G/s",
                           "--",
                           "8388608T",
                           "99999999999999999999",
                           "9223372036854775808",
                           "99999999999999999999999999999999999999999999999999T"}) {
    EXPECT_EQ(parse_bytes(text), std::nullopt) << text;
  }
}

TEST(ByteSizeTest, AnAmountIsBytesOrAShareOfTheDisk) {
  EXPECT_EQ(Amount::parse("20G"), Amount::of_bytes(20 * kGiB));
  EXPECT_EQ(Amount::parse("20G")->resolve(5), 20 * kGiB);
  EXPECT_EQ(Amount::parse("10%")->resolve(1000), 100U);
  EXPECT_EQ(Amount::parse("12.5%")->resolve(1000), 125U);
  EXPECT_EQ(Amount::parse("100%")->resolve(7 * kTiB), 7 * kTiB);
  for (const char* text : {"", "%", "0%", "-5%", "101%", "100.1%", "5 %", "5%%", "5G%", "x%", "0"})
    EXPECT_EQ(Amount::parse(text), std::nullopt) << text;
}

TEST(ByteSizeTest, MessagesSayAmountsShortly) {
  EXPECT_EQ(bytes_text(0), "0 bytes");
  EXPECT_EQ(bytes_text(512), "512 bytes");
  EXPECT_EQ(bytes_text(20 * kMiB), "20 MiB");
  EXPECT_EQ(bytes_text(kGiB + kGiB / 2), "1.5 GiB");
  EXPECT_EQ(bytes_text(kGiB - 1), "1 GiB");
  EXPECT_EQ(bytes_text(5000 * kTiB), "5000 TiB");
}

}  // namespace
}  // namespace swarmfs::fs
