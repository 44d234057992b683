// Which state each piece is in, and the sets of pieces that follow from that.
//
//   missing -> open -> complete -> verified -> stored    complete -> missing: corrupt
//   claimed -> stored: it was hashed again               any of them -> missing: lost
//   stored -> claimed: in doubt, it must be hashed again
//
// Threads: engine thread only; pure. Memory: a byte and three bits a piece. Errors: none. Lifetime:
// the layout outlives it.
#pragma once
#include <cstdint>
#include <vector>

#include "storage/bitfield.h"
#include "storage/layout.h"

namespace swarmfs::storage {

enum class PieceState : std::uint8_t {
  missing,
  open,      // some of its blocks came
  complete,  // all of them came, and are being hashed
  verified,  // in memory; being written, or could not be
  stored,    // in the file, and hashed in this process
  claimed,   // in the file, as somebody says; not hashed in this process
};

class PieceTable {
 public:
  // `claimed`: what is in the file already; of any other size than the layout's it counts as empty.
  PieceTable(const Layout& layout, const Bitfield& claimed);

  [[nodiscard]] PieceState state(PieceIndex piece) const { return states_[piece.value()]; }
  // The only writer of all that is kept here.
  void set_state(PieceIndex piece, PieceState next);

  [[nodiscard]] const Bitfield& verified() const { return verified_; }  // verified, stored
  [[nodiscard]] const Bitfield& present() const { return present_; }    // those and claimed
  [[nodiscard]] const Bitfield& in_file() const { return in_file_; }    // stored, claimed
  // How often in_file() changed.
  [[nodiscard]] std::uint64_t file_changes() const { return file_changes_; }
  // Bytes of `range` that lie in `pieces`.
  [[nodiscard]] std::uint64_t bytes_of(const Bitfield& pieces, ByteRange range) const;

 private:
  const Layout& layout_;
  std::vector<PieceState> states_;
  Bitfield verified_, present_, in_file_;
  std::uint64_t file_changes_ = 0;
};

}  // namespace swarmfs::storage
