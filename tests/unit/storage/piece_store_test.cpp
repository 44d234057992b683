#include "storage/piece_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>
#include <memory>
#include <set>
#include <vector>

#include "tests/unit/storage/store_rig.h"

namespace swarmfs::storage {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;
using Data = Rig::Data;
using Put = PieceStore::Put;
using Verdict = PieceStore::Verdict;

constexpr std::uint32_t kPiece = 4 * kBlockSize;

// -- in: blocks, verdicts

TEST(PieceStore, GivesNoByteBeforeThePieceIsVerified) {
  Rig rig(Sample(2 * kPiece, kPiece));
  const auto reader = rig.read({0, 1});
  for (std::uint32_t b = 0; b < 3; ++b) EXPECT_EQ(rig.put(0, b), Put::accepted);
  EXPECT_FALSE(rig.store->try_read({0, 1}));
  EXPECT_EQ(rig.put(0, 3), Put::piece_complete);
  rig.loop.settle();
  EXPECT_FALSE(rig.store->try_read({0, 1})) << "complete is not verified";
  EXPECT_FALSE(reader.done());
  EXPECT_EQ(rig.verify(0), Verdict::good);
  rig.loop.settle();
  EXPECT_TRUE(rig.is_truth(reader, {0, 1}));
  EXPECT_TRUE(rig.store->verified().test(rig.piece(0)));
  EXPECT_EQ(rig.store->verified().count(), 1U);
}

TEST(PieceStore, WakesTheReadersOfThatPieceAndNobodyElse) {
  Rig rig(Sample(3 * kPiece, kPiece));
  const auto first = rig.read({10, 20}), second = rig.read({kPiece + 1, kPiece + 2}),
             also_second = rig.read(rig.range(1)), both = rig.read({0, 2 * kPiece});
  EXPECT_EQ(rig.deliver(1), Verdict::good);
  EXPECT_TRUE(rig.is_truth(second, {kPiece + 1, kPiece + 2}));
  EXPECT_TRUE(rig.is_truth(also_second, rig.range(1)));
  EXPECT_FALSE(first.done());
  EXPECT_FALSE(both.done());
  EXPECT_EQ(rig.deliver(0), Verdict::good);
  EXPECT_TRUE(rig.is_truth(first, {10, 20}));
  EXPECT_TRUE(rig.is_truth(both, {0, 2 * kPiece}));
}

TEST(PieceStore, ACorruptPieceWakesNobodyAndIsMissingAgain) {
  Rig rig(Sample(kPiece, kPiece));
  const auto reader = rig.read({0, kPiece});
  EXPECT_EQ(rig.put(0, 1, Data::wrong), Put::accepted);
  EXPECT_EQ(rig.fill(0), Put::piece_complete);
  EXPECT_EQ(rig.verify(0), Verdict::corrupt);
  rig.loop.settle();
  EXPECT_FALSE(reader.done());
  EXPECT_FALSE(rig.store->has_block({rig.piece(0), 0}));
  EXPECT_EQ(rig.pool.in_use(), 0U);
  EXPECT_THAT(rig.lost, IsEmpty()) << "it was never had";
  EXPECT_EQ(rig.deliver(0), Verdict::good);
  EXPECT_TRUE(rig.is_truth(reader, {0, kPiece}));
}

TEST(PieceStore, TellsWhatEachBlockOfACorruptPieceWasAndThenWhatItShouldHaveBeen) {
  Rig rig(Sample(kPiece - 100, kPiece));
  EXPECT_EQ(rig.put(0, 3, Data::wrong), Put::accepted);
  EXPECT_EQ(rig.fill(0), Put::piece_complete);
  std::vector<Sha1Digest> sent;
  EXPECT_EQ(rig.loop.run(rig.store->verify(rig.piece(0), &sent)), Verdict::corrupt);
  EXPECT_THAT(rig.store->block_digests(rig.piece(0)), IsEmpty());
  EXPECT_EQ(rig.deliver(0), Verdict::good);
  const std::vector<Sha1Digest> right = rig.store->block_digests(rig.piece(0));
  ASSERT_THAT(sent, SizeIs(4));
  ASSERT_THAT(right, SizeIs(4));
  for (std::size_t b = 0; b < 3; ++b) EXPECT_EQ(sent[b], right[b]);
  EXPECT_NE(sent[3], right[3]);
  EXPECT_EQ(right[3], sha1(rig.sample.span({3 * kBlockSize, kPiece - 100})));
}

TEST(PieceStore, TheFirstCopyOfABlockCountsAndTheOthersAreGivenBack) {
  Rig rig(Sample(kPiece, kPiece));
  EXPECT_EQ(rig.put(0, 0), Put::accepted);
  EXPECT_EQ(rig.put(0, 0, Data::wrong), Put::duplicate);
  EXPECT_EQ(rig.pool.in_use(), 1U);
  EXPECT_EQ(rig.fill(0), Put::piece_complete);
  EXPECT_EQ(rig.put(0, 2, Data::wrong), Put::duplicate) << "complete";
  EXPECT_EQ(rig.verify(0), Verdict::good);
  EXPECT_EQ(rig.put(0, 2, Data::wrong), Put::duplicate) << "verified";
  rig.loop.settle();
  EXPECT_EQ(rig.put(0, 2, Data::wrong), Put::duplicate) << "stored";
  EXPECT_TRUE(rig.reads_now({0, kPiece}));
  EXPECT_EQ(rig.pool.in_use(), 4U);
}

TEST(PieceStore, AForgottenPieceGivesItsBlocksBackAndStartsAfresh) {
  Rig rig(Sample(2 * kPiece, kPiece));
  EXPECT_EQ(rig.put(0, 0, Data::wrong), Put::accepted);
  EXPECT_TRUE(rig.store->has_block({rig.piece(0), 0}));
  rig.store->forget(rig.piece(0));
  rig.store->forget(rig.piece(1));  // nothing of it was there
  EXPECT_FALSE(rig.store->has_block({rig.piece(0), 0}));
  EXPECT_EQ(rig.pool.in_use(), 0U);
  EXPECT_EQ(rig.deliver(0), Verdict::good);
  rig.store->forget(rig.piece(0));
  EXPECT_TRUE(rig.reads_now(rig.range(0))) << "only an open piece can be forgotten";
  EXPECT_THAT(rig.lost, IsEmpty());
}

class PieceStoreWithWorkers : public testing::TestWithParam<unsigned> {};
INSTANTIATE_TEST_SUITE_P(Threads, PieceStoreWithWorkers, testing::Values(0U, 2U));

// 16 blocks and more start the hashing while the rest is still to come.
TEST_P(PieceStoreWithWorkers, APieceMayBeForgottenAndFilledAnewWhileItIsHashed) {
  // What a worker is hashing is given back when it is done with it.
  Rig rig(Sample(40 * kBlockSize + 5, 40 * kBlockSize),
          {.pool_blocks = 2048, .threads = GetParam()});
  for (int round = 0; round < 20; ++round) {
    for (std::uint32_t b = 0; b < 30; ++b) EXPECT_EQ(rig.put(0, b, Data::wrong), Put::accepted);
    if (round % 2 == 0) rig.loop.settle();
    rig.store->forget(rig.piece(0));
    for (std::uint32_t b = 0; b < 20; ++b) EXPECT_EQ(rig.put(0, b), Put::accepted);
    if (round % 3 == 0) rig.loop.settle();
    rig.store->forget(rig.piece(0));
  }
  EXPECT_EQ(rig.fill(0), Put::piece_complete);
  EXPECT_EQ(rig.verify(0), Verdict::good) << "nothing of the forgotten blocks was hashed";
}

TEST_P(PieceStoreWithWorkers, TheOrderInWhichBlocksComeDoesNotMatter) {
  Rig rig(Sample(50 * kBlockSize - 1, 50 * kBlockSize), {.threads = GetParam()});
  for (std::uint32_t i = 0; i < 50; ++i) {
    EXPECT_EQ(rig.put(0, (i * 37 + 11) % 50), i == 49 ? Put::piece_complete : Put::accepted);
    if (i % 8 == 0) rig.loop.settle();
  }
  EXPECT_EQ(rig.verify(0), Verdict::good);
  EXPECT_TRUE(rig.reads_now({0, 50 * kBlockSize - 1}));
}

// -- odd layouts

TEST(PieceStoreLayout, ShortLastPieceAndShortLastBlock) {
  Rig rig(Sample(kPiece + kBlockSize + 7, kPiece));
  rig.deliver_all();
  EXPECT_TRUE(rig.reads_now({kPiece + kBlockSize - 1, kPiece + kBlockSize + 7}));
  EXPECT_TRUE(rig.reads_now({0, rig.sample.layout.total_size()}));
  rig.squeeze();
  EXPECT_TRUE(rig.reads_now({0, rig.sample.layout.total_size()}));
}

TEST(PieceStoreLayout, PiecesOfOneByte) {
  Rig rig(Sample(40, 1), {.pool_blocks = 8});
  const auto reader = rig.read({3, 40});
  rig.deliver_all();
  EXPECT_TRUE(rig.is_truth(reader, {3, 40}));
  EXPECT_TRUE(rig.reads_now({0, 40}));
  EXPECT_EQ(rig.disk.file, rig.sample.truth);
}

TEST(PieceStorePadding, BlocksOfPaddingAreZerosAndNeverAwaited) {
  Rig rig(Sample(kPiece, kPiece, {{kBlockSize + 10, 3 * kBlockSize}}));
  EXPECT_TRUE(rig.store->has_block({rig.piece(0), 2})) << "before anything came";
  EXPECT_EQ(rig.put(0, 2), Put::duplicate) << "nobody asked for it";
  EXPECT_EQ(rig.put(0, 0), Put::accepted);
  EXPECT_EQ(rig.put(0, 3), Put::accepted);
  EXPECT_TRUE(rig.store->has_block({rig.piece(0), 2}));
  EXPECT_EQ(rig.put(0, 1), Put::piece_complete);
  rig.disk.hold_writes = true;
  EXPECT_EQ(rig.verify(0), Verdict::good);
  EXPECT_TRUE(rig.reads_now({0, kPiece}));
  EXPECT_EQ(rig.store->unwritten_blocks(), 3U) << "padding takes no memory";
  rig.disk.let_writes_go();
  rig.loop.settle();
  EXPECT_EQ(rig.store->unwritten_blocks(), 0U);
  rig.squeeze();
  EXPECT_TRUE(rig.reads_now({0, kPiece})) << "from the file";
}

TEST(PieceStorePadding, APieceOfNothingButPaddingIsThereWhenItIsRead) {
  Rig rig(Sample(3 * kPiece, kPiece, {{kPiece - 5, 2 * kPiece}}));
  EXPECT_TRUE(rig.reads_now({kPiece + 3, kPiece + 30}));
  const auto across = rig.read({kPiece - 10, 2 * kPiece + 10});
  rig.squeeze();  // the padding's memory may go and come again
  EXPECT_EQ(rig.deliver(2), Verdict::good);
  EXPECT_FALSE(across.done());
  EXPECT_EQ(rig.deliver(0), Verdict::good);
  EXPECT_TRUE(rig.is_truth(across, {kPiece - 10, 2 * kPiece + 10}));
  EXPECT_EQ(rig.pool.in_use(), 8U);
}

TEST(PieceStorePadding, ABlockSentForAPieceOfPaddingDoesNotSpoilIt) {
  Rig rig(Sample(2 * kPiece, kPiece, {{0, kPiece}}));
  EXPECT_EQ(rig.put(0, 1, Data::wrong), Put::duplicate);
  EXPECT_TRUE(rig.reads_now({0, kPiece}));
}

// -- out: memory and disk

TEST(PieceStoreDisk, AReadTakesSomeOfItFromMemoryAndSomeFromTheFile) {
  Rig rig(Sample(5 * kPiece + 9, kPiece));
  for (const std::uint32_t p : {0U, 1U, 3U}) EXPECT_EQ(rig.deliver(p), Verdict::good);
  rig.squeeze();
  EXPECT_EQ(rig.pool.in_use(), 0U);
  for (const std::uint32_t p : {2U, 4U, 5U}) EXPECT_EQ(rig.deliver(p), Verdict::good);
  const ByteRange all{5, 5 * kPiece + 9};
  EXPECT_TRUE(rig.reads_now(all));
  rig.disk.cached = false;
  EXPECT_FALSE(rig.store->try_read(all)) << "it would block";
  EXPECT_TRUE(rig.reads_now({4 * kPiece, 5 * kPiece + 9})) << "this is in memory";
  EXPECT_TRUE(rig.is_truth(rig.read(all), all));
}

TEST(PieceStoreDisk, ARunOfStoredPiecesIsOneReadOfTheFile) {
  Rig rig(Sample(40, 1));
  rig.deliver_all();
  rig.squeeze();
  rig.disk.cached = false;
  EXPECT_TRUE(rig.is_truth(rig.read({1, 39}), {1, 39}));
  EXPECT_EQ(rig.disk.reads, 1);
}

TEST(PieceStoreDisk, AViewKeepsItsBytesWhateverBecomesOfThePiece) {
  Rig rig(Sample(2 * kPiece, kPiece), {.pool_blocks = 8});
  EXPECT_EQ(rig.deliver(0), Verdict::good);
  std::optional<ReadView> memory = rig.store->try_read(rig.range(0));
  ASSERT_TRUE(memory);
  rig.squeeze();
  EXPECT_EQ(rig.pool.in_use(), 4U) << "still held by the view";
  std::optional<ReadView> file = rig.store->try_read(rig.range(0));
  ASSERT_TRUE(file);
  rig.disk.file.clear();
  EXPECT_EQ(rig.deliver(1), Verdict::good);
  EXPECT_TRUE(rig.is_truth(*memory, rig.range(0)));
  EXPECT_TRUE(rig.is_truth(*file, rig.range(0)));
  memory.reset();
  EXPECT_EQ(rig.pool.in_use(), 4U);
}

TEST(PieceStoreDisk, APieceStaysInMemoryUntilItIsWritten) {
  Rig rig(Sample(2 * kPiece, kPiece), {.pool_blocks = 8});
  rig.disk.hold_writes = true;
  rig.deliver_all();
  EXPECT_EQ(rig.store->unwritten_blocks(), 8U);
  EXPECT_FALSE(rig.pool.acquire()) << "nothing can be taken back";
  EXPECT_TRUE(rig.reads_now({0, 2 * kPiece}));
  rig.disk.let_writes_go();
  rig.loop.settle();
  EXPECT_EQ(rig.store->unwritten_blocks(), 0U);
  EXPECT_TRUE(rig.pool.acquire());
  EXPECT_THAT(rig.lost, IsEmpty());
}

TEST(PieceStoreDisk, WhatWasReadLastIsKeptInMemoryLongest) {
  for (const bool waiting : {false, true}) {
    for (const bool full : {false, true}) {
      Rig rig(Sample(3 * kPiece, kPiece), {.pool_blocks = 12});
      rig.disk.full = full;
      rig.deliver_all();
      if (waiting) {
        EXPECT_TRUE(rig.is_truth(rig.read({0, 1}), {0, 1}));
      } else {
        EXPECT_TRUE(rig.reads_now({0, 1}));
      }
      EXPECT_TRUE(rig.pool.acquire());
      EXPECT_THAT(rig.store->block_digests(rig.piece(0)), SizeIs(4)) << waiting << full;
      EXPECT_THAT(rig.store->block_digests(rig.piece(1)), IsEmpty()) << waiting << full;
    }
  }
}

// -- a disk that fails

TEST(PieceStoreDisk, OnAFullDiskReadingGoesOnFromMemoryWithOneWarning) {
  Rig rig(Sample(4 * kPiece, kPiece), {.pool_blocks = 12});
  rig.disk.full = true;
  for (const std::uint32_t p : {0U, 1U, 2U}) EXPECT_EQ(rig.deliver(p), Verdict::good);
  EXPECT_TRUE(rig.reads_now({0, 3 * kPiece}));
  EXPECT_THAT(rig.warnings, SizeIs(1));
  EXPECT_EQ(rig.store->unwritten_blocks(), 0U) << "it can be taken back: by fetching it again";
  EXPECT_EQ(rig.deliver(3), Verdict::good);
  EXPECT_THAT(rig.lost, ElementsAre(0U)) << "the least recently used makes room";
  EXPECT_FALSE(rig.store->verified().test(rig.piece(0)));
  EXPECT_FALSE(rig.store->try_read({0, 1}));
  const auto reader = rig.read({0, 1});
  rig.disk.full = false;
  EXPECT_EQ(rig.deliver(0), Verdict::good);
  EXPECT_TRUE(rig.is_truth(reader, {0, 1}));
  EXPECT_THAT(rig.warnings, SizeIs(1));
}

TEST(PieceStoreDisk, APieceThatCannotBeReadBackIsFetchedAgainForItsReader) {
  Rig rig(Sample(4 * kPiece, kPiece));
  rig.deliver_all();
  rig.squeeze();
  rig.disk.bad = {2 * kPiece + 5, 2 * kPiece + 6};
  EXPECT_FALSE(rig.store->try_read(rig.range(2)));
  EXPECT_TRUE(rig.store->verified().test(rig.piece(2))) << "only a read that waits decides";
  const ByteRange three{kPiece + 1, 4 * kPiece};
  const auto reader = rig.read(three), other = rig.read(rig.range(2));
  EXPECT_FALSE(reader.done());
  EXPECT_THAT(rig.lost, ElementsAre(2U)) << "once, and its neighbours are well";
  EXPECT_THAT(rig.warnings, SizeIs(1));
  EXPECT_EQ(rig.deliver(2), Verdict::good);
  EXPECT_TRUE(rig.is_truth(reader, three)) << "from memory, the disk being what it is";
  EXPECT_TRUE(rig.is_truth(other, rig.range(2)));
}

TEST(PieceStoreDisk, ACacheFileThatWasCutShortIsNeverFilledUpWithZeros) {
  Rig rig(Sample(4 * kPiece, kPiece));
  for (const std::uint32_t p : {0U, 1U, 3U}) EXPECT_EQ(rig.deliver(p), Verdict::good);
  rig.squeeze();
  EXPECT_EQ(rig.deliver(2), Verdict::good);
  rig.disk.file.resize(10);
  const auto reader = rig.read(rig.range(3));
  EXPECT_FALSE(reader.done());
  // Writing the piece again makes the file long again, with a hole where the others were.
  EXPECT_EQ(rig.deliver(3), Verdict::good);
  EXPECT_TRUE(rig.is_truth(reader, rig.range(3)));
  rig.squeeze();
  const auto all = rig.read({0, 4 * kPiece});
  EXPECT_FALSE(all.done());
  EXPECT_THAT(rig.lost, UnorderedElementsAre(0U, 1U, 2U, 3U));
  for (const std::uint32_t p : {0U, 1U, 2U}) EXPECT_EQ(rig.deliver(p), Verdict::good);
  EXPECT_TRUE(rig.is_truth(all, {0, 4 * kPiece}));
}

// -- endings

TEST(PieceStoreEnd, ClosingAnswersTheReadsThatWaitAndThoseThatWould) {
  Rig rig(Sample(2 * kPiece, kPiece));
  EXPECT_EQ(rig.deliver(0), Verdict::good);
  const auto waiting = rig.read({0, 2 * kPiece});
  EXPECT_FALSE(waiting.done());
  rig.store->close();
  rig.loop.settle();
  ASSERT_TRUE(waiting.done());
  EXPECT_EQ(waiting.value().error(), StorageErrc::closed);
  EXPECT_EQ(rig.read({kPiece, kPiece + 1}).value().error(), StorageErrc::closed);
  EXPECT_TRUE(rig.is_truth(rig.read(rig.range(0)), rig.range(0))) << "what is there is there";
}

TEST(PieceStoreEnd, StoppingFinishesTheWritesUnderWay) {
  Rig rig(Sample(kPiece, kPiece), {.threads = 2});
  rig.disk.hold_writes = true;
  EXPECT_EQ(rig.deliver(0), Verdict::good);
  const auto stopping = rig.loop.start(rig.store->stop());
  rig.loop.settle();
  EXPECT_FALSE(stopping.done());
  rig.disk.let_writes_go();
  rig.loop.until([&] { return stopping.done(); });
  EXPECT_EQ(rig.disk.file, rig.sample.truth);
  EXPECT_EQ(rig.pool.in_use(), 0U);
}

TEST(PieceStoreEnd, WhatWasOnlyInMemoryIsGoneWhenItStopped) {
  for (const bool disk : {true, false}) {
    Rig rig(Sample(2 * kPiece, kPiece), {.disk = disk});
    rig.disk.full = true;
    EXPECT_EQ(rig.deliver(0), Verdict::good);
    EXPECT_EQ(rig.put(1, 0), Put::accepted);
    rig.disk.file.resize(kPiece);  // a hole: zeros that nobody verified
    rig.loop.run(rig.store->stop());
    EXPECT_FALSE(rig.store->try_read(rig.range(0)));
    EXPECT_EQ(rig.read(rig.range(0)).value().error(), StorageErrc::closed);
  }
}

// An executor that knows how many copies of it there are.
struct CountedExecutor {
  EngineLoop* loop;
  std::shared_ptr<int> copies = std::make_shared<int>();
  template <class F>
  void execute(F f) const {
    asio::post(loop->executor(), std::move(f));
  }
  asio::execution_context& query(asio::execution::context_t) const {
    return asio::query(loop->executor(), asio::execution::context);
  }
  static constexpr asio::execution::blocking_t::never_t query(asio::execution::blocking_t) {
    return {};
  }
  bool operator==(const CountedExecutor&) const = default;
};

TEST(PieceStoreEnd, ACancelledReadLeavesNothingBehind) {
  EngineLoop loop;
  const CountedExecutor counted{&loop};
  Sample sample(1000, 1);
  BlockPool pool(4);
  WorkerPool hashers(loop.executor(), 0);
  PieceStore store({counted, sample.layout, sample.hashes, pool, hashers, nullptr, nullptr});
  const auto idle = counted.copies.use_count();
  for (std::uint64_t p = 0; p < 1000; ++p) {
    auto reader = loop.start(store.read({p, 1000}));
    auto other = loop.start(store.read({p, p + 1}));
    loop.settle();
    reader.cancel();
    loop.settle();
    EXPECT_TRUE(reader.cancelled());
    EXPECT_FALSE(other.done()) << "not its business";
    other.cancel();
    loop.settle();
  }
  EXPECT_EQ(counted.copies.use_count(), idle) << "lists that nobody waits in";
  loop.run(store.stop());
}

// -- properties

Sample any_sample() {
  const auto length = *rc::gen::element<std::uint32_t>(1, 1000, kBlockSize, kBlockSize + 100,
                                                       3 * kBlockSize, 20 * kBlockSize);
  const auto pieces = *rc::gen::inRange<std::uint64_t>(1, 7);
  const auto total = (pieces - 1) * length + *rc::gen::inRange<std::uint64_t>(1, length + 1);
  std::vector<ByteRange> pads;
  if (*rc::gen::arbitrary<bool>()) {
    const auto begin = *rc::gen::inRange<std::uint64_t>(0, total);
    const auto end = *rc::gen::inRange<std::uint64_t>(begin, total) + 1;
    if (end < total || begin > 0) pads.push_back({begin, end});
  }
  return Sample(total, length, pads);
}

ByteRange any_range(const Layout& layout) {
  const auto begin = *rc::gen::inRange<std::uint64_t>(0, layout.total_size() + 1);
  return {begin, *rc::gen::inRange<std::uint64_t>(begin, layout.total_size() + 1)};
}

// A network and readers that do anything, with a model of what must come of it.
class Chaos {
 public:
  explicit Chaos(Sample s, bool with_disk, unsigned threads)
      : rig_(std::move(s),
             {.pool_blocks = with_disk ? 64U : 200U, .threads = threads, .disk = with_disk}) {}
  void step() {
    const Layout& layout = rig_.sample.layout;
    const PieceIndex p = rig_.piece(*rc::gen::inRange<std::uint32_t>(0, layout.piece_count()));
    switch (*rc::gen::weightedElement<int>(
        {{20, 0}, {4, 1}, {1, 2}, {4, 3}, {3, 4}, {2, 5}, {1, 6}, {4, 7}})) {
      case 0:
        return put({p, *rc::gen::inRange<std::uint32_t>(0, layout.block_count(p))});
      case 1:
        for (std::uint32_t b = 0; b < layout.block_count(p); ++b) put({p, b});
        return;
      case 2:
        return forget(p);
      case 3:
        reads_.emplace_back(any_range(layout), std::nullopt);
        break;
      case 4: {
        const ByteRange range = any_range(layout);
        const std::optional<ReadView> view = rig_.store->try_read(range);
        if (view) check(*view, range);
        return;
      }
      case 5:
        rig_.disk.cached = *rc::gen::arbitrary<bool>();
        rig_.disk.full = *rc::gen::arbitrary<bool>();
        rig_.disk.bad = *rc::gen::arbitrary<bool>() ? any_range(layout) : ByteRange{};
        return;
      case 6:
        if (!reads_.empty()) reads_.front().second->cancel();
        return;
      default:
        return look();
    }
    reads_.back().second = rig_.loop.start(rig_.store->read(reads_.back().first));
  }
  // Everybody is served once the network and the disk do their work.
  void finish() {
    rig_.disk.full = false;
    rig_.disk.bad = {};
    rig_.loop.until([this] {
      look();
      return verdicts_.empty();
    });
    for (std::uint32_t n = 0; n < rig_.sample.layout.piece_count(); ++n)
      rig_.store->forget(rig_.piece(n));
    rig_.loop.until([this] {  // workers give back what they were hashing
      rig_.squeeze();
      return rig_.pool.in_use() == 0;
    });
    for (int round = 0; !reads_.empty() && round < 20; ++round) {
      for (std::uint32_t n = 0; n < rig_.sample.layout.piece_count(); ++n) {
        const PieceIndex p = rig_.piece(n);
        if (rig_.store->verified().test(p) || rig_.sample.layout.is_padding(p)) continue;
        RC_ASSERT(rig_.deliver(n) == Verdict::good);
        good_.insert(n);
        look();  // lets go of what readers got, too
      }
    }
    RC_ASSERT(reads_.empty());
  }

 private:
  struct Verifying {
    PieceIndex piece;
    bool right;
    Started<Verdict> verdict;
  };

  void put(BlockId id) {
    const Data data = *rc::gen::weightedElement<Data>({{30, Data::right}, {1, Data::wrong}});
    const std::optional<Put> result = rig_.put(id, data);
    if (!result || *result == Put::duplicate) return;
    if (data == Data::wrong) spoilt_.insert(id.piece.value());
    if (*result == Put::accepted) return;
    verdicts_.push_back({id.piece, spoilt_.erase(id.piece.value()) == 0,
                         rig_.loop.start(rig_.store->verify(id.piece, nullptr))});
  }
  void forget(PieceIndex p) {
    const bool was_there = rig_.store->verified().test(p);
    rig_.store->forget(p);
    RC_ASSERT(rig_.store->verified().test(p) == was_there);
    for (const Verifying& v : verdicts_)
      if (v.piece == p) return;  // complete: not forgotten
    spoilt_.erase(p.value());
  }
  void look() {
    rig_.loop.settle();
    std::erase_if(verdicts_, [this](const Verifying& v) {
      if (!v.verdict.done()) return false;
      RC_ASSERT((v.verdict.value() == Verdict::good) == v.right);
      if (v.right) good_.insert(v.piece.value());
      return true;
    });
    std::erase_if(reads_, [this](const auto& read) {
      if (!read.second->done()) return false;
      if (!read.second->cancelled()) check(read.second->value().value(), read.first);
      return true;
    });
    for (std::uint32_t n = 0; n < rig_.sample.layout.piece_count(); ++n) {
      RC_ASSERT(!rig_.store->verified().test(rig_.piece(n)) || may_be_had(n));
    }
  }
  [[nodiscard]] bool may_be_had(std::uint32_t n) const {
    return good_.contains(n) || rig_.sample.layout.is_padding(rig_.piece(n));
  }
  void check(const ReadView& view, ByteRange range) { RC_ASSERT(rig_.is_truth(view, range)); }

  Rig rig_;
  std::set<std::uint32_t> good_;    // verified at some time
  std::set<std::uint32_t> spoilt_;  // open, with a wrong block
  std::vector<Verifying> verdicts_;
  std::vector<std::pair<ByteRange, std::optional<Started<Result<ReadView>>>>> reads_;
};

RC_GTEST_PROP(PieceStoreProperty, EveryByteReadIsTheTruthAndWasVerified, ()) {
  Chaos chaos(any_sample(), *rc::gen::arbitrary<bool>(), *rc::gen::element(0U, 2U));
  const int steps = *rc::gen::inRange(0, 80);
  for (int i = 0; i < steps; ++i) chaos.step();
  chaos.finish();
}

RC_GTEST_PROP(PieceStoreProperty, VerifiedBytesAreThoseOfTheVerifiedPieces, ()) {
  Rig rig(any_sample());
  const Layout& layout = rig.sample.layout;
  for (std::uint32_t n = 0; n < layout.piece_count(); ++n)
    if (!layout.is_padding(rig.piece(n)) && *rc::gen::arbitrary<bool>()) rig.deliver(n);
  for (int i = 0; i < 10; ++i) {
    const ByteRange range = any_range(layout);
    std::uint64_t naive = 0;
    for (std::uint32_t n = 0; n < layout.piece_count(); ++n)
      if (rig.store->verified().test(rig.piece(n)))
        naive += layout.range(rig.piece(n)).intersection(range).size();
    RC_ASSERT(rig.store->verified_bytes(range) == naive);
  }
}

}  // namespace
}  // namespace swarmfs::storage
