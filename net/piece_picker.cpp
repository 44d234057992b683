#include "net/piece_picker.h"

#include <algorithm>
#include <cassert>
#include <chrono>

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;
using storage::BlockId;
using storage::PieceIndex;

// Queueing at a peer beyond its round trip. While a reader waits, what is queued is what a seek
// waits for; 150 ms keep a jittery peer busy.
constexpr Duration kSlack = 150ms;
// A reader that blocked this recently is taken to block again soon: a seek storm has gaps of
// microseconds, and what others queue in one of them delays the next seek.
constexpr Duration kSeekMemory = 1s;
// While a reader waits, decisions are looked at again this often: a block that became late has no
// event of its own.
constexpr Duration kUrgentTick = 10ms;
constexpr Duration kIdleTick = 200ms;
// A second copy must win by this much to be worth its bytes, and by a quarter of the time it takes.
constexpr Duration kHedgeGain = 50ms;
constexpr int kHedgeGainShare = 4;
// Blocks of the tail of a piece that are looked at for a second copy.
constexpr std::uint32_t kHedgeTail = 64;
// Copies of a block at the most; a reader that has been stalled for kStalled may have three.
constexpr std::uint8_t kMaxCopies = 2;
constexpr Duration kStalled = 1s;
// Second copies may cost this share of what is received, more while a reader is stalled, with a
// burst for the start.
constexpr double kHedgeShare = 0.03;
constexpr double kHedgeShareStalled = 0.10;
constexpr double kHedgeBurst = 64.0 * storage::kBlockSize;
// Only while this much of what the line holds is not asked for, or when a reader has waited for
// longer than a peer that is on time takes.
constexpr double kRoomForCopies = 0.25;
constexpr Duration kPatience = 250ms;
// Readahead leaves this share of the open-piece budget to whoever blocks next.
constexpr std::size_t kAheadNumerator = 3, kAheadDenominator = 4;
// And the background most of it to both.
constexpr std::size_t kBackgroundDenominator = 4;
// A peer that rejects what it should serve rests, twice as long each time.
constexpr Duration kFirstRest = 1s;
constexpr std::uint32_t kMaxRestDoublings = 6;
}  // namespace

PiecePicker::PiecePicker(const storage::Layout& layout, std::size_t max_open_blocks)
    : layout_(layout),
      budget_(max_open_blocks),
      max_open_blocks_(max_open_blocks),
      have_(layout.piece_count()),
      wants_(layout),
      rarest_(layout),
      hedge_credit_(kHedgeBurst) {}

// -- peers

void PiecePicker::add_peer(PeerKey key, Duration connect_time, bool fast) {
  peers_.try_emplace(key, layout_.piece_count(), connect_time, fast);
}

void PiecePicker::drop_requests(Known& known) {
  for (const Peer::Request& r : known.model.requests()) {
    if (!r.cancelled) release(r.block);
  }
  known.model.forget_all();
}

void PiecePicker::remove_peer(PeerKey key) {
  Known& known = peers_.at(key);
  drop_requests(known);
  rarest_.on_pieces(known.model.pieces, storage::Bitfield(layout_.piece_count()));
  peers_.erase(key);
  nothing_left_at_.clear();
  stop_relying_on(key);
}

void PiecePicker::stop_relying_on(PeerKey key) {
  for (auto& [piece, sole] : careful_) {
    if (sole == key) sole = 0;
  }
}

void PiecePicker::on_bitfield(PeerKey key, storage::Bitfield pieces) {
  Peer& model = peers_.at(key).model;
  rarest_.on_pieces(model.pieces, pieces);
  model.pieces = std::move(pieces);
  nothing_left_at_.clear();
}
void PiecePicker::on_have(PeerKey key, PieceIndex piece) {
  if (!peers_.at(key).model.pieces.set(piece)) return;
  rarest_.on_piece(piece);
  nothing_left_at_.clear();
}
void PiecePicker::on_have_all(PeerKey key) {
  storage::Bitfield all(layout_.piece_count());
  all.set_all();
  on_bitfield(key, std::move(all));
}

void PiecePicker::on_dont_have(PeerKey key, PieceIndex piece) {
  Peer& model = peers_.at(key).model;
  if (!model.pieces.reset(piece)) return;
  rarest_.on_piece_gone(piece);
  nothing_left_at_.clear();  // others may have had nothing left because it was asked
  std::vector<BlockId> owed;
  for (const Peer::Request& r : model.requests()) {
    if (r.block.piece == piece) owed.push_back(r.block);
  }
  for (const BlockId block : owed) {
    const std::optional<Peer::Request> request = model.on_dropped(block);
    if (request && !request->cancelled) release(block);
  }
  const auto careful = careful_.find(piece);
  if (careful != careful_.end() && careful->second == key) careful->second = 0;
}

void PiecePicker::on_choke(PeerKey key) {
  Known& known = peers_.at(key);
  known.model.choking = true;
  stop_relying_on(key);
  // With the fast extension each request is still answered, by data or a reject (BEP 6).
  if (!known.model.fast()) drop_requests(known);
}

void PiecePicker::on_unchoke(PeerKey key) {
  peers_.at(key).model.choking = false;
  nothing_left_at_.clear();
}

void PiecePicker::on_allowed_fast(PeerKey key, PieceIndex piece) {
  Peer& model = peers_.at(key).model;
  if (model.allowed_fast.size() < kMaxAllowedFast) model.allowed_fast.insert(piece);
}

void PiecePicker::limit_requests(PeerKey key, std::uint32_t reqq) {
  peers_.at(key).model.limit_requests(reqq);
}

void PiecePicker::on_reject(PeerKey key, BlockId block, TimePoint now) {
  Known& known = peers_.at(key);
  const std::optional<Peer::Request> request = known.model.on_dropped(block);
  if (!request || request->cancelled) return;  // the answer to our cancel
  release(block);
  // Choking, it refuses what it had been asked before; a piece it had allowed all the same it does
  // not serve after all.
  if (known.model.choking && known.model.allowed_fast.erase(block.piece) == 0) return;
  known.rest_until = now + kFirstRest * (1U << std::min(known.rejects, kMaxRestDoublings));
  ++known.rejects;
  stop_relying_on(key);  // it refuses a piece that only it may serve: somebody else's turn
}

PiecePicker::Arrival PiecePicker::on_block(PeerKey key, BlockId block, TimePoint now) {
  Known& known = peers_.at(key);
  const std::optional<Peer::Request> request = known.model.on_arrival(block, now);
  if (!request) return Arrival::unrequested;
  known.rejects = 0;
  throughput_.on_block(request->bytes, request->sent, now);
  const auto found = open_.find(block.piece);
  if (!request->cancelled) release(block);
  if (found == open_.end() || found->second.received(block.block)) return Arrival::redundant;
  const double share = stalled_ ? kHedgeShareStalled : kHedgeShare;
  hedge_credit_ = std::min(kHedgeBurst, hedge_credit_ + share * request->bytes);
  found->second.receive(block.block, key);
  if (found->second.copies(block.block) > 0) {
    for (KnownPeer& other : peers_) {
      if (other.second.model.owes(block)) give_up(other, block, now);
    }
  }
  return Arrival::wanted;
}

void PiecePicker::on_block_lost(BlockId block) {
  open_.at(block.piece).lose(block.block);
}

bool PiecePicker::available(PieceIndex piece) const {
  return std::any_of(peers_.begin(), peers_.end(),
                     [&](const auto& p) { return p.second.model.pieces.test(piece); });
}

// One request for the block is gone.
void PiecePicker::release(BlockId block) {
  const auto found = open_.find(block.piece);
  if (found != open_.end()) found->second.release(block.block);
}

// -- pieces

OpenPiece* PiecePicker::open_piece(PieceIndex piece, Urgency urgency, TimePoint now) {
  const auto found = open_.find(piece);
  if (found != open_.end()) return &found->second;
  const std::uint32_t count = layout_.block_count(piece);
  if (!make_room(count, urgency, now)) return nullptr;
  open_blocks_ += count;
  return &open_.emplace(piece, OpenPiece(layout_, piece)).first->second;
}

void PiecePicker::drop_piece(PieceIndex piece, TimePoint now) {
  for (KnownPeer& known : peers_) {
    while (true) {
      const auto& requests = known.second.model.requests();
      const auto owed = std::find_if(requests.begin(), requests.end(), [&](const Peer::Request& r) {
        return r.block.piece == piece && !r.cancelled;
      });
      if (owed == requests.end()) break;
      cancel(known, owed->block, now);
    }
  }
  orders_.push_back({Order::Kind::forget, 0, {piece, 0}});
  close_piece(piece);
}

// What waits to be written counts as the background's: it goes no faster than the disk.
std::size_t PiecePicker::background_blocks() const {
  const std::size_t share = budget_ / kBackgroundDenominator;
  const std::size_t taken = budget_ - std::min(budget_, max_open_blocks_);
  return share - std::min(share, taken);
}

bool PiecePicker::make_room(std::size_t blocks, Urgency urgency, TimePoint now) {
  const std::size_t limit = urgency == Urgency::now ? max_open_blocks_
                            : urgency == Urgency::readahead
                                ? max_open_blocks_ * kAheadNumerator / kAheadDenominator
                                : background_blocks();
  // What nobody wants; for a reader also what no reader wants.
  for (auto at = open_.begin(); at != open_.end() && open_blocks_ + blocks > limit;) {
    const auto& [piece, open] = *at++;
    const bool needed =
        urgency == Urgency::background ? wants_.contains(piece) : wants_.for_reader(piece);
    if (!needed && !open.complete()) drop_piece(PieceIndex(piece), now);
  }
  // What a reader will need later gives way to what a reader needs now.
  for (auto w = wants_.pieces().rbegin(); urgency == Urgency::now && w != wants_.pieces().rend() &&
                                          !w->urgent && open_blocks_ + blocks > limit;
       ++w) {
    const auto found = open_.find(w->piece);
    if (found != open_.end() && !found->second.complete()) drop_piece(w->piece, now);
  }
  return open_blocks_ + blocks <= limit || open_blocks_ == 0;
}

void PiecePicker::close_piece(PieceIndex piece) {
  open_blocks_ -= layout_.block_count(piece);
  open_.erase(piece);
}

void PiecePicker::on_piece_verified(PieceIndex piece) {
  for (const PeerKey sender : senders(piece)) {
    const auto found = peers_.find(sender);
    if (found != peers_.end()) found->second.proven = true;
  }
  close_piece(piece);
  careful_.erase(piece);
  have_.set(piece);
  wants_.on_pieces_changed();
}

void PiecePicker::on_piece_corrupt(PieceIndex piece) {
  // Those that never proved themselves are suspected first; when there are none, one of the proven
  // has turned.
  std::set<Known*> contributors;
  for (const PeerKey sender : senders(piece)) {
    const auto found = peers_.find(sender);
    if (found != peers_.end()) contributors.insert(&found->second);
  }
  const bool all_proven = std::all_of(contributors.begin(), contributors.end(),
                                      [](const Known* k) { return k->proven; });
  if (all_proven) {
    for (Known* known : contributors) known->proven = false;
  }
  close_piece(piece);
  careful_[piece] = 0;
  nothing_left_at_.clear();
}

void PiecePicker::on_piece_lost(PieceIndex piece) {
  have_.reset(piece);
  nothing_left_at_.clear();
  wants_.on_pieces_changed();
}

std::vector<PeerKey> PiecePicker::senders(PieceIndex piece) const {
  return open_.at(piece).senders();
}

// -- decisions

std::span<const PiecePicker::Order> PiecePicker::schedule(TimePoint now) {
  // What was cancelled since the last call may have come all the same.
  std::erase_if(orders_, [this](const Order& order) {
    if (order.kind != Order::Kind::cancel) return false;
    const auto found = peers_.find(order.peer);
    return found == peers_.end() || !found->second.model.awaits_cancel(order.block);
  });
  if (wants_.refresh(have_, throughput_.rate())) {
    cancel_unwanted(now);
  }
  assume_rates();
  snub_silent(now);
  if (idle()) throughput_.on_idle(now);
  yield_to_readers(now);
  assign_urgent(now);
  assign_ahead(now);
  assign_background(now);
  sent_.swap(orders_);
  orders_.clear();
  return sent_;
}

bool PiecePicker::idle() const {
  return std::none_of(peers_.begin(), peers_.end(),
                      [](const auto& p) { return p.second.model.outstanding_bytes() > 0; });
}

std::optional<TimePoint> PiecePicker::next_wake(TimePoint now) const {
  if (peers_.empty()) return std::nullopt;
  if (!urgent_.empty()) return now + kUrgentTick;
  // The background goes on when readers have been served for a while, which is no event.
  const bool background = !wants_.background().none() && nothing_left_at_.size() < peers_.size();
  if (!idle() || background || !wants_.pieces().empty()) return now + kIdleTick;
  return std::nullopt;
}

void PiecePicker::request(KnownPeer& known, BlockId block, TimePoint now) {
  open_.at(block.piece).ask(block.block);
  known.second.model.on_sent(block, layout_.block_size(block), now);
  orders_.push_back({Order::Kind::request, known.first, block});
}

void PiecePicker::cancel(KnownPeer& known, BlockId block, TimePoint now) {
  known.second.model.on_cancelled(block, now);
  release(block);
  orders_.push_back({Order::Kind::cancel, known.first, block});
}

// Cancels what is not needed any more. A peer that was late with it stays under suspicion, though
// it owes nothing now.
void PiecePicker::give_up(KnownPeer& known, BlockId block, TimePoint now) {
  Peer& model = known.second.model;
  if (model.late(now)) {
    model.snub(now);
    stop_relying_on(known.first);
  }
  cancel(known, block, now);
}

void PiecePicker::cancel_unwanted(TimePoint now) {
  std::vector<BlockId> doomed;
  for (KnownPeer& known : peers_) {
    doomed.clear();
    for (const Peer::Request& r : known.second.model.requests()) {
      if (!r.cancelled && !wants_.contains(r.block.piece)) doomed.push_back(r.block);
    }
    for (const BlockId block : doomed) give_up(known, block, now);
  }
}

// Somebody else could serve what this peer owes; else there is nothing to gain by taking it away.
bool PiecePicker::replaceable(const KnownPeer& known, TimePoint now) const {
  const auto& requests = known.second.model.requests();
  const auto owed = std::find_if(requests.begin(), requests.end(),
                                 [](const Peer::Request& r) { return !r.cancelled; });
  return owed != requests.end() &&
         std::any_of(peers_.begin(), peers_.end(), [&](const auto& other) {
           return other.first != known.first && !other.second.model.suspect(now) &&
                  eligible(other, owed->block.piece, now);
         });
}

void PiecePicker::snub_silent(TimePoint now) {
  for (KnownPeer& known : peers_) {
    Peer& model = known.second.model;
    model.expire_cancelled(now);
    if (!model.overdue(now) || !replaceable(known, now)) continue;
    std::vector<BlockId> owed;
    for (const Peer::Request& r : model.requests()) {
      if (!r.cancelled) owed.push_back(r.block);
    }
    for (const BlockId block : owed) cancel(known, block, now);
    model.snub(now);
    stop_relying_on(known.first);
  }
}

// A peer that has not delivered yet is taken for half as fast as the middle one of those that have.
void PiecePicker::assume_rates() {
  std::vector<double> rates;
  for (const KnownPeer& known : peers_) {
    if (known.second.model.measured()) rates.push_back(known.second.model.rate());
  }
  if (rates.empty() || rates.size() == peers_.size()) return;
  const auto middle = rates.begin() + static_cast<std::ptrdiff_t>(rates.size() / 2);
  std::nth_element(rates.begin(), middle, rates.end());
  for (KnownPeer& known : peers_) known.second.model.assume_rate(*middle / 2);
}

bool PiecePicker::anyone_proven(PieceIndex piece, TimePoint now) const {
  return std::any_of(peers_.begin(), peers_.end(), [&](const KnownPeer& p) {
    return p.second.proven && p.second.rest_until <= now && p.second.model.allows(piece) &&
           !p.second.model.suspect(now);
  });
}

bool PiecePicker::eligible(const KnownPeer& known, PieceIndex piece, TimePoint now) const {
  const auto& [key, peer] = known;
  if (!peer.model.allows(piece) || peer.rest_until > now) return false;
  const auto careful = careful_.find(piece);
  if (careful == careful_.end()) return true;
  if (anyone_proven(piece, now)) return peer.proven;
  return careful->second == 0 || careful->second == key;
}

PiecePicker::KnownPeer* PiecePicker::best_peer(PieceIndex piece, std::uint32_t bytes,
                                               TimePoint now) {
  KnownPeer* best = nullptr;
  TimePoint best_eta;
  // Peers that fell silent only count when there is nobody else.
  for (const bool suspects : {false, true}) {
    for (KnownPeer& known : peers_) {
      Peer& model = known.second.model;
      if (!eligible(known, piece, now) || model.suspect(now) != suspects) continue;
      if (suspects && (!model.may_probe(now) || !model.requests().empty())) continue;
      const TimePoint eta = model.eta(bytes, now);
      if (best == nullptr || eta < best_eta) {
        best = &known;
        best_eta = eta;
      }
    }
    if (best != nullptr) break;
  }
  return best;
}

// A peer that is alone may be asked for more while its rate still grows: there is nobody to wait
// for instead.
bool PiecePicker::is_full(const Peer& model) const {
  return peers_.size() == 1 ? model.full_alone(kSlack) : model.full(kSlack);
}

// A piece that was corrupt comes from one peer only, so that it is known who sent it.
void PiecePicker::rely_on(const KnownPeer& known, PieceIndex piece) {
  const auto careful = careful_.find(piece);
  if (careful != careful_.end() && careful->second == 0 && !known.second.proven)
    careful->second = known.first;
}

// Hands out the piece's free blocks in order. False when the rest is held back for peers that are
// full.
bool PiecePicker::assign_piece(const Wanted& wanted, TimePoint now) {
  if (best_peer(wanted.piece, storage::kBlockSize, now) == nullptr) return true;
  OpenPiece* open =
      open_piece(wanted.piece, wanted.urgent ? Urgency::now : Urgency::readahead, now);
  if (open == nullptr) return true;
  while (const std::optional<std::uint32_t> block = open->first_free()) {
    const BlockId id{wanted.piece, *block};
    KnownPeer* best = best_peer(wanted.piece, layout_.block_size(id), now);
    if (best == nullptr) return true;  // nobody can serve it; an event will change that
    Peer& model = best->second.model;
    if (is_full(model)) {
      model.note_limited();
      return false;
    }
    rely_on(*best, wanted.piece);
    request(*best, id, now);
  }
  return true;
}

void PiecePicker::assign_urgent(TimePoint now) {
  urgent_.clear();
  stalled_ = false;
  std::erase_if(blocked_readers_, [&](const auto& r) { return now - r.second > kSeekMemory; });
  // One blocking piece at a time: nothing later of a wish whose piece waits for a peer.
  std::optional<WishKey> held;
  for (const Wanted& wanted : wants_.pieces()) {
    if (!wanted.urgent) break;
    const auto found = open_.find(wanted.piece);
    if (found != open_.end() && found->second.complete()) continue;
    urgent_.insert(wanted.piece);
    stalled_ = stalled_ || now - wanted.since > kStalled;
    blocked_readers_[wanted.reader] = now;
    if (held == wanted.wish) continue;
    if (!available(wanted.piece)) continue;
    if (!assign_piece(wanted, now)) {
      held = wanted.wish;
    } else {
      hedge(wanted, now);
    }
  }
}

// Nothing is left to hand out: who has room takes over what is predicted to come last.
void PiecePicker::hedge(const Wanted& wanted, TimePoint now) {
  const auto found = open_.find(wanted.piece);
  if (found == open_.end() || found->second.free() > 0 || found->second.asked() == 0) return;
  if (found->second.asked() > kHedgeTail || careful_.contains(wanted.piece)) return;
  std::vector<std::pair<TimePoint, KnownPeer*>> spare;
  LineShare line(throughput_, 0, now);
  for (KnownPeer& known : peers_) {
    const Peer& model = known.second.model;
    line.add(model, false, now);
    if (!eligible(known, wanted.piece, now) || model.suspect(now) || model.full(kSlack)) continue;
    spare.emplace_back(model.eta(storage::kBlockSize, now), &known);
  }
  std::stable_sort(spare.begin(), spare.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  probe(wanted, found->second, now);
  // On a full line a second copy delays the first ones.
  if (!line.has_room(kRoomForCopies) && now - wanted.since < kPatience) return;
  for (auto& [eta, known] : spare) {
    while (hedge_credit_ >= storage::kBlockSize && !known->second.model.full(kSlack)) {
      if (!hedge_one(wanted, found->second, *known, now)) break;
    }
  }
}

// A snubbed peer may prove itself with a copy of a block that somebody else is expected to deliver.
void PiecePicker::probe(const Wanted& wanted, const OpenPiece& open, TimePoint now) {
  for (KnownPeer& known : peers_) {
    const Peer& model = known.second.model;
    if (!model.snubbed() || !model.may_probe(now) || !model.requests().empty()) continue;
    if (!eligible(known, wanted.piece, now) || hedge_credit_ < storage::kBlockSize) continue;
    const std::optional<std::uint32_t> asked = open.first_asked();
    if (!asked) return;
    const BlockId block{wanted.piece, *asked};
    hedge_credit_ -= layout_.block_size(block);
    request(known, block, now);
  }
}

bool PiecePicker::hedge_one(const Wanted& wanted, OpenPiece& open, KnownPeer& spare,
                            TimePoint now) {
  const std::uint8_t max_copies = now - wanted.since > kStalled ? kMaxCopies + 1 : kMaxCopies;
  std::map<BlockId, TimePoint> due;  // earliest of a block's copies
  for (const KnownPeer& known : peers_) {
    for (const Peer::Request& r : known.second.model.requests()) {
      if (r.cancelled || r.block.piece != wanted.piece) continue;
      const TimePoint expected = known.second.model.due(r, now);
      const auto [at, fresh] = due.try_emplace(r.block, expected);
      if (!fresh) at->second = std::min(at->second, expected);
    }
  }
  std::optional<BlockId> worst;
  TimePoint worst_due{};
  for (const auto& [block, when] : due) {
    if (open.copies(block.block) >= max_copies || spare.second.model.owes(block)) continue;
    if (!worst || when > worst_due) {
      worst = block;
      worst_due = when;
    }
  }
  if (!worst) return false;
  const Duration takes = spare.second.model.eta(layout_.block_size(*worst), now) - now;
  if (now + takes + std::max(kHedgeGain, takes / kHedgeGainShare) >= worst_due) return false;
  hedge_credit_ -= layout_.block_size(*worst);
  request(spare, *worst, now);
  return true;
}

}  // namespace swarmfs::net
