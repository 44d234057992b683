// What address the others see us at, by majority (BEP 42): each answer votes, and liars are
// outvoted as long as they own few networks.
//
// Threads: engine thread only; pure. Memory: kMaxVotes votes. Errors: none.
#pragma once
#include <boost/asio/ip/address.hpp>
#include <cstddef>
#include <deque>
#include <optional>
#include <utility>

#include "storage/result.h"

namespace swarmfs::net {

// The latest votes that count. A /16 of IPv4 or a /32 of IPv6 has one vote, its latest: whoever
// rents a network has one provider.
inline constexpr std::size_t kMaxVotes = 32;
// Voters that must agree, and be more than half of all.
inline constexpr std::size_t kMinVotes = 5;

class AddressVotes {
 public:
  // `voter` says that we are at `seen`. Both of one family; a vote for an address that is not
  // global is none.
  void add(const asio::ip::address& voter, const asio::ip::address& seen);
  // Empty: they do not agree.
  [[nodiscard]] std::optional<asio::ip::address> winner() const;
  void clear() { votes_.clear(); }

 private:
  std::deque<std::pair<asio::ip::address, asio::ip::address>>
      votes_;  // network, seen; oldest first
};

}  // namespace swarmfs::net
