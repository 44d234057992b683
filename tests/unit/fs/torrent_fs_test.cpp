#include "fs/torrent_fs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <deque>
#include <string>
#include <vector>

#include "storage/hash.h"
#include "tests/unit/net/manual_clock.h"

namespace swarmfs::fs {
namespace {

using namespace std::chrono_literals;
using storage::ByteRange;
using storage::kBlockSize;
using testing::ElementsAre;

constexpr std::uint32_t kPiece = 64 * 1024;
constexpr std::uint64_t kMiB = 1024 * 1024;

// What became of one READ.
struct Outcome {
  int answers = 0;
  error_code ec;
  std::string bytes;
  bool in_background = false;  // the kernel's readahead, as far as /proc shows
};

void note_answer(void* token, ReadRequest::Extents extents, error_code ec) {
  auto& outcome = *static_cast<Outcome*>(token);
  ++outcome.answers;
  outcome.ec = ec;
  for (const auto& extent : extents) {
    outcome.bytes.append(reinterpret_cast<const char*>(extent.data()), extent.size());
  }
}

bool is_in_background(void* token) {
  return static_cast<Outcome*>(token)->in_background;
}

constexpr ReadRequest::Asker kAsker{note_answer, is_in_background};

// A torrent "t" of three files in memory, a store that gets pieces when the test delivers them, and
// the list of wishes in force in place of a swarm.
class TorrentFsTest : public testing::Test {
 protected:
  static constexpr std::uint64_t kSmall = 100'000;          // "t/small", ends inside piece 1
  static constexpr std::uint64_t kBig = 8 * kMiB - kSmall;  // "t/d/big"

  TorrentFsTest() : pool_(1024), hashers_(io_.get_executor(), 0), deliveries_(io_.get_executor()) {
    for (std::uint64_t i = 0; i < 8 * kMiB; ++i) {
      truth_ += static_cast<char>((i * 2654435761U) >> 13);
    }
    metainfo_.files = {{{"small"}, 0, kSmall, false},
                       {{"d", "big"}, kSmall, kBig, false},
                       {{"none"}, 8 * kMiB, 0, false}};
    for (std::uint64_t at = 0; at < truth_.size(); at += kPiece) {
      metainfo_.piece_hashes.push_back(
          storage::sha1(std::as_bytes(std::span(truth_).subspan(at, kPiece))));
    }
    storage::PieceStore::Parts parts{
        io_.get_executor(), metainfo_.layout, metainfo_.piece_hashes, pool_, hashers_, nullptr, {}};
    store_ = std::make_unique<storage::PieceStore>(std::move(parts));
    mount({});
  }
  ~TorrentFsTest() override {
    finish(fs_->stop());
    finish(store_->stop());
    finish(deliveries_.join());
  }

  void mount(TorrentFs::Options options) {
    mount_empty(options);
    fs_->attach(metainfo_, metainfo_.files, *store_);
  }
  void mount_empty(TorrentFs::Options options) {
    if (fs_) finish(fs_->stop());
    auto want = [this](net::Wish wish) {
      wishes_.push_back(wish);
      return net::Demand([this, wish] {
        const auto same = [&wish](const net::Wish& w) {
          return w.range == wish.range && w.urgency == wish.urgency;
        };
        wishes_.erase(std::find_if(wishes_.begin(), wishes_.end(), same));
      });
    };
    fs_ = std::make_unique<TorrentFs>(
        TorrentFs::Parts{io_.get_executor(), clock_, metainfo_.info_hash, want, options});
  }

  void finish(Task<void> task) {
    storage::TaskGroup group(io_.get_executor());
    group.spawn(std::move(task));
    run();
    ASSERT_EQ(group.size(), 0U) << "does not end";
  }
  void run() {
    io_.restart();
    io_.poll();
  }
  // Everything happens on the engine thread in real life; cancelling a task relies on it.
  void on_engine(std::function<void()> step) {
    asio::post(io_, std::move(step));
    run();
  }
  void pass(net::Duration time) {
    on_engine([this, time] { clock_.advance(time); });
  }
  void flush(Handle handle) {
    on_engine([this, handle] { fs_->flush(handle); });
  }
  void release(Handle handle) {
    on_engine([this, handle] { fs_->release(handle); });
  }
  void interrupt(ReadId id) {
    on_engine([this, id] { fs_->interrupt(id); });
  }
  void deliver(std::uint32_t piece) {
    const storage::PieceIndex index = *metainfo_.layout.piece_at(piece);
    if (store_->verified().test(index)) return;
    for (std::uint32_t b = 0; b < metainfo_.layout.block_count(index); ++b) {
      storage::Block block = std::move(*pool_.acquire());
      const std::size_t at = std::size_t{piece} * kPiece + std::size_t{b} * kBlockSize;
      std::copy_n(reinterpret_cast<const std::byte*>(truth_.data()) + at, kBlockSize, block.data());
      std::ignore = store_->put_block({index, b}, std::move(block));
    }
    deliveries_.spawn(verify(index));
    run();
  }
  Task<void> verify(storage::PieceIndex piece) {
    std::ignore = co_await store_->verify(piece, nullptr);
  }
  // Readers of the piece are woken, and have not run when the file is closed.
  Task<void> verify_and_flush(storage::PieceIndex piece, Handle handle) {
    std::ignore = co_await store_->verify(piece, nullptr);
    fs_->flush(handle);
  }
  void deliver_all() {
    for (std::uint32_t p = 0; p < metainfo_.layout.piece_count(); ++p) deliver(p);
  }

  Inode inode(std::vector<std::string> path) const {
    Inode at = kRootInode;
    for (const std::string& name : path) at = fs_->lookup(at, name)->attributes.inode;
    return at;
  }
  Handle open(std::vector<std::string> path) { return fs_->open(inode(path), false).value(); }
  // The id of the READ is its place in outcomes_.
  Outcome& read(Handle handle, std::uint64_t offset, std::uint64_t size, bool direct = false) {
    Outcome& outcome = outcomes_.emplace_back();
    fs_->read(handle, offset, size, direct, ReadRequest(outcomes_.size() - 1, &outcome, kAsker));
    run();
    return outcome;
  }
  ReadId last_read() const { return outcomes_.size() - 1; }
  std::string truth(std::uint64_t offset, std::uint64_t size) const {
    return truth_.substr(offset, size);
  }
  std::vector<ByteRange> wished(net::Urgency urgency) const {
    std::vector<ByteRange> ranges;
    for (const net::Wish& w : wishes_) {
      if (w.urgency == urgency) ranges.push_back(w.range);
    }
    return ranges;
  }
  std::vector<ByteRange> wished_now() const { return wished(net::Urgency::now); }

  asio::io_context io_;
  net::ManualClock clock_;
  std::string truth_;
  storage::Metainfo metainfo_{"t",
                              storage::sha1({}),
                              storage::Layout(8 * kMiB, kPiece),
                              {},
                              {},
                              false,
                              {},
                              {},
                              {},
                              false,
                              {},
                              false,
                              {}};
  storage::BlockPool pool_;
  storage::WorkerPool hashers_;
  std::vector<net::Wish> wishes_;  // in force
  std::deque<Outcome> outcomes_;
  storage::TaskGroup deliveries_;
  std::unique_ptr<storage::PieceStore> store_;
  std::unique_ptr<TorrentFs> fs_;
};

// -- before the torrent is known

TEST_F(TorrentFsTest, IsAnEmptyRootUntilTheTorrentIsKnown) {
  mount_empty({.owner = {.uid = 7, .gid = 8, .mtime = 99}});
  const auto root = fs_->getattr(kRootInode);
  ASSERT_TRUE(root);
  EXPECT_TRUE(root->attributes.directory);
  EXPECT_EQ(root->attributes.mtime, 99);
  EXPECT_EQ(fs_->entry_at(kRootInode, 0).value()->name, ".");
  EXPECT_EQ(fs_->entry_at(kRootInode, 1).value()->name, "..");
  EXPECT_FALSE(fs_->entry_at(kRootInode, 2).value());
  EXPECT_EQ(fs_->lookup(kRootInode, "t").error(), FsErrc::not_found);
  EXPECT_EQ(fs_->getattr(2).error(), FsErrc::not_found);
  EXPECT_EQ(fs_->open(2, false).error(), FsErrc::not_found);
  const FileSystemStatus status = fs_->statfs();
  EXPECT_EQ(status.blocks + status.missing_blocks + status.files, 0U);
  EXPECT_EQ(fs_->getxattr(kRootInode, "user.swarmfs.infohash").value(), metainfo_.info_hash.hex());
  EXPECT_EQ(fs_->getxattr(kRootInode, "user.swarmfs.progress").error(), FsErrc::no_such_attribute);
  EXPECT_THAT(fs_->listxattr(kRootInode).value(), ElementsAre("user.swarmfs.infohash"));
}

TEST_F(TorrentFsTest, TheKernelMayRememberNothingOfTheEmptyRoot) {
  mount_empty({});
  EXPECT_EQ(fs_->getattr(kRootInode)->attr_timeout, 0s);
  EXPECT_EQ(fs_->lookup(kRootInode, ".")->name_timeout, 0s);
  EXPECT_EQ(fs_->absence_timeout(kRootInode), 0s);
}

TEST_F(TorrentFsTest, ShowsTheFilesFromTheMomentTheTorrentIsKnown) {
  mount_empty({.owner = {.mtime = 99}});
  EXPECT_FALSE(fs_->attached());
  fs_->attach(metainfo_, metainfo_.files, *store_);
  EXPECT_TRUE(fs_->attached());
  EXPECT_EQ(fs_->getattr(kRootInode)->attributes.mtime, 99) << "scanners would read all again";
  EXPECT_GE(fs_->getattr(kRootInode)->attr_timeout, 24h);
  EXPECT_EQ(fs_->entry_at(kRootInode, 2).value()->name, "t");
  EXPECT_EQ(fs_->statfs().blocks, 8 * kMiB / 4096);
  deliver(0);
  EXPECT_EQ(read(open({"t", "small"}), 0, 1000).bytes, truth(0, 1000));
}

TEST_F(TorrentFsTest, CountsOnlyTheFilesThatAreShown) {
  mount_empty({});
  const std::vector<storage::FileEntry> small{metainfo_.files[0]};
  fs_->attach(metainfo_, small, *store_);
  EXPECT_EQ(fs_->lookup(inode({"t"}), "d").error(), FsErrc::not_found);
  EXPECT_EQ(fs_->statfs().blocks, (kSmall + 4095) / 4096);
  deliver(0);
  deliver(1);
  EXPECT_EQ(fs_->statfs().missing_blocks, 0U);
  EXPECT_EQ(fs_->getxattr(kRootInode, "user.swarmfs.complete").value(), "1");
}

TEST_F(TorrentFsTest, AnEmptyRootEndsLikeAnyOther) {
  mount_empty({});
  fs_->drain();
  EXPECT_TRUE(fs_->draining());
  EXPECT_TRUE(fs_->waiting_for().empty());
}

// -- names and attributes

TEST_F(TorrentFsTest, LooksUpAndRemembersForADayWhatCannotChange) {
  const auto folder = fs_->lookup(kRootInode, "t");
  ASSERT_TRUE(folder);
  EXPECT_TRUE(folder->attributes.directory);
  EXPECT_GE(folder->attr_timeout, 24h);
  EXPECT_GE(folder->name_timeout, 24h);
  EXPECT_EQ(fs_->lookup(kRootInode, "u").error(), FsErrc::not_found);
  EXPECT_EQ(fs_->lookup(99, "t").error(), FsErrc::not_found);
  EXPECT_EQ(fs_->lookup(inode({"t", "small"}), "t").error(), FsErrc::not_a_directory);
}

TEST_F(TorrentFsTest, LetsAttributesOfAFileMoveUntilItIsComplete) {
  EXPECT_EQ(fs_->getattr(inode({"t", "small"}))->attr_timeout, 1s);
  EXPECT_EQ(fs_->getattr(inode({"t", "small"}))->attributes.blocks, 1U);
  deliver(0);
  EXPECT_EQ(fs_->getattr(inode({"t", "small"}))->attributes.blocks, kPiece / 512);
  deliver(1);
  EXPECT_EQ(fs_->getattr(inode({"t", "small"}))->attributes.blocks, (kSmall + 511) / 512);
  EXPECT_EQ(fs_->getattr(inode({"t", "small"}))->attr_timeout, 60s) << "its cache may shrink";
  EXPECT_GE(fs_->getattr(inode({"t", "none"}))->attr_timeout, 24h) << "empty is complete";
}

TEST_F(TorrentFsTest, ListsADirectoryByNumber) {
  std::vector<std::string> names;
  for (std::uint64_t i = 0;; ++i) {
    const auto next = fs_->entry_at(inode({"t"}), i).value();
    if (!next) break;
    names.emplace_back(next->name);
  }
  EXPECT_THAT(names, ElementsAre(".", "..", "d", "none", "small"));
  EXPECT_EQ(fs_->entry_at(inode({"t"}), 1).value()->entry.attributes.inode, kRootInode);
  EXPECT_FALSE(fs_->entry_at(inode({"t"}), ~std::uint64_t{0}).value());
  EXPECT_EQ(fs_->entry_at(inode({"t", "small"}), 0).error(), FsErrc::not_a_directory);
}

TEST_F(TorrentFsTest, ShowsProgressAsUsedSpace) {
  EXPECT_EQ(fs_->statfs().blocks, 8 * kMiB / 4096);
  EXPECT_EQ(fs_->statfs().missing_blocks, 8 * kMiB / 4096);
  deliver(5);
  EXPECT_EQ(fs_->statfs().missing_blocks, (8 * kMiB - kPiece) / 4096);
  deliver_all();
  EXPECT_EQ(fs_->statfs().missing_blocks, 0U);
}

TEST_F(TorrentFsTest, TellsProgressInAttributes) {
  const Inode small = inode({"t", "small"});
  EXPECT_EQ(fs_->getxattr(small, "user.swarmfs.infohash").value(), metainfo_.info_hash.hex());
  EXPECT_EQ(fs_->getxattr(small, "user.swarmfs.progress").value(), "0.00");
  EXPECT_EQ(fs_->getxattr(small, "user.swarmfs.complete").value(), "0");
  deliver(0);
  EXPECT_EQ(fs_->getxattr(small, "user.swarmfs.progress").value(), "65.54");
  deliver(1);
  EXPECT_EQ(fs_->getxattr(small, "user.swarmfs.progress").value(), "100.00");
  EXPECT_EQ(fs_->getxattr(small, "user.swarmfs.complete").value(), "1");
  EXPECT_EQ(fs_->getxattr(kRootInode, "user.swarmfs.complete").value(), "0");
  EXPECT_EQ(fs_->getxattr(kRootInode, "user.swarmfs.progress").value(), "1.56");
  EXPECT_EQ(fs_->getxattr(inode({"t", "none"}), "user.swarmfs.progress").value(), "100.00");
  for (const auto name : fs_->listxattr(small).value())
    EXPECT_TRUE(fs_->getxattr(small, name)) << name;
  const Inode inner = inode({"t", "d"});
  for (const auto name : fs_->listxattr(inner).value())
    EXPECT_TRUE(fs_->getxattr(inner, name)) << name;
}

TEST_F(TorrentFsTest, KnowsNoOtherAttributes) {
  EXPECT_EQ(fs_->getxattr(kRootInode, "user.mime_type").error(), FsErrc::no_such_attribute);
  EXPECT_EQ(fs_->getxattr(kRootInode, "user.").error(), FsErrc::no_such_attribute);
  for (const char* const name :
       {"security.capability", "system.posix_acl_access", "trusted.x", ""}) {
    EXPECT_EQ(fs_->getxattr(kRootInode, name).error(), FsErrc::unsupported) << name;
  }
  EXPECT_EQ(fs_->getxattr(99, "user.x").error(), FsErrc::not_found);
}

// -- open files

TEST_F(TorrentFsTest, OpensFilesForReadingOnly) {
  EXPECT_EQ(fs_->open(inode({"t", "small"}), true).error(), FsErrc::read_only);
  EXPECT_EQ(fs_->open(inode({"t"}), false).error(), FsErrc::is_a_directory);
  EXPECT_EQ(fs_->open(99, false).error(), FsErrc::not_found);
  EXPECT_EQ(fs_->open_files(), 0U);
}

TEST_F(TorrentFsTest, RecognisesAHandleThatWasReleased) {
  const Handle first = open({"t", "small"});
  release(first);
  const Handle second = open({"t", "small"});
  EXPECT_NE(first, second);
  EXPECT_EQ(read(first, 0, 10).ec, FsErrc::bad_handle);
  EXPECT_EQ(read(12345, 0, 10).ec, FsErrc::bad_handle);
  release(first);
  flush(first);
  EXPECT_EQ(fs_->open_files(), 1U);
}

TEST_F(TorrentFsTest, AnswersAtOnceWhatIsThere) {
  deliver(0);
  deliver(1);
  const Handle small = open({"t", "small"});
  const Outcome& all = read(small, 0, 128 * 1024);
  EXPECT_EQ(all.answers, 1);
  EXPECT_FALSE(all.ec);
  EXPECT_EQ(all.bytes, truth(0, kSmall)) << "ends with the file, not with the piece";
  EXPECT_EQ(read(open({"t", "d", "big"}), 5, 100).bytes, truth(kSmall + 5, 100));
  EXPECT_TRUE(wishes_.empty());
}

TEST_F(TorrentFsTest, AnswersPastTheEndWithNothing) {
  const Handle small = open({"t", "small"});
  for (const std::uint64_t offset :
       {kSmall, kSmall + 1, ~std::uint64_t{0}, std::uint64_t{1} << 63}) {
    const Outcome& past = read(small, offset, 4096);
    EXPECT_EQ(past.answers, 1);
    EXPECT_FALSE(past.ec);
    EXPECT_EQ(past.bytes, "");
  }
  EXPECT_EQ(read(small, 10, 0).answers, 1);
  EXPECT_EQ(read(open({"t", "none"}), 0, 4096).answers, 1);
  EXPECT_TRUE(wishes_.empty());
  EXPECT_EQ(fs_->held_reads(), 0U);
}

TEST_F(TorrentFsTest, HoldsAReadUntilItsLastPieceIsVerified) {
  const Handle small = open({"t", "small"});
  const Outcome& across = read(small, kPiece - 2048, 4096);
  EXPECT_EQ(across.answers, 0);
  EXPECT_THAT(wished_now(), ElementsAre(ByteRange{kPiece - 2048, kPiece + 2048}));
  deliver(0);
  EXPECT_EQ(across.answers, 0);
  deliver(1);
  EXPECT_EQ(across.answers, 1);
  EXPECT_EQ(across.bytes, truth(kPiece - 2048, 4096));
  EXPECT_TRUE(wishes_.empty()) << "the wish goes with the answer";
  EXPECT_EQ(fs_->held_reads(), 0U);
}

TEST_F(TorrentFsTest, AnswersEachOfManyWaitingReadsOnce) {
  const Handle big = open({"t", "d", "big"});
  std::vector<Outcome*> all;
  for (std::uint64_t i = 0; i < 200; ++i) all.push_back(&read(big, i * 4096, 4096));
  EXPECT_EQ(fs_->held_reads(), 200U);
  deliver_all();
  for (std::uint64_t i = 0; i < 200; ++i) {
    EXPECT_EQ(all[i]->answers, 1);
    EXPECT_EQ(all[i]->bytes, truth(kSmall + i * 4096, 4096));
  }
}

// -- giving up, interrupts, closing

TEST_F(TorrentFsTest, GivesALongReadUpSoThatTheKernelAsksForAPage) {
  const Handle small = open({"t", "small"});
  const Outcome& window = read(small, 0, kPiece);
  pass(600ms);
  EXPECT_EQ(window.answers, 0);
  pass(400ms);
  EXPECT_EQ(window.answers, 1);
  EXPECT_EQ(window.ec, FsErrc::ask_again);
  EXPECT_EQ(fs_->held_reads(), 0U);
  EXPECT_THAT(wished_now(), ElementsAre(ByteRange{0, kPiece})) << "what was on its way still comes";

  const Outcome& page = read(small, 4096, 4096);
  pass(1h);
  EXPECT_EQ(page.answers, 0) << "its error would be the reader's";
  EXPECT_THAT(wished_now(), ElementsAre(ByteRange{4096, 8192})) << "the old wish lingers 2 s only";
  deliver(0);
  EXPECT_EQ(page.bytes, truth(4096, 4096));
}

TEST_F(TorrentFsTest, GivesASinglePageUpOnlyWhenItIsKnownToBeReadahead) {
  const Handle small = open({"t", "small"});
  Outcome& page = read(small, 0, 4096);
  pass(1s);
  EXPECT_EQ(page.answers, 0) << "a fault of a mapping read at random: the error would be a SIGBUS";
  page.in_background = true;
  pass(1s);
  EXPECT_EQ(page.ec, FsErrc::ask_again) << "a reader of 4 KiB: ^C could not reach it";
}

TEST_F(TorrentFsTest, ClosingEndsThePageThatAKilledReaderLeftBehind) {
  const Handle small = open({"t", "small"});
  Outcome& page = read(small, 0, 4096);
  page.in_background = true;
  flush(small);
  EXPECT_EQ(page.ec, FsErrc::flushed);
  EXPECT_TRUE(wishes_.empty());
}

TEST_F(TorrentFsTest, HoldsWhatTheKernelAsksAgainWhateverItsSize) {
  const Handle small = open({"t", "small"});
  read(small, 0, kPiece);
  pass(1s);
  const Outcome& folio = read(small, 0, 16 * 1024);
  pass(10s);
  EXPECT_EQ(folio.answers, 0) << "a kernel with large folios asks again for more than a page";
}

TEST_F(TorrentFsTest, NeverGivesUpADirectRead) {
  const Handle small = open({"t", "small"});
  const Outcome& direct = read(small, 0, kPiece, true);
  pass(1h);
  EXPECT_EQ(direct.answers, 0) << "O_DIRECT: the error would be the reader's";
  interrupt(last_read());
  EXPECT_EQ(direct.ec, FsErrc::interrupted);
}

TEST_F(TorrentFsTest, InterruptAnswersAtOnceAndOnce) {
  const Handle small = open({"t", "small"});
  const Outcome& page = read(small, 0, 4096);
  const ReadId id = last_read();
  ASSERT_TRUE(fs_->holds(id));
  interrupt(id);
  EXPECT_EQ(page.answers, 1);
  EXPECT_EQ(page.ec, FsErrc::interrupted);
  EXPECT_TRUE(wishes_.empty());
  EXPECT_FALSE(fs_->holds(id));
  interrupt(id);
  run();
  deliver(0);
  EXPECT_EQ(page.answers, 1);
}

TEST_F(TorrentFsTest, CloseWithdrawsEverythingAtOnceButLeavesASecondReadersPage) {
  const Handle small = open({"t", "small"});
  read(small, 0, kPiece);
  pass(1s);  // lingers now
  const Outcome& window = read(small, kPiece, 8192);
  const Outcome& page = read(small, 0, 4096);
  flush(small);
  EXPECT_EQ(window.answers, 1);
  EXPECT_EQ(window.ec, FsErrc::flushed);
  EXPECT_EQ(page.answers, 0) << "through a duplicate of the descriptor";
  EXPECT_THAT(wished_now(), ElementsAre(ByteRange{0, 4096}));
  deliver(0);
  EXPECT_EQ(page.bytes, truth(0, 4096));
}

TEST_F(TorrentFsTest, ReleaseAnswersWhatIsStillHeld) {
  const Handle small = open({"t", "small"});
  const Outcome& page = read(small, 0, 4096);
  release(small);
  EXPECT_EQ(page.answers, 1);
  EXPECT_TRUE(wishes_.empty());
  run();
}

TEST_F(TorrentFsTest, BytesThatComeTogetherWithACloseAreNotAnsweredTwice) {
  const Handle small = open({"t", "small"});
  const Outcome& window = read(small, 0, kPiece);
  const storage::PieceIndex piece = *metainfo_.layout.piece_at(0);
  for (std::uint32_t b = 0; b < 4; ++b) {
    storage::Block block = std::move(*pool_.acquire());
    std::copy_n(reinterpret_cast<const std::byte*>(truth_.data()) + b * kBlockSize, kBlockSize,
                block.data());
    std::ignore = store_->put_block({piece, b}, std::move(block));
  }
  deliveries_.spawn(verify_and_flush(piece, small));
  run();
  EXPECT_EQ(window.answers, 1);
}

// -- soft mounts and the kernel's limit

TEST_F(TorrentFsTest, WaitsForEverUnlessSoft) {
  const Outcome& hard = read(open({"t", "small"}), 0, 4096);
  pass(24h);
  EXPECT_EQ(hard.answers, 0);
}

TEST_F(TorrentFsTest, SoftMountFailsAfterItsTime) {
  mount({.owner = {}, .soft_timeout = 5s});
  const Handle small = open({"t", "small"});
  const Outcome& page = read(small, 0, 4096);
  const Outcome& direct = read(small, 0, 8192, true);
  pass(4900ms);
  EXPECT_EQ(page.answers + direct.answers, 0);
  pass(200ms);
  EXPECT_EQ(page.ec, FsErrc::timed_out);
  EXPECT_EQ(direct.ec, FsErrc::timed_out);
}

TEST_F(TorrentFsTest, HoldsNoLongerThanTheKernelAllows) {
  fs_->limit_hold(45s);
  const Outcome& page = read(open({"t", "small"}), 0, 4096);
  pass(44s);
  EXPECT_EQ(page.answers, 0);
  pass(2s);
  EXPECT_EQ(page.ec, FsErrc::timed_out);
}

// -- the end

TEST_F(TorrentFsTest, DrainingAnswersEveryReadAndHoldsNoMore) {
  const Handle big = open({"t", "d", "big"});
  std::vector<Outcome*> held;
  for (std::uint64_t i = 0; i < 100; ++i) held.push_back(&read(big, i * 65536, 4096));
  deliver(0);
  on_engine([this] { fs_->drain(); });
  for (const Outcome* o : held) {
    EXPECT_EQ(o->answers, 1);
  }
  EXPECT_EQ(held[99]->ec, FsErrc::draining);
  EXPECT_TRUE(wishes_.empty());
  EXPECT_EQ(read(big, kMiB, 4096).ec, FsErrc::draining);
  EXPECT_EQ(read(open({"t", "small"}), 0, 100).bytes, truth(0, 100)) << "what is there is served";
}

TEST_F(TorrentFsTest, RefusesMoreReadsThanItMayHold) {
  const Handle big = open({"t", "d", "big"});
  for (std::size_t i = 0; i < kMaxHeldReads; ++i) {
    Outcome& o = outcomes_.emplace_back();
    fs_->read(big, i % 1000 * 4096, 4096, false, ReadRequest(outcomes_.size() - 1, &o, kAsker));
  }
  EXPECT_EQ(fs_->held_reads(), kMaxHeldReads);
  EXPECT_EQ(read(big, 0, 4096).ec, FsErrc::too_many_waiting);
}

TEST_F(TorrentFsTest, ADroppedRequestIsAnInterruptedOne) {
  Outcome outcome;
  { const ReadRequest dropped(1, &outcome, kAsker); }
  EXPECT_EQ(outcome.answers, 1);
  EXPECT_EQ(outcome.ec, FsErrc::interrupted);
  Outcome moved;
  {
    ReadRequest first(1, &moved, kAsker);
    const ReadRequest second(std::move(first));
    EXPECT_EQ(moved.answers, 0);
  }
  EXPECT_EQ(moved.answers, 1);
}

// -- readahead

TEST_F(TorrentFsTest, WishesAheadOfAStreamAndStopsAtItsSeekOrClose) {
  const Handle big = open({"t", "d", "big"});
  for (std::uint32_t p = 0; p < 32; ++p) deliver(p);  // the first 2 MiB
  for (std::uint64_t at = 0; at < kMiB; at += 128 * 1024) {
    read(big, at, 128 * 1024);
    pass(100ms);
  }
  EXPECT_TRUE(wished(net::Urgency::readahead).empty()) << "the planned bytes are there already";
  for (std::uint64_t at = kMiB; at < kMiB + 768 * 1024; at += 128 * 1024) {
    read(big, at, 128 * 1024);
    pass(100ms);
  }
  const auto ahead = wished(net::Urgency::readahead);
  ASSERT_EQ(ahead.size(), 1U);
  EXPECT_GT(ahead[0].end, 2 * kMiB);
  EXPECT_GT(wishes_.front().pace, 0);
  read(big, 6 * kMiB, 4096);
  EXPECT_TRUE(wished(net::Urgency::readahead).empty()) << "a seek withdraws";
}

}  // namespace
}  // namespace swarmfs::fs
