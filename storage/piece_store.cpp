#include "storage/piece_store.h"

#include <algorithm>
#include <boost/system/errc.hpp>
#include <cassert>
#include <set>
#include <utility>

#include "storage/piece_check.h"
#include "storage/piece_memory.h"
#include "storage/piece_reader.h"
#include "storage/piece_table.h"
#include "storage/task_group.h"
#include "storage/wait_list.h"

namespace swarmfs::storage {
namespace {

// Blocks hashed per worker job while a piece is still arriving: 256 KiB are still in the
// second-level cache, and a hand-off costs about what one block's SHA-1 does.
constexpr std::uint32_t kHashBatchBlocks = 16;

// Counts what would otherwise be a log line each, and is true when it is time for one: the first
// time, and each time there are ten times as many.
bool is_news(std::uint64_t& count) {
  std::uint64_t rest = ++count;
  while (rest % 10 == 0) rest /= 10;
  return rest == 1;
}

}  // namespace

struct PieceStore::State : std::enable_shared_from_this<PieceStore::State> {
  explicit State(Parts p);

  [[nodiscard]] PieceState state(PieceIndex p) const { return table.state(p); }
  std::shared_ptr<BufferedPiece> open(PieceIndex p);
  void hash_some(const std::shared_ptr<BufferedPiece>& b);
  Task<void> hash_job(std::shared_ptr<BufferedPiece> b, std::uint32_t end);
  Task<void> write_behind(std::shared_ptr<BufferedPiece> b);
  Task<error_code> write(const BufferedPiece& b);
  bool reclaim();
  bool make_padding(PieceIndex p);
  void lose(PieceIndex p);
  void on_unreadable(PieceIndex p, error_code why);
  void on_checked(PieceIndex p, error_code ec);
  void doubt_stored();
  void on_cut_short();
  class Punching;
  void warn_write_failed(error_code ec);
  void warn_lost(error_code why);

  Parts parts;
  PieceTable table;
  PieceMemory memory;
  ReadBuffers buffers;
  PieceChecks checks;
  PieceReader reader;
  std::set<PieceIndex> punching;
  std::function<void(PieceIndex)> lost;
  TaskGroup tasks;
  WaitList hash_done;
  bool write_failed = false;                   // the last one
  bool cut_short = false;                      // the file was, and that was said
  std::uint64_t doubts = 0;                    // how often doubt_stored() was called
  std::uint64_t outages = 0, lost_pieces = 0;  // for is_news()
  std::size_t unwritten_blocks = 0;
};

// While it lives the piece is neither checked nor evicted again; afterwards its readers look again.
class PieceStore::State::Punching {
 public:
  Punching(State& state, PieceIndex piece) : state_(state), piece_(piece) {
    state_.punching.insert(piece_);
  }
  Punching(const Punching&) = delete;
  Punching& operator=(const Punching&) = delete;
  ~Punching() {
    state_.punching.erase(piece_);
    state_.reader.wake(piece_);
    state_.checks.pump();
  }

 private:
  State& state_;
  PieceIndex piece_;
};

PieceStore::State::State(Parts p)
    : parts(std::move(p)),
      table(parts.layout, parts.disk != nullptr ? parts.claimed : Bitfield()),
      memory(parts.layout),
      checks({.executor = parts.executor,
              .layout = parts.layout,
              .table = table,
              .piece_hashes = parts.piece_hashes,
              .hashers = parts.hashers,
              .disk = parts.disk,
              .buffers = buffers,
              .may_check = [this](PieceIndex piece) { return !punching.contains(piece); },
              .done = [this](PieceIndex piece, error_code ec) { on_checked(piece, ec); }}),
      reader({.executor = parts.executor,
              .layout = parts.layout,
              .table = table,
              .memory = memory,
              .checks = checks,
              .buffers = buffers,
              .disk = parts.disk,
              .make_padding = [this](PieceIndex piece) { return make_padding(piece); },
              .unreadable = [this](PieceIndex piece, error_code ec) { on_unreadable(piece, ec); }}),
      tasks(parts.executor),
      hash_done(parts.executor) {
  parts.claimed = Bitfield();
}

std::shared_ptr<BufferedPiece> PieceStore::State::open(PieceIndex p) {
  if (std::shared_ptr<BufferedPiece> found = memory.find(p)) return found;
  table.set_state(p, PieceState::open);
  return memory.open(p);
}

// Starts hashing the contiguous front of the piece when enough of it has arrived, while it is warm
// in the cache.
void PieceStore::State::hash_some(const std::shared_ptr<BufferedPiece>& b) {
  if (b->hashing) return;
  std::uint32_t end = b->hashed;
  while (end < b->present.size() && b->present[end]) ++end;
  if (end - b->hashed < kHashBatchBlocks) return;
  b->hashing = true;
  tasks.spawn(hash_job(b, end));
}

Task<void> PieceStore::State::hash_job(std::shared_ptr<BufferedPiece> b, std::uint32_t end) {
  auto job = [b, end] {
    for (std::uint32_t i = b->hashed; i < end; ++i) b->hasher.update(b->block_bytes(i));
  };
  co_await parts.hashers.run(job);
  b->hashed = end;
  b->hashing = false;
  hash_done.wake_all();
  if (memory.find(b->piece) == b && state(b->piece) == PieceState::open) hash_some(b);
}

Task<error_code> PieceStore::State::write(const BufferedPiece& b) {
  std::vector<std::span<const std::byte>> from;
  for (std::uint32_t i = 0; i < b.blocks.size(); ++i) from.push_back(b.block_bytes(i));
  co_return co_await parts.disk->write(parts.layout.range(b.piece).begin, std::move(from));
}

Task<void> PieceStore::State::write_behind(std::shared_ptr<BufferedPiece> b) {
  const auto count = static_cast<std::size_t>(std::ranges::count_if(
      b->blocks, [](const Block& block) { return static_cast<bool>(block); }));
  unwritten_blocks += count;
  std::uint64_t doubts_before = doubts;
  error_code ec = co_await write(*b);
  if (ec == StorageErrc::short_read) {
    on_cut_short();
    doubts_before = doubts;
    ec = co_await write(*b);
  }
  unwritten_blocks -= count;
  if (ec) {
    warn_write_failed(ec);
  } else {
    write_failed = false;
    table.set_state(b->piece, PieceState::stored);
  }
  if (!ec && doubts_before != doubts) {
    memory.erase(b->piece);
    table.set_state(b->piece, PieceState::claimed);
    co_return;
  }
  memory.keep(*b);
}

// Frees the memory of the piece that has not been read for longest, if any piece is kept only for
// convenience.
bool PieceStore::State::reclaim() {
  const std::optional<PieceIndex> p = memory.take_back();
  if (!p) return false;
  if (state(*p) != PieceState::stored) lose(*p);  // could not be written: fetched again when read
  return true;
}

void PieceStore::State::lose(PieceIndex p) {
  table.set_state(p, PieceState::missing);
  if (lost) lost(p);
}

// A piece of nothing but padding is zeros, and is never fetched: it comes into being when it is
// read.
bool PieceStore::State::make_padding(PieceIndex p) {
  if (!parts.layout.is_padding(p) || state(p) != PieceState::missing) return false;
  const std::shared_ptr<BufferedPiece> b = open(p);
  table.set_state(p, PieceState::complete);
  table.set_state(p, PieceState::verified);
  memory.keep(*b);
  return true;
}

void PieceStore::State::on_checked(PieceIndex p, error_code ec) {
  if (ec == StorageErrc::short_read) on_cut_short();
  if (ec) {
    warn_lost(ec);
    lose(p);
  } else {
    table.set_state(p, PieceState::stored);
  }
  reader.wake(p);
}

void PieceStore::State::on_unreadable(PieceIndex p, error_code why) {
  if (why == StorageErrc::short_read) return on_cut_short();  // it is about all of the file
  // Another read may have found out first, and the piece may even be back.
  if (state(p) != PieceState::stored || memory.contains(p)) return;
  warn_lost(why);
  lose(p);
}

// What is in the file may no longer be what was verified: it is hashed before it is read again.
void PieceStore::State::doubt_stored() {
  ++doubts;
  checks.doubt();
  for (std::optional<PieceIndex> p = parts.layout.first_piece(); p; p = parts.layout.next(*p)) {
    if (state(*p) != PieceState::stored) continue;
    memory.erase(*p);
    table.set_state(*p, PieceState::claimed);
  }
}

// By somebody else. The next piece written would make the file long again, and what was cut off
// would read as zeros.
void PieceStore::State::on_cut_short() {
  doubt_stored();
  warn_lost(StorageErrc::short_read);
}

void PieceStore::State::warn_write_failed(error_code ec) {
  if (ec == StorageErrc::cache_full) return;  // who says so has told why
  if (std::exchange(write_failed, true) || !is_news(outages) || !parts.warn) return;
  parts.warn("cannot write to the cache (" + ec.message() +
             "); reading goes on from memory, what does not fit is fetched again" +
             (outages > 1 ? "; " + std::to_string(outages) + " times so far" : ""));
}

void PieceStore::State::warn_lost(error_code why) {
  if (cut_short) return;  // no news: it is about all that was behind its end
  cut_short = why == StorageErrc::short_read;
  if (!is_news(lost_pieces) || !parts.warn) return;
  parts.warn("a piece in the cache cannot be used (" + why.message() +
             "); it is fetched again when it is read" +
             (lost_pieces > 1 ? "; " + std::to_string(lost_pieces) + " such pieces so far" : ""));
}

PieceStore::PieceStore(Parts parts) : state_(std::make_shared<State>(std::move(parts))) {
  state_->parts.pool.set_reclaim([state = state_.get()] { return state->reclaim(); });
}
PieceStore::~PieceStore() {
  state_->parts.pool.set_reclaim(nullptr);
}

PieceStore::Put PieceStore::put_block(BlockId id, Block block) {
  State& s = *state_;
  const PieceState now = s.state(id.piece);
  if (now != PieceState::missing && now != PieceState::open) return Put::duplicate;
  // Nobody asked for it; and a piece of nothing but padding must not be opened: it is never
  // complete.
  if (s.parts.layout.is_padding(id)) return Put::duplicate;
  const std::shared_ptr<BufferedPiece> b = s.open(id.piece);
  if (b->present[id.block]) return Put::duplicate;
  b->blocks[id.block] = std::move(block);
  b->present[id.block] = true;
  if (--b->missing == 0) {
    s.table.set_state(id.piece, PieceState::complete);
    return Put::piece_complete;
  }
  s.hash_some(b);
  return Put::accepted;
}

Task<PieceStore::Verdict> PieceStore::verify(PieceIndex piece,
                                             std::vector<Sha1Digest>* block_digests) {
  const std::shared_ptr<State> s = state_;
  const std::shared_ptr<BufferedPiece> b = s->memory.find(piece);
  assert(b && s->state(piece) == PieceState::complete);
  while (b->hashing) co_await s->hash_done.wait();
  Sha1Digest digest;
  auto finish = [b, &digest] {
    for (auto i = b->hashed; i < b->blocks.size(); ++i) b->hasher.update(b->block_bytes(i));
    digest = b->hasher.finish();
  };
  b->hashing = true;
  co_await s->parts.hashers.run(finish);
  if (digest != s->parts.piece_hashes[piece.value()]) {
    if (block_digests != nullptr) {
      auto blame = [b, block_digests] {
        for (std::uint32_t i = 0; i < b->blocks.size(); ++i)
          block_digests->push_back(sha1(b->block_bytes(i)));
      };
      co_await s->parts.hashers.run(blame);
    }
    s->memory.erase(piece);
    s->table.set_state(piece, PieceState::missing);
    co_return Verdict::corrupt;
  }
  s->table.set_state(piece, PieceState::verified);
  s->reader.wake(piece);
  if (s->parts.disk != nullptr) {
    s->tasks.spawn(s->write_behind(b));
  } else {
    s->memory.keep(*b);
  }
  co_return Verdict::good;
}

std::vector<Sha1Digest> PieceStore::block_digests(PieceIndex piece) const {
  std::vector<Sha1Digest> digests;
  const std::shared_ptr<BufferedPiece> b = state_->memory.find(piece);
  if (!b || !verified().test(piece)) return digests;
  for (std::uint32_t i = 0; i < b->blocks.size(); ++i) digests.push_back(sha1(b->block_bytes(i)));
  return digests;
}

void PieceStore::forget(PieceIndex piece) {
  if (state_->state(piece) != PieceState::open) return;
  state_->memory.erase(piece);  // a hash job in flight keeps its own reference
  state_->table.set_state(piece, PieceState::missing);
}

bool PieceStore::has_block(BlockId id) const {
  if (present().test(id.piece)) return true;
  const std::shared_ptr<BufferedPiece> b = state_->memory.find(id.piece);
  return b ? bool{b->present[id.block]} : state_->parts.layout.is_padding(id);
}

const Bitfield& PieceStore::verified() const {
  return state_->table.verified();
}
const Bitfield& PieceStore::present() const {
  return state_->table.present();
}
const Bitfield& PieceStore::in_file() const {
  return state_->table.in_file();
}
std::uint64_t PieceStore::file_changes() const {
  return state_->table.file_changes();
}
void PieceStore::on_lost(std::function<void(PieceIndex)> callback) {
  state_->lost = std::move(callback);
}
void PieceStore::on_used(std::function<void(PieceIndex)> callback) {
  state_->reader.on_used(std::move(callback));
}

std::optional<ReadView> PieceStore::try_read(ByteRange range) {
  return state_->reader.try_read(range);
}

Task<Result<ReadView>> PieceStore::read(ByteRange range) {
  const std::shared_ptr<State> s = state_;
  co_return co_await s->reader.read(range);
}

std::uint64_t PieceStore::verified_bytes(ByteRange range) const {
  return state_->table.bytes_of(verified(), range);
}
std::uint64_t PieceStore::present_bytes(ByteRange range) const {
  return state_->table.bytes_of(present(), range);
}

bool PieceStore::may_evict(PieceIndex piece) const {
  const State& s = *state_;
  return in_file().test(piece) && !s.checks.is_checking(piece) && !s.reader.is_reading(piece) &&
         !s.punching.contains(piece);
}

Task<error_code> PieceStore::evict(PieceIndex piece) {
  const std::shared_ptr<State> s = state_;
  if (!may_evict(piece)) {
    co_return boost::system::errc::make_error_code(boost::system::errc::device_or_resource_busy);
  }
  // From here to the hole nobody reads it, and nobody writes it: it is claimed, but not checked.
  s->memory.erase(piece);
  if (s->state(piece) == PieceState::stored) s->table.set_state(piece, PieceState::claimed);
  const State::Punching hole(*s, piece);
  const error_code ec = co_await s->parts.disk->punch(s->parts.layout.range(piece));
  if (!ec) s->lose(piece);
  co_return ec;
}

Task<void> PieceStore::check(PieceIndex piece) {
  const std::shared_ptr<State> s = state_;
  co_await s->reader.check(piece);
}

void PieceStore::doubt_file() {
  state_->doubt_stored();
}

bool PieceStore::write_failed() const {
  return state_->write_failed;
}
std::size_t PieceStore::unwritten_blocks() const {
  return state_->unwritten_blocks;
}
const Layout& PieceStore::layout() const {
  return state_->parts.layout;
}

void PieceStore::close() {
  state_->checks.close();
  state_->reader.close();
}

Task<void> PieceStore::stop() {
  close();
  const std::shared_ptr<State> s = state_;
  co_await s->checks.stop();
  co_await s->tasks.join();
  // What could not be written goes with the memory: the file has a hole there.
  for (auto p = std::optional(s->parts.layout.first_piece()); p; p = s->parts.layout.next(*p))
    if (s->state(*p) != PieceState::missing && !in_file().test(*p))
      s->table.set_state(*p, PieceState::missing);
  s->memory.clear();
}

}  // namespace swarmfs::storage
