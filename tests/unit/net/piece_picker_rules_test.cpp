// Rules that hold after every decision, whatever the links: nobody idles beside work, and what is
// due later never takes the place of what is due first.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>
#include <set>
#include <vector>

#include "tests/unit/net/picker_world.h"

namespace swarmfs::net {
namespace {

// A random swarm with readers that come, read ahead and go, and what the rules need to know of it.
class RuledWorld {
 public:
  static constexpr std::uint32_t kPieces = 400, kBlocks = 8;

  RuledWorld() : world_(kPieces, kBlocks) {
    const auto peers = *rc::gen::inRange(1, 8);
    for (int i = 0; i < peers; ++i) add_peer();
    if (*rc::gen::arbitrary<bool>()) world_.line = *rc::gen::inRange(1'000'000, 12'000'000);
    world_.before_orders = [this] { note_peers(); };
    world_.on_orders = [this](auto orders) { check(orders); };
  }
  void step() {
    switch (*rc::gen::inRange(0, 5)) {
      case 0:
        want(Urgency::now, 1);
        break;
      case 1:
        want(Urgency::readahead, *rc::gen::inRange(1, 40));
        break;
      case 2:
        withdraw();
        break;
      case 3:
        world_.stall(some_peer(),
                     world_.now + std::chrono::milliseconds(*rc::gen::inRange(1, 900)));
        break;
      default:
        break;
    }
    world_.run_for(std::chrono::milliseconds(*rc::gen::inRange(1, 400)));
  }

 private:
  struct Wanted {
    std::uint32_t first, last;
    Urgency urgency;
  };
  void add_peer() {
    storage::Bitfield pieces(kPieces);
    const auto has = *rc::gen::inRange(1, 4);  // one piece in so many
    for (std::uint32_t p = 0; p < kPieces; ++p) {
      if (p % static_cast<std::uint32_t>(has) == 0) pieces.set(*world_.layout.piece_at(p));
    }
    const PeerKey key = world_.peer(*rc::gen::inRange(100'000, 5'000'000),
                                    std::chrono::milliseconds(*rc::gen::inRange(5, 300)), pieces);
    pieces_.emplace(key, pieces);
  }
  PeerKey some_peer() {
    return static_cast<PeerKey>(*rc::gen::inRange<std::size_t>(1, pieces_.size() + 1));
  }
  void want(Urgency urgency, int pieces) {
    const auto first = *rc::gen::inRange<std::uint32_t>(0, kPieces - 50);
    const auto last = first + static_cast<std::uint32_t>(pieces) - 1;
    wanted_.emplace(world_.want(first, last, urgency), Wanted{first, last, urgency});
  }
  void withdraw() {
    if (wanted_.empty()) return;
    world_.picker.withdraw(wanted_.begin()->first);
    wanted_.erase(wanted_.begin());
  }
  void note_peers() {
    before_.clear();
    for (const auto& [key, pieces] : pieces_) before_.emplace(key, world_.picker.peer(key));
  }
  // When a block asked of the peer would come, had it not been asked for what can wait.
  [[nodiscard]] std::map<PeerKey, TimePoint> arrivals(
      std::span<const PiecePicker::Order> orders) const {
    std::map<PeerKey, Peer> peers = before_;
    // A decision begins with what to assume of those who have shown nothing yet.
    for (auto& [key, peer] : peers) {
      if (!peer.measured()) peer.assume_rate(world_.picker.peer(key).rate());
    }
    for (const auto& order : orders) {
      if (order.kind == Kind::cancel) peers.at(order.peer).on_cancelled(order.block, world_.now);
      if (order.kind == Kind::request && urgent(order.block.piece))
        peers.at(order.peer).on_sent(order.block, kBlockSize, world_.now);
    }
    std::map<PeerKey, TimePoint> arrivals;
    for (const auto& [key, peer] : peers) arrivals[key] = peer.eta(kBlockSize, world_.now);
    return arrivals;
  }

  [[nodiscard]] bool free(std::uint32_t piece, std::uint32_t block) const {
    const auto got = world_.received.find(piece);
    if (got != world_.received.end() && got->second.contains(block)) return false;
    const BlockId id{*world_.layout.piece_at(piece), block};
    return std::none_of(pieces_.begin(), pieces_.end(),
                        [&](const auto& p) { return world_.picker.peer(p.first).owes(id); });
  }
  // Wanted blocks that are asked of nobody.
  [[nodiscard]] std::vector<BlockId> left(Urgency urgency) const {
    std::vector<BlockId> left;
    for (const auto& [key, wanted] : wanted_) {
      if (wanted.urgency != urgency) continue;
      for (std::uint32_t p = wanted.first; p <= wanted.last; ++p) {
        if (world_.verified.contains(p)) continue;
        for (std::uint32_t b = 0; b < kBlocks; ++b) {
          if (free(p, b)) left.push_back({*world_.layout.piece_at(p), b});
        }
      }
    }
    return left;
  }
  // Who serves the piece and may be relied on.
  [[nodiscard]] std::vector<PeerKey> servers(PieceIndex piece) const {
    std::vector<PeerKey> servers;
    for (const auto& [key, pieces] : pieces_) {
      const Peer& peer = world_.picker.peer(key);
      if (pieces.test(piece) && !peer.suspect(world_.now) && !peer.snubbed())
        servers.push_back(key);
    }
    return servers;
  }
  void check(std::span<const PiecePicker::Order> orders) const {
    std::set<PeerKey> ahead;  // who was asked for readahead now
    for (const auto& order : orders) {
      if (order.kind == Kind::request && !urgent(order.block.piece)) ahead.insert(order.peer);
    }
    const std::map<PeerKey, TimePoint> expected = arrivals(orders);
    const std::vector<BlockId> blocked = left(Urgency::now);
    for (const BlockId block : blocked) {
      const std::vector<PeerKey> all = servers(block.piece);
      const auto best = std::min_element(all.begin(), all.end(), [&](PeerKey a, PeerKey b) {
        return expected.at(a) < expected.at(b);
      });
      if (best == all.end()) continue;
      // 17: whoever would bring it first is asked for nothing that can wait.
      RC_ASSERT(!ahead.contains(*best));
      // 16: it waits for somebody who is busy.
      RC_ASSERT(world_.picker.peer(*best).outstanding_bytes() > 0U);
    }
    if (reader_waits()) return;  // readahead takes nothing of the line that it needs
    // 16: with nobody blocked, nobody is idle who could bring what will be read.
    for (const BlockId block : left(Urgency::readahead)) {
      for (const PeerKey key : servers(block.piece))
        RC_ASSERT(world_.picker.peer(key).outstanding_bytes() > 0U);
    }
  }
  [[nodiscard]] bool reader_waits() const {
    return std::any_of(wanted_.begin(), wanted_.end(), [&](const auto& w) {
      return w.second.urgency == Urgency::now && !world_.verified.contains(w.second.first);
    });
  }
  [[nodiscard]] bool urgent(PieceIndex piece) const {
    return std::any_of(wanted_.begin(), wanted_.end(), [&](const auto& w) {
      return w.second.urgency == Urgency::now && w.second.first <= piece.value() &&
             piece.value() <= w.second.last;
    });
  }

  World world_;
  std::map<PeerKey, storage::Bitfield> pieces_;
  std::map<WishKey, Wanted> wanted_;
  std::map<PeerKey, Peer> before_;  // the decision
};

RC_GTEST_PROP(PiecePickerRules, NobodyIdlesBesideWorkAndWhatIsBlockedComesFirst, ()) {
  RuledWorld world;
  const auto steps = *rc::gen::inRange(1, 40);
  for (int i = 0; i < steps; ++i) world.step();
}

}  // namespace
}  // namespace swarmfs::net
