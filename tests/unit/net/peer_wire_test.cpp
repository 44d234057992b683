#include "net/peer_wire.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>
#include <string>
#include <vector>

namespace swarmfs::net {
namespace {

using Bytes = std::vector<std::byte>;

Bytes bytes_of(const std::string& text) {
  const auto b = std::as_bytes(std::span(text));
  return {b.begin(), b.end()};
}
Bytes bytes_of(std::initializer_list<int> values) {
  Bytes out;
  for (const int v : values) out.push_back(static_cast<std::byte>(v));
  return out;
}
Bytes encoded(const Message& message) {
  Bytes out;
  encode(message, out);
  return out;
}
// The message that `wire`, prefix included, says.
Result<Message> decoded(const Bytes& wire) {
  const std::span<const std::byte> all = wire;
  EXPECT_EQ(read_u32(all.first<4>()), wire.size() - 4);
  return decode(all.subspan(4));
}
Bytes message_bytes(int id, std::size_t payload) {
  Bytes body(1 + payload, std::byte{0x5a});
  body[0] = static_cast<std::byte>(id);
  return body;
}

// ---- exact bytes

TEST(PeerWireTest, SpeaksBep3ToTheLetter) {
  EXPECT_EQ(encoded(KeepAlive{}), bytes_of({0, 0, 0, 0}));
  EXPECT_EQ(encoded(Choke{}), bytes_of({0, 0, 0, 1, 0}));
  EXPECT_EQ(encoded(Unchoke{}), bytes_of({0, 0, 0, 1, 1}));
  EXPECT_EQ(encoded(Interested{}), bytes_of({0, 0, 0, 1, 2}));
  EXPECT_EQ(encoded(NotInterested{}), bytes_of({0, 0, 0, 1, 3}));
  EXPECT_EQ(encoded(Have{0x01020304}), bytes_of({0, 0, 0, 5, 4, 1, 2, 3, 4}));
  const Bytes bits = bytes_of({0xff, 0x80});
  EXPECT_EQ(encoded(BitfieldMessage{bits}), bytes_of({0, 0, 0, 3, 5, 0xff, 0x80}));
  EXPECT_EQ(encoded(Request{1, 0x8000, 0x4000}),
            bytes_of({0, 0, 0, 13, 6, 0, 0, 0, 1, 0, 0, 0x80, 0, 0, 0, 0x40, 0}));
  const Bytes data = bytes_of("xyz");
  EXPECT_EQ(encoded(Piece{2, 0x4000, data}),
            bytes_of({0, 0, 0, 12, 7, 0, 0, 0, 2, 0, 0, 0x40, 0, 'x', 'y', 'z'}));
  EXPECT_EQ(encoded(Cancel{1, 0x8000, 0x4000}),
            bytes_of({0, 0, 0, 13, 8, 0, 0, 0, 1, 0, 0, 0x80, 0, 0, 0, 0x40, 0}));
  EXPECT_EQ(encoded(Port{6881}), bytes_of({0, 0, 0, 3, 9, 0x1a, 0xe1}));
}

TEST(PeerWireTest, SpeaksBep6AndBep10ToTheLetter) {
  EXPECT_EQ(encoded(Suggest{7}), bytes_of({0, 0, 0, 5, 0x0d, 0, 0, 0, 7}));
  EXPECT_EQ(encoded(HaveAll{}), bytes_of({0, 0, 0, 1, 0x0e}));
  EXPECT_EQ(encoded(HaveNone{}), bytes_of({0, 0, 0, 1, 0x0f}));
  EXPECT_EQ(encoded(Reject{1, 0, 0x4000}),
            bytes_of({0, 0, 0, 13, 0x10, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x40, 0}));
  EXPECT_EQ(encoded(AllowedFast{7}), bytes_of({0, 0, 0, 5, 0x11, 0, 0, 0, 7}));
  const Bytes payload = bytes_of("d1:md6:ut_pexi1eee");
  Bytes expected = bytes_of({0, 0, 0, 20, 20, 0});
  expected.insert(expected.end(), payload.begin(), payload.end());
  EXPECT_EQ(encoded(Extended{0, payload}), expected);
}

TEST(PeerWireTest, HandshakeIsSixtyEightBytesInBep3Order) {
  storage::InfoHash hash;
  PeerId id;
  hash.bytes.fill(std::byte{'h'});
  id.bytes.fill(std::byte{'i'});
  Bytes out;
  encode(our_handshake(hash, id), out);
  Bytes expected = bytes_of(
      "\x13"
      "BitTorrent protocol");
  const Bytes reserved = bytes_of({0, 0, 0, 0, 0, 0x10, 0, 0x04});
  expected.insert(expected.end(), reserved.begin(), reserved.end());
  expected.insert(expected.end(), 20, std::byte{'h'});
  expected.insert(expected.end(), 20, std::byte{'i'});
  EXPECT_EQ(out, expected);
  EXPECT_EQ(out.size(), kHandshakeSize);
}

TEST(PeerWireTest, OneWrongByteInTheProtocolNameIsAnotherProtocol) {
  Bytes wire;
  encode(our_handshake({}, {}), wire);
  for (std::size_t i = 0; i < 20; ++i) {
    Bytes bad = wire;
    bad[i] ^= std::byte{0x20};
    const auto handshake = decode_handshake(std::span<const std::byte, kHandshakeSize>(bad));
    ASSERT_FALSE(handshake) << i;
    EXPECT_EQ(handshake.error(), NetErrc::protocol_error);
  }
}

TEST(PeerWireTest, HandshakeFlagsAreReadFromTheirOwnBits) {
  Handshake h;
  EXPECT_FALSE(h.fast() || h.extensions());
  h.reserved.fill(std::byte{0xff});
  h.reserved[7] = std::byte{0xfb};
  EXPECT_FALSE(h.fast());
  EXPECT_TRUE(h.extensions());
  h.reserved.fill(std::byte{0xff});
  h.reserved[5] = std::byte{0xef};
  EXPECT_TRUE(h.fast());
  EXPECT_FALSE(h.extensions());
}

// ---- lengths

TEST(PeerWireTest, RefusesEveryWrongLength) {
  const std::map<int, std::size_t> exact{{0, 0},  {1, 0},   {2, 0}, {3, 0},  {4, 4},
                                         {6, 12}, {8, 12},  {9, 2}, {13, 4}, {14, 0},
                                         {15, 0}, {16, 12}, {17, 4}};
  for (const auto& [id, right] : exact) {
    for (std::size_t payload = 0; payload < 30; ++payload) {
      const auto message = decode(message_bytes(id, payload));
      EXPECT_EQ(message.has_value(), payload == right) << "id " << id << ", " << payload;
      if (!message) {
        EXPECT_EQ(message.error(), NetErrc::protocol_error);
      }
    }
  }
}

TEST(PeerWireTest, OpenEndedMessagesHaveAMinimum) {
  for (std::size_t payload = 0; payload < 30; ++payload) {
    EXPECT_TRUE(decode(message_bytes(5, payload))) << "bitfield: the swarm knows its length";
    EXPECT_EQ(decode(message_bytes(7, payload)).has_value(), payload >= 8) << "piece " << payload;
    EXPECT_EQ(decode(message_bytes(20, payload)).has_value(), payload >= 1) << "extended";
  }
}

TEST(PeerWireTest, AnIdNobodyKnowsIsNotAnError) {
  for (const int id : {10, 11, 12, 18, 19, 21, 22, 23, 255}) {
    for (const std::size_t payload : {0, 1, 49}) {
      const auto message = decode(message_bytes(id, payload));
      ASSERT_TRUE(message) << id;
      ASSERT_TRUE(std::holds_alternative<Unknown>(*message)) << id;
      EXPECT_EQ(std::get<Unknown>(*message).id, id);
    }
  }
}

TEST(PeerWireTest, AnEmptyBodyIsAKeepAlive) {
  const auto message = decode({});
  ASSERT_TRUE(message);
  EXPECT_TRUE(std::holds_alternative<KeepAlive>(*message));
}

// ---- round trips

RC_GTEST_PROP(PeerWireProperty, IndexedMessagesComeBack, (std::uint32_t index)) {
  RC_ASSERT(std::get<Have>(*decoded(encoded(Have{index}))).index == index);
  RC_ASSERT(std::get<Suggest>(*decoded(encoded(Suggest{index}))).index == index);
  RC_ASSERT(std::get<AllowedFast>(*decoded(encoded(AllowedFast{index}))).index == index);
}

RC_GTEST_PROP(PeerWireProperty, RangedMessagesComeBack,
              (std::uint32_t index, std::uint32_t begin, std::uint32_t length)) {
  const auto same = [&]<class T>(T) {
    const Bytes wire = encoded(T{index, begin, length});
    const auto message = decoded(wire);
    RC_ASSERT(message.has_value());
    const T m = std::get<T>(*message);
    RC_ASSERT(m.index == index && m.begin == begin && m.length == length);
  };
  same(Request{});
  same(Cancel{});
  same(Reject{});
}

RC_GTEST_PROP(PeerWireProperty, MessagesWithBytesComeBack,
              (std::uint32_t index, std::uint32_t begin, std::uint8_t id, std::uint16_t port)) {
  const auto text = *rc::gen::container<std::string>(rc::gen::arbitrary<char>());
  const Bytes data = bytes_of(text);
  const auto equal = [&](std::span<const std::byte> got) {
    return std::equal(got.begin(), got.end(), data.begin(), data.end());
  };
  const Bytes bitfield = encoded(BitfieldMessage{data}), piece = encoded(Piece{index, begin, data}),
              extended = encoded(Extended{id, data});
  const auto b = decoded(bitfield), p = decoded(piece), e = decoded(extended);
  RC_ASSERT(b.has_value() && p.has_value() && e.has_value());
  RC_ASSERT(equal(std::get<BitfieldMessage>(*b).bytes));
  RC_ASSERT(equal(std::get<Piece>(*p).data));
  RC_ASSERT(std::get<Piece>(*p).index == index && std::get<Piece>(*p).begin == begin);
  RC_ASSERT(equal(std::get<Extended>(*e).payload) && std::get<Extended>(*e).id == id);
  RC_ASSERT(std::get<Port>(*decoded(encoded(Port{port}))).port == port);
}

TEST(PeerWireTest, BareMessagesComeBack) {
  const auto same = []<class T>(T) {
    const auto message = decoded(encoded(T{}));
    ASSERT_TRUE(message);
    EXPECT_TRUE(std::holds_alternative<T>(*message));
  };
  same(KeepAlive{});
  same(Choke{});
  same(Unchoke{});
  same(Interested{});
  same(NotInterested{});
  same(HaveAll{});
  same(HaveNone{});
}

RC_GTEST_PROP(PeerWireProperty, AnyBytesAreDecodedOrRefusedAndWhatIsDecodedEncodesToTheSame, ()) {
  const int id = *rc::gen::inRange(0, 25);
  const auto payload = *rc::gen::container<std::string>(rc::gen::arbitrary<char>());
  Bytes body = bytes_of(payload);
  body.insert(body.begin(), static_cast<std::byte>(id));
  const auto message = decode(body);
  if (!message || std::holds_alternative<Unknown>(*message)) return;
  const Bytes again = encoded(*message);
  RC_ASSERT(std::equal(again.begin() + 4, again.end(), body.begin(), body.end()));
}

RC_GTEST_PROP(PeerWireProperty, HandshakesComeBack, ()) {
  const auto text = *rc::gen::container<std::string>(48, rc::gen::arbitrary<char>());
  const Bytes noise = bytes_of(text);
  Handshake ours;
  std::copy_n(noise.begin(), 8, ours.reserved.begin());
  std::copy_n(noise.begin() + 8, 20, ours.info_hash.bytes.begin());
  std::copy_n(noise.begin() + 28, 20, ours.peer_id.bytes.begin());
  Bytes wire;
  encode(ours, wire);
  RC_ASSERT(wire.size() == kHandshakeSize);
  const auto theirs = decode_handshake(std::span<const std::byte, kHandshakeSize>(wire));
  RC_ASSERT(theirs.has_value());
  RC_ASSERT(theirs->reserved == ours.reserved);
  RC_ASSERT(theirs->info_hash == ours.info_hash && theirs->peer_id == ours.peer_id);
}

}  // namespace
}  // namespace swarmfs::net
