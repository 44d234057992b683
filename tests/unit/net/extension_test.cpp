#include "net/extension.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <string>

namespace swarmfs::net {
namespace {

ExtensionHandshake parse(const std::string& text) {
  return parse_extension_handshake(std::as_bytes(std::span(text)));
}
std::string payload_to(const char* address) {
  const auto bytes = extension_handshake({asio::ip::make_address(address), 6881}, {});
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST(ExtensionTest, SaysWhoWeAreWhatWeQueueAndWhomWeSee) {
  EXPECT_EQ(payload_to("1.2.3.4"), "d1:mde4:reqqi250e1:v13:swarmfs " SWARMFS_VERSION
                                   "6:yourip4:\x01\x02\x03\x04"
                                   "e");
}

TEST(ExtensionTest, ShowsAnIpv6PeerItsSixteenBytes) {
  const std::string ip = std::string("\x20\x01\x0d\xb8", 4) + std::string(11, '\0') + '\x07';
  EXPECT_THAT(payload_to("2001:db8::7"), testing::EndsWith("6:yourip16:" + ip + "e"));
}

TEST(ExtensionTest, WhatWeSendWeCanRead) {
  EXPECT_EQ(parse(payload_to("1.2.3.4")).request_limit, 250U);
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
  const auto limit = parse(text).request_limit;
  RC_ASSERT(limit.value_or(1) >= 1U);
  RC_ASSERT(limit.value_or(1) <= 2147483647U);
}

}  // namespace
}  // namespace swarmfs::net
