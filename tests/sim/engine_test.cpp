// What the engine promises, one short story each, with simulated peers and in virtual time.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/sim/world.h"

namespace swarmfs::sim {
namespace {

constexpr std::uint64_t kMiB = 1024 * 1024;

PeerSpec seed_at(Duration delay, double megabits) {
  PeerSpec peer;
  peer.link = {.delay = delay, .rate = mbit(megabits)};
  return peer;
}

ReaderSpec copy_of(std::uint64_t bytes) {
  ReaderSpec reader;
  reader.bytes = bytes;
  return reader;
}

WorldSpec small_world() {
  WorldSpec spec;
  spec.total = 4 * kMiB;
  spec.peers = {seed_at(20ms, 20), seed_at(40ms, 40)};
  spec.readers = {copy_of(0)};
  return spec;
}

std::string all(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

TEST(EngineTest, ReadsAWholeTorrent) {
  World world(small_world());
  world.run();
  EXPECT_EQ(world.readers()[0]->bytes_read(), 4 * kMiB);
  EXPECT_EQ(all(world.violations()), "");
}

TEST(EngineTest, RequestsNothingWhenNobodyReads) {
  WorldSpec spec = small_world();
  spec.readers.clear();
  spec.warm_up = 40s;  // then they rest (idle_test.cpp)
  World world(spec);
  world.run();
  EXPECT_EQ(world.status().unchoked, 2U) << "connected and interested, or the test says nothing";
  EXPECT_EQ(world.ledger().requests(), 0U);
  EXPECT_EQ(all(world.violations()), "");
}

TEST(EngineTest, AProbeFetchesNothingBeyondThePiecesItTouches) {
  WorldSpec spec = small_world();
  spec.total = 64 * kMiB;
  spec.readers[0].kind = ReaderSpec::Kind::probe;
  World world(spec);
  world.run();
  EXPECT_LE(world.ledger().received(), 2 * spec.piece_length + world.ledger().redundant());
  EXPECT_EQ(all(world.violations()), "");
}

// The check for requests left behind is in World::run(): nothing may be outstanding when nobody
// reads.
TEST(EngineTest, AReaderThatGivesUpLeavesNoRequestBehind) {
  WorldSpec spec = small_world();
  spec.total = 64 * kMiB;
  spec.peers = {seed_at(100ms, 4), seed_at(100ms, 4)};
  spec.readers[0].kind = ReaderSpec::Kind::seeks;
  spec.readers[0].impatience = 1;
  spec.readers[0].count = 20;
  World world(spec);
  world.run();
  EXPECT_GT(world.ledger().cancels(), 20U);
  EXPECT_EQ(all(world.violations()), "");
}

TEST(EngineTest, DialsSixtyPeersAtOnce) {
  WorldSpec spec = small_world();
  spec.peers.assign(60, seed_at(100ms, 10));
  spec.readers.clear();
  spec.warm_up = 500ms;  // connect, handshake, unchoke: three round trips of 200 ms at the most,
                         // here two and a half
  spec.quiet = 0s;
  World world(spec);
  world.run();
  EXPECT_EQ(world.status().connected, 60U);
}

TEST(EngineTest, DeadAddressesDoNotHoldUpTheLiving) {
  WorldSpec spec = small_world();
  PeerSpec dead = seed_at(20ms, 10);
  dead.dial = SimNet::Dial::never_answers;
  spec.peers.insert(spec.peers.begin(), 40, dead);
  World world(spec);
  world.run();
  EXPECT_LT(to_ms(world.readers()[0]->results()[0].took.value()), 1000);
  EXPECT_EQ(all(world.violations()), "");
}

// An unchoke can take ten seconds: interest is said when we connect, not when somebody reads.
TEST(EngineTest, IsUnchokedBeforeTheFirstReadNeedsIt) {
  WorldSpec spec = small_world();
  for (PeerSpec& peer : spec.peers) peer.unchoke = Unchoke::pulse_10s;
  spec.warm_up = 11s;
  World world(spec);
  world.run();
  EXPECT_LT(to_ms(world.readers()[0]->results()[0].took.value()), 500);
}

TEST(EngineTest, ADiskThatCannotBeWrittenCostsNoRead) {
  WorldSpec spec = small_world();
  spec.total = 24 * kMiB;
  spec.disk = DiskSpec{.full_after = 0};
  spec.pool_blocks = 16 * kMiB / storage::kBlockSize;  // less than the torrent
  World world(spec);
  world.run();
  EXPECT_EQ(world.readers()[0]->bytes_read(), 24 * kMiB);
  EXPECT_EQ(all(world.violations()), "");
}

TEST(EngineTest, WhatTheDiskCannotReadBackIsFetchedAgain) {
  WorldSpec spec = small_world();
  spec.total = 24 * kMiB;
  spec.disk = DiskSpec{.cached = 0, .read_errors = 0.5};
  spec.pool_blocks = 12 * kMiB / storage::kBlockSize;
  spec.readers = {copy_of(0), copy_of(0)};
  spec.readers[1].start = 30s;  // by then most pieces have left memory
  World world(spec);
  world.run();
  EXPECT_EQ(world.readers()[1]->bytes_read(), 24 * kMiB);
  EXPECT_GT(world.ledger().redundant(), 0U) << "nothing was read back: the test says nothing";
  EXPECT_EQ(all(world.violations()), "");
}

TEST(EngineTest, CorruptersAreBannedAndTheirBytesReachNobody) {
  WorldSpec spec = small_world();
  spec.total = 16 * kMiB;
  spec.peers.push_back(seed_at(15ms, 60));
  spec.peers.push_back(seed_at(15ms, 60));
  spec.peers[2].corrupts = 1;
  spec.peers[3].corrupts = 0.2;
  World world(spec);
  world.run();
  EXPECT_EQ(world.status().banned, 2U);
  EXPECT_EQ(all(world.violations()), "");
}

// After a piece has failed its hash it is asked of a few peers only. One of them claimed to have it
// and refuses for ever: the others must get their turn.
TEST(EngineTest, ALiarAboutItsPiecesCannotKeepAFailedPieceForItself) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    WorldSpec spec = small_world();
    spec.seed = seed;
    spec.peers = {seed_at(60ms, 10), seed_at(20ms, 40), seed_at(15ms, 40)};
    spec.peers[1].has = 0.5;
    spec.peers[1].lies_about_pieces = true;
    spec.peers[2].corrupts = 0.05;
    spec.read_bound = 10s;
    World world(spec);
    world.run();
    EXPECT_EQ(all(world.violations()), "") << "seed " << seed;
  }
}

class CrimeTest : public testing::TestWithParam<Crime> {};

TEST_P(CrimeTest, NeitherStopsAReadNorBringsTheEngineDown) {
  WorldSpec spec = small_world();
  spec.peers.push_back(seed_at(15ms, 60));
  spec.peers[2].crime = GetParam();
  spec.warm_up = 4s;  // until after the crime
  World world(spec);
  world.run();
  EXPECT_EQ(all(world.violations()), "");
  // Unknown messages are to be ignored; a few blocks nobody asked for look like late answers to
  // cancelled requests; and a second bitfield is what some clients send when their selection grows.
  const bool forgivable = GetParam() == Crime::unrequested_blocks ||
                          GetParam() == Crime::unknown_messages ||
                          GetParam() == Crime::late_bitfield;
  if (!forgivable) {
    EXPECT_EQ(world.status().connected, 2U) << "the offender is still connected";
  }
}
INSTANTIATE_TEST_SUITE_P(Each, CrimeTest,
                         testing::Values(Crime::oversized_message, Crime::wrong_piece_index,
                                         Crime::unrequested_blocks, Crime::wrong_torrent,
                                         Crime::garbage_greeting, Crime::bad_bitfield,
                                         Crime::late_bitfield, Crime::unknown_messages,
                                         Crime::short_message, Crime::have_out_of_range));

}  // namespace
}  // namespace swarmfs::sim
