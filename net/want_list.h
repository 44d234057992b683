// What readers want, in the order in which it is due: wishes in, pieces out.
//
// Threads: engine thread; pure (time is given). Memory: one entry a wanted piece, four bytes
// and a bit a piece of the torrent. Errors: none.
#pragma once
#include <cstdint>
#include <map>
#include <vector>

#include "net/clock.h"
#include "storage/bitfield.h"
#include "storage/layout.h"

namespace swarmfs::net {

enum class Urgency : std::uint8_t {
  now,         // a reader is blocked on it
  readahead,   // a reader will get there: bytes are due at `pace` from the start of the range
  background,  // nobody will, as far as we know (--prefetch): whatever readers leave
};

struct Wish {
  storage::ByteRange range;  // torrent offsets
  Urgency urgency = Urgency::now;
  double pace = 0;  // readahead only: bytes per second at which the reader consumes; 0: unknown
  // Whose wish it is (a file handle): readahead gives way while another reader is blocked.
  std::uint32_t reader = 0;
};

using WishKey = std::uint64_t;

class WantList {
 public:
  struct Wanted {
    storage::PieceIndex piece;
    WishKey wish;
    bool urgent;
    TimePoint deadline;
    TimePoint since;
    std::uint32_t reader;
  };

  explicit WantList(const storage::Layout& layout)
      : layout_(layout), mark_(layout.piece_count(), 0), background_(layout.piece_count()) {}

  WishKey want(const Wish& wish, TimePoint now);
  void withdraw(WishKey key);
  void on_pieces_changed() { changed_ = true; }  // some piece came or went

  // Brings pieces() up to date; true when it may have changed. `have`: pieces nobody needs to
  // fetch. `throughput`: bytes per second that the swarm delivers, 0 unknown: a reader that
  // consumes faster gets there when the swarm does.
  bool refresh(const storage::Bitfield& have, double throughput);
  // Of readers: urgent ones by age of the wish, then readahead by deadline; no piece twice.
  [[nodiscard]] const std::vector<Wanted>& pieces() const { return pieces_; }
  [[nodiscard]] bool for_reader(storage::PieceIndex piece) const {
    return mark_[piece.value()] == round_;
  }
  // What is wanted in the background, there or not.
  [[nodiscard]] const storage::Bitfield& background() const { return background_; }
  [[nodiscard]] bool contains(storage::PieceIndex piece) const {
    return for_reader(piece) || background_.test(piece);
  }

 private:
  struct Active {
    Wish wish;
    TimePoint since;
  };
  void add(WishKey key, const Active& active, const storage::Bitfield& have, double throughput);
  void collect_background();

  const storage::Layout& layout_;
  std::map<WishKey, Active> wishes_;  // by age
  WishKey next_ = 1;
  std::vector<Wanted> pieces_;
  std::vector<std::uint32_t> mark_;  // the round in which a piece was last wanted
  std::uint32_t round_ = 1;
  bool changed_ = false;
  storage::Bitfield background_;
  bool background_changed_ = false;
};

}  // namespace swarmfs::net
