// One scripted node of the simulated DHT: a routing table, peers announced to it, tokens, and its
// conduct. It also judges: what our program sends it must be what the documents say.
//
// Threads: one. Memory: its table and store. Errors: complaints, to its SimDht. Lifetime: the loop
// does not run after the SimDht is gone.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tests/sim/dht_message.h"
#include "tests/sim/dht_poison.h"
#include "tests/sim/sim_datagram.h"

namespace swarmfs::sim {

class SimDht;

inline constexpr std::size_t kBucket = 8;  // BEP 5: K

class SimDhtNode {
 public:
  SimDhtNode(SimDht& dht, const DhtContact& self, Conduct conduct, Rng rng);
  [[nodiscard]] const DhtContact& self() const { return self_; }
  [[nodiscard]] bool v6() const { return self_.endpoint.address().is_v6(); }
  [[nodiscard]] Conduct conduct() const { return conduct_; }
  [[nodiscard]] bool present() const { return present_; }

  void come();
  void leave();
  // The same host in the DHT of the other family: BEP 32's dual stack.
  void set_twin(const SimDhtNode& twin) { twin_ = &twin; }
  // Puts `other` into the table if its bucket has room.
  void know(const DhtContact& other, bool stranger);
  [[nodiscard]] std::vector<DhtContact> closest(const DhtId& target) const;
  void store(const DhtId& info_hash, const UdpEndpoint& peer);
  [[nodiscard]] bool holds(const DhtId& info_hash, const UdpEndpoint& peer) const;
  [[nodiscard]] bool knows(const UdpEndpoint& other) const;

 private:
  struct Known {
    DhtContact contact;
    bool stranger = false;  // came later: forgotten when it does not answer
    int failures = 0;
  };
  struct Asked {
    DhtContact whom;
    DhtMethod method;
    DhtId target;
    TimePoint when;
    bool last = false;  // of its lookup
  };
  void on_message(std::span<const std::byte> payload, const UdpEndpoint& from);
  void on_query(const DhtQuery& query, const UdpEndpoint& from);
  [[nodiscard]] bool over_limit();
  [[nodiscard]] std::string honest_answer(const DhtQuery& query, const UdpEndpoint& from);
  void name_nodes(const DhtQuery& query, DhtReply& reply) const;
  [[nodiscard]] std::vector<UdpEndpoint> peers_of(const DhtId& info_hash);
  [[nodiscard]] std::string token_for(const UdpEndpoint& asker, std::uint64_t period) const;
  [[nodiscard]] std::uint64_t period() const;
  void on_reply(const DhtReply& reply, const UdpEndpoint& from);
  void judge(const DhtReply& reply, const Asked& asked, const UdpEndpoint& from);
  void live();            // asks somebody something, and again later
  void check_somebody();  // a ping
  void look_for(DhtMethod method, const DhtId& target);
  void look_further(const Asked& asked, const std::vector<DhtContact>& named);
  void forget_the_silent();
  void ask(const DhtContact& whom, DhtMethod method, const DhtId& target, bool last = false);
  void meet(const DhtContact& other);  // asks it for a sign of life, if there is room for it
  [[nodiscard]] bool has_room_for(const DhtContact& other) const;
  void send(const std::string& message, const UdpEndpoint& to, Duration delay);

  SimDht& dht_;
  DhtContact self_;
  Conduct conduct_;
  Rng rng_;
  const SimDhtNode* twin_ = nullptr;
  bool present_ = false;
  std::uint64_t stay_ = 0;  // which one this is
  std::vector<Known> table_;
  std::map<DhtId, std::map<UdpEndpoint, TimePoint>> store_;  // until when
  std::map<std::string, Asked> asked_;                       // by transaction
  std::uint16_t next_transaction_ = 0;
  TimePoint minute_{};  // of a limited node
  std::size_t this_minute_ = 0;
};

}  // namespace swarmfs::sim
