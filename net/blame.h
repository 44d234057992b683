// Who sent the bad bytes: remembers each block of a piece that failed its hash with its sender, and
// names the liars when the truth is known.
//
// Threads: pure. Memory: at most kMaxRecords failed pieces; the oldest is forgotten. Errors: none.
// An honest sender is never named: only a block that differs from the verified one, or a failed
// piece with a single sender, is proof.
#pragma once
#include <deque>
#include <set>
#include <vector>

#include "net/stream.h"
#include "storage/hash.h"
#include "storage/units.h"

namespace swarmfs::net {

class Blame {
 public:
  // Failed pieces remembered. Each costs about 50 bytes a block; a swarm that needs more is beyond
  // help.
  static constexpr std::size_t kMaxRecords = 16;

  struct Sent {
    Endpoint sender;  // default: padding
    storage::Sha1Digest digest;
  };
  // Returns who is proven guilty already: the only sender there was.
  std::set<Endpoint> on_corrupt(storage::PieceIndex piece, std::vector<Sent> blocks);
  [[nodiscard]] bool remembers(storage::PieceIndex piece) const;
  // The piece has been verified; `truth` are its blocks' digests. Returns the liars and forgets the
  // piece.
  std::set<Endpoint> on_verified(storage::PieceIndex piece,
                                 const std::vector<storage::Sha1Digest>& truth);

 private:
  struct Record {
    storage::PieceIndex piece;
    std::vector<Sent> blocks;
  };
  std::deque<Record> records_;
};

}  // namespace swarmfs::net
