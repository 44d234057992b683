// Whom to ask for what, next. Readers' wishes and peers' events go in, requests and cancels come
// out.
//
// Threads: engine thread; pure bookkeeping (no sockets, `now` is given). Memory: open pieces hold
// at most `max_open_blocks` blocks, a few bytes each here; wishes are the caller's. Errors: none.
//
// Rules (design section 6): urgent pieces first, oldest wish first, one piece at a time per wish,
// striped over all peers by earliest predicted arrival; a block whose best peer is full waits for
// that peer; late urgent blocks are asked a second time within a byte budget; readahead goes to
// whoever has room, blocks far ahead to slow peers; nothing that nobody wants is requested, and
// what is no longer wanted is cancelled. What is wanted in the background is asked only while
// nothing a reader wants could be, rarest piece first, and is cancelled for it.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "net/clock.h"
#include "net/line_share.h"
#include "net/open_piece.h"
#include "net/peer.h"
#include "net/rarest_first.h"
#include "net/throughput.h"
#include "net/want_list.h"
#include "storage/layout.h"

namespace swarmfs::net {

class PiecePicker {
 public:
  struct Order {
    enum class Kind : std::uint8_t {
      request,
      cancel,
      forget
    };  // forget: drop the piece's data, it is not wanted
    Kind kind;
    PeerKey peer;  // request, cancel
    storage::BlockId block;
  };
  enum class Arrival : std::uint8_t { wanted, redundant, unrequested };

  PiecePicker(const storage::Layout& layout, std::size_t max_open_blocks);

  // -- peers
  void add_peer(PeerKey key, Duration connect_time, bool fast);
  void remove_peer(PeerKey key);
  void on_bitfield(PeerKey key, storage::Bitfield pieces);
  void on_have(PeerKey key, storage::PieceIndex piece);
  void on_have_all(PeerKey key);
  // It has it no longer; what it was asked of it will not come (BEP 54).
  void on_dont_have(PeerKey key, storage::PieceIndex piece);
  void on_choke(PeerKey key);
  void on_unchoke(PeerKey key);
  void on_allowed_fast(PeerKey key, storage::PieceIndex piece);
  void limit_requests(PeerKey key, std::uint32_t reqq);
  void on_reject(PeerKey key, storage::BlockId block, TimePoint now);
  // A block came. Wanted: put it in the store. (Its other copies are cancelled by the next
  // schedule().)
  [[nodiscard]] Arrival on_block(PeerKey key, storage::BlockId block, TimePoint now);
  // A wanted block could not be kept: it is missing again.
  void on_block_lost(storage::BlockId block);
  [[nodiscard]] const Peer& peer(PeerKey key) const { return peers_.at(key).model; }
  [[nodiscard]] bool available(storage::PieceIndex piece) const;  // some peer has it

  // -- pieces
  void on_piece_verified(storage::PieceIndex piece);
  void on_piece_corrupt(
      storage::PieceIndex piece);  // its blocks are missing again; asked more carefully from now on
  void on_piece_present(storage::PieceIndex piece) { have_.set(piece); }  // before any wish
  void on_piece_lost(storage::PieceIndex piece);  // was verified or present, is missing again
  // Who sent each block of a complete piece, in block order; 0 for padding.
  [[nodiscard]] std::vector<PeerKey> senders(storage::PieceIndex piece) const;

  // -- readers
  WishKey want(const Wish& wish, TimePoint now) {
    nothing_left_at_.clear();
    return wants_.want(wish, now);
  }
  void withdraw(WishKey key) { wants_.withdraw(key); }
  // Whether some of it was missing at the last schedule().
  [[nodiscard]] bool wants_any() const { return !wants_.pieces().empty(); }

  // -- decisions
  // Valid until the next call. Calling again without an event in between orders nothing.
  [[nodiscard]] std::span<const Order> schedule(TimePoint now);
  // When schedule() should run without an event; empty: not before one.
  [[nodiscard]] std::optional<TimePoint> next_wake(TimePoint now) const;
  // How many blocks open pieces may hold from now on: what was given at first, less what waits to
  // be written.
  void limit_open_blocks(std::size_t max_open_blocks) { max_open_blocks_ = max_open_blocks; }
  [[nodiscard]] std::size_t open_blocks() const { return open_blocks_; }

 private:
  struct Known {
    Known(std::uint32_t piece_count, Duration connect_time, bool is_fast)
        : model(piece_count, connect_time, is_fast) {}
    Peer model;
    TimePoint rest_until{};     // it rejected what it should have served
    std::uint32_t rejects = 0;  // in a row
    bool proven = false;        // contributed to a good piece, and to no bad one since
  };
  using Wanted = WantList::Wanted;
  using KnownPeer = std::map<PeerKey, Known>::value_type;

  OpenPiece* open_piece(storage::PieceIndex piece, Urgency urgency, TimePoint now);
  [[nodiscard]] std::size_t background_blocks() const;
  bool make_room(std::size_t blocks, Urgency urgency, TimePoint now);
  void drop_piece(storage::PieceIndex piece, TimePoint now);
  void close_piece(storage::PieceIndex piece);
  void release(storage::BlockId block);
  void drop_requests(Known& known);
  void stop_relying_on(PeerKey key);
  void cancel_unwanted(TimePoint now);
  [[nodiscard]] bool replaceable(const KnownPeer& known, TimePoint now) const;
  void snub_silent(TimePoint now);
  void assume_rates();
  void assign_urgent(TimePoint now);
  bool assign_piece(const Wanted& wanted, TimePoint now);
  [[nodiscard]] bool idle() const;  // no peer owes us anything
  void hedge(const Wanted& wanted, TimePoint now);
  void probe(const Wanted& wanted, const OpenPiece& open, TimePoint now);
  bool hedge_one(const Wanted& wanted, OpenPiece& open, KnownPeer& spare, TimePoint now);
  void assign_ahead(TimePoint now);
  void read_ahead(KnownPeer& known, TimePoint soonest, bool queueing, LineShare& line,
                  TimePoint now);
  void rely_on(const KnownPeer& known, storage::PieceIndex piece);
  void assign_background(TimePoint now);
  void ask_background(KnownPeer& known, bool queueing, LineShare& line, TimePoint now);
  [[nodiscard]] bool has_room(const Peer& model, bool queueing, const LineShare& line) const;
  void yield_to_readers(TimePoint now);
  [[nodiscard]] bool readers_could_ask(TimePoint now) const;
  [[nodiscard]] bool begun(storage::PieceIndex piece) const;
  std::optional<storage::BlockId> pick_background(const KnownPeer& known, TimePoint now);
  [[nodiscard]] std::uint64_t blocked_bytes() const;
  [[nodiscard]] bool works_for_blocked(const Peer& model) const;
  std::optional<storage::BlockId> pick_ahead(const Known& known, TimePoint due, bool bulk,
                                             TimePoint now);
  [[nodiscard]] bool others_blocked(std::uint32_t reader) const;
  [[nodiscard]] bool is_full(const Peer& model) const;
  KnownPeer* best_peer(storage::PieceIndex piece, std::uint32_t bytes, TimePoint now);
  [[nodiscard]] bool eligible(const KnownPeer& known, storage::PieceIndex piece,
                              TimePoint now) const;
  void request(KnownPeer& known, storage::BlockId block, TimePoint now);
  void cancel(KnownPeer& known, storage::BlockId block, TimePoint now);
  void give_up(KnownPeer& known, storage::BlockId block, TimePoint now);
  [[nodiscard]] bool anyone_proven(storage::PieceIndex piece, TimePoint now) const;

  const storage::Layout& layout_;
  std::size_t budget_;
  std::size_t max_open_blocks_;
  std::map<PeerKey, Known> peers_;
  std::map<storage::PieceIndex, OpenPiece> open_;
  std::size_t open_blocks_ = 0;
  storage::Bitfield have_;  // verified pieces, and those that were present all the time
  WantList wants_;
  RarestFirst rarest_;
  // Peers that have nothing more to fetch in the background, until something changes.
  std::set<PeerKey> nothing_left_at_;
  // Pieces that failed their hash, with the one peer now asked for all of it (0: not chosen yet).
  std::map<storage::PieceIndex, PeerKey> careful_;
  std::vector<Order> orders_;  // since the last schedule()
  std::vector<Order> sent_;    // what schedule() returned
  double hedge_credit_;        // bytes that may be asked twice
  Throughput throughput_;
  std::map<std::uint32_t, TimePoint>
      blocked_readers_;                   // when each last had an urgent piece incomplete
  std::set<storage::PieceIndex> urgent_;  // pieces that readers are blocked on, incomplete
  bool stalled_ = false;                  // one of them for longer than kStalled
};

}  // namespace swarmfs::net
