#include "storage/crc32c.h"

#include <gtest/gtest.h>

#include <string_view>
#include <vector>

namespace swarmfs::storage {
namespace {

std::uint32_t crc_of(std::string_view text) {
  return crc32c(std::as_bytes(std::span(text.data(), text.size())));
}

// The examples of RFC 3720 appendix B.4, which prints the bytes of each sum in wire order.
TEST(Crc32cTest, GivesTheSumsOfTheRfc) {
  EXPECT_EQ(crc32c(std::vector(32, std::byte{0})), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::vector(32, std::byte{0xff})), 0x62a8ab43u);
  std::vector<std::byte> rising(32);
  for (std::size_t i = 0; i < rising.size(); ++i) rising[i] = static_cast<std::byte>(i);
  EXPECT_EQ(crc32c(rising), 0x46dd794eu);
}

TEST(Crc32cTest, GivesTheCheckValueAndZeroForNothing) {
  EXPECT_EQ(crc_of("123456789"), 0xe3069283u);
  EXPECT_EQ(crc_of(""), 0u);
}

}  // namespace
}  // namespace swarmfs::storage
