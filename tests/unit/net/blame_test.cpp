#include "net/blame.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/layout.h"

namespace swarmfs::net {
namespace {

using storage::PieceIndex;
using testing::ElementsAre;
using testing::IsEmpty;
using Digests = std::vector<storage::Sha1Digest>;

class BlameTest : public testing::Test {
 protected:
  static Endpoint peer(int n) {
    return {asio::ip::address_v4(0x0a000000U + static_cast<unsigned>(n)), 6881};
  }
  static storage::Sha1Digest digest(int n) {
    storage::Sha1Digest d;
    d.bytes[0] = static_cast<std::byte>(n);
    return d;
  }
  [[nodiscard]] PieceIndex piece(std::uint32_t n) const { return *layout_.piece_at(n); }
  // Blocks 0, 1, 2 ... of the truth.
  static Digests truth(int blocks) {
    Digests t;
    for (int i = 0; i < blocks; ++i) t.push_back(digest(i));
    return t;
  }
  storage::Layout layout_{100 * 16384, 16384};
  Blame blame_;
};

TEST_F(BlameTest, TheOnlySenderOfABadPieceIsGuilty) {
  EXPECT_THAT(blame_.on_corrupt(piece(3), {{peer(1), digest(0)}, {peer(1), digest(77)}}),
              ElementsAre(peer(1)));
  EXPECT_FALSE(blame_.remembers(piece(3))) << "nothing is left to find out";
}

TEST_F(BlameTest, PaddingIsNobodysWitness) {
  EXPECT_THAT(blame_.on_corrupt(piece(3), {{peer(1), digest(77)}, {Endpoint(), digest(1)}}),
              ElementsAre(peer(1)));
}

TEST_F(BlameTest, OfTwoSendersTheOneWhoseBlockDiffersFromTheTruthIsGuilty) {
  EXPECT_THAT(blame_.on_corrupt(piece(3), {{peer(1), digest(0)}, {peer(2), digest(77)}}),
              IsEmpty());
  EXPECT_TRUE(blame_.remembers(piece(3)));
  EXPECT_FALSE(blame_.remembers(piece(4)));
  EXPECT_THAT(blame_.on_verified(piece(3), truth(2)), ElementsAre(peer(2)));
  EXPECT_FALSE(blame_.remembers(piece(3)));
  EXPECT_THAT(blame_.on_verified(piece(3), truth(2)), IsEmpty()) << "the case is closed";
}

TEST_F(BlameTest, SeveralFailuresOfOnePieceNameAllItsLiars) {
  (void)blame_.on_corrupt(piece(3), {{peer(1), digest(50)}, {peer(2), digest(1)}});
  (void)blame_.on_corrupt(piece(3), {{peer(2), digest(0)}, {peer(3), digest(51)}});
  EXPECT_THAT(blame_.on_verified(piece(3), truth(2)), ElementsAre(peer(1), peer(3)));
}

TEST_F(BlameTest, APortMakesADifferentSender) {
  const Endpoint other(peer(1).address(), 7000);
  EXPECT_THAT(blame_.on_corrupt(piece(3), {{peer(1), digest(0)}, {other, digest(9)}}), IsEmpty());
  EXPECT_THAT(blame_.on_verified(piece(3), truth(2)), ElementsAre(other));
}

TEST_F(BlameTest, AnotherPiecesTruthSaysNothing) {
  (void)blame_.on_corrupt(piece(3), {{peer(1), digest(50)}, {peer(2), digest(1)}});
  EXPECT_THAT(blame_.on_verified(piece(4), truth(2)), IsEmpty());
  EXPECT_TRUE(blame_.remembers(piece(3)));
}

TEST_F(BlameTest, WithoutTheTruthNobodyIsNamed) {
  (void)blame_.on_corrupt(piece(3), {{peer(1), digest(50)}, {peer(2), digest(51)}});
  EXPECT_THAT(blame_.on_verified(piece(3), {}), IsEmpty()) << "the piece had left memory";
}

TEST_F(BlameTest, TheOldestFailureIsForgottenFirst) {
  for (std::uint32_t i = 0; i <= Blame::kMaxRecords; ++i) {
    (void)blame_.on_corrupt(piece(i), {{peer(1), digest(50)}, {peer(2), digest(1)}});
  }
  EXPECT_FALSE(blame_.remembers(piece(0)));
  for (std::uint32_t i = 1; i <= Blame::kMaxRecords; ++i) EXPECT_TRUE(blame_.remembers(piece(i)));
  EXPECT_THAT(blame_.on_verified(piece(0), truth(2)), IsEmpty());
}

}  // namespace
}  // namespace swarmfs::net
