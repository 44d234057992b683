#include "storage/hash.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>

namespace swarmfs::storage {
namespace {

std::string sha1_hex(std::string_view text) {
  return sha1(std::as_bytes(std::span(text))).hex();
}

TEST(Sha1, MatchesTheVectorsOfFips180) {
  EXPECT_EQ(sha1_hex("abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
  EXPECT_EQ(sha1_hex(""), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
  EXPECT_EQ(sha1_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
  EXPECT_EQ(sha1_hex(std::string(1'000'000, 'a')), "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
}

TEST(Sha1, AHasherThatMovesGoesOnWhereItWas) {
  Sha1 first;
  first.update(std::as_bytes(std::span("a", 1)));
  Sha1 second = std::move(first);
  second.update(std::as_bytes(std::span("bc", 2)));
  EXPECT_EQ(second.finish().hex(), "a9993e364706816aba3e25717850c26c9cd0d89d");
}

RC_GTEST_PROP(Sha1Property, ThePartsHashLikeTheWhole, (const std::vector<std::string>& parts)) {
  Sha1 hasher;
  std::string whole;
  for (const std::string& part : parts) {
    hasher.update(std::as_bytes(std::span(part)));
    whole += part;
  }
  RC_ASSERT(hasher.finish() == sha1(std::as_bytes(std::span(whole))));
}

TEST(Sha1Digest, ReadsExactlyFortyHexDigits) {
  const std::string hex = "A9993E364706816ABA3E25717850C26C9CD0D89D";
  const std::optional<Sha1Digest> digest = Sha1Digest::from_hex(hex);
  ASSERT_TRUE(digest);
  EXPECT_EQ(digest->bytes.front(), std::byte{0xA9});
  EXPECT_EQ(digest->hex(), "a9993e364706816aba3e25717850c26c9cd0d89d");
  EXPECT_FALSE(Sha1Digest::from_hex(hex.substr(1)));
  EXPECT_FALSE(Sha1Digest::from_hex(hex + "0"));
  EXPECT_FALSE(Sha1Digest::from_hex("g" + hex.substr(1)));
  EXPECT_FALSE(Sha1Digest::from_hex(""));
}

TEST(Sha256Digest, ReadsExactlySixtyFourHexDigits) {
  const std::string hex = "00" + std::string(60, 'A') + "fF";
  const std::optional<Sha256Digest> digest = Sha256Digest::from_hex(hex);
  ASSERT_TRUE(digest);
  EXPECT_EQ(digest->bytes.front(), std::byte{0});
  EXPECT_EQ(digest->bytes.back(), std::byte{0xFF});
  EXPECT_EQ(digest->hex(), "00" + std::string(60, 'a') + "ff");
  EXPECT_FALSE(Sha256Digest::from_hex(hex.substr(2)));
  EXPECT_FALSE(Sha256Digest::from_hex("x" + hex.substr(1)));
}

}  // namespace
}  // namespace swarmfs::storage
