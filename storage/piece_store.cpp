#include "storage/piece_store.h"

#include <algorithm>
#include <cassert>
#include <cstdlib>
#include <list>
#include <map>
#include <utility>

#include "storage/task_group.h"
#include "storage/wait_list.h"

namespace swarmfs::storage {
namespace {

// Blocks hashed per worker job while a piece is still arriving: 256 KiB are still in the
// second-level cache, and a hand-off costs about what one block's SHA-1 does.
constexpr std::uint32_t kHashBatchBlocks = 16;

// Buffers for reading back from the cache file, kept for reuse: a fresh 1 MiB allocation costs more
// in page faults than the read itself. A kernel READ is at most 1 MiB (fs.fuse.max_pages_limit =
// 256).
constexpr std::size_t kReadBufferSize = 1024 * 1024;
constexpr std::size_t kSpareReadBuffers = 4;

struct FreeDeleter {
  void operator()(std::byte* p) const { std::free(p); }
};
using ReadBuffer = std::unique_ptr<std::byte, FreeDeleter>;

alignas(4096) std::byte zero_block[kBlockSize];  // what padding reads as; written like a block

}  // namespace

std::size_t ReadView::size() const {
  std::size_t total = 0;
  for (const auto& extent : extents_) total += extent.size();
  return total;
}

struct PieceStore::State : std::enable_shared_from_this<PieceStore::State> {
  // missing -> open -> complete -> verified -> stored; complete -> missing when corrupt; stored or
  // verified -> missing when the bytes are lost.
  enum class PieceState : std::uint8_t { missing, open, complete, verified, stored };

  // The bytes of a piece in memory.
  struct Buffered {
    explicit Buffered(PieceIndex p, std::uint32_t blocks_)
        : piece(p), blocks(blocks_), present(blocks_, false) {}
    PieceIndex piece;
    std::vector<Block> blocks;  // empty Block: not received, or padding
    std::vector<bool> present;
    std::uint32_t missing = 0;
    std::uint32_t hashed = 0;  // blocks already fed to the hasher, in order
    bool hashing = false;      // a worker has the hasher
    Sha1 hasher;
    bool is_kept = false;
    std::list<PieceIndex>::iterator kept;  // in State::kept when is_kept
  };

  explicit State(Parts p)
      : parts(std::move(p)),
        states(parts.layout.piece_count(), PieceState::missing),
        verified(parts.layout.piece_count()),
        tasks(parts.executor),
        hash_done(parts.executor),
        spare(std::make_shared<std::vector<ReadBuffer>>()) {}

  [[nodiscard]] PieceState& state(PieceIndex p) { return states[p.value()]; }

  // The only writer of states and of the verified bits.
  void set_state(PieceIndex p, PieceState next) {
    assert(static_cast<int>(next) == static_cast<int>(state(p)) + 1 ||
           (next == PieceState::missing && state(p) != PieceState::missing));
    state(p) = next;
    if (next == PieceState::verified) verified.set(p);
    if (next == PieceState::missing) verified.reset(p);
  }

  [[nodiscard]] std::span<const std::byte> block_bytes(const Buffered& b,
                                                       std::uint32_t block) const {
    const std::uint32_t size = parts.layout.block_size({b.piece, block});
    const std::byte* data = b.blocks[block] ? b.blocks[block].data() : zero_block;
    return {data, size};
  }

  Buffered& open(PieceIndex p);
  void hash_some(const std::shared_ptr<Buffered>& b);
  Task<void> hash_job(std::shared_ptr<Buffered> b, std::uint32_t end);
  Task<void> write_behind(std::shared_ptr<Buffered> b);
  bool reclaim();
  bool make_padding(PieceIndex p);
  void lose(PieceIndex p);
  std::shared_ptr<std::byte> read_buffer(std::size_t size);
  void wake(PieceIndex p);
  void keep(Buffered& b) {
    b.kept = kept.insert(kept.end(), b.piece);
    b.is_kept = true;
  }
  // Most recently used last.
  void touch(Buffered& b) {
    if (b.is_kept) kept.splice(kept.end(), kept, b.kept);
  }

  class Waiting;
  struct Assembly;
  void append_memory(const std::shared_ptr<Buffered>& b, ByteRange part, Assembly& out) const;
  std::optional<PieceIndex> first_absent(ByteRange range);
  Assembly assemble(ByteRange range);
  Task<bool> fill(ByteRange part, std::span<std::byte> into);
  void on_unreadable(PieceIndex p, error_code why);
  void lose_stored();

  Parts parts;
  std::vector<PieceState> states;
  Bitfield verified;
  std::map<PieceIndex, std::shared_ptr<Buffered>> memory;
  // Pieces in memory that are written, or cannot be: their memory can be taken back. Least recently
  // used first.
  std::list<PieceIndex> kept;
  std::map<PieceIndex, WaitList> waiting;
  std::function<void(PieceIndex)> lost;
  TaskGroup tasks;
  WaitList hash_done;
  std::shared_ptr<std::vector<ReadBuffer>> spare;
  bool closed = false;
  bool write_failed = false;
  std::size_t unwritten_blocks = 0;
};

// A place among a piece's readers. The last one to leave takes the list away: a read may be
// cancelled.
class PieceStore::State::Waiting {
 public:
  Waiting(State& state, PieceIndex piece) : state_(state), piece_(piece) {}
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;
  ~Waiting() {
    const auto found = state_.waiting.find(piece_);
    if (found != state_.waiting.end() && found->second.size() == 0) state_.waiting.erase(found);
  }
  [[nodiscard]] WaitList& list() const {
    return state_.waiting.try_emplace(piece_, state_.parts.executor).first->second;
  }

 private:
  State& state_;
  PieceIndex piece_;
};

struct PieceStore::State::Assembly {
  struct FromDisk {
    ByteRange range;
    std::span<std::byte> into;
  };
  std::vector<std::span<const std::byte>> extents;
  std::vector<std::shared_ptr<const void>> owners;
  std::vector<FromDisk> from_disk;
};

PieceStore::State::Buffered& PieceStore::State::open(PieceIndex p) {
  const auto found = memory.find(p);
  if (found != memory.end()) return *found->second;
  const std::uint32_t count = parts.layout.block_count(p);
  auto b = std::make_shared<Buffered>(p, count);
  b->missing = count;
  for (std::uint32_t i = 0; i < count; ++i) {
    if (parts.layout.is_padding({p, i})) {
      b->present[i] = true;
      --b->missing;
    }
  }
  set_state(p, PieceState::open);
  return *memory.emplace(p, std::move(b)).first->second;
}

// Starts hashing the contiguous front of the piece when enough of it has arrived, while it is warm
// in the cache.
void PieceStore::State::hash_some(const std::shared_ptr<Buffered>& b) {
  if (b->hashing) return;
  std::uint32_t end = b->hashed;
  while (end < b->present.size() && b->present[end]) ++end;
  if (end - b->hashed < kHashBatchBlocks) return;
  b->hashing = true;
  tasks.spawn(hash_job(b, end));
}

Task<void> PieceStore::State::hash_job(std::shared_ptr<Buffered> b, std::uint32_t end) {
  auto job = [this, b, end] {
    for (std::uint32_t i = b->hashed; i < end; ++i) b->hasher.update(block_bytes(*b, i));
  };
  co_await parts.hashers.run(job);
  b->hashed = end;
  b->hashing = false;
  hash_done.wake_all();
  const auto found = memory.find(b->piece);
  if (found != memory.end() && found->second == b && state(b->piece) == PieceState::open)
    hash_some(b);
}

Task<void> PieceStore::State::write_behind(std::shared_ptr<Buffered> b) {
  std::vector<std::span<const std::byte>> from;
  for (std::uint32_t i = 0; i < b->blocks.size(); ++i) from.push_back(block_bytes(*b, i));
  const auto count = static_cast<std::size_t>(std::ranges::count_if(
      b->blocks, [](const Block& block) { return static_cast<bool>(block); }));
  unwritten_blocks += count;
  const error_code ec =
      co_await parts.disk->write(parts.layout.range(b->piece).begin, std::move(from));
  unwritten_blocks -= count;
  if (ec) {
    if (!write_failed && parts.warn) {
      parts.warn("cannot write to the cache (" + ec.message() +
                 "); reading goes on from memory, what does not fit is fetched again");
    }
    write_failed = true;
  } else {
    write_failed = false;
    set_state(b->piece, PieceState::stored);
  }
  keep(*b);
}

// Frees the memory of the piece that has not been read for longest, if any piece is kept only for
// convenience.
bool PieceStore::State::reclaim() {
  if (kept.empty()) return false;
  const PieceIndex p = kept.front();
  kept.pop_front();
  memory.erase(p);
  if (state(p) != PieceState::stored) lose(p);  // could not be written: fetched again when read
  return true;
}

void PieceStore::State::lose(PieceIndex p) {
  set_state(p, PieceState::missing);
  if (lost) lost(p);
}

// A piece of nothing but padding is zeros, and is never fetched: it comes into being when it is
// read.
bool PieceStore::State::make_padding(PieceIndex p) {
  if (!parts.layout.is_padding(p) || state(p) != PieceState::missing) return false;
  Buffered& b = open(p);
  set_state(p, PieceState::complete);
  set_state(p, PieceState::verified);
  keep(b);
  return true;
}

void PieceStore::State::wake(PieceIndex p) {
  const auto found = waiting.find(p);
  if (found == waiting.end()) return;
  auto node = waiting.extract(found);
  node.mapped().wake_all();
}

std::shared_ptr<std::byte> PieceStore::State::read_buffer(std::size_t size) {
  ReadBuffer buffer;
  if (size <= kReadBufferSize && !spare->empty()) {
    buffer = std::move(spare->back());
    spare->pop_back();
  } else {
    buffer.reset(static_cast<std::byte*>(
        std::aligned_alloc(4096, (std::max(size, kReadBufferSize) + 4095) / 4096 * 4096)));
    if (!buffer) throw std::bad_alloc();
  }
  const bool reusable = size <= kReadBufferSize;
  std::byte* data = buffer.release();
  return {data, [reusable, pool = std::weak_ptr(spare)](std::byte* p) {
            ReadBuffer back(p);
            const auto list = pool.lock();
            if (reusable && list && list->size() < kSpareReadBuffers)
              list->push_back(std::move(back));
          }};
}

void PieceStore::State::append_memory(const std::shared_ptr<Buffered>& b, ByteRange part,
                                      Assembly& out) const {
  const ByteRange piece = parts.layout.range(b->piece);
  for (std::uint64_t at = part.begin; at < part.end;) {
    const auto block = static_cast<std::uint32_t>((at - piece.begin) / kBlockSize);
    const std::span<const std::byte> bytes = block_bytes(*b, block);
    const std::size_t skip = static_cast<std::size_t>((at - piece.begin) % kBlockSize);
    const std::size_t n =
        std::min<std::size_t>(bytes.size() - skip, static_cast<std::size_t>(part.end - at));
    out.extents.push_back(bytes.subspan(skip, n));
    at += n;
  }
  out.owners.push_back(b);
}

// The first piece of `range` that a reader must wait for.
std::optional<PieceIndex> PieceStore::State::first_absent(ByteRange range) {
  for (std::uint64_t at = range.begin; at < range.end;) {
    const PieceIndex piece = parts.layout.piece_of(at);
    if (!verified.test(piece) && !make_padding(piece)) return piece;
    at = parts.layout.range(piece).end;
  }
  return std::nullopt;
}

// Requires: all of `range` is verified. What is in memory is taken as it lies; what is not, is a
// run of stored pieces for each of which one read of the file is still to be done. However small
// the pieces are, one buffer takes all that is read.
PieceStore::State::Assembly PieceStore::State::assemble(ByteRange range) {
  Assembly out;
  std::shared_ptr<std::byte> buffer;
  for (std::uint64_t at = range.begin; at < range.end;) {
    const PieceIndex piece = parts.layout.piece_of(at);
    ByteRange part = parts.layout.range(piece).intersection({at, range.end});
    const auto found = memory.find(piece);
    if (found != memory.end()) {
      append_memory(found->second, part, out);
      touch(*found->second);
      at = part.end;
      continue;
    }
    while (part.end < range.end) {
      const PieceIndex next = parts.layout.piece_of(part.end);
      if (memory.contains(next)) break;
      part.end = std::min(parts.layout.range(next).end, range.end);
    }
    if (!buffer) {
      buffer = read_buffer(static_cast<std::size_t>(range.size()));
      out.owners.push_back(buffer);
    }
    const std::span<std::byte> into(buffer.get() + (at - range.begin),
                                    static_cast<std::size_t>(part.size()));
    out.extents.emplace_back(into);
    out.from_disk.push_back({part, into});
    at = part.end;
  }
  return out;
}

// Reads from the file; false when that failed and pieces may be missing now.
Task<bool> PieceStore::State::fill(ByteRange part, std::span<std::byte> into) {
  error_code ec = co_await parts.disk->read(part.begin, into);
  if (!ec) co_return true;
  const PieceIndex first = parts.layout.piece_of(part.begin);
  if (parts.layout.range(first).end >= part.end) {
    on_unreadable(first, ec);
    co_return false;
  }
  // Which piece of the run is it?
  bool whole = true;
  for (std::uint64_t at = part.begin; at < part.end;) {
    const PieceIndex piece = parts.layout.piece_of(at);
    const ByteRange one = parts.layout.range(piece).intersection({at, part.end});
    ec =
        co_await parts.disk->read(one.begin, into.subspan(static_cast<std::size_t>(at - part.begin),
                                                          static_cast<std::size_t>(one.size())));
    if (ec) on_unreadable(piece, ec);
    whole = whole && !ec;
    at = one.end;
  }
  co_return whole;
}

void PieceStore::State::on_unreadable(PieceIndex p, error_code why) {
  // Another read may have found out first, and the piece may even be back.
  if (state(p) != PieceState::stored || memory.contains(p)) return;
  if (parts.warn)
    parts.warn("cannot read back from the cache (" + why.message() + "); fetching the piece again");
  if (why == StorageErrc::short_read) return lose_stored();
  lose(p);
}

// Somebody cut the file short. The next piece written would make it long again, and what was cut
// off would read as zeros: nothing in it is what was verified.
void PieceStore::State::lose_stored() {
  for (std::optional<PieceIndex> p = parts.layout.first_piece(); p; p = parts.layout.next(*p)) {
    if (state(*p) != PieceState::stored) continue;
    const auto found = memory.find(*p);
    if (found != memory.end()) {
      kept.erase(found->second->kept);
      memory.erase(found);
    }
    lose(*p);
  }
}

PieceStore::PieceStore(Parts parts) : state_(std::make_shared<State>(std::move(parts))) {
  state_->parts.pool.set_reclaim([state = state_.get()] { return state->reclaim(); });
}
PieceStore::~PieceStore() {
  state_->parts.pool.set_reclaim(nullptr);
}

PieceStore::Put PieceStore::put_block(BlockId id, Block block) {
  State& s = *state_;
  const State::PieceState now = s.state(id.piece);
  if (now != State::PieceState::missing && now != State::PieceState::open) return Put::duplicate;
  // Nobody asked for it; and a piece of nothing but padding must not be opened: it is never
  // complete.
  if (s.parts.layout.is_padding(id)) return Put::duplicate;
  State::Buffered& b = s.open(id.piece);
  if (b.present[id.block]) return Put::duplicate;
  b.blocks[id.block] = std::move(block);
  b.present[id.block] = true;
  if (--b.missing == 0) {
    s.set_state(id.piece, State::PieceState::complete);
    return Put::piece_complete;
  }
  s.hash_some(s.memory.at(id.piece));
  return Put::accepted;
}

Task<PieceStore::Verdict> PieceStore::verify(PieceIndex piece,
                                             std::vector<Sha1Digest>* block_digests) {
  const std::shared_ptr<State> s = state_;
  const std::shared_ptr<State::Buffered> b = s->memory.at(piece);
  assert(s->state(piece) == State::PieceState::complete);
  while (b->hashing) co_await s->hash_done.wait();
  Sha1Digest digest;
  auto finish = [s, b, &digest] {
    for (auto i = b->hashed; i < b->blocks.size(); ++i) b->hasher.update(s->block_bytes(*b, i));
    digest = b->hasher.finish();
  };
  b->hashing = true;
  co_await s->parts.hashers.run(finish);
  if (digest != s->parts.piece_hashes[piece.value()]) {
    if (block_digests != nullptr) {
      auto blame = [s, b, block_digests] {
        for (std::uint32_t i = 0; i < b->blocks.size(); ++i)
          block_digests->push_back(sha1(s->block_bytes(*b, i)));
      };
      co_await s->parts.hashers.run(blame);
    }
    s->memory.erase(piece);
    s->set_state(piece, State::PieceState::missing);
    co_return Verdict::corrupt;
  }
  s->set_state(piece, State::PieceState::verified);
  s->wake(piece);
  if (s->parts.disk != nullptr) {
    s->tasks.spawn(s->write_behind(b));
  } else {
    s->keep(*b);
  }
  co_return Verdict::good;
}

std::vector<Sha1Digest> PieceStore::block_digests(PieceIndex piece) const {
  std::vector<Sha1Digest> digests;
  const auto found = state_->memory.find(piece);
  if (found == state_->memory.end() || !state_->verified.test(piece)) return digests;
  for (std::uint32_t i = 0; i < found->second->blocks.size(); ++i) {
    digests.push_back(sha1(state_->block_bytes(*found->second, i)));
  }
  return digests;
}

void PieceStore::forget(PieceIndex piece) {
  if (state_->state(piece) != State::PieceState::open) return;
  state_->memory.erase(piece);  // a hash job in flight keeps its own reference
  state_->set_state(piece, State::PieceState::missing);
}

bool PieceStore::has_block(BlockId id) const {
  if (state_->verified.test(id.piece)) return true;
  const auto found = state_->memory.find(id.piece);
  return found != state_->memory.end() ? bool{found->second->present[id.block]}
                                       : state_->parts.layout.is_padding(id);
}

const Bitfield& PieceStore::verified() const {
  return state_->verified;
}
void PieceStore::on_lost(std::function<void(PieceIndex)> callback) {
  state_->lost = std::move(callback);
}

std::optional<ReadView> PieceStore::try_read(ByteRange range) {
  if (state_->first_absent(range)) return std::nullopt;
  State::Assembly out = state_->assemble(range);
  for (const State::Assembly::FromDisk& part : out.from_disk)
    if (!state_->parts.disk->read_now(part.range.begin, part.into)) return std::nullopt;
  return ReadView(std::move(out.extents), std::move(out.owners));
}

Task<Result<ReadView>> PieceStore::read(ByteRange range) {
  const std::shared_ptr<State> s = state_;
  while (true) {
    // Wait for the first piece that is not there, and look again: others may have come or gone
    // meanwhile.
    if (const std::optional<PieceIndex> absent = s->first_absent(range)) {
      if (s->closed) co_return StorageErrc::closed;
      const State::Waiting turn(*s, *absent);
      co_await turn.list().wait();
      continue;
    }
    State::Assembly out = s->assemble(range);
    bool whole = true;
    for (const State::Assembly::FromDisk& part : out.from_disk) {
      const bool read = co_await s->fill(part.range, part.into);
      whole = whole && read;
    }
    if (whole) co_return ReadView(std::move(out.extents), std::move(out.owners));
  }
}

std::uint64_t PieceStore::verified_bytes(ByteRange range) const {
  const State& s = *state_;
  if (range.empty() || s.verified.none()) return 0;
  const PieceIndex first = s.parts.layout.piece_of(range.begin);
  const PieceIndex last = s.parts.layout.piece_of(range.end - 1);
  // Whole pieces by counting bits, then what the range cuts off at both ends.
  std::uint64_t total =
      std::uint64_t{s.verified.count(first, last)} * s.parts.layout.piece_length();
  if (s.verified.test(last))
    total -= s.parts.layout.range(first).begin +
             std::uint64_t{last.value() - first.value() + 1} * s.parts.layout.piece_length() -
             range.end;
  if (s.verified.test(first)) total -= range.begin - s.parts.layout.range(first).begin;
  return total;
}

std::size_t PieceStore::unwritten_blocks() const {
  return state_->unwritten_blocks;
}
const Layout& PieceStore::layout() const {
  return state_->parts.layout;
}

void PieceStore::close() {
  state_->closed = true;
  auto waiting = std::exchange(state_->waiting, {});
  for (auto& [piece, list] : waiting) list.wake_all();
}

Task<void> PieceStore::stop() {
  close();
  const std::shared_ptr<State> s = state_;
  co_await s->tasks.join();
  // What could not be written goes with the memory: the file has a hole there.
  for (const auto& [piece, buffered] : s->memory)
    if (s->state(piece) != State::PieceState::stored)
      s->set_state(piece, State::PieceState::missing);
  s->kept.clear();
  s->memory.clear();
}

}  // namespace swarmfs::storage
