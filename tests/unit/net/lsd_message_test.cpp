#include "net/lsd_message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace swarmfs::net {
namespace {

using testing::ElementsAre;
using testing::EndsWith;

constexpr std::string_view kGroup = "239.192.152.143:6771";

std::optional<LsdAnnounce> parse(std::string_view text) {
  return parse_lsd(std::as_bytes(std::span(text.data(), text.size())));
}

storage::InfoHash hash_of(char digit) {
  return storage::InfoHash::from_hex(std::string(40, digit)).value();
}

// An announcement with these lines after the first.
std::string with(std::string_view lines) {
  return "BT-SEARCH * HTTP/1.1\r\n" + std::string(lines) + "\r\n";
}
const std::string kHost = "Host: 239.192.152.143:6771\r\n";
const std::string kHash = "Infohash: " + std::string(40, 'a') + "\r\n";

TEST(LsdMessageTest, ReadsWhatTheBepShows) {
  const auto announce = parse(with(kHost + "Port: 6881\r\n" + kHash + "cookie: 1a2b\r\n\r\n"));
  ASSERT_TRUE(announce);
  EXPECT_EQ(announce->port, 6881);
  EXPECT_THAT(announce->info_hashes, ElementsAre(hash_of('a')));
  EXPECT_EQ(announce->cookie, "1a2b");
}

TEST(LsdMessageTest, ReadsNamesInAnyCaseAndOrderAndIgnoresOthers) {
  const std::string upper = "INFOHASH:" + std::string(40, 'B') + "  \r\n";
  const auto announce = parse(
      with("X-New: 1\r\n" + upper + "port: 1\r\n" + kHash + "hOST: [ff15::efc0:988f]:6771\r\n"));
  ASSERT_TRUE(announce);
  EXPECT_EQ(announce->port, 1);
  EXPECT_THAT(announce->info_hashes, ElementsAre(hash_of('b'), hash_of('a')));
  EXPECT_EQ(announce->cookie, "");
}

TEST(LsdMessageTest, CountsAnInfoHashSaidTwiceOnce) {
  const auto announce = parse(with(kHost + "Port: 1\r\n" + kHash + kHash));
  ASSERT_TRUE(announce);
  EXPECT_EQ(announce->info_hashes.size(), 1u);
}

TEST(LsdMessageTest, RefusesWhatIsNoAnnouncement) {
  const std::string good = with(kHost + "Port: 6881\r\n" + kHash);
  ASSERT_TRUE(parse(good));
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(parse(good.substr(0, size))) << "cut at " << size;
  }
  EXPECT_FALSE(parse("M-SEARCH" + good.substr(9))) << "SSDP";
  EXPECT_FALSE(parse("BT-SEARCH / HTTP/1.1" + good.substr(20)));
  EXPECT_FALSE(parse("BT-SEARCH * HTTP/1.0" + good.substr(20)));
  EXPECT_FALSE(parse(with("Port: 6881\r\n" + kHash))) << "no Host";
  EXPECT_FALSE(parse(with(kHost + kHash))) << "no Port";
  EXPECT_FALSE(parse(with(kHost + "Port: 6881\r\n"))) << "no Infohash";
  EXPECT_FALSE(parse(with(kHost + "Port: 1\r\nPort: 1\r\n" + kHash))) << "which one?";
  EXPECT_FALSE(parse(with(kHost + kHost + "Port: 1\r\n" + kHash)));
  EXPECT_FALSE(parse(with(kHost + "Port: 1\r\ncookie: a\r\ncookie: b\r\n" + kHash)));
}

TEST(LsdMessageTest, RefusesBadNumbersAndDigits) {
  for (const char* port : {"0", "65536", "-1", "+1", "0x10", "1 2", "", "000001", "6881x"}) {
    EXPECT_FALSE(parse(with(kHost + "Port: " + port + "\r\n" + kHash))) << port;
  }
  EXPECT_TRUE(parse(with(kHost + "Port: 65535\r\n" + kHash)));
  for (const std::string& hash : {std::string(39, 'a'), std::string(41, 'a'), std::string(32, 'A'),
                                  std::string(39, 'a') + "g", std::string()}) {
    const std::string line = "Infohash: " + hash + "\r\n";
    EXPECT_FALSE(parse(with(kHost + "Port: 1\r\n" + line))) << hash;
    EXPECT_FALSE(parse(with(kHost + "Port: 1\r\n" + kHash + line)))
        << "beside a good one: " << hash;
  }
}

TEST(LsdMessageTest, RefusesWhatIsTooLong) {
  const std::string start = kHost + "Port: 1\r\n" + kHash;
  EXPECT_TRUE(parse(with(start + "cookie: " + std::string(kMaxLsdCookie, 'c') + "\r\n")));
  EXPECT_FALSE(parse(with(start + "cookie: " + std::string(kMaxLsdCookie + 1, 'c') + "\r\n")));
  const std::size_t fill = kMaxLsdMessage - with(start + "X: \r\n").size();
  EXPECT_TRUE(parse(with(start + "X: " + std::string(fill, 'x') + "\r\n")));
  EXPECT_FALSE(parse(with(start + "X: " + std::string(fill + 1, 'x') + "\r\n")));
}

TEST(LsdMessageTest, WritesWhatTheBepShows) {
  const LsdAnnounce announce{6881, {hash_of('a'), hash_of('b')}, "1a2b"};
  EXPECT_EQ(encode_lsd(announce, kGroup),
            "BT-SEARCH * HTTP/1.1\r\n"
            "Host: 239.192.152.143:6771\r\n"
            "Port: 6881\r\n"
            "Infohash: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n"
            "Infohash: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n"
            "cookie: 1a2b\r\n"
            "\r\n"
            "\r\n");
  EXPECT_EQ(parse(encode_lsd(announce, kGroup)), announce);
  EXPECT_THAT(encode_lsd({1, {hash_of('c')}, ""}, kGroup), EndsWith("ccc\r\n\r\n\r\n"));
}

TEST(LsdMessageTest, WritesAsManyInfoHashesAsFit) {
  LsdAnnounce announce{65535, {}, "1a2b"};
  for (unsigned char i = 0; i < 100; ++i) {
    announce.info_hashes.emplace_back().bytes[0] = static_cast<std::byte>(i);
  }
  const std::string message = encode_lsd(announce, kGroup);
  EXPECT_LE(message.size(), kMaxLsdMessage);
  EXPECT_GT(message.size(), kMaxLsdMessage - 52) << "another one would have fitted";
  const auto read = parse(message);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->info_hashes.size(), lsd_capacity(kGroup, "1a2b"));
  EXPECT_EQ(read->info_hashes.back(), announce.info_hashes[read->info_hashes.size() - 1]);
}

}  // namespace
}  // namespace swarmfs::net
