// Where the others see us, one address of each family: the owner of that fact. Trackers (BEP 24),
// DHT nodes (BEP 42) and peers we dialled (BEP 10 "yourip") bear witness; what most of several
// networks say is believed (AddressVotes), so that no single one of them can set it.
//
// Threads: engine thread only. Memory: AddressVotes for each family, a callback a follower.
// Errors: none. Lifetime: shared by all who witness and follow; a follower's callback must stay
// callable until its Following is gone.
#pragma once
#include <boost/asio/ip/address.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "net/address_votes.h"

namespace swarmfs::net {

class ExternalAddress : public std::enable_shared_from_this<ExternalAddress> {
 public:
  using Changed = std::function<void(const asio::ip::address&)>;
  using Following = std::shared_ptr<void>;  // ends when it is dropped

  // `witness` says that it sees us at `seen`. IPv4 written as IPv6 is the IPv4 address.
  void on_seen(const asio::ip::address& witness, const asio::ip::address& seen);
  // Empty: they do not agree, or are too few.
  [[nodiscard]] std::optional<asio::ip::address> v4() const { return v4_.believed; }
  [[nodiscard]] std::optional<asio::ip::address> v6() const { return v6_.believed; }
  // Calls `changed` with what is believed, now and whenever it becomes another one.
  [[nodiscard]] Following follow(Changed changed);

 private:
  struct Family {
    AddressVotes votes;
    std::optional<asio::ip::address> believed;
  };
  Family v4_, v6_;
  std::map<std::uint64_t, Changed> followers_;
  std::uint64_t next_follower_ = 0;
};

}  // namespace swarmfs::net
