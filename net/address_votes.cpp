#include "net/address_votes.h"

#include <algorithm>

#include "net/connect_policy.h"

namespace swarmfs::net {
namespace {

asio::ip::address provider_of(const asio::ip::address& address) {
  if (address.is_v4()) return asio::ip::address_v4(address.to_v4().to_uint() & 0xffff0000U);
  auto bytes = address.to_v6().to_bytes();
  std::fill(bytes.begin() + 4, bytes.end(), 0);
  return asio::ip::address_v6(bytes);
}

}  // namespace

void AddressVotes::add(const asio::ip::address& voter, const asio::ip::address& seen) {
  if (voter.is_v4() != seen.is_v4() || scope_of(seen) != Scope::global) return;
  const asio::ip::address network = provider_of(voter);
  std::erase_if(votes_, [&network](const auto& vote) { return vote.first == network; });
  votes_.emplace_back(network, seen);
  if (votes_.size() > kMaxVotes) votes_.pop_front();
}

std::optional<asio::ip::address> AddressVotes::winner() const {
  for (const auto& candidate : votes_) {
    const auto agreeing = static_cast<std::size_t>(
        std::count_if(votes_.begin(), votes_.end(),
                      [&candidate](const auto& vote) { return vote.second == candidate.second; }));
    if (agreeing >= kMinVotes && 2 * agreeing > votes_.size()) return candidate.second;
  }
  return std::nullopt;
}

}  // namespace swarmfs::net
