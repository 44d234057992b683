// Announce tokens (BEP 5): what a node shows to prove that it receives datagrams at the address it
// announces from. A keyed hash of address and info-hash, so that nothing is kept per token.
//
// Threads: engine thread only; pure (time is given). Memory: two secrets. Errors: none.
#pragma once
#include <array>
#include <string>
#include <string_view>

#include "net/clock.h"
#include "net/node_id.h"

namespace swarmfs::net {

// BEP 5: the secret changes every five minutes, and tokens up to ten minutes old are accepted.
inline constexpr Duration kTokenSecretAge = std::chrono::minutes(5);
// 64 bits: not guessed within ten minutes over a network.
inline constexpr std::size_t kTokenSize = 8;

class DhtTokens {
 public:
  DhtTokens(SecretRandom& random, TimePoint now);
  [[nodiscard]] std::string make(const asio::ip::address& address, const NodeId& info_hash,
                                 TimePoint now);
  [[nodiscard]] bool accepts(std::string_view token, const asio::ip::address& address,
                             const NodeId& info_hash, TimePoint now);

 private:
  using Secret = std::array<std::byte, 20>;
  void rotate(TimePoint now);

  SecretRandom& random_;
  TimePoint made_;
  Secret current_{};
  Secret previous_{};
};

}  // namespace swarmfs::net
