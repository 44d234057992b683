#include "storage/piece_reader.h"

#include <algorithm>
#include <utility>

namespace swarmfs::storage {

// A place among a piece's readers. The last one to leave takes the list away: a read may be
// cancelled.
class PieceReader::Waiting {
 public:
  Waiting(PieceReader& reader, PieceIndex piece) : reader_(reader), piece_(piece) {}
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;
  ~Waiting() {
    const auto found = reader_.waiting_.find(piece_);
    if (found != reader_.waiting_.end() && found->second.size() == 0) reader_.waiting_.erase(found);
  }
  [[nodiscard]] WaitList& list() const {
    return reader_.waiting_.try_emplace(piece_, reader_.parts_.executor).first->second;
  }

 private:
  PieceReader& reader_;
  PieceIndex piece_;
};

struct PieceReader::Assembly {
  struct FromDisk {
    ByteRange range;
    std::span<std::byte> into;
  };
  std::vector<std::span<const std::byte>> extents;
  std::vector<std::shared_ptr<const void>> owners;
  std::vector<FromDisk> from_disk;
};

// While it lives, the pieces that are read from the file stay in it.
class PieceReader::Pin {
 public:
  Pin(PieceReader& reader, const Assembly& assembly) : reader_(reader) {
    for (const Assembly::FromDisk& part : assembly.from_disk)
      reader_.for_each_piece(part.range, [this](PieceIndex piece) {
        ++reader_.reading_[piece];
        pieces_.push_back(piece);
      });
  }
  Pin(const Pin&) = delete;
  Pin& operator=(const Pin&) = delete;
  ~Pin() {
    for (const PieceIndex piece : pieces_) {
      const auto found = reader_.reading_.find(piece);
      if (--found->second == 0) reader_.reading_.erase(found);
    }
  }

 private:
  PieceReader& reader_;
  std::vector<PieceIndex> pieces_;
};

void PieceReader::wake(PieceIndex piece) {
  const auto found = waiting_.find(piece);
  if (found == waiting_.end()) return;
  auto node = waiting_.extract(found);
  node.mapped().wake_all();
}

void PieceReader::close() {
  closed_ = true;
  auto waiting = std::exchange(waiting_, {});
  for (auto& [piece, list] : waiting) list.wake_all();
}

void PieceReader::append_memory(const std::shared_ptr<BufferedPiece>& buffered, ByteRange part,
                                Assembly& out) const {
  const ByteRange piece = parts_.layout.range(buffered->piece);
  for (std::uint64_t at = part.begin; at < part.end;) {
    const auto block = static_cast<std::uint32_t>((at - piece.begin) / kBlockSize);
    const std::span<const std::byte> bytes = buffered->block_bytes(block);
    const std::size_t skip = static_cast<std::size_t>((at - piece.begin) % kBlockSize);
    const std::size_t n =
        std::min<std::size_t>(bytes.size() - skip, static_cast<std::size_t>(part.end - at));
    out.extents.push_back(bytes.subspan(skip, n));
    at += n;
  }
  out.owners.push_back(buffered);
}

// The first piece of `range` that a reader must wait for.
std::optional<PieceIndex> PieceReader::first_absent(ByteRange range) {
  for (std::uint64_t at = range.begin; at < range.end;) {
    const PieceIndex piece = parts_.layout.piece_of(at);
    if (!parts_.table.verified().test(piece) && !parts_.make_padding(piece)) return piece;
    at = parts_.layout.range(piece).end;
  }
  return std::nullopt;
}

std::vector<PieceIndex> PieceReader::claimed_pieces(ByteRange range) const {
  std::vector<PieceIndex> pieces;
  for_each_piece(range, [&](PieceIndex piece) {
    if (parts_.table.state(piece) == PieceState::claimed) pieces.push_back(piece);
  });
  return pieces;
}

// Requires: all of `range` is verified. What is in memory is taken as it lies; what is not, is a
// run of stored pieces for each of which one read of the file is still to be done. However small
// the pieces are, one buffer takes all that is read.
PieceReader::Assembly PieceReader::assemble(ByteRange range) {
  Assembly out;
  std::shared_ptr<std::byte> buffer;
  for (std::uint64_t at = range.begin; at < range.end;) {
    const PieceIndex piece = parts_.layout.piece_of(at);
    ByteRange part = parts_.layout.range(piece).intersection({at, range.end});
    if (const std::shared_ptr<BufferedPiece> buffered = parts_.memory.find(piece)) {
      append_memory(buffered, part, out);
      parts_.memory.touch(*buffered);
      at = part.end;
      continue;
    }
    while (part.end < range.end) {
      const PieceIndex next = parts_.layout.piece_of(part.end);
      if (parts_.memory.contains(next)) break;
      part.end = std::min(parts_.layout.range(next).end, range.end);
    }
    if (!buffer) {
      buffer = parts_.buffers.take(static_cast<std::size_t>(range.size()));
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
Task<bool> PieceReader::fill(ByteRange part, std::span<std::byte> into) {
  error_code ec = co_await parts_.disk->read(part.begin, into);
  if (!ec) co_return true;
  const PieceIndex first = parts_.layout.piece_of(part.begin);
  if (ec == StorageErrc::short_read || parts_.layout.range(first).end >= part.end) {
    parts_.unreadable(first, ec);
    co_return false;
  }
  // Which piece of the run is it?
  bool whole = true;
  for (std::uint64_t at = part.begin; at < part.end;) {
    const PieceIndex piece = parts_.layout.piece_of(at);
    const ByteRange one = parts_.layout.range(piece).intersection({at, part.end});
    ec = co_await parts_.disk->read(one.begin,
                                    into.subspan(static_cast<std::size_t>(at - part.begin),
                                                 static_cast<std::size_t>(one.size())));
    if (ec) parts_.unreadable(piece, ec);
    whole = whole && !ec;
    at = one.end;
  }
  co_return whole;
}

void PieceReader::tell_used(ByteRange range) const {
  if (used_) for_each_piece(range, used_);
}

std::optional<ReadView> PieceReader::try_read(ByteRange range) {
  if (first_absent(range)) return std::nullopt;
  Assembly out = assemble(range);
  for (const Assembly::FromDisk& part : out.from_disk)
    if (!parts_.disk->read_now(part.range.begin, part.into)) return std::nullopt;
  tell_used(range);
  return ReadView(std::move(out.extents), std::move(out.owners));
}

Task<Result<ReadView>> PieceReader::read(ByteRange range) {
  std::optional<PieceChecks::Wish> checks;
  while (true) {
    // Wait for the first piece that is not there, and look again: others may have come or gone
    // meanwhile.
    if (const std::optional<PieceIndex> absent = first_absent(range)) {
      if (closed_) co_return StorageErrc::closed;
      if (parts_.table.state(*absent) == PieceState::claimed && !parts_.checks.is_due(*absent)) {
        checks.emplace(parts_.checks, claimed_pieces(range));
        if (first_absent(range) != absent) continue;  // it was as quick as that
      }
      const Waiting turn(*this, *absent);
      co_await turn.list().wait();
      continue;
    }
    Assembly out = assemble(range);
    const Pin pin(*this, out);
    bool whole = true;
    for (const Assembly::FromDisk& part : out.from_disk) {
      const bool read = co_await fill(part.range, part.into);
      whole = whole && read;
    }
    // What came into doubt meanwhile is looked at again.
    if (!whole || first_absent(range)) continue;
    tell_used(range);
    co_return ReadView(std::move(out.extents), std::move(out.owners));
  }
}

Task<void> PieceReader::check(PieceIndex piece) {
  std::optional<PieceChecks::Wish> checks;
  while (parts_.table.state(piece) == PieceState::claimed && !closed_) {
    if (!checks || !parts_.checks.is_due(piece)) {
      checks.emplace(parts_.checks, std::vector{piece});
      continue;
    }
    const Waiting turn(*this, piece);
    co_await turn.list().wait();
  }
}

}  // namespace swarmfs::storage
