#include "net/metadata_fetch.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <tuple>
#include <utility>

#include "net/peer.h"
#include "storage/layout.h"

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;
using storage::BlockId;

// Requests at one peer. libtorrent puts answers for 160 KiB in its send buffer at once, and what is
// asked beyond them waits for its one-second tick; Transmission rejects what is asked beyond 64
// (and 3.00 answers four every two seconds, however many are asked).
// What is in flight has left that buffer: as much more may be asked, up to what a far and fast peer
// needs.
constexpr std::uint32_t kFirstDepth = 10;
constexpr std::uint32_t kLastDepth = 24;
// A peer that rejects rests, twice as long each time; libtorrent says no for a minute.
constexpr Duration kFirstRest = 1s;
constexpr std::uint32_t kMaxRestDoublings = 6;
// A second copy must win by this much to be worth its bytes, and by a quarter of the time it takes.
constexpr Duration kAgainGain = 20ms;
constexpr int kAgainGainShare = 4;
// Times a peer may change its mind about the size: it may have had nothing to say at first.
constexpr std::uint32_t kMaxSizeChanges = 3;
// Answers nobody waits for: late ones, of several attempts.
constexpr std::uint32_t kMaxUnasked = 256;
// A candidate that others wait behind has this long, twice as long each time it comes to nothing.
constexpr Duration kTurn = 10s;
constexpr std::uint32_t kMaxTurnDoublings = 6;
// Candidates whose peers have gone, but that hold bytes: a seed may be back in seconds.
constexpr std::size_t kMaxOrphans = 8;
// The one peer that is asked for all of it may pause this long before another gets its turn.
constexpr Duration kSoleSilence = 3s;
// A peer that does not say that it has the metainfo is asked this often: it may have got it since,
// and few clients say so (BEP 9 has no message for it).
constexpr Duration kProbeInterval = 60s;
// While bytes come, decisions are looked at again this often (a piece that became late has no event
// of its own); when nothing has come for a while, seldom.
constexpr Duration kBusyTick = 10ms;
constexpr Duration kQuietTick = 200ms;
constexpr Duration kQuiet = 2s;

}  // namespace

struct MetadataFetch::Source {
  Endpoint endpoint;
  Duration round_trip;
  std::optional<std::uint32_t> size;  // of the candidate it belongs to
  bool aside = false;                 // contradicted itself, or lied: nothing of it counts
  std::uint32_t size_changes = 0;
  std::uint32_t unasked = 0;
  std::uint32_t trials = 0;  // as the only peer
  bool probed = false;       // asked what it never said it has
  TimePoint probe_at;
};

// One try to fetch a whole of one size.
//
// All of it is needed, and soon: every peer is kept as busy as its connection can be, whatever the
// others do. In the end, peers that have nothing left to do are asked for what is due latest.
class MetadataFetch::Attempt {
 public:
  enum class Arrival : std::uint8_t { unasked, redundant, taken, whole };

  Attempt(std::uint32_t size, TimePoint now)
      : layout_(size, size),
        pieces_(layout_.blocks_per_piece()),
        senders_(layout_.blocks_per_piece()),
        last_arrival_(now) {}
  void add(PeerKey key, const Source& source) {
    members_.try_emplace(key, source.endpoint, source.round_trip);
  }
  void remove(PeerKey key) { members_.erase(key); }
  [[nodiscard]] bool has(PeerKey key) const { return members_.contains(key); }
  [[nodiscard]] bool has_peers() const { return !members_.empty(); }
  [[nodiscard]] bool fits(const MetadataMessage& data) const {
    return data.piece < pieces_.size() && data.data.size() == layout_.block_size(block(data.piece));
  }
  [[nodiscard]] Arrival on_data(PeerKey key, const MetadataMessage& data, TimePoint now);
  // False: it was not asked.
  [[nodiscard]] bool on_reject(PeerKey key, std::uint32_t piece, TimePoint now);
  void schedule(TimePoint now, std::vector<Ask>& asks);
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  [[nodiscard]] TimePoint last_arrival() const { return last_arrival_; }

  // Only of a whole.
  [[nodiscard]] storage::Sha1Digest hash() const;
  [[nodiscard]] std::vector<storage::Sha1Digest> digests() const;
  [[nodiscard]] std::vector<Blame::Sent> sent() const;
  [[nodiscard]] std::vector<std::byte> take() const;

 private:
  struct Member {
    Member(const Endpoint& e, Duration round_trip) : endpoint(e), model(1, round_trip, true) {}
    Endpoint endpoint;
    Peer model;
    std::uint32_t depth = kFirstDepth;
    std::uint32_t rejects = 0;  // in a row
    TimePoint rest_until{};
    [[nodiscard]] bool has_room(TimePoint now) const;
  };
  using KnownMember = std::map<PeerKey, Member>::value_type;

  [[nodiscard]] BlockId block(std::uint32_t piece) const { return {layout_.first_piece(), piece}; }
  [[nodiscard]] bool missing(std::uint32_t piece) const { return pieces_[piece].empty(); }
  [[nodiscard]] KnownMember* soonest(TimePoint now);
  [[nodiscard]] TimePoint end(TimePoint now) const;
  void ask(KnownMember& member, std::uint32_t piece, TimePoint now, std::vector<Ask>& asks);
  void probe_silent(TimePoint now, std::vector<Ask>& asks);
  // When each piece is due, of those that somebody owes who can be counted on.
  [[nodiscard]] std::map<std::uint32_t, TimePoint> due(TimePoint now) const;
  void ask_again(TimePoint now, std::vector<Ask>& asks);

  storage::Layout layout_;  // one piece, whose blocks are BEP 9's pieces
  std::map<PeerKey, Member> members_;
  std::vector<std::vector<std::byte>> pieces_;
  std::vector<Endpoint> senders_;  // of each piece; they may be gone by now
  std::set<std::uint32_t> twice_;  // pieces asked of two
  std::uint64_t bytes_ = 0;
  TimePoint last_arrival_;
};

struct MetadataFetch::Candidate {
  std::uint32_t size;
  std::uint64_t order;  // in which they were first claimed
  std::set<PeerKey> peers = {};
  std::uint32_t setbacks = 0;  // wholes that were wrong, turns that came to nothing
  bool careful = false;        // a whole was wrong: one peer at a time
  PeerKey sole = 0;            // that peer
  std::unique_ptr<Attempt> attempt = {};
  TimePoint since = {};  // of the attempt
  Blame blame = {};
};

// -- one attempt

MetadataFetch::Attempt::Arrival MetadataFetch::Attempt::on_data(PeerKey key,
                                                                const MetadataMessage& data,
                                                                TimePoint now) {
  Member& member = members_.at(key);
  const bool asked = member.model.on_arrival(block(data.piece), now).has_value();
  if (asked) {
    member.rejects = 0;
    member.depth = std::min(member.depth + 1, kLastDepth);
  }
  if (!missing(data.piece)) return asked ? Arrival::redundant : Arrival::unasked;
  pieces_[data.piece].assign(data.data.begin(), data.data.end());
  senders_[data.piece] = member.endpoint;
  bytes_ += data.data.size();
  last_arrival_ = now;
  return bytes_ == layout_.total_size() ? Arrival::whole : Arrival::taken;
}

bool MetadataFetch::Attempt::on_reject(PeerKey key, std::uint32_t piece, TimePoint now) {
  Member& member = members_.at(key);
  if (piece >= pieces_.size() || !member.model.on_dropped(block(piece))) return false;
  member.depth = std::max(member.depth / 2, 1U);
  member.rest_until = now + kFirstRest * (1U << std::min(member.rejects++, kMaxRestDoublings));
  return true;
}

bool MetadataFetch::Attempt::Member::has_room(TimePoint now) const {
  if (rest_until > now || model.suspect(now)) return false;
  const double in_flight = model.rate() * std::chrono::duration<double>(model.round_trip()).count();
  const double most = std::min<double>(kLastDepth, kFirstDepth + in_flight / kMetadataPiece);
  return model.requests().size() < std::min(depth, static_cast<std::uint32_t>(most));
}

// Of those that may be asked, the one that will deliver first; null: none may.
MetadataFetch::Attempt::KnownMember* MetadataFetch::Attempt::soonest(TimePoint now) {
  KnownMember* best = nullptr;
  TimePoint best_eta;
  for (KnownMember& known : members_) {
    if (!known.second.has_room(now)) continue;
    const TimePoint eta = known.second.model.eta(kMetadataPiece, now);
    if (best != nullptr && eta >= best_eta) continue;
    best = &known;
    best_eta = eta;
  }
  return best;
}

void MetadataFetch::Attempt::ask(KnownMember& member, std::uint32_t piece, TimePoint now,
                                 std::vector<Ask>& asks) {
  member.second.model.on_sent(block(piece), layout_.block_size(block(piece)), now);
  asks.push_back({member.first, piece});
}

// Peers that fell silent owe nothing any more, and get one piece now and then to prove themselves.
void MetadataFetch::Attempt::probe_silent(TimePoint now, std::vector<Ask>& asks) {
  for (KnownMember& known : members_) {
    Peer& model = known.second.model;
    if (!model.suspect(now) || known.second.rest_until > now) continue;
    if (model.snubbed() && !model.may_probe(now)) continue;
    const bool probe = model.snubbed();
    model.snub(now);
    if (!probe) continue;
    model.forget_all();
    const auto first = std::find_if(pieces_.begin(), pieces_.end(),
                                    [](const auto& piece) { return piece.empty(); });
    ask(known, static_cast<std::uint32_t>(first - pieces_.begin()), now, asks);
  }
}

std::map<std::uint32_t, TimePoint> MetadataFetch::Attempt::due(TimePoint now) const {
  std::map<std::uint32_t, TimePoint> due;
  for (const auto& [key, member] : members_) {
    if (member.model.suspect(now)) continue;
    for (const Peer::Request& request : member.model.requests()) {
      if (!missing(request.block.block)) continue;
      const TimePoint when = member.model.due(request, now);
      const auto [at, fresh] = due.try_emplace(request.block.block, when);
      if (!fresh) at->second = std::min(at->second, when);
    }
  }
  return due;
}

// Nothing is left that nobody was asked for: what is due latest is asked of those that have it
// sooner.
void MetadataFetch::Attempt::ask_again(TimePoint now, std::vector<Ask>& asks) {
  std::map<std::uint32_t, TimePoint> owed = due(now);
  while (KnownMember* spare = soonest(now)) {
    const TimePoint eta = spare->second.model.eta(kMetadataPiece, now);
    const TimePoint worth = eta + std::max(kAgainGain, (eta - now) / kAgainGainShare);
    auto latest = owed.end();
    for (auto at = owed.begin(); at != owed.end(); ++at) {
      if (twice_.contains(at->first) || spare->second.model.owes(block(at->first))) continue;
      if (latest == owed.end() || at->second > latest->second) latest = at;
    }
    if (latest == owed.end() || latest->second <= worth) return;
    ask(*spare, latest->first, now, asks);
    twice_.insert(latest->first);
    latest->second = std::min(latest->second, eta);
  }
}

// When all of it will have come at the present rate of those that owe something, and a round trip
// more: who would deliver later is no help. Never, when nobody owes anything.
TimePoint MetadataFetch::Attempt::end(TimePoint now) const {
  double rate = 0;
  Duration round_trip{};
  for (const auto& [key, member] : members_) {
    const Peer& model = member.model;
    if (!model.measured() || model.suspect(now) || model.requests().empty()) continue;
    rate += model.rate();
    round_trip = std::max(round_trip, model.round_trip());
  }
  if (rate == 0) return TimePoint::max();
  const double rest = static_cast<double>(layout_.total_size() - bytes_);
  const std::chrono::duration<double> sending(rest / rate);
  return now + round_trip + std::chrono::duration_cast<Duration>(sending);
}

// BEP 9 knows no cancel: what was asked comes, and is redundant when another was sooner.
void MetadataFetch::Attempt::schedule(TimePoint now, std::vector<Ask>& asks) {
  probe_silent(now, asks);
  const std::map<std::uint32_t, TimePoint> owed = due(now);
  const TimePoint last = end(now);
  for (std::uint32_t piece = 0; piece < pieces_.size(); ++piece) {
    if (!missing(piece) || owed.contains(piece)) continue;
    KnownMember* member = soonest(now);
    if (member == nullptr || member->second.model.eta(kMetadataPiece, now) > last) return;
    ask(*member, piece, now, asks);
  }
  ask_again(now, asks);
}

storage::Sha1Digest MetadataFetch::Attempt::hash() const {
  storage::Sha1 hasher;
  for (const auto& piece : pieces_) hasher.update(piece);
  return hasher.finish();
}

std::vector<storage::Sha1Digest> MetadataFetch::Attempt::digests() const {
  std::vector<storage::Sha1Digest> digests;
  for (const auto& piece : pieces_) digests.push_back(storage::sha1(piece));
  return digests;
}

std::vector<Blame::Sent> MetadataFetch::Attempt::sent() const {
  std::vector<Blame::Sent> sent;
  for (const storage::Sha1Digest& digest : digests())
    sent.push_back({senders_[sent.size()], digest});
  return sent;
}

std::vector<std::byte> MetadataFetch::Attempt::take() const {
  std::vector<std::byte> whole;
  whole.reserve(bytes_);
  for (const auto& piece : pieces_) whole.insert(whole.end(), piece.begin(), piece.end());
  return whole;
}

// -- peers

MetadataFetch::MetadataFetch(const storage::InfoHash& info_hash) : info_hash_(info_hash) {}
MetadataFetch::~MetadataFetch() = default;

void MetadataFetch::on_peer(PeerKey key, const Endpoint& endpoint, Duration round_trip,
                            std::optional<std::uint32_t> size, TimePoint now) {
  std::unique_ptr<Source>& source = sources_[key];
  if (!source) {
    source = std::make_unique<Source>(Source{.endpoint = endpoint,
                                             .round_trip = round_trip,
                                             .size = std::nullopt,
                                             .probe_at = now + kProbeInterval});
  }
  if (done() || source->aside || !size || size == source->size) return;
  if (source->size && ++source->size_changes > kMaxSizeChanges) return set_aside(key, *source);
  leave(key, *source);
  join(key, *source, *size, now);
}

void MetadataFetch::on_gone(PeerKey key) {
  const auto found = sources_.find(key);
  if (found == sources_.end()) return;
  leave(key, *found->second);
  sources_.erase(found);
}

void MetadataFetch::join(PeerKey key, Source& source, std::uint32_t size, TimePoint now) {
  std::unique_ptr<Candidate>& candidate = candidates_[size];
  if (!candidate) {
    candidate = std::make_unique<Candidate>(Candidate{.size = size, .order = next_order_++});
    candidate->since = now;
  }
  source.size = size;
  candidate->peers.insert(key);
  if (candidate->attempt && !candidate->careful) {
    candidate->attempt->add(key, source);
  }
}

void MetadataFetch::leave(PeerKey key, Source& source) {
  if (!source.size) return;
  const auto found = candidates_.find(*std::exchange(source.size, std::nullopt));
  if (found == candidates_.end()) return;
  Candidate& candidate = *found->second;
  candidate.peers.erase(key);
  if (candidate.attempt) candidate.attempt->remove(key);
  if (candidate.sole == key) candidate.sole = 0;
  if (!candidate.peers.empty()) return;
  if (candidate.careful || !candidate.attempt || candidate.attempt->bytes() == 0) {
    candidates_.erase(found);
    return;
  }
  std::vector<Candidate*> orphans = ranked();
  std::erase_if(orphans, [](const Candidate* c) { return !c->peers.empty(); });
  if (orphans.size() > kMaxOrphans) candidates_.erase(orphans.back()->size);
}

void MetadataFetch::set_aside(PeerKey key, Source& source) {
  leave(key, source);
  source.aside = true;
}

error_code MetadataFetch::on_data(PeerKey key, const MetadataMessage& data, TimePoint now) {
  const auto found = sources_.find(key);
  if (done() || found == sources_.end()) return {};
  Source& source = *found->second;
  if (!source.size && std::exchange(source.probed, false) && data.total_size) {
    on_peer(key, source.endpoint, source.round_trip, data.total_size, now);
    return {};
  }
  const auto unasked = [&source] {
    return ++source.unasked > kMaxUnasked ? error_code(NetErrc::protocol_error) : error_code();
  };
  if (!source.size) return unasked();
  Candidate& candidate = *candidates_.at(*source.size);
  if (data.total_size.value_or(candidate.size) != candidate.size) {
    set_aside(key, source);
    return {};
  }
  if (!candidate.attempt || !candidate.attempt->has(key)) return unasked();
  if (!candidate.attempt->fits(data)) {
    set_aside(key, source);
    return {};
  }
  const Attempt::Arrival arrival = candidate.attempt->on_data(key, data, now);
  if (arrival == Attempt::Arrival::unasked) return unasked();
  if (arrival == Attempt::Arrival::whole) on_whole(candidate);
  return {};
}

void MetadataFetch::on_reject(PeerKey key, std::uint32_t piece, TimePoint now) {
  const auto found = sources_.find(key);
  if (done() || found == sources_.end()) return;
  Source& source = *found->second;
  source.probed = false;
  if (!source.size) return;
  Candidate& candidate = *candidates_.at(*source.size);
  if (!candidate.attempt || !candidate.attempt->has(key)) return;
  if (!candidate.attempt->on_reject(key, piece, now)) return;
  if (candidate.careful && candidate.peers.size() > 1) candidate.sole = 0;  // another's turn
}

// -- decisions

// Those that came to nothing last; else the majority's first, then the oldest.
std::vector<MetadataFetch::Candidate*> MetadataFetch::ranked() const {
  std::vector<Candidate*> all;
  for (const auto& [size, candidate] : candidates_) all.push_back(candidate.get());
  std::sort(all.begin(), all.end(), [](const Candidate* a, const Candidate* b) {
    const auto rank = [](const Candidate* c) {
      return std::tuple(c->peers.empty(), c->setbacks, -static_cast<std::int64_t>(c->peers.size()),
                        c->order);
    };
    return rank(a) < rank(b);
  });
  return all;
}

// Candidates are worked on as far as memory reaches.
void MetadataFetch::share_memory(TimePoint now) {
  std::size_t claimed = 0;
  for (const auto& [size, candidate] : candidates_) claimed += size;
  for (const auto& [size, candidate] : candidates_) {
    const Duration turn = kTurn * (1U << std::min(candidate->setbacks, kMaxTurnDoublings));
    if (claimed <= kMaxFetchedBytes || !candidate->attempt || now - candidate->since < turn)
      continue;
    ++candidate->setbacks;
    candidate->attempt.reset();
  }
  std::size_t room = kMaxFetchedBytes;
  for (Candidate* candidate : ranked()) {
    if (candidate->size > room) {
      candidate->attempt.reset();
      continue;
    }
    room -= candidate->size;
    if (!candidate->attempt) begin(*candidate, now);
  }
}

void MetadataFetch::begin(Candidate& candidate, TimePoint now) {
  candidate.since = now;
  if (candidate.careful) return change_sole_peer(candidate, now);
  candidate.attempt = std::make_unique<Attempt>(candidate.size, now);
  for (const PeerKey key : candidate.peers) candidate.attempt->add(key, *sources_.at(key));
}

// Starts again with the peer that had the fewest turns: a whole from one peer alone is proof.
void MetadataFetch::change_sole_peer(Candidate& candidate, TimePoint now) {
  candidate.attempt = std::make_unique<Attempt>(candidate.size, now);
  candidate.sole = 0;
  for (const PeerKey key : candidate.peers) {
    if (candidate.sole == 0 || sources_.at(key)->trials < sources_.at(candidate.sole)->trials)
      candidate.sole = key;
  }
  if (candidate.sole == 0) return;
  Source& source = *sources_.at(candidate.sole);
  ++source.trials;
  candidate.attempt->add(candidate.sole, source);
}

std::span<const MetadataFetch::Ask> MetadataFetch::schedule(TimePoint now) {
  asks_.clear();
  if (done()) return asks_;
  share_memory(now);
  for (Candidate* candidate : ranked()) {
    if (!candidate->attempt) continue;
    const bool silent = now - candidate->attempt->last_arrival() > kSoleSilence;
    if (candidate->careful && (candidate->sole == 0 || (silent && candidate->peers.size() > 1))) {
      change_sole_peer(*candidate, now);
    }
    candidate->attempt->schedule(now, asks_);
  }
  probe(now);
  return asks_;
}

void MetadataFetch::probe(TimePoint now) {
  for (const auto& [key, source] : sources_) {
    if (source->size || source->aside || now < source->probe_at) continue;
    source->probed = true;
    source->probe_at = now + kProbeInterval;
    asks_.push_back({key, 0});
  }
}

std::optional<TimePoint> MetadataFetch::next_wake(TimePoint now) const {
  if (done()) return std::nullopt;
  std::optional<TimePoint> wake;
  const auto earlier = [&wake](TimePoint when) { wake = std::min(wake.value_or(when), when); };
  for (const auto& [size, candidate] : candidates_) {
    if (!candidate->attempt || !candidate->attempt->has_peers()) continue;
    const bool quiet = now - candidate->attempt->last_arrival() > kQuiet;
    earlier(now + (quiet ? kQuietTick : kBusyTick));
  }
  for (const auto& [key, source] : sources_) {
    if (!source->size && !source->aside) earlier(source->probe_at);
  }
  return wake;
}

// -- results

void MetadataFetch::on_whole(Candidate& candidate) {
  const std::unique_ptr<Attempt> attempt = std::move(candidate.attempt);
  const storage::PieceIndex piece = storage::Layout(1, 1).first_piece();
  std::set<Endpoint> guilty;
  if (attempt->hash() == info_hash_) {
    metadata_ = attempt->take();
    guilty = candidate.blame.on_verified(piece, attempt->digests());
  } else {
    guilty = candidate.blame.on_corrupt(piece, attempt->sent());
    ++candidate.setbacks;
    candidate.careful = true;
    candidate.sole = 0;
  }
  for (const Endpoint& endpoint : guilty) convict(endpoint);  // may end the candidate
  if (done()) candidates_.clear();
}

void MetadataFetch::convict(const Endpoint& endpoint) {
  liars_.push_back(endpoint);
  for (const auto& [key, source] : sources_) {
    if (source->endpoint == endpoint) set_aside(key, *source);
  }
}

MetadataFetch::Progress MetadataFetch::progress() const {
  const std::vector<Candidate*> all = ranked();
  if (all.empty()) return {};
  const Candidate& first = *all.front();
  return {first.attempt ? first.attempt->bytes() : 0, first.size};
}

}  // namespace swarmfs::net
