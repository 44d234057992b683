#include "net/message_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

namespace swarmfs::net {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using Bytes = std::vector<std::byte>;

// The bytes a block of a piece is filled with.
Bytes content(std::uint32_t index, std::uint32_t length) {
  Bytes data(length);
  for (std::uint32_t i = 0; i < length; ++i) {
    data[i] = static_cast<std::byte>((index * 131 + i * 7 + (i >> 8)) & 0xff);
  }
  return data;
}
void put_piece(Bytes& stream, std::uint32_t index, std::uint32_t length = storage::kBlockSize) {
  encode(Piece{index, 0, content(index, length)}, stream);
}

struct Peer {  // what comes out of a reader fed with a stream
  explicit Peer(std::size_t pool_blocks, std::uint32_t max_message = kMaxMessageSize)
      : pool(pool_blocks), reader(pool, max_message, handlers()) {}

  MessageReader::Handlers handlers() {
    return {
        [this](const Message& m) { return on_message(m); },
        [this](std::uint32_t index, std::uint32_t begin, std::uint32_t length,
               storage::Block block) { return on_block(index, begin, length, std::move(block)); }};
  }
  error_code on_message(const Message& m) {
    EXPECT_FALSE(std::holds_alternative<Piece>(m)) << "pieces go to on_block";
    Bytes wire;
    encode(m, wire);
    heard.push_back("message " + hex(wire));
    return refuse_messages ? error_code(NetErrc::protocol_error) : error_code();
  }
  error_code on_block(std::uint32_t index, std::uint32_t begin, std::uint32_t length,
                      storage::Block block) {
    std::string text = "block " + std::to_string(index) + "+" + std::to_string(begin) + " of " +
                       std::to_string(length);
    if (!block) {
      text += ", lost";
    } else if (length > storage::kBlockSize) {
      text += ", but it does not fit";
    } else {
      const Bytes right = content(index, length);
      text += std::equal(right.begin(), right.end(), block.data()) ? "" : ", wrong bytes";
    }
    heard.push_back(text);
    if (keep) kept.push_back(std::move(block));
    return {};
  }
  static std::string hex(const Bytes& bytes) {
    static constexpr char kDigits[] = "0123456789abcdef";
    std::string text;
    for (const std::byte b : bytes) {
      const auto v = std::to_integer<unsigned>(b);
      text += {kDigits[v >> 4], kDigits[v & 15]};
    }
    return text;
  }
  // One read of at most `room` bytes from `stream` at `at`, as the kernel does it.
  error_code read(const Bytes& stream, std::size_t& at, std::size_t room, std::size_t expected) {
    std::size_t moved = 0;
    for (const asio::mutable_buffer& into : reader.prepare(expected)) {
      const std::size_t n = std::min({into.size(), room - moved, stream.size() - at});
      std::memcpy(into.data(), stream.data() + at, n);
      at += n;
      moved += n;
      if (moved == room) break;
    }
    return reader.commit(moved);
  }
  error_code read_all(const Bytes& stream, std::size_t expected = kMaxPredicted) {
    std::size_t at = 0;
    while (at < stream.size()) {
      const error_code ec = read(stream, at, std::numeric_limits<std::size_t>::max(), expected);
      if (ec) return ec;
    }
    return {};
  }

  storage::BlockPool pool;
  MessageReader reader;
  std::vector<std::string> heard;
  bool refuse_messages = false;
  bool keep = false;
  std::vector<storage::Block> kept;
};

// ---- the property: reads may end anywhere

rc::Gen<Bytes> any_stream() {
  return rc::gen::exec([] {
    Bytes stream;
    const int messages = *rc::gen::inRange(1, 12);
    for (int i = 0; i < messages; ++i) {
      const auto n = static_cast<std::uint32_t>(*rc::gen::inRange(0, 1000));
      switch (*rc::gen::inRange(0, 9)) {
        case 0:
          encode(KeepAlive{}, stream);
          break;
        case 1:
          encode(Have{n}, stream);
          break;
        case 2:
          encode(Unchoke{}, stream);
          break;
        case 3:
          encode(BitfieldMessage{content(n, n * 9)}, stream);
          break;
        case 4:
          put_piece(stream, n, n * 16);
          break;
        case 5:
          put_piece(stream, n, storage::kBlockSize + n);
          break;
        default:
          put_piece(stream, n);
          break;
      }
    }
    return stream;
  });
}

RC_GTEST_PROP(MessageReaderProperty, AnySplitIntoReadsSaysTheSame, ()) {
  const Bytes stream = *any_stream();
  Peer whole(64), split(64);
  RC_ASSERT(!whole.read_all(stream, 0));
  std::size_t at = 0;
  while (at < stream.size()) {
    const auto expected = *rc::gen::inRange<std::size_t>(0, 20);
    const auto scale = *rc::gen::element<std::size_t>(3, 30, 16'500, 70'000);
    const auto room = *rc::gen::inRange<std::size_t>(1, scale + 1);
    if (*rc::gen::arbitrary<bool>()) {  // nothing came this time
      (void)split.reader.prepare(expected);
      split.reader.release();
    }
    RC_ASSERT(!split.read(stream, at, room, expected));
  }
  RC_ASSERT(split.heard == whole.heard);
  RC_ASSERT(!whole.heard.empty());
}

RC_GTEST_PROP(MessageReaderProperty, ASmallPoolLosesBlocksButNeverTheThread, ()) {
  const Bytes stream = *any_stream();
  Peer whole(64), poor(*rc::gen::inRange<std::size_t>(0, 3));
  RC_ASSERT(!whole.read_all(stream, 0));
  poor.keep = *rc::gen::arbitrary<bool>();
  std::size_t at = 0;
  while (at < stream.size()) {
    const auto expected = *rc::gen::inRange<std::size_t>(0, 5);
    RC_ASSERT(!poor.read(stream, at, *rc::gen::inRange<std::size_t>(1, 40'000), expected));
  }
  RC_ASSERT(poor.heard.size() == whole.heard.size());
  for (std::size_t i = 0; i < whole.heard.size(); ++i) {
    RC_ASSERT(poor.heard[i] == whole.heard[i] || poor.heard[i] == whole.heard[i] + ", lost");
  }
}

// ---- stories

TEST(MessageReaderTest, ReadsThatEndAfterEveryByteSayTheSame) {
  Bytes stream;
  encode(Have{1}, stream);
  put_piece(stream, 2);
  encode(KeepAlive{}, stream);
  put_piece(stream, 3, 100);
  for (const std::size_t expected : {0U, 1U, 15U}) {
    Peer peer(64);
    for (std::size_t at = 0; at < stream.size();) ASSERT_FALSE(peer.read(stream, at, 1, expected));
    EXPECT_THAT(peer.heard, ElementsAre("message 000000050400000001", "block 2+0 of 16384",
                                        "message 00000000", "block 3+0 of 100"));
  }
}

// The k-th pool buffer among the prepared ones.
const void* predicted(std::span<const asio::mutable_buffer> buffers, std::size_t k) {
  for (const asio::mutable_buffer& b : buffers) {
    if (b.size() == storage::kBlockSize && k-- == 0) return b.data();
  }
  return nullptr;
}

TEST(MessageReaderTest, PredictedBlocksLandInPlace) {
  Bytes stream;
  for (std::uint32_t i = 0; i < 4; ++i) put_piece(stream, i);
  Peer peer(64);
  peer.keep = true;
  std::size_t at = 0;
  ASSERT_FALSE(peer.read(stream, at, 2 * (16384 + 13) - 5, 4));  // teaches it to expect more
  ASSERT_THAT(peer.heard, ElementsAre("block 0+0 of 16384"));
  const auto buffers = peer.reader.prepare(3);
  const void* second = predicted(buffers, 0);
  const void* third = predicted(buffers, 1);
  ASSERT_NE(third, nullptr) << "two of the three were expected by now";
  ASSERT_FALSE(peer.read(stream, at, stream.size(), 3));
  ASSERT_EQ(peer.kept.size(), 4U);
  EXPECT_EQ(peer.kept[2].data(), second);
  EXPECT_EQ(peer.kept[3].data(), third);
}

TEST(MessageReaderTest, ControlMessagesBetweenBlocksKeepTheirPlaces) {
  Bytes stream;
  put_piece(stream, 0);
  encode(Choke{}, stream);
  put_piece(stream, 1);
  put_piece(stream, 2);
  encode(Have{5}, stream);
  put_piece(stream, 3);
  Peer peer(64);
  ASSERT_FALSE(peer.read_all(stream));
  EXPECT_THAT(peer.heard, ElementsAre("block 0+0 of 16384", "message 0000000100",
                                      "block 1+0 of 16384", "block 2+0 of 16384",
                                      "message 000000050400000005", "block 3+0 of 16384"));
}

TEST(MessageReaderTest, TheLastBlockOfATorrentIsShort) {
  Bytes stream;
  put_piece(stream, 0);
  put_piece(stream, 1, 1);
  put_piece(stream, 2, storage::kBlockSize - 1);
  Peer peer(64);
  ASSERT_FALSE(peer.read_all(stream));
  EXPECT_THAT(peer.heard,
              ElementsAre("block 0+0 of 16384", "block 1+0 of 1", "block 2+0 of 16383"));
}

TEST(MessageReaderTest, ABlockLongerThanABlockIsSkipped) {
  Bytes stream;
  put_piece(stream, 1, storage::kBlockSize + 1);
  put_piece(stream, 2, 500'000);
  encode(Unchoke{}, stream);
  Peer peer(64);
  ASSERT_FALSE(peer.read_all(stream));
  EXPECT_THAT(peer.heard, ElementsAre("block 1+0 of 16385, lost", "block 2+0 of 500000, lost",
                                      "message 0000000101"));
  peer.reader.release();
  EXPECT_EQ(peer.pool.in_use(), 0U);
}

TEST(MessageReaderTest, AnEmptyBlockIsReportedForTheSwarmToJudge) {
  Bytes stream;
  put_piece(stream, 1, 0);
  Peer peer(64);
  ASSERT_FALSE(peer.read_all(stream));
  EXPECT_THAT(peer.heard, ElementsAre("block 1+0 of 0"));
}

TEST(MessageReaderTest, APieceTooShortForItsOwnHeaderIsAnError) {
  for (int payload = 0; payload < 8; ++payload) {
    Bytes stream{std::byte{0}, std::byte{0}, std::byte{0}, static_cast<std::byte>(payload + 1),
                 std::byte{7}};
    stream.insert(stream.end(), 20, std::byte{0});
    Peer peer(4);
    EXPECT_EQ(peer.read_all(stream, 2), NetErrc::protocol_error) << payload;
    EXPECT_THAT(peer.heard, IsEmpty());
  }
}

TEST(MessageReaderTest, AnOversizedMessageIsRefusedAtItsPrefix) {
  for (const std::uint32_t length : {1001U, 0x7fffffffU, 0xffffffffU}) {
    for (const std::size_t expected : {0U, 3U}) {
      Bytes stream;
      for (int shift = 24; shift >= 0; shift -= 8)
        stream.push_back(static_cast<std::byte>((length >> shift) & 0xff));
      Peer peer(4, 1000);
      EXPECT_EQ(peer.read_all(stream, expected), NetErrc::too_large) << length;
    }
  }
}

TEST(MessageReaderTest, TheLargestMessageAllowedIsRead) {
  Bytes stream;
  encode(BitfieldMessage{content(1, 999)}, stream);
  Peer peer(4, 1000);
  EXPECT_FALSE(peer.read_all(stream));
  EXPECT_EQ(peer.heard.size(), 1U);
}

TEST(MessageReaderTest, WithAnExhaustedPoolBlocksAreLostAndTheRestIsHeard) {
  Bytes stream;
  encode(Have{1}, stream);
  put_piece(stream, 2);
  put_piece(stream, 3, 50);
  encode(Unchoke{}, stream);
  Peer peer(0);
  ASSERT_FALSE(peer.read_all(stream));
  EXPECT_THAT(peer.heard, ElementsAre("message 000000050400000001", "block 2+0 of 16384, lost",
                                      "block 3+0 of 50, lost", "message 0000000101"));
}

TEST(MessageReaderTest, ABlockOutOfPlaceUsesTheBufferThatWasHeldForIt) {
  Bytes stream;
  encode(Have{1}, stream);
  put_piece(stream, 2);  // not where it was predicted
  put_piece(stream, 3, 50);
  Peer peer(1);
  ASSERT_FALSE(peer.read_all(stream, 2));
  EXPECT_THAT(peer.heard,
              ElementsAre("message 000000050400000001", "block 2+0 of 16384", "block 3+0 of 50"));
}

TEST(MessageReaderTest, ReleaseGivesBackWhatWasPredictedAndKeepsAPartialHeader) {
  Bytes stream;
  put_piece(stream, 1);
  put_piece(stream, 2);
  for (std::size_t cut = 1; cut < kPieceHeaderSize; ++cut) {
    Peer peer(64);
    std::size_t at = 0;
    ASSERT_FALSE(peer.read(stream, at, cut, 2));
    (void)peer.reader.prepare(2);
    EXPECT_GT(peer.pool.in_use(), 0U);
    peer.reader.release();
    EXPECT_EQ(peer.pool.in_use(), 0U);
    peer.reader.release();  // twice is nothing new
    while (at < stream.size()) ASSERT_FALSE(peer.read(stream, at, stream.size(), 2));
    EXPECT_THAT(peer.heard, ElementsAre("block 1+0 of 16384", "block 2+0 of 16384")) << cut;
  }
}

TEST(MessageReaderTest, ReleaseKeepsTheBlockThatIsHalfThere) {
  Bytes stream;
  put_piece(stream, 1);
  Peer peer(64);
  std::size_t at = 0;
  ASSERT_FALSE(peer.read(stream, at, 5000, 3));
  (void)peer.reader.prepare(3);
  peer.reader.release();
  EXPECT_EQ(peer.pool.in_use(), 1U);
  ASSERT_FALSE(peer.read(stream, at, stream.size(), 3));
  EXPECT_THAT(peer.heard, ElementsAre("block 1+0 of 16384"));
}

TEST(MessageReaderTest, HoldsNoMoreBlocksThanAreExpected) {
  Peer peer(64);
  for (const std::size_t expected : {0U, 1U, 2U, 40U}) {
    (void)peer.reader.prepare(expected);
    EXPECT_LE(peer.pool.in_use(), std::min(expected, kMaxPredicted));
    peer.reader.release();
  }
}

TEST(MessageReaderTest, AsioTakesAllItsBuffersInOneCall) {
  Bytes stream;
  for (std::uint32_t i = 0; i < 80; ++i) put_piece(stream, i);
  Peer peer(64);
  std::size_t at = 0, most = 0;
  while (at < stream.size()) {
    most = std::max(most, peer.reader.prepare(50).size());
    peer.reader.release();
    ASSERT_FALSE(peer.read(stream, at, stream.size(), 50));
  }
  EXPECT_GT(most, 2 * kMaxPredicted) << "a fast stream is met with all the buffers there may be";
  EXPECT_LE(most, 64U);
}

TEST(MessageReaderTest, KeepAlivesAreHeard) {
  Bytes stream;
  for (int i = 0; i < 3; ++i) encode(KeepAlive{}, stream);
  Peer peer(2);
  ASSERT_FALSE(peer.read_all(stream, 1));
  EXPECT_EQ(peer.heard, std::vector<std::string>(3, "message 00000000"));
}

TEST(MessageReaderTest, StopsAtTheFirstError) {
  Bytes stream;
  encode(Have{1}, stream);
  encode(Have{2}, stream);
  Peer peer(2);
  peer.refuse_messages = true;
  EXPECT_EQ(peer.read_all(stream), NetErrc::protocol_error);
  EXPECT_EQ(peer.heard.size(), 1U);
}

}  // namespace
}  // namespace swarmfs::net
