// What nodes that want to spoil a lookup answer.
//
// Threads: one. Memory: kInventory fitting ids. Errors: none.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "tests/sim/dht_message.h"

namespace swarmfs::sim {

// How a simulated node behaves.
enum class Conduct : std::uint8_t {
  honest,
  silent,      // stands in the tables of others and never says anything
  slow,        // answers after 1 to 3 seconds
  churning,    // leaves, and comes back as the same
  limited,     // answers a few queries a minute
  behind_nat,  // asks others (read-only, BEP 43), hears nothing but answers
  // Poison. All of these answer pings as honest nodes do, and forget what is announced to them.
  names_dead,          // nodes next to the target that do not exist, with any ids
  names_fitting_dead,  // the same with ids that fit their addresses (BEP 42)
  names_accomplices,   // each other, as next to the target; and peers that do not exist
  garbage,             // bytes
  oversized,           // more than anybody wants to know
  nonsense,            // peers and nodes at addresses where nobody may be
};
inline constexpr int kFirstPoison = static_cast<int>(Conduct::names_dead);
inline constexpr int kConducts = static_cast<int>(Conduct::nonsense) + 1;
[[nodiscard]] constexpr bool is_poison(Conduct conduct) {
  return static_cast<int>(conduct) >= kFirstPoison;
}
// True when what it says is true, if it says anything.
[[nodiscard]] constexpr bool is_truthful(Conduct conduct) {
  return !is_poison(conduct) && conduct != Conduct::silent && conduct != Conduct::behind_nat;
}

class Poison {
 public:
  Poison(bool v6, std::vector<UdpEndpoint> accomplices, Rng rng);
  // The answer of `self` to a query that has a target; not always a message.
  [[nodiscard]] std::string answer(Conduct conduct, const DhtQuery& query, const DhtContact& self,
                                   const UdpEndpoint& asker);

 private:
  // Addresses and ids an attacker has computed in advance, to name those next to a target: 2^15
  // addresses with 8 ids each are as near as 18 bits.
  static constexpr std::size_t kInventory = 32 * 1024;
  struct Fitting {
    std::uint32_t crc = 0;
    std::uint8_t random = 0;
    UdpEndpoint endpoint;
    bool operator<(const Fitting& other) const { return crc < other.crc; }
  };
  void take_inventory();
  [[nodiscard]] std::vector<DhtContact> dead_near(const DhtId& target);
  [[nodiscard]] std::vector<DhtContact> fitting_dead_near(const DhtId& target);
  [[nodiscard]] std::vector<DhtContact> accomplices_near(const DhtId& target);
  [[nodiscard]] std::string nonsense(DhtReply reply, const DhtQuery& query);
  [[nodiscard]] std::string noise();

  bool v6_;
  std::vector<UdpEndpoint> accomplices_;
  std::vector<Fitting> fitting_;  // by crc
  Rng rng_;
};

}  // namespace swarmfs::sim
