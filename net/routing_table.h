// The DHT nodes of one address family that have answered us (BEP 5's routing table), whom of them
// to ask next, and who is closest to a target. Pure bookkeeping: time is given.
//
// Threads: engine thread only. Memory: kIdBits buckets of bucket_size() nodes and kSpares spares at
// the very most; a DHT of 10 million nodes fills about 20 of them. Errors: none.
// Only a node that answered us enters: what other nodes name, and who asks us, is a candidate (see
// wants()). One node a site (net/host_key): a table full of one attacker needs as many networks.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "net/clock.h"
#include "net/host_key.h"
#include "net/node_id.h"

namespace swarmfs::net {

inline constexpr std::size_t kBucketSize = 8;  // K of BEP 5
// Replacements kept for a full bucket.
inline constexpr std::size_t kSpares = 8;
// BEP 5: after this long without a word a node is questionable, and a bucket wants refreshing.
inline constexpr Duration kNodeGoodFor = std::chrono::minutes(15);
// It is asked before that: a table whose nodes turn questionable all at once is no use meanwhile.
inline constexpr Duration kCheckAfter = std::chrono::minutes(12);
// A silent node is asked again once (BEP 5), not at the same unlucky moment.
inline constexpr Duration kRecheckAfter = std::chrono::seconds(30);
inline constexpr int kMaxFailures = 2;
// A bucket that grew by its last refresh is refreshed again soon.
inline constexpr Duration kRefillAfter = std::chrono::seconds(30);

// Nodes a bucket of ids that share `shared` bits with ours holds: more near the top, where half, a
// quarter and an eighth of all targets lie. The first answer then comes from a node 3 bits closer,
// which saves a lookup a round trip, for 88 more pings in 15 minutes.
[[nodiscard]] constexpr std::size_t bucket_size(int shared) {
  return shared < 3 ? kBucketSize << (3 - shared) : kBucketSize;
}

class RoutingTable {
 public:
  explicit RoutingTable(const NodeId& own) : own_(own) {}

  // `node` answered a query of ours. One that answers under another id than it has here fails, and
  // enters anew when it does so again.
  void on_reply(const NodeContact& node, TimePoint now);
  // `node` asked us something: it is alive, if it is known.
  void on_query(const NodeContact& node, TimePoint now);
  // A query of ours to it was never answered.
  void on_silent(const UdpEndpoint& endpoint);
  // It answered in an earlier run: worth asking, not worth naming to others.
  void restore(const NodeContact& node);
  // Our id changed: every node finds its new bucket, or none.
  void set_own(const NodeId& own);

  [[nodiscard]] bool holds(const NodeContact& node) const;
  // True when `node`, unknown as yet, would be taken if it answered.
  [[nodiscard]] bool wants(const NodeContact& node) const;

  // The n closest to target, closest first: those that did not fail lately before those that did.
  [[nodiscard]] std::vector<NodeContact> closest(const NodeId& target, std::size_t n) const;
  // The same of nodes that are good: answered, and heard of lately. To be named to others.
  [[nodiscard]] std::vector<NodeContact> closest_good(const NodeId& target, std::size_t n,
                                                      TimePoint now) const;
  [[nodiscard]] std::vector<NodeContact> good(TimePoint now) const;

  // A question that keeps the table fresh: is `node` still there and, with `find`, whom does it
  // know near that id?
  struct Check {
    NodeContact node;
    std::optional<NodeId> find;
  };
  // Empty: all is fresh. One that is returned is not returned again for a while.
  [[nodiscard]] std::optional<Check> next_check(TimePoint now, SecretRandom& random);

  [[nodiscard]] std::size_t size() const;
  [[nodiscard]] std::size_t good_count(TimePoint now) const;
  [[nodiscard]] const NodeId& own() const { return own_; }

 private:
  struct Node {
    NodeContact contact;
    bool proven = false;    // answered in this run
    bool valid_id = false;  // BEP 42
    int failures = 0;       // in a row
    TimePoint heard{};      // of its last answer, or question once it has answered
    TimePoint checked{};    // when next_check() last named it
  };
  struct Bucket {
    std::vector<Node> live;
    std::vector<Node> spares;  // oldest first
    TimePoint refreshed{};
    std::size_t size_then = 0;  // when it was refreshed
  };

  [[nodiscard]] static bool is_good(const Node& node, TimePoint now);
  [[nodiscard]] std::size_t index_of(const NodeId& id) const;
  [[nodiscard]] const Node* find(const UdpEndpoint& endpoint) const;
  [[nodiscard]] Node* find(const UdpEndpoint& endpoint);
  [[nodiscard]] std::size_t depth() const;  // of the deepest bucket that holds a node, plus 1
  void insert(Node node);
  void remove(const NodeContact& contact);
  [[nodiscard]] static Node* worst_of(Bucket& bucket, bool for_valid_id);
  template <class Wanted>
  [[nodiscard]] std::vector<NodeContact> select(const NodeId& target, std::size_t n,
                                                Wanted wanted) const;
  [[nodiscard]] std::optional<Check> stale_node(TimePoint now, SecretRandom& random);
  [[nodiscard]] std::optional<Check> bucket_to_fill(TimePoint now, SecretRandom& random);

  NodeId own_;
  std::array<Bucket, kIdBits> buckets_;
  std::map<HostKey, NodeContact> sites_;  // every node, live and spare, by its site
};

}  // namespace swarmfs::net
