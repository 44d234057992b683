#include "tests/sim/audit.h"

#include <algorithm>
#include <cstdio>
#include <deque>
#include <sstream>

namespace swarmfs::sim {
namespace {

std::string name(const std::array<std::uint32_t, 3>& key) {
  return std::to_string(key[0]) + ":" + std::to_string(key[1]) + "+" + std::to_string(key[2]);
}

}  // namespace

std::unique_ptr<Tap> Ledger::tap(const Endpoint& remote) {
  return std::make_unique<StreamAudit>(*this, remote, next_stream_++);
}

void Ledger::wish(storage::ByteRange range) {
  if (range.empty()) return;
  const std::uint32_t last = truth_.layout().piece_of(range.end - 1).value();
  for (std::uint32_t p = truth_.layout().piece_of(range.begin).value(); p <= last; ++p)
    ++wished_[p];
}

void Ledger::withdraw(storage::ByteRange range) {
  if (range.empty()) return;
  const std::uint32_t last = truth_.layout().piece_of(range.end - 1).value();
  for (std::uint32_t p = truth_.layout().piece_of(range.begin).value(); p <= last; ++p) {
    if (--wished_[p] > 0) continue;
    wished_.erase(p);
    withdrawn_[p] = loop_.clock().now();
  }
}

// A wish that ended at this very instant still counts: what it caused may be written in the same
// turn.
bool Ledger::wanted(std::uint32_t piece) const {
  if (wished_.contains(piece)) return true;
  const auto ended = withdrawn_.find(piece);
  return ended != withdrawn_.end() && ended->second == loop_.clock().now();
}

void Ledger::violation(const std::string& what) {
  if (violations_.size() >= kMaxViolations) return;
  std::ostringstream line;
  line << "at " << to_ms(loop_.elapsed()) << " ms: " << what;
  violations_.push_back(line.str());
}

void Ledger::add_trace(std::uint32_t stream, std::span<const std::byte> bytes) {
  const auto add = [this](std::uint64_t value) {
    trace_ = mix(trace_ ^ value) + 0x9e3779b97f4a7c15U;
  };
  add(stream);
  add(static_cast<std::uint64_t>(loop_.elapsed().count()));
  for (const std::byte b : bytes)
    trace_ = (trace_ ^ std::to_integer<std::uint64_t>(b)) * 0x100000001b3U;  // FNV-1a
}

void Ledger::print(const char* what, const Endpoint& remote, std::uint32_t index,
                   std::uint32_t begin) const {
  if (followed_ != index) return;
  std::printf("    %9.1f ms: %s block %u, %s\n", to_ms(loop_.elapsed()), what,
              begin / storage::kBlockSize, remote.address().to_string().c_str());
}

std::size_t Ledger::outstanding() const {
  std::size_t total = 0;
  for (const StreamAudit* stream : streams_) total += stream->outstanding();
  return total;
}

std::string Ledger::describe(std::uint32_t piece) const {
  std::string text;
  for (const StreamAudit* stream : streams_) text += stream->describe(piece);
  return text;
}

void Ledger::on_block(std::uint32_t index, std::uint32_t begin, std::span<const std::byte> data) {
  const std::uint64_t offset = std::uint64_t{index} * truth_.layout().piece_length() + begin;
  received_ += data.size();
  if (!wanted(index)) unwanted_ += data.size();
  if (!truth_.matches(offset, data)) {
    corrupt_ += data.size();
    return;
  }
  if (!arrived_.emplace(offset, true).second) redundant_ += data.size();
  marks_.push_back({loop_.clock().now(), received_, redundant_});
}

double Ledger::most_redundant(double share) const {
  const auto beyond = [share](const Mark& mark) {
    return static_cast<double>(mark.redundant) - share * static_cast<double>(mark.received);
  };
  double most = 0;
  std::deque<const Mark*> begins;  // of the windows that end here; the least comes first
  static constexpr Mark kNothing{TimePoint{}, 0, 0};
  const Mark* before = &kNothing;
  for (const Mark& mark : marks_) {
    while (!begins.empty() && beyond(*begins.back()) >= beyond(*before)) begins.pop_back();
    begins.push_back(before);
    before = &mark;
    while (begins.size() > 1 && mark.at - begins.front()->at > kRedundancyWindow)
      begins.pop_front();
    most = std::max(most, beyond(mark) - beyond(*begins.front()));
  }
  return most;
}

StreamAudit::StreamAudit(Ledger& ledger, Endpoint remote, std::uint32_t number)
    : ledger_(ledger),
      remote_(std::move(remote)),
      number_(number),
      choked_since_(ledger.loop_.clock().now()),
      pieces_(ledger.truth_.layout().piece_count()) {
  ledger_.streams_.insert(this);
  from_peer_.on_handshake = [this](const wire::Handshake& h) { fast_heard_ = h.fast; };
  from_peer_.on_message = [this](std::uint8_t id, std::span<const std::byte> body) {
    heard(id, body);
  };
  from_engine_.on_handshake = [this](const wire::Handshake& h) {
    fast_offered_ = h.fast;
    require(h.info_hash == ledger_.truth_.info_hash(), "the handshake names another torrent");
  };
  from_engine_.on_message = [this](std::uint8_t id, std::span<const std::byte> body) {
    said(id, body);
  };
}

void StreamAudit::require(bool holds, const std::string& what) {
  if (holds) return;
  ledger_.violation("stream " + std::to_string(number_) + " to " + remote_.address().to_string() +
                    ": " + what);
}

std::string StreamAudit::describe(std::uint32_t piece) const {
  if (closed_ || !pieces_[piece]) return {};
  const auto of_piece = [piece](const Key& key) { return key[0] == piece; };
  const auto asked = std::count_if(asked_.begin(), asked_.end(), of_piece);
  return "\n      " + remote_.address().to_string() + (choked_ ? ", choked" : "") + ": " +
         std::to_string(asked) + " of its blocks asked, " + std::to_string(asked_.size()) +
         " requests in all";
}

void StreamAudit::on_close() {
  closed_ = true;
  asked_.clear();
}

void StreamAudit::on_write(std::span<const std::byte> bytes) {
  ledger_.add_trace(number_, bytes);
  from_engine_.feed(bytes);
  require(!from_engine_.broken(), "wrote something that is not the protocol");
}

void StreamAudit::heard(std::uint8_t id, std::span<const std::byte> body) {
  switch (id) {
    case wire::kChoke:
      if (!choked_) choked_since_ = ledger_.loop_.clock().now();
      choked_ = true;
      // Without the fast extension a choke drops every request; with it each is answered (BEP 6).
      if (!(fast_heard_ && fast_offered_)) asked_.clear();
      return;
    case wire::kUnchoke:
      choked_ = false;
      return;
    case wire::kHave:
    case wire::kBitfield:
    case wire::kHaveAll:
    case wire::kHaveNone:
      return heard_pieces(id, body);
    case wire::kPiece:
      return heard_block(body);
    case wire::kReject:
      if (body.size() == 12) {
        const Key key{wire::get_u32(body, 0), wire::get_u32(body, 4), wire::get_u32(body, 8)};
        // A cancel and its answer cross: the reject belongs to the cancelled one first.
        const auto cancelled = cancelled_.find(key);
        if (cancelled != cancelled_.end()) {
          if (--cancelled->second == 0) cancelled_.erase(cancelled);
        } else {
          asked_.erase(key);
        }
      }
      return;
    case wire::kAllowedFast:
      if (body.size() == 4) allowed_fast_.insert(wire::get_u32(body, 0));
      return;
    case wire::kExtended:
      if (!body.empty() && body[0] == std::byte{0})
        reqq_ = wire::find_integer(body, "4:reqqi", reqq_);
      return;
    default:
      return;
  }
}

void StreamAudit::heard_pieces(std::uint8_t id, std::span<const std::byte> body) {
  if (id == wire::kHave) {
    const std::uint32_t piece = body.size() == 4 ? wire::get_u32(body, 0) : 0xffffffffU;
    if (piece < pieces_.size()) pieces_[piece] = true;
    return;
  }
  if (id == wire::kBitfield && body.size() != (pieces_.size() + 7) / 8) return;
  for (std::size_t p = 0; p < pieces_.size(); ++p) {
    pieces_[p] = id == wire::kHaveAll ||
                 (id == wire::kBitfield &&
                  (body[p / 8] & static_cast<std::byte>(0x80U >> (p % 8))) != std::byte{});
  }
}

void StreamAudit::heard_block(std::span<const std::byte> body) {
  if (body.size() < 8) return;
  const std::span<const std::byte> data = body.subspan(8);
  const Key key{wire::get_u32(body, 0), wire::get_u32(body, 4),
                static_cast<std::uint32_t>(data.size())};
  // Asked, cancelled and asked again: the older request is answered first (BEP 6: each is). A peer
  // without the fast extension need not answer a cancelled one, so there the block may be the
  // answer to either.
  const auto cancelled = cancelled_.find(key);
  const bool was_cancelled = cancelled != cancelled_.end();
  if (was_cancelled && --cancelled->second == 0) cancelled_.erase(cancelled);
  const bool was_asked =
      (!was_cancelled || !(fast_offered_ && fast_heard_)) && asked_.erase(key) > 0;
  if (was_asked && was_cancelled) unclear_.insert(key);
  if (!was_asked && !was_cancelled) return;  // nobody asked: not the engine's traffic
  ledger_.print(was_asked ? "got" : "got after cancel", remote_, key[0], key[1]);
  ledger_.on_block(key[0], key[1], data);
}

void StreamAudit::said(std::uint8_t id, std::span<const std::byte> body) {
  const bool first = messages_said_++ == 0;
  const bool fast = fast_offered_ && fast_heard_;
  const auto sized = [&](std::size_t n) {
    require(body.size() == n, "message " + std::to_string(id) + " has a wrong size");
  };
  switch (id) {
    case wire::kInterested:
      interested_ = true;
      return sized(0);
    case wire::kNotInterested:
      interested_ = false;
      return sized(0);
    case wire::kChoke:
    case wire::kUnchoke:
      return sized(0);
    case wire::kHave:
      return sized(4), said_have(wire::get_u32(body, 0));
    case wire::kRequest:
    case wire::kCancel: {
      sized(12);
      const Key key{wire::get_u32(body, 0), wire::get_u32(body, 4), wire::get_u32(body, 8)};
      return id == wire::kRequest ? said_request(key) : said_cancel(key);
    }
    case wire::kBitfield:
      return require(first, "a bitfield after other messages");
    case wire::kHaveAll:
    case wire::kHaveNone:
      require(first, "have all or none after other messages");
      return require(fast, "a fast extension message to a peer that does not speak it");
    case wire::kReject:
      return require(fast, "a reject to a peer that does not speak the fast extension");
    case wire::kExtended:
      return;
    case wire::kPiece: {
      require(body.size() > 8, "an empty block");
      if (body.size() <= 8) return;
      const std::uint64_t at =
          std::uint64_t{wire::get_u32(body, 0)} * ledger_.truth_.layout().piece_length() +
          wire::get_u32(body, 4);
      return require(ledger_.truth_.matches(at, body.subspan(8)), "uploaded wrong bytes");
    }
    default:
      return require(id == 20 || id == 9, "an unexpected message " + std::to_string(id));
  }
}

void StreamAudit::said_request(const Key& key) {
  const storage::Layout& layout = ledger_.truth_.layout();
  const TimePoint now = ledger_.loop_.clock().now();
  const auto block = layout.block_at(key[0], key[1], key[2]);
  ++ledger_.requests_;
  ledger_.print("ask", remote_, key[0], key[1]);
  // 4: within the torrent, on the block grid, at most 16 KiB.
  require(block.has_value(), "asked for " + name(key) + ", which is not a block");
  if (!block) return;
  require(!layout.is_padding(*block), "asked for padding " + name(key));
  // 4: only what this peer says it has, and that we lack.
  require(pieces_[key[0]], "asked for " + name(key) + ", which the peer lacks");
  require(ledger_.store_ == nullptr || !ledger_.store_->present().test(block->piece),
          "asked for " + name(key) + ", which we have");
  // 4: not while choked. A choke read at this very instant may have crossed requests already
  // decided on.
  require(!choked_ || allowed_fast_.contains(key[0]) || choked_since_ == now,
          "asked for " + name(key) + " while choked");
  require(interested_, "asked without being interested");
  // 2: no peer twice on a block.
  require(asked_.insert(key).second, "asked twice for " + name(key));
  // 4: never above what the peer said it queues.
  require(asked_.size() <= reqq_, "more requests than the peer's reqq of " + std::to_string(reqq_));
  // Only what is read: each piece asked for is in a range some reader wants at this moment.
  require(ledger_.wanted(key[0]), "asked for " + name(key) + ", which nobody wants");
}

void StreamAudit::said_cancel(const Key& key) {
  ++ledger_.cancels_;
  ledger_.print("cancel", remote_, key[0], key[1]);
  require(asked_.erase(key) > 0 || unclear_.contains(key),
          "cancelled " + name(key) + ", which was not asked for");
  ++cancelled_[key];
}

void StreamAudit::said_have(std::uint32_t piece) {
  // 8: HAVE only after verification.
  const auto index = ledger_.truth_.layout().piece_at(piece);
  require(index.has_value(), "said it has a piece that does not exist");
  if (index && ledger_.store_ != nullptr) {
    require(ledger_.store_->verified().test(*index),
            "said it has piece " + std::to_string(piece) + " before it was verified");
  }
}

}  // namespace swarmfs::sim
