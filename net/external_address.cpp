#include "net/external_address.h"

#include <utility>

#include "net/connect_policy.h"

namespace swarmfs::net {

void ExternalAddress::on_seen(const asio::ip::address& witness, const asio::ip::address& seen) {
  const asio::ip::address by = normalised(witness), at = normalised(seen);
  Family& family = at.is_v4() ? v4_ : v6_;
  family.votes.add(by, at);
  const std::optional<asio::ip::address> winner = family.votes.winner();
  if (!winner || winner == family.believed) return;
  family.believed = winner;
  family.votes.clear();         // the next change takes new witnesses
  const auto all = followers_;  // one may leave meanwhile
  for (const auto& [id, changed] : all) {
    if (followers_.contains(id)) changed(*winner);
  }
}

ExternalAddress::Following ExternalAddress::follow(Changed changed) {
  for (const Family* family : {&v4_, &v6_}) {
    if (family->believed) changed(*family->believed);
  }
  const std::uint64_t id = next_follower_++;
  followers_.emplace(id, std::move(changed));
  return {nullptr, [weak = weak_from_this(), id](void*) {
            if (const auto self = weak.lock()) self->followers_.erase(id);
          }};
}

}  // namespace swarmfs::net
