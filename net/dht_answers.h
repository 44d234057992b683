// The answer to another node's query: what it may know of our table and of the peers announced to
// us, in how many bytes.
//
// Threads: engine thread only; pure (time is given). Memory: that of DhtStore and DhtLimits.
// Errors: none; a query that deserves no answer gets none.
#pragma once
#include <cstddef>
#include <optional>
#include <string>

#include "net/dht_limits.h"
#include "net/dht_store.h"
#include "net/dht_tokens.h"
#include "net/krpc.h"
#include "net/routing_table.h"

namespace swarmfs::net {

class DhtAnswers {
 public:
  // allow_local: loopback and link-local nodes may announce themselves.
  DhtAnswers(SecretRandom& random, TimePoint now, bool allow_local)
      : random_(random), tokens_(random, now), allow_local_(allow_local) {}

  // Counts a query from there, of whatever kind; true: it may be answered.
  [[nodiscard]] bool admits(const UdpEndpoint& from, TimePoint now) {
    return limits_.on_query(from, now);
  }
  // The datagram to send back to `from`, whose query had `size` bytes. Empty: none. Data has at
  // most krpc::kMaxSent bytes, an error no more than the query had.
  [[nodiscard]] std::optional<std::string> answer(const krpc::Message& query, std::size_t size,
                                                  const UdpEndpoint& from, const RoutingTable& v4,
                                                  const RoutingTable& v6, TimePoint now);
  [[nodiscard]] std::size_t stored_peers() const { return store_.size(); }

 private:
  struct Asked {  // one query, while it is being answered
    const UdpEndpoint& from;
    const RoutingTable& v4;
    const RoutingTable& v6;
    TimePoint now;
  };
  using Body = std::variant<krpc::Query, krpc::Reply, krpc::Error, krpc::BadQuery>;
  [[nodiscard]] Body body_for(const krpc::Query& query, const Asked& asked);
  [[nodiscard]] Body announce(const krpc::AnnouncePeer& announce, krpc::Reply reply,
                              const Asked& asked);
  void add_nodes(krpc::Reply& reply, const NodeId& target, krpc::Want want,
                 const Asked& asked) const;
  void add_values(krpc::Message& message, const NodeId& info_hash, const Asked& asked);

  SecretRandom& random_;
  DhtTokens tokens_;
  DhtStore store_;
  DhtLimits limits_;
  bool allow_local_;
};

}  // namespace swarmfs::net
