#include "fs/resume_keeper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "fs/cache_verify.h"
#include "tests/unit/net/manual_clock.h"
#include "tests/unit/storage/store_rig.h"

namespace swarmfs::fs {
namespace {

using namespace std::chrono_literals;
using storage::FakeDisk;
using storage::PieceIndex;
using storage::Resume;
using storage::Rig;
using storage::Sample;
using testing::SizeIs;

constexpr std::uint32_t kPiece = 32 * 1024;
constexpr std::uint32_t kPieces = 12;
const storage::InfoHash kHash = storage::sha1({});

// A store on a disk that notes what is done to it, and a keeper that writes into a list.
class ResumeKeeperTest : public testing::Test {
 protected:
  ResumeKeeperTest() : workers_(rig_.loop.executor(), 0) { start(); }
  ~ResumeKeeperTest() override {
    running_->cancel();
    rig_.loop.settle();
    EXPECT_TRUE(running_->done());
  }

  void start() {
    const Resume known =
        saved_.empty() ? storage::empty_resume(kHash, rig_.sample.layout) : saved_.back();
    keeper_.emplace(ResumeKeeper::Parts{
        .clock = clock_,
        .store = *rig_.store,
        .disk = rig_.disk,
        .workers = workers_,
        .known = known,
        .now = [this] { return minutes_; },
        .peers = [this] { return peers_; },
        .save = [this](const Resume& resume) { return save(resume); },
        .warn = [this](const std::string& line) { warnings_.push_back(line); }});
    running_.emplace(rig_.loop.start(keeper_->run()));
    rig_.loop.settle();
  }
  void pass(net::Duration time) {
    asio::post(rig_.loop.executor(), [this, time] { clock_.advance(time); });
    rig_.loop.settle();
  }
  // The rule: a claimed piece was in the file when the sync began that has just ended.
  int save(const Resume& resume) {
    if (save_error_ != 0) return save_error_;
    using Kind = FakeDisk::Call::Kind;
    std::set<std::uint64_t> written, synced;
    for (const FakeDisk::Call& call : rig_.disk.calls) {
      if (call.kind == Kind::written) written.insert(call.offset);
      if (call.kind == Kind::punched) written.erase(call.offset);
      if (call.kind == Kind::sync_began) synced = written;
    }
    for (std::uint32_t n = 0; n < kPieces; ++n) {
      if (!resume.pieces.test(rig_.piece(n))) continue;
      EXPECT_TRUE(synced.contains(rig_.range(n).begin)) << "piece " << n << " was not synced";
    }
    const auto last = std::find_if(
        rig_.disk.calls.rbegin(), rig_.disk.calls.rend(), [](const FakeDisk::Call& call) {
          return call.kind == Kind::sync_began || call.kind == Kind::synced;
        });
    EXPECT_TRUE(last != rig_.disk.calls.rend() && last->kind == Kind::synced);
    saved_.push_back(resume);
    return 0;
  }

  net::ManualClock clock_;
  Rig rig_{Sample(kPieces * kPiece, kPiece)};
  storage::WorkerPool workers_;
  std::uint32_t minutes_ = 29'000'000;
  std::vector<net::Endpoint> peers_;
  int save_error_ = 0;
  std::vector<Resume> saved_;
  std::vector<std::string> warnings_;
  std::optional<ResumeKeeper> keeper_;
  std::optional<storage::Started<bool>> running_;
};

TEST_F(ResumeKeeperTest, WritesDownWhatWasStoredAndThenRests) {
  pass(1min);
  EXPECT_THAT(saved_, SizeIs(0)) << "nothing to write down";
  (void)rig_.deliver(3);
  pass(1s);
  EXPECT_THAT(saved_, SizeIs(0));
  pass(1s);
  ASSERT_THAT(saved_, SizeIs(1));
  EXPECT_EQ(saved_[0].pieces.count(), 1U);
  EXPECT_TRUE(saved_[0].pieces.test(rig_.piece(3)));
  EXPECT_EQ(saved_[0].last_used[3], minutes_);
  pass(1h);
  EXPECT_THAT(saved_, SizeIs(1));
  EXPECT_TRUE(fits(saved_[0], kHash, rig_.sample.layout));
}

TEST_F(ResumeKeeperTest, APieceThatIsBeingWrittenDuringTheSyncIsNotClaimed) {
  (void)rig_.deliver(0);
  rig_.disk.hold_writes = true;
  (void)rig_.deliver(1);
  pass(kResumeInterval);
  ASSERT_THAT(saved_, SizeIs(1));
  EXPECT_EQ(saved_[0].pieces.count(), 1U);
  rig_.disk.let_writes_go();
  pass(kResumeInterval);
  EXPECT_EQ(saved_.back().pieces.count(), 2U);
}

TEST_F(ResumeKeeperTest, APieceThatLeftTheFileIsNoLongerClaimed) {
  (void)rig_.deliver(0);
  (void)rig_.deliver(1);
  pass(kResumeInterval);
  EXPECT_FALSE(rig_.loop.run(rig_.store->evict(rig_.piece(0))));
  pass(kResumeInterval);
  EXPECT_FALSE(saved_.back().pieces.test(rig_.piece(0)));
  EXPECT_EQ(saved_.back().last_used[0], 0U);
}

TEST_F(ResumeKeeperTest, NotesWhenAPieceWasReadAndWhoDelivered) {
  (void)rig_.deliver(0);
  (void)rig_.deliver(1);
  pass(kResumeInterval);
  minutes_ += 5;
  EXPECT_TRUE(rig_.reads_now(rig_.range(1)));
  peers_.emplace_back(asio::ip::make_address("192.0.2.1"), 6881);
  rig_.loop.run(keeper_->finish());
  EXPECT_EQ(saved_.back().last_used[0], minutes_ - 5);
  EXPECT_EQ(saved_.back().last_used[1], minutes_);
  EXPECT_EQ(keeper_->last_used(rig_.piece(1)), minutes_);
  EXPECT_EQ(saved_.back().peers, peers_);
}

TEST_F(ResumeKeeperTest, ADiskThatCannotBeSyncedOrWrittenIsOneWarningUntilItWorksAgain) {
  (void)rig_.deliver(0);
  rig_.disk.cannot_sync = true;
  pass(1min);
  EXPECT_THAT(saved_, SizeIs(0)) << "not synced, not claimed";
  EXPECT_THAT(warnings_, SizeIs(1));
  rig_.disk.cannot_sync = false;
  save_error_ = ENOSPC;
  pass(kResumeInterval);
  EXPECT_THAT(warnings_, SizeIs(1));
  save_error_ = 0;
  pass(kResumeInterval);
  EXPECT_THAT(saved_, SizeIs(1));
}

TEST_F(ResumeKeeperTest, WhateverHappensWhenNothingIsClaimedThatWasNotSynced) {
  const auto seed = static_cast<unsigned>(testing::UnitTest::GetInstance()->random_seed());
  SCOPED_TRACE("seed " + std::to_string(seed) + " (--gtest_random_seed)");
  std::minstd_rand random(seed + 1);
  std::vector<storage::Started<storage::PieceStore::Verdict>> verdicts;
  std::vector<storage::Started<error_code>> evictions;
  for (int turn = 0; turn < 20'000; ++turn) {
    const auto n = static_cast<std::uint32_t>(random() % kPieces);
    switch (random() % 12) {
      case 0:
        if (!rig_.store->present().test(rig_.piece(n)) &&
            rig_.fill(n) == storage::PieceStore::Put::piece_complete) {
          verdicts.push_back(rig_.loop.start(rig_.store->verify(rig_.piece(n), nullptr)));
        }
        break;
      case 1:
        evictions.push_back(rig_.loop.start(rig_.store->evict(rig_.piece(n))));
        break;
      case 2:
        asio::post(rig_.loop.executor(), [this] { clock_.advance(400ms); });
        break;
      default:
        rig_.loop.step();
    }
  }
  rig_.loop.settle();
  EXPECT_GT(saved_.size(), 20U) << "this test must test something";
}

TEST(CacheVerify, ChecksWhatIsClaimedAndDropsWhatIsDamaged) {
  Sample sample(kPieces * kPiece, kPiece);
  Rig::Options options;
  options.file = sample.truth;
  options.file[5 * kPiece] ^= std::byte{1};
  for (std::uint32_t n = 0; n < kPieces - 1; ++n) options.claimed.push_back(n);
  Rig rig(std::move(sample), std::move(options));
  std::vector<VerifyProgress> shown;
  const bool stop = false;
  const VerifyProgress found = rig.loop.run(verify_cache(
      rig.loop.executor(), *rig.store, [&shown](VerifyProgress p) { shown.push_back(p); }, stop));
  EXPECT_EQ(found, (VerifyProgress{kPieces - 1, 1, kPieces - 1}));
  EXPECT_EQ(rig.store->verified().count(), kPieces - 2);
  ASSERT_GE(shown.size(), std::size_t{kPieces - 1});
  EXPECT_EQ(progress_bar(shown.back()),
            "checking the cache [##############################] 100 %, 1 piece damaged");
}

TEST(CacheVerify, EndsSoonWhenItIsStopped) {
  Sample sample(kPieces * kPiece, kPiece);
  Rig::Options options;
  options.file = sample.truth;
  for (std::uint32_t n = 0; n < kPieces; ++n) options.claimed.push_back(n);
  Rig rig(std::move(sample), std::move(options));
  bool stop = false;
  const VerifyProgress found = rig.loop.run(verify_cache(
      rig.loop.executor(), *rig.store, [&stop](VerifyProgress p) { stop = p.done >= 3; }, stop));
  EXPECT_LT(found.done, 7U);
}

}  // namespace
}  // namespace swarmfs::fs
