// The part of the picker that hands out what nobody is blocked on: readahead, and the background.
#include <algorithm>
#include <chrono>
#include <limits>

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

// What the line can bring beside the peers that work for blocked readers, in bytes per second: more
// would be taken from what those wait for.
double PiecePicker::spare_line() const {
  double spare = throughput_.peak();
  if (urgent_.empty() || spare <= 0) return std::numeric_limits<double>::infinity();
  for (const auto& [key, known] : peers_) {
    if (works_for_blocked(known.model)) spare -= known.model.best_rate();
  }
  return spare;
}

// When the line could have brought all that blocked readers wait for.
TimePoint PiecePicker::blocked_served(TimePoint now) const {
  if (throughput_.peak() <= 0) return now;
  double bytes = 0;
  for (const PieceIndex piece : urgent_) {
    const auto found = open_.find(piece);
    const std::uint32_t blocks = found == open_.end()
                                     ? layout_.block_count(piece)
                                     : (found->second.free() + found->second.asked());
    bytes += static_cast<double>(blocks) * storage::kBlockSize;
  }
  const std::chrono::duration<double> takes(bytes / throughput_.peak());
  return now + std::chrono::duration_cast<Duration>(takes);
}

void PiecePicker::assign_ahead(TimePoint now) {
  if (wants_.pieces().empty() || wants_.pieces().back().urgent) return;
  std::vector<std::pair<TimePoint, KnownPeer*>> order;
  for (KnownPeer& known : peers_) {
    Peer& model = known.second.model;
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
  double spare = spare_line();
  const TimePoint served = blocked_served(now);
  for (auto& [eta, known] : order) {
    Peer& model = known->second.model;
    if (eta < served) {
      if (spare < model.best_rate()) continue;
      if (!works_for_blocked(model)) spare -= model.best_rate();
    }
    while (!is_full(model)) {
      // Beside another's blocked read, readahead may only keep the line busy, not queue.
      const bool bulk = !model.full(Duration::zero());
      // The soonest peer takes what is due first, even if that is late already; slower ones what
      // they can have in time.
      const TimePoint expected = model.eta(storage::kBlockSize, now);
      const TimePoint due = expected <= soonest ? TimePoint::min() : expected;
      const std::optional<BlockId> block = pick_ahead(known->second, due, bulk, now);
      if (!block) break;
      request(*known, *block, now);
      if (model.snubbed()) break;  // a probe is one block
    }
    if (is_full(model)) model.note_limited();
  }
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

// What it has begun itself, else the rarest, else what others have begun: each peer on a piece of
// its own as far as memory goes.
std::optional<BlockId> PiecePicker::pick_background(const KnownPeer& known, TimePoint now) {
  const auto& [key, peer] = known;
  std::optional<BlockId> others;
  for (auto& [piece, open] : open_) {
    if (open.free() == 0 || !wants_.contains(piece) || !eligible(known, piece, now)) continue;
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
    return !open_.contains(piece) && !layout_.is_padding(piece) && eligible(known, piece, now);
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
  for (KnownPeer& known : peers_) {
    const Peer& model = known.second.model;
    if (known.second.rest_until > now) continue;
    if (model.suspect(now) && (!model.may_probe(now) || !model.requests().empty())) continue;
    order.emplace_back(model.eta(storage::kBlockSize, now), &known);
  }
  std::stable_sort(order.begin(), order.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  for (auto& [eta, known] : order) {
    Peer& model = known->second.model;
    while (!is_full(model)) {
      const std::optional<BlockId> block = pick_background(*known, now);
      if (!block) break;
      rely_on(*known, block->piece);
      request(*known, *block, now);
      if (model.snubbed()) break;  // a probe is one block
    }
    if (is_full(model)) model.note_limited();
  }
}

}  // namespace swarmfs::net
