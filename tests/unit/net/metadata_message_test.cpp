#include "net/metadata_message.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <string>

namespace swarmfs::net {
namespace {

using Type = MetadataMessage::Type;

std::string text(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
std::optional<MetadataMessage> parse(const std::string& message) {
  return decode_metadata(std::as_bytes(std::span(message)));
}

// The examples of BEP 9.
TEST(MetadataMessageTest, WritesWhatTheSpecificationShows) {
  const std::string payload = "xxxxxxxx";
  EXPECT_EQ(text(encode({Type::request, 0})), "d8:msg_typei0e5:piecei0ee");
  EXPECT_EQ(text(encode({Type::reject, 0})), "d8:msg_typei2e5:piecei0ee");
  EXPECT_EQ(text(encode({Type::data, 0, 34256, std::as_bytes(std::span(payload))})),
            "d8:msg_typei1e5:piecei0e10:total_sizei34256eexxxxxxxx");
}

TEST(MetadataMessageTest, ReadsWhatTheSpecificationShows) {
  const std::string whole = "d8:msg_typei1e5:piecei3e10:total_sizei34256eexxxxxxxx";
  const auto data = parse(whole);
  ASSERT_TRUE(data);
  EXPECT_EQ(data->type, Type::data);
  EXPECT_EQ(data->piece, 3U);
  EXPECT_EQ(data->total_size, 34256U);
  EXPECT_EQ(data->data.size(), 8U);
  const auto reject = parse("d8:msg_typei2e5:piecei511ee");
  ASSERT_TRUE(reject);
  EXPECT_EQ(reject->type, Type::reject);
  EXPECT_EQ(reject->piece, 511U);
}

TEST(MetadataMessageTest, WhatMakesNoSenseSaysNothing) {
  for (const char* message :
       {"", "d", "i5e", "le", "d8:msg_typei0ee", "d5:piecei0ee", "d8:msg_typei3e5:piecei0ee",
        "d8:msg_typei-1e5:piecei0ee", "d8:msg_typei256e5:piecei0ee", "d8:msg_typei0e5:piecei-1ee",
        "d8:msg_typei0e5:piecei512ee", "d8:msg_typei0e5:piecei4294967296ee",
        "d8:msg_type1:05:piecei0ee"}) {
    EXPECT_FALSE(parse(message)) << message;
  }
}

TEST(MetadataMessageTest, ASizeOutOfRangeIsNotSaid) {
  for (const char* size : {"0", "-5", "8388609", "4294967297", "18446744073709551616"}) {
    const auto data = parse(std::string("d8:msg_typei1e5:piecei0e10:total_sizei") + size + "eex");
    if (!data) continue;  // not even bencode
    EXPECT_FALSE(data->total_size) << size;
  }
  EXPECT_EQ(parse("d8:msg_typei1e5:piecei0e10:total_sizei8388608eex")->total_size, 8388608U);
}

TEST(MetadataMessageTest, MoreThanAPieceIsNoPiece) {
  const std::string header = "d8:msg_typei1e5:piecei0e10:total_sizei34256ee";
  EXPECT_TRUE(parse(header + std::string(16384, 'x')));
  EXPECT_FALSE(parse(header + std::string(16385, 'x')));
}

RC_GTEST_PROP(MetadataMessageProperty, WhatIsWrittenIsRead, ()) {
  const auto bytes =
      *rc::gen::container<std::vector<std::uint8_t>>(rc::gen::arbitrary<std::uint8_t>());
  MetadataMessage message;
  message.type = *rc::gen::element(Type::request, Type::data, Type::reject);
  message.piece = *rc::gen::inRange<std::uint32_t>(0, kMaxMetadataPieces);
  if (message.type == Type::data) {
    message.total_size = *rc::gen::inRange<std::uint32_t>(1, kMaxMetadataSize + 1);
    message.data = std::as_bytes(std::span(bytes));
  }
  const std::vector<std::byte> payload = encode(message);
  const auto back = decode_metadata(payload);
  RC_ASSERT(back);
  RC_ASSERT(back->type == message.type);
  RC_ASSERT(back->piece == message.piece);
  RC_ASSERT(back->total_size == message.total_size);
  RC_ASSERT(
      std::equal(back->data.begin(), back->data.end(), message.data.begin(), message.data.end()));
}

RC_GTEST_PROP(MetadataMessageProperty, NoBytesHurt, ()) {
  std::string message = "d8:msg_typei1e5:piecei3e10:total_sizei34256eexxxxxxxx";
  for (int i = 0; i < 4; ++i)
    message[*rc::gen::inRange<std::size_t>(0, message.size())] = *rc::gen::arbitrary<char>();
  if (const auto said = parse(message)) {
    RC_ASSERT(said->piece < kMaxMetadataPieces);
    RC_ASSERT(said->data.size() <= message.size());
  }
}

}  // namespace
}  // namespace swarmfs::net
