// The loop that turns wishes into requests: who wants what (want()), who has it, whom to ask next.
// Takes over the Connections it is given, with all they have heard. Data goes into the PieceStore,
// whose readers wake.
//
// Threads: engine thread only. Memory: a Peer record a connection; data by the store's pool.
// Errors: none reach a reader; a peer's failure is that connection's end. Lifetime: connections,
// store and pool outlive it; stop the connections, then co_await stop() before destruction.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "net/clock.h"
#include "net/connections.h"
#include "net/piece_picker.h"
#include "storage/piece_store.h"

namespace swarmfs::net {

// A wish in force. Destroying it withdraws it.
class Demand {
 public:
  Demand() = default;
  Demand(Demand&& other) noexcept : withdraw_(std::exchange(other.withdraw_, nullptr)) {}
  Demand& operator=(Demand&& other) noexcept {
    std::swap(withdraw_, other.withdraw_);
    return *this;
  }
  ~Demand() {
    if (withdraw_) withdraw_();
  }
  explicit Demand(std::function<void()> withdraw) : withdraw_(std::move(withdraw)) {}

 private:
  std::function<void()> withdraw_;
};

struct SwarmStatus {
  std::size_t known_addresses = 0;
  std::size_t dialling = 0;
  std::size_t connected = 0;          // handshake done
  std::size_t unchoked = 0;           // that would answer a request
  double bytes_per_second = 0;        // payload, over the last seconds
  std::uint64_t received_bytes = 0;   // payload
  std::uint64_t redundant_bytes = 0;  // payload that was not needed (duplicates)
  std::uint64_t corrupt_bytes = 0;    // of pieces that failed their hash
  std::size_t banned = 0;
  // While the metainfo comes from peers (TorrentSession): bytes that came, not checked yet, of how
  // many; empty: no connected peer has said.
  std::uint64_t metadata_bytes = 0;
  std::optional<std::uint64_t> metadata_size;
};

class Swarm {
 public:
  Swarm(asio::any_io_executor executor, Clock& clock, Connections& connections,
        storage::PieceStore& store, storage::BlockPool& pool, Connections::Log log);
  ~Swarm();
  Swarm(const Swarm&) = delete;
  Swarm& operator=(const Swarm&) = delete;

  // Does not suspend. The bytes come through PieceStore::read.
  [[nodiscard]] Demand want(Wish wish);
  [[nodiscard]] SwarmStatus status() const;
  // True when some connected peer has every piece of `range`.
  [[nodiscard]] bool reachable(storage::ByteRange range) const;
  [[nodiscard]] Task<void> stop();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace swarmfs::net
