#include "net/extension.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <string>

namespace swarmfs::net {
namespace {

using testing::HasSubstr;
using testing::Not;
using Pex = ExtensionOffer::Pex;

ExtensionHandshake parse(const std::string& text) {
  return parse_extension_handshake(std::as_bytes(std::span(text)));
}
std::string offered(const ExtensionOffer& offer) {
  const auto bytes = extension_handshake({asio::ip::make_address("1.2.3.4"), 6881}, offer);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
std::string payload_to(const char* address) {
  const auto bytes = extension_handshake({asio::ip::make_address(address), 6881}, {});
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST(ExtensionTest, SaysWhoWeAreWhatWeQueueAndWhomWeSee) {
  EXPECT_EQ(payload_to("1.2.3.4"),
            "d1:md11:lt_donthavei3ee4:reqqi250e1:v13:swarmfs " SWARMFS_VERSION
            "6:yourip4:\x01\x02\x03\x04"
            "e");
}

TEST(ExtensionTest, ShowsAnIpv6PeerItsSixteenBytes) {
  const std::string ip = std::string("\x20\x01\x0d\xb8", 4) + std::string(11, '\0') + '\x07';
  EXPECT_THAT(payload_to("2001:db8::7"), testing::EndsWith("6:yourip16:" + ip + "e"));
}

TEST(ExtensionTest, NamesTheExtensionsWeSpeak) {
  EXPECT_THAT(offered({.metadata = true}),
              HasSubstr("1:md11:lt_donthavei3e11:ut_metadatai2ee4:reqq"));
  EXPECT_THAT(offered({.metadata = true, .metadata_size = 77, .pex = Pex::on, .port = 6881}),
              HasSubstr("11:ut_metadatai2e6:ut_pexi1ee13:metadata_sizei77e1:pi6881e4:reqq"));
  EXPECT_THAT(offered({.pex = Pex::withdrawn}), HasSubstr("6:ut_pexi0ee"))
      << "0 takes back what was said (BEP 10)";
}

TEST(ExtensionTest, NeverSaysThatWeOnlyUpload) {
  EXPECT_THAT(offered({.metadata = true, .metadata_size = 1, .pex = Pex::on, .port = 1}),
              Not(HasSubstr("upload_only")));
}

TEST(ExtensionTest, WhatWeSendWeCanRead) {
  const ExtensionHandshake said =
      parse(offered({.metadata = true, .metadata_size = 77, .pex = Pex::on}));
  EXPECT_EQ(said.request_limit, 250U);
  EXPECT_EQ(said.metadata_id, 2);
  EXPECT_EQ(said.pex_id, 1);
  EXPECT_EQ(said.metadata_size, 77U);
  EXPECT_EQ(said.our_address, asio::ip::make_address("1.2.3.4"));
  EXPECT_EQ(said.client, "swarmfs " SWARMFS_VERSION);
}

// BEP 54: <len=6><op=20><subop><index>; an index is all that is in it.
TEST(ExtensionTest, APieceThatIsGoneIsNamedByFourBytes) {
  const auto index = [](const std::string& payload) {
    return parse_dont_have(std::as_bytes(std::span(payload)));
  };
  EXPECT_EQ(index(std::string("\x01\x02\x03\x04")), 0x01020304U);
  EXPECT_EQ(index(std::string(4, '\xff')), UINT32_MAX) << "whether there is one, others know";
  for (const std::size_t size : {0U, 1U, 3U, 5U, 8U}) EXPECT_FALSE(index(std::string(size, 'x')));
}

TEST(ExtensionTest, MessageNumbersFitAByte) {
  EXPECT_EQ(parse("d1:md11:ut_metadatai255e6:ut_pexi0eee").metadata_id, 255);
  EXPECT_EQ(parse("d1:md11:ut_metadatai255e6:ut_pexi0eee").pex_id, 0);
  for (const char* value : {"i256e", "i-1e", "i4294967297e", "1:1", "le"}) {
    EXPECT_FALSE(parse(std::string("d1:md11:ut_metadata") + value + "ee").metadata_id) << value;
  }
  EXPECT_FALSE(parse("d1:m3:abce").pex_id);
}

TEST(ExtensionTest, ASizeOutOfRangeIsNone) {
  EXPECT_EQ(parse("d13:metadata_sizei8388608ee").metadata_size, kMaxMetadataSize);
  for (const char* value : {"i0e", "i-1e", "i8388609e", "i4294967296e", "i18446744073709551617e"}) {
    EXPECT_FALSE(parse(std::string("d13:metadata_size") + value + "e").metadata_size) << value;
  }
}

TEST(ExtensionTest, OurAddressHasFourBytesOrSixteen) {
  EXPECT_EQ(parse("d6:yourip16:" + std::string(15, '\0') + "\x01" + "e").our_address,
            asio::ip::make_address("::1"));
  for (const char* value : {"0:", "3:abc", "5:abcde", "i5e"}) {
    EXPECT_FALSE(parse(std::string("d6:yourip") + value + "e").our_address) << value;
  }
}

TEST(ExtensionTest, AProgramsNameIsSafeToShow) {
  EXPECT_EQ(parse("d1:v8:a\x1b[31mbce").client, "a\\x1b[31mbc");
  EXPECT_EQ(parse("d1:v2:\xc3\xa9"
                  "e")
                .client,
            "\\xc3\\xa9");
  EXPECT_EQ(parse("d1:v200:" + std::string(200, 'x') + "e").client.size(), kMaxClientName);
}

TEST(ExtensionTest, ALaterHandshakeChangesOnlyWhatItNames) {
  ExtensionHandshake said = parse("d1:md11:ut_metadatai3e6:ut_pexi4ee4:reqqi9e1:v1:ae");
  said.update(parse("d1:md6:ut_pexi0ee13:metadata_sizei5ee"));
  EXPECT_EQ(said.metadata_id, 3);
  EXPECT_EQ(said.pex_id, 0);
  EXPECT_EQ(said.metadata_size, 5U);
  EXPECT_EQ(said.request_limit, 9U);
  EXPECT_EQ(said.client, "a");
}

TEST(ExtensionTest, ReadsTheRequestLimit) {
  EXPECT_EQ(parse("d4:reqqi1ee").request_limit, 1U);
  EXPECT_EQ(parse("d4:reqqi512ee").request_limit, 512U);
  EXPECT_EQ(parse("d4:reqqi2147483647ee").request_limit, 2147483647U);
  EXPECT_EQ(parse("d1:md6:ut_pexi1ee1:pi6881e4:reqqi2000e1:v3:abce").request_limit, 2000U);
}

TEST(ExtensionTest, ANonsensicalLimitIsNoLimit) {
  for (const char* value : {"i0e", "i-1e", "i2147483648e", "i99999999999999999999e", "3:abc", "le",
                            "de", "i-0e", "ie"}) {
    EXPECT_EQ(parse(std::string("d4:reqq") + value + "e").request_limit, std::nullopt) << value;
  }
}

TEST(ExtensionTest, GarbageSaysNothing) {
  for (const char* text : {"", "d", "de", "le", "i5e", "4:reqq", "d4:reqqi5e", "d4:reqqi5",
                           "\xff\xfe", "d4:reqq", "d999999999999:"}) {
    EXPECT_EQ(parse(text).request_limit, std::nullopt) << text;
  }
}

TEST(ExtensionTest, ADepthBombIsRefusedBeforeItGoesOff) {
  for (const std::size_t depth : {17U, 1000U, 500'000U}) {
    const std::string bomb =
        "d1:a" + std::string(depth, 'l') + std::string(depth, 'e') + "4:reqqi5ee";
    EXPECT_EQ(parse(bomb).request_limit, std::nullopt) << depth;
  }
  EXPECT_EQ(parse("d1:alllleeee4:reqqi5ee").request_limit, 5U) << "a few levels are fine";
}

TEST(ExtensionTest, ATokenBombIsRefused) {
  std::string bomb = "d1:al";
  for (int i = 0; i < 20'000; ++i) bomb += "0:";
  EXPECT_EQ(parse(bomb + "e4:reqqi5ee").request_limit, std::nullopt);
}

RC_GTEST_PROP(ExtensionProperty, EveryTruncationSaysNothing, ()) {
  const std::string whole = "d1:md6:ut_pexi1ee4:reqqi2000e1:v3:abce";
  const auto cut = *rc::gen::inRange<std::size_t>(0, whole.size());
  RC_ASSERT(!parse(whole.substr(0, cut)).request_limit);
}

RC_GTEST_PROP(ExtensionProperty, NoBytesHurt, ()) {
  std::string text = "d1:md6:ut_pexi1ee4:reqqi2000e1:v3:abce";
  for (const std::uint16_t where :
       *rc::gen::container<std::vector<std::uint16_t>>(3, rc::gen::arbitrary<std::uint16_t>())) {
    text[where % text.size()] = *rc::gen::arbitrary<char>();
  }
  const ExtensionHandshake said = parse(text);
  RC_ASSERT(said.metadata_size.value_or(1) <= kMaxMetadataSize);
  RC_ASSERT(said.client.size() <= kMaxClientName);
  const auto limit = said.request_limit;
  RC_ASSERT(limit.value_or(1) >= 1U);
  RC_ASSERT(limit.value_or(1) <= 2147483647U);
}

TEST(ExtensionTest, AListenPortIsAPort) {
  EXPECT_EQ(parse("d1:pi6881ee").listen_port, 6881);
  for (const char* none : {"d1:pi0ee", "d1:pi65536ee", "d1:pi-1ee", "d1:p4:6881e", "de"}) {
    EXPECT_FALSE(parse(none).listen_port) << none;
  }
  ExtensionHandshake said = parse("d1:pi6881ee");
  said.update(parse("de"));
  EXPECT_EQ(said.listen_port, 6881) << "what is not named stays as it was";
}

}  // namespace
}  // namespace swarmfs::net
