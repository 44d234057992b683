// A PieceStore with everything around it: a torrent of random bytes, a pool, workers, a disk that
// does as it is told, and an event loop.
//
// Threads: the test's, and the workers asked for. Errors: rig failures are test failures. Lifetime:
// the destructor stops the store and checks that it gave everything back.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/use_awaitable.hpp>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "storage/piece_store.h"
#include "storage/wait_list.h"
#include "tests/unit/storage/engine_loop.h"

namespace swarmfs::storage {

using Bytes = std::vector<std::byte>;

struct Sample {
  Sample(std::uint64_t total, std::uint32_t piece_length, std::vector<ByteRange> pads = {})
      : layout(total, piece_length, std::move(pads)), truth(static_cast<std::size_t>(total)) {
    std::minstd_rand random(static_cast<unsigned>(total));
    for (std::byte& b : truth) b = static_cast<std::byte>(1 + random() % 255);  // never zero
    for (const ByteRange& pad : layout.pads()) std::ranges::fill(span(pad), std::byte{});
    for (std::optional<PieceIndex> p = layout.first_piece(); p; p = layout.next(*p))
      hashes.push_back(sha1(span(layout.range(*p))));
  }
  [[nodiscard]] std::span<std::byte> span(ByteRange range) {
    return std::span(truth).subspan(static_cast<std::size_t>(range.begin),
                                    static_cast<std::size_t>(range.size()));
  }
  Layout layout;
  Bytes truth;
  std::vector<Sha1Digest> hashes;
};

class FakeDisk final : public Disk {
 public:
  explicit FakeDisk(asio::any_io_executor executor) : executor_(executor), writes_held_(executor) {}

  Task<error_code> read(std::uint64_t offset, std::span<std::byte> into) override {
    ++reads;
    co_await asio::post(executor_, asio::use_awaitable);
    if (bad.intersects({offset, offset + into.size()})) co_return io_error();
    co_return copy_out(offset, into) ? error_code() : make_error_code(StorageErrc::short_read);
  }
  bool read_now(std::uint64_t offset, std::span<std::byte> into) override {
    return cached && !bad.intersects({offset, offset + into.size()}) && copy_out(offset, into);
  }
  Task<error_code> write(std::uint64_t offset,
                         std::vector<std::span<const std::byte>> from) override {
    const std::uint64_t began_at = offset;
    co_await asio::post(executor_, asio::use_awaitable);
    while (hold_writes) co_await writes_held_.wait();
    if (full)
      co_return boost::system::errc::make_error_code(boost::system::errc::no_space_on_device);
    for (const auto& part : from) {
      if (file.size() < offset + part.size())
        file.resize(static_cast<std::size_t>(offset + part.size()));
      std::ranges::copy(part, file.begin() + static_cast<std::ptrdiff_t>(offset));
      offset += part.size();
    }
    calls.push_back({Call::Kind::written, began_at});
    co_return error_code();
  }
  Task<error_code> sync() override {
    calls.push_back({Call::Kind::sync_began, 0});
    co_await asio::post(executor_, asio::use_awaitable);
    if (cannot_sync) co_return io_error();
    calls.push_back({Call::Kind::synced, 0});
    co_return error_code();
  }
  Task<error_code> punch(ByteRange range) override {
    co_await asio::post(executor_, asio::use_awaitable);
    if (refuses_holes)
      co_return boost::system::errc::make_error_code(boost::system::errc::not_supported);
    const auto end = std::min<std::size_t>(file.size(), static_cast<std::size_t>(range.end));
    for (auto at = static_cast<std::size_t>(range.begin); at < end; ++at) file[at] = {};
    punched.push_back(range);
    calls.push_back({Call::Kind::punched, range.begin});
    co_return error_code();
  }
  void let_writes_go() {
    hold_writes = false;
    writes_held_.wake_all();
  }

  Bytes file;
  bool cached = true;
  bool hold_writes = false;
  bool full = false;
  // What was done, in order. A write and a hole count when they have ended.
  struct Call {
    enum class Kind { written, sync_began, synced, punched } kind;
    std::uint64_t offset;
  };
  std::vector<Call> calls;
  bool cannot_sync = false;
  bool refuses_holes = false;
  std::vector<ByteRange> punched;
  ByteRange bad;  // reads that touch it fail
  int reads = 0;

 private:
  static error_code io_error() {
    return boost::system::errc::make_error_code(boost::system::errc::io_error);
  }
  bool copy_out(std::uint64_t offset, std::span<std::byte> into) {
    if (offset + into.size() > file.size()) return false;
    std::copy_n(file.begin() + static_cast<std::ptrdiff_t>(offset), into.size(), into.begin());
    return true;
  }
  asio::any_io_executor executor_;
  WaitList writes_held_;
};

class Rig {
 public:
  struct Options {
    std::size_t pool_blocks = 256;
    unsigned threads = 0;
    bool disk = true;
    asio::any_io_executor executor = {};      // the store's, when not the loop's own
    std::vector<std::uint32_t> claimed = {};  // in the file, as an earlier process says
    Bytes file = {};
  };
  explicit Rig(Sample s) : Rig(std::move(s), Options()) {}
  Rig(Sample s, Options options)
      : sample(std::move(s)),
        pool(options.pool_blocks),
        hashers(loop.executor(), options.threads),
        disk(loop.executor()) {
    disk.file = std::move(options.file);
    Bitfield claimed(sample.layout.piece_count());
    for (const std::uint32_t n : options.claimed) claimed.set(piece(n));
    store.emplace(
        PieceStore::Parts{.executor = options.executor ? options.executor : loop.executor(),
                          .layout = sample.layout,
                          .piece_hashes = sample.hashes,
                          .pool = pool,
                          .hashers = hashers,
                          .disk = options.disk ? &disk : nullptr,
                          .warn = [this](const std::string& line) { warnings.push_back(line); },
                          .claimed = std::move(claimed)});
    store->on_lost([this](PieceIndex p) { lost.push_back(p.value()); });
  }
  ~Rig() {
    disk.let_writes_go();
    store->close();
    loop.run(store->stop());
    store.reset();
    EXPECT_EQ(pool.in_use(), 0U) << "blocks were left behind";
  }

  [[nodiscard]] PieceIndex piece(std::uint32_t n) const {
    return sample.layout.piece_at(n).value();
  }
  [[nodiscard]] ByteRange range(std::uint32_t n) const { return sample.layout.range(piece(n)); }

  // -- the network's side
  enum class Data { right, wrong };
  std::optional<PieceStore::Put> put(BlockId id, Data data = Data::right) {
    std::optional<Block> block = pool.acquire();
    if (!block) return std::nullopt;
    std::ranges::fill(block->bytes(), std::byte{0xEE});  // what lies beyond the block's end
    std::ranges::copy(sample.span(sample.layout.range(id)), block->data());
    if (data == Data::wrong) block->data()[sample.layout.block_size(id) - 1] ^= std::byte{1};
    return store->put_block(id, std::move(*block));
  }
  std::optional<PieceStore::Put> put(std::uint32_t p, std::uint32_t b, Data data = Data::right) {
    return put(BlockId{piece(p), b}, data);
  }
  // All blocks that a peer would be asked for.
  std::optional<PieceStore::Put> fill(std::uint32_t p, Data data = Data::right) {
    std::optional<PieceStore::Put> last;
    for (std::uint32_t b = 0; b < sample.layout.block_count(piece(p)); ++b)
      if (!sample.layout.is_padding({piece(p), b}) && !store->has_block({piece(p), b}))
        last = put(p, b, data);
    return last;
  }
  PieceStore::Verdict verify(std::uint32_t p) { return loop.run(store->verify(piece(p), nullptr)); }
  // A piece from its first block to the disk (or to memory, when there is none).
  PieceStore::Verdict deliver(std::uint32_t p) {
    EXPECT_EQ(fill(p), PieceStore::Put::piece_complete);
    const PieceStore::Verdict verdict = verify(p);
    loop.settle();
    return verdict;
  }
  void deliver_all() {
    for (std::uint32_t p = 0; p < sample.layout.piece_count(); ++p)
      if (!sample.layout.is_padding(piece(p))) {
        ASSERT_EQ(deliver(p), PieceStore::Verdict::good);
      }
  }
  // Makes the store give back all the memory that it can.
  void squeeze() {
    std::vector<Block> all;
    while (std::optional<Block> block = pool.acquire()) all.push_back(std::move(*block));
  }

  // -- the readers' side
  [[nodiscard]] Started<Result<ReadView>> read(ByteRange bytes) {
    auto started = loop.start(store->read(bytes));
    loop.settle();
    return started;
  }
  [[nodiscard]] bool is_truth(const ReadView& view, ByteRange bytes) {
    Bytes got;
    for (const auto& extent : view.extents()) got.insert(got.end(), extent.begin(), extent.end());
    return view.size() == got.size() && std::ranges::equal(got, sample.span(bytes));
  }
  [[nodiscard]] bool is_truth(const Started<Result<ReadView>>& read_, ByteRange bytes) {
    return read_.done() && !read_.cancelled() && read_.value() && is_truth(*read_.value(), bytes);
  }
  // At once, from memory or the page cache.
  [[nodiscard]] bool reads_now(ByteRange bytes) {
    const std::optional<ReadView> view = store->try_read(bytes);
    return view && is_truth(*view, bytes);
  }

  EngineLoop loop;
  Sample sample;
  BlockPool pool;
  WorkerPool hashers;
  FakeDisk disk;
  std::vector<std::string> warnings;
  std::vector<std::uint32_t> lost;
  std::optional<PieceStore> store;
};

}  // namespace swarmfs::storage
