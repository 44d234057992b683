// One iterative search through the DHT (BEP 5, Kademlia) as a pure state machine: whom to ask next,
// and when it is over. It sees nodes and answers, never a socket; what the answers hold besides
// nodes (peers) is its owner's.
//
// Threads: engine thread only; pure (time is given). Memory: kMaxCandidates nodes. Errors: none.
//
// Poisoning. Nodes that make up nodes near the target hold a search up, and now and then one ends
// without a peer (the next pass finds them). What is done about it:
//  * ids that do not fit their address (BEP 42) never count among the closest that end the search,
//    nor keep it going once eight others are closer;
//  * of one site (net/host_key) one node answers, the others are not asked;
//  * a node's word is good for kCredit questions, and one more for each node it named that answers:
//    one that names the dead or the invented runs out of credit, and what only it has named is not
//    asked while others' words lead on.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "net/clock.h"
#include "net/host_key.h"
#include "net/node_id.h"

namespace swarmfs::net {

// The closest nodes that must have answered, and that are announced to: K of BEP 5.
inline constexpr std::size_t kLookupWidth = 8;
// Questions in flight. Measured on 1,000 nodes of which 20 % are silent (dht_lookup_test): with 4 a
// search takes 0.60 s and asks 14 nodes, with 6 0.49 s and 16, with 8 0.47 s and 19.
inline constexpr std::size_t kLookupParallel = 8;
// Nodes asked by one search, whatever strangers say; the measured searches ask 19, and 48 at most
// among liars.
inline constexpr std::size_t kMaxLookupQueries = 100;
// Nodes known to one search; the furthest unasked ones are forgotten.
inline constexpr std::size_t kMaxCandidates = 300;
// See above. A matter of cost more than of truth. With a third of 1,000 nodes poisoning, of 3,000
// lookups 40 found no peer with a credit of 3 (38 messages each, the slowest 5 % take 1.3 s), 22
// with 5 (42, 1.5 s), 20 with any (48, 1.8 s). Ids that do not fit make no difference there,
// neither to these figures (37 without the rule) nor to announcements lost (2 and 2).
inline constexpr std::size_t kCredit = 5;

class DhtLookup {
 public:
  // `own` is never asked.
  DhtLookup(const NodeId& target, const NodeId& own) : target_(target), own_(own) {}

  void add_known(const NodeContact& node);         // of our own table: needs nobody's word
  void add_entrance(const UdpEndpoint& endpoint);  // a node of unknown id: a router
  // Whom to ask now; empty: nobody before next_event() or an answer. What has not answered within
  // `patience` frees its place for another and may still answer.
  [[nodiscard]] std::optional<UdpEndpoint> next(TimePoint now, Duration patience);
  // `from` answered as `id`. A node that answers under another id than the one it is known by has
  // failed. `named` are nodes that may be asked: the connect policy is the owner's.
  void on_reply(const UdpEndpoint& from, const NodeId& id, std::span<const NodeContact> named,
                std::string token);
  // It will not answer any more: an error, or the owner has given up waiting.
  void on_silent(const UdpEndpoint& endpoint);
  // When the next place frees itself.
  [[nodiscard]] std::optional<TimePoint> next_event(TimePoint now) const;
  // The closest have answered, or nobody is left to ask.
  [[nodiscard]] bool finished(TimePoint now) const;

  struct Closest {
    NodeContact node;
    std::string token;
  };
  // The kLookupWidth closest that answered, those with an id that fits their address first.
  [[nodiscard]] std::vector<Closest> closest() const;
  [[nodiscard]] std::size_t asked() const { return asked_; }
  [[nodiscard]] std::size_t answered() const { return answered_; }
  [[nodiscard]] const NodeId& target() const { return target_; }

 private:
  enum class Progress : std::uint8_t { fresh, asked, answered, failed };
  struct Candidate {
    NodeContact node;
    Progress progress = Progress::fresh;
    bool valid_id = false;
    bool known = false;  // on our own word
    TimePoint stalls_at{};
    std::string token;
    std::vector<UdpEndpoint> named_by;
  };
  struct Credit {
    std::size_t asked = 0;
    std::size_t answered = 0;
  };
  using Key = std::pair<NodeId, UdpEndpoint>;  // distance, endpoint
  using Candidates = std::map<Key, Candidate>;

  // What a walk over the candidates, closest first, comes to.
  struct View {
    std::size_t in_flight = 0;
    bool awaited = false;                 // some question in flight may still change the outcome
    const Candidate* best = nullptr;      // to be asked next
    const Candidate* fallback = nullptr;  // the same, without regard to credit
  };
  [[nodiscard]] View look(TimePoint now) const;
  [[nodiscard]] const Candidate* to_ask(TimePoint now) const;
  [[nodiscard]] Candidate* find(const UdpEndpoint& endpoint);
  [[nodiscard]] bool has_credit(const Candidate& candidate) const;
  void add(const NodeContact& node, const UdpEndpoint* named_by);
  static_assert(kMaxLookupQueries < kMaxCandidates);
  void vouch(Candidate& candidate, const UdpEndpoint& who);
  void make_room();

  NodeId target_;
  NodeId own_;
  Candidates candidates_;  // closest first
  std::map<UdpEndpoint, Key> by_endpoint_;
  std::vector<UdpEndpoint> entrances_;        // not asked yet
  std::map<UdpEndpoint, TimePoint> entered_;  // entrances asked, and when each stalls
  std::set<HostKey> taken_sites_;             // somebody of these is asked or has answered
  std::map<UdpEndpoint, Credit> credit_;      // of who named nodes
  std::size_t asked_ = 0;
  std::size_t answered_ = 0;
};

}  // namespace swarmfs::net
