#include "net/early_messages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "net/peer.h"
#include "storage/metainfo_limits.h"

namespace swarmfs::net {
namespace {

using Bytes = std::vector<std::byte>;

struct EarlyMessagesTest : testing::Test {
  error_code say(const Message& message) { return early.on_message(message); }
  // What is said again, in words.
  std::string replayed() const {
    std::string words;
    const error_code ec = early.replay([&words](const Message& message) {
      if (const auto* have = std::get_if<Have>(&message)) {
        words += "have " + std::to_string(have->index) + "; ";
      } else if (const auto* bits = std::get_if<BitfieldMessage>(&message)) {
        words += "bitfield";
        for (const std::byte b : bits->bytes)
          words += " " + std::to_string(std::to_integer<int>(b));
        words += "; ";
      } else if (const auto* allowed = std::get_if<AllowedFast>(&message)) {
        words += "allowed " + std::to_string(allowed->index) + "; ";
      } else if (std::holds_alternative<HaveAll>(message)) {
        words += "have all; ";
      } else if (std::holds_alternative<Unchoke>(message)) {
        words += "unchoke; ";
      } else {
        words += "?";
      }
      return error_code();
    });
    EXPECT_FALSE(ec);
    return words;
  }
  EarlyMessages early;
};

TEST_F(EarlyMessagesTest, APeerThatSaidNothingHasNothingAndChokes) {
  EXPECT_EQ(replayed(), "");
}

TEST_F(EarlyMessagesTest, SaysAgainWhatWasSaid) {
  const Bytes bits{std::byte{0xc0}, std::byte{0x01}};
  EXPECT_FALSE(say(BitfieldMessage{bits}));
  EXPECT_FALSE(say(AllowedFast{3}));
  EXPECT_FALSE(say(Unchoke{}));
  EXPECT_FALSE(say(Have{2}));
  EXPECT_EQ(replayed(), "bitfield 224 1; allowed 3; unchoke; ");
}

TEST_F(EarlyMessagesTest, WithoutABitfieldEachPieceIsNamed) {
  EXPECT_FALSE(say(HaveNone{}));
  EXPECT_FALSE(say(Have{9}));
  EXPECT_FALSE(say(Have{0}));
  EXPECT_EQ(replayed(), "have 0; have 9; ");
}

TEST_F(EarlyMessagesTest, TheLastWordOnChokingCounts) {
  EXPECT_FALSE(say(Unchoke{}));
  EXPECT_FALSE(say(Choke{}));
  EXPECT_EQ(replayed(), "");
  EXPECT_FALSE(say(Unchoke{}));
  EXPECT_EQ(replayed(), "unchoke; ");
}

TEST_F(EarlyMessagesTest, HaveAllIsAll) {
  EXPECT_FALSE(say(HaveAll{}));
  EXPECT_FALSE(say(Have{5}));
  EXPECT_EQ(replayed(), "have all; ");
}

TEST_F(EarlyMessagesTest, AnEmptyBitfieldIsStillABitfield) {
  EXPECT_FALSE(say(BitfieldMessage{{}}));
  EXPECT_EQ(replayed(), "bitfield; ") << "whose length is wrong, as will be seen";
}

TEST_F(EarlyMessagesTest, WhatNoTorrentCanMeanIsRefused) {
  EXPECT_TRUE(say(Have{storage::kMaxPieces}));
  EXPECT_TRUE(say(Have{0xffffffff}));
  EXPECT_TRUE(say(BitfieldMessage{Bytes(storage::kMaxPieces / 8 + 1)}));
  EXPECT_FALSE(say(Have{storage::kMaxPieces - 1}));
  EXPECT_FALSE(say(BitfieldMessage{Bytes(2)}));
  EXPECT_TRUE(say(Have{16})) << "past the bitfield's end";
}

TEST_F(EarlyMessagesTest, AllowedFastPiecesAreBounded) {
  for (std::uint32_t piece = 0; piece < 1000; ++piece) EXPECT_FALSE(say(AllowedFast{piece}));
  const std::string words = replayed();
  EXPECT_EQ(static_cast<std::size_t>(std::count(words.begin(), words.end(), ';')), kMaxAllowedFast);
}

TEST_F(EarlyMessagesTest, AReplayEndsWhereItIsRefused) {
  EXPECT_FALSE(say(HaveAll{}));
  EXPECT_FALSE(say(Unchoke{}));
  int calls = 0;
  const error_code ec = early.replay([&calls](const Message&) {
    ++calls;
    return error_code(NetErrc::protocol_error);
  });
  EXPECT_EQ(ec, NetErrc::protocol_error);
  EXPECT_EQ(calls, 1);
}

TEST_F(EarlyMessagesTest, WhatSaysNothingAboutPiecesIsForgotten) {
  for (const Message& m : {Message(KeepAlive{}), Message(Interested{}), Message(Port{1}),
                           Message(Suggest{1}), Message(Reject{1, 0, 16384})}) {
    EXPECT_FALSE(say(m));
  }
  EXPECT_EQ(replayed(), "");
}

// BEP 54, lt_donthave.
TEST_F(EarlyMessagesTest, WhatAPeerNoLongerHasIsNotSaidAgain) {
  const Bytes bits{std::byte{0xc0}, std::byte{0x01}};
  EXPECT_FALSE(say(BitfieldMessage{bits}));
  early.on_dont_have(1);
  early.on_dont_have(1);
  early.on_dont_have(16);  // past the end of it: it never had that
  early.on_dont_have(UINT32_MAX);
  EXPECT_EQ(replayed(), "bitfield 128 1; ");
  EXPECT_TRUE(early.lost().empty());
}

TEST_F(EarlyMessagesTest, OfAPeerThatHadAllItIsRemembered) {
  EXPECT_FALSE(say(HaveAll{}));
  early.on_dont_have(7);
  early.on_dont_have(9);
  EXPECT_FALSE(say(Have{7}));
  EXPECT_EQ(replayed(), "have all; ");
  EXPECT_EQ(early.lost(), (std::set<std::uint32_t>{9}));
  EXPECT_FALSE(say(HaveAll{}));
  EXPECT_TRUE(early.lost().empty());
}

TEST_F(EarlyMessagesTest, APeerThatLosesEverythingCostsNoMoreMemory) {
  EXPECT_FALSE(say(HaveAll{}));
  for (std::uint32_t piece = 0; piece < 100'000; ++piece) early.on_dont_have(piece);
  EXPECT_EQ(early.lost().size(), kMaxEarlyLost);
  early.on_dont_have(UINT32_MAX);
  EXPECT_FALSE(early.lost().contains(UINT32_MAX));
}

}  // namespace
}  // namespace swarmfs::net
