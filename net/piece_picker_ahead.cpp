// The part of the picker that hands out what nobody is blocked on: readahead, and the background.
#include <algorithm>
#include <chrono>

#include "net/piece_picker.h"

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;
using storage::BlockId;
using storage::PieceIndex;

// Peers this close to the soonest count as it.
constexpr Duration kSoonest = 20ms;

}  // namespace

// The first block due at `due` or later, else the first there is: blocks far ahead go to slow
// peers.
std::optional<BlockId> PiecePicker::pick_ahead(const Known& known, TimePoint due, bool bulk,
                                               TimePoint now) {
  std::optional<BlockId> first;
  bool room = true;
  for (const Wanted& wanted : wants_.pieces()) {
    if (wanted.urgent || !known.model.allows(wanted.piece) || careful_.contains(wanted.piece))
      continue;
    if (first && wanted.deadline < due) continue;
    if (!bulk && others_blocked(wanted.reader)) continue;
    const auto found = open_.find(wanted.piece);
    if (found != open_.end() && found->second.free() == 0) continue;
    if (found == open_.end() && !room) continue;
    OpenPiece* open =
        found != open_.end() ? &found->second : open_piece(wanted.piece, Urgency::readahead, now);
    room = open != nullptr;
    if (!room) continue;
    const BlockId block{wanted.piece, *open->first_free()};
    if (wanted.deadline >= due) return block;
    first = block;
  }
  return first;
}

bool PiecePicker::others_blocked(std::uint32_t reader) const {
  return blocked_readers_.size() > (blocked_readers_.contains(reader) ? 1U : 0U);
}

bool PiecePicker::works_for_blocked(const Peer& model) const {
  return std::any_of(model.requests().begin(), model.requests().end(), [this](const auto& r) {
    return !r.cancelled && urgent_.contains(r.block.piece);
  });
}

// What blocked readers still wait for.
std::uint64_t PiecePicker::blocked_bytes() const {
  std::uint64_t blocks = 0;
  for (const PieceIndex piece : urgent_) {
    const auto found = open_.find(piece);
    blocks += found == open_.end() ? layout_.block_count(piece)
                                   : found->second.free() + found->second.asked();
  }
  return blocks * storage::kBlockSize;
}

void PiecePicker::assign_ahead(TimePoint now) {
  if (wants_.pieces().empty() || wants_.pieces().back().urgent) return;
  std::vector<std::pair<TimePoint, KnownPeer*>> order;
  LineShare line(throughput_, blocked_bytes(), now);
  for (KnownPeer& known : peers_) {
    Peer& model = known.second.model;
    line.add(model, works_for_blocked(model), now);
    if (known.second.rest_until > now || (model.choking && model.allowed_fast.empty())) continue;
    if (model.suspect(now) && (!model.may_probe(now) || !model.requests().empty())) continue;
    if (is_full(model)) {
      model.note_limited();
    } else {
      order.emplace_back(model.eta(storage::kBlockSize, now), &known);
    }
  }
  std::stable_sort(order.begin(), order.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  const TimePoint soonest = order.empty() ? now : order.front().first + kSoonest;
  std::erase_if(order, [&](const auto& candidate) {
    const Peer& model = candidate.second->second.model;
    return !line.admit(model, works_for_blocked(model), candidate.first);
  });
  // Everybody is kept busy; what queues at them is for the line to bear.
  for (const bool queueing : {false, true})
    for (auto& [eta, known] : order) read_ahead(*known, soonest, queueing, line, now);
}

// Whether a peer may be asked for more of what nobody is blocked on.
bool PiecePicker::has_room(const Peer& model, bool queueing, const LineShare& line) const {
  return queueing ? line.has_room() && !is_full(model)
                  : !model.full(Duration::zero(), line.scale());
}

void PiecePicker::read_ahead(KnownPeer& known, TimePoint soonest, bool queueing, LineShare& line,
                             TimePoint now) {
  Peer& model = known.second.model;
  while (has_room(model, queueing, line)) {
    if (model.snubbed() && model.outstanding_bytes() > 0) return;  // a probe is one block
    // Beside another's blocked read, readahead may only keep the line busy, not queue.
    const bool bulk = !model.full(Duration::zero());
    // The soonest peer takes what is due first, even if that is late already; slower ones what
    // they can have in time.
    const TimePoint expected = model.eta(storage::kBlockSize, now);
    const bool first = expected <= soonest || peers_.size() == 1;
    const TimePoint due = first ? TimePoint::min() : expected;
    const std::optional<BlockId> block = pick_ahead(known.second, due, bulk, now);
    if (!block) return;
    request(known, *block, now);
    line.take(layout_.block_size(*block));
  }
  if (is_full(model)) model.note_limited();
}

// -- the background

// Some block that a reader wants is asked of nobody, though somebody would serve it.
bool PiecePicker::readers_could_ask(TimePoint now) const {
  return std::any_of(wants_.pieces().begin(), wants_.pieces().end(), [&](const Wanted& wanted) {
    const auto found = open_.find(wanted.piece);
    if (found != open_.end() && found->second.free() == 0) return false;
    return std::any_of(peers_.begin(), peers_.end(),
                       [&](const KnownPeer& known) { return eligible(known, wanted.piece, now); });
  });
}

// What is queued for the background delays what a reader asks of the same peer.
void PiecePicker::yield_to_readers(TimePoint now) {
  if (wants_.background().none() || !readers_could_ask(now)) return;
  std::vector<BlockId> doomed;
  for (KnownPeer& known : peers_) {
    doomed.clear();
    for (const Peer::Request& r : known.second.model.requests()) {
      if (!r.cancelled && !wants_.for_reader(r.block.piece)) doomed.push_back(r.block);
    }
    for (const BlockId block : doomed) give_up(known, block, now);
  }
}

// Open, and more than looked at: readahead opens a piece before it knows whether it is the one.
bool PiecePicker::begun(PieceIndex piece) const {
  const auto found = open_.find(piece);
  return found != open_.end() && found->second.free() < layout_.block_count(piece);
}

// What it has begun itself, else the rarest, else what others have begun: each peer on a piece of
// its own as far as memory goes.
std::optional<BlockId> PiecePicker::pick_background(const KnownPeer& known, TimePoint now) {
  const auto& [key, peer] = known;
  std::optional<BlockId> others;
  for (auto& [piece, open] : open_) {
    if (open.free() == 0 || !begun(piece)) continue;
    if (!wants_.contains(piece) || !eligible(known, piece, now)) continue;
    const auto asked = [&piece = piece](const Peer::Request& r) { return r.block.piece == piece; };
    const auto& requests = peer.model.requests();
    const bool own =
        std::find(open.senders().begin(), open.senders().end(), key) != open.senders().end() ||
        std::any_of(requests.begin(), requests.end(), asked);
    if (own) return BlockId{piece, *open.first_free()};
    if (!others) others = BlockId{piece, *open.first_free()};
  }
  if (nothing_left_at_.contains(key) ||
      !make_room(layout_.blocks_per_piece(), Urgency::background, now)) {
    return others;
  }
  const auto may = [&](PieceIndex piece) {
    return !begun(piece) && !layout_.is_padding(piece) && eligible(known, piece, now);
  };
  const std::optional<PieceIndex> rarest = rarest_.pick(wants_.background(), have_, may);
  if (!rarest) nothing_left_at_.insert(key);
  OpenPiece* const open = rarest ? open_piece(*rarest, Urgency::background, now) : nullptr;
  if (open == nullptr) return others;
  return BlockId{*rarest, *open->first_free()};
}

void PiecePicker::assign_background(TimePoint now) {
  // A reader that was blocked a moment ago is about to block again.
  if (wants_.background().none() || !blocked_readers_.empty() || readers_could_ask(now)) return;
  std::vector<std::pair<TimePoint, KnownPeer*>> order;
  LineShare line(throughput_, 0, now);
  for (KnownPeer& known : peers_) {
    const Peer& model = known.second.model;
    line.add(model, false, now);
    if (known.second.rest_until > now) continue;
    if (model.suspect(now) && (!model.may_probe(now) || !model.requests().empty())) continue;
    order.emplace_back(model.eta(storage::kBlockSize, now), &known);
  }
  std::stable_sort(order.begin(), order.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const bool queueing : {false, true})
    for (auto& [eta, known] : order) ask_background(*known, queueing, line, now);
}

void PiecePicker::ask_background(KnownPeer& known, bool queueing, LineShare& line, TimePoint now) {
  Peer& model = known.second.model;
  while (has_room(model, queueing, line)) {
    if (model.snubbed() && model.outstanding_bytes() > 0) return;  // a probe is one block
    const std::optional<BlockId> block = pick_background(known, now);
    if (!block) return;
    rely_on(known, block->piece);
    request(known, *block, now);
    line.take(layout_.block_size(*block));
  }
  if (is_full(model)) model.note_limited();
}

}  // namespace swarmfs::net
