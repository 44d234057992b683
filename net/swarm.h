// All the peers of one torrent, and the loop that turns wishes into requests: who wants what
// (want()), who has it, whom to ask next. Data goes into the PieceStore, whose readers wake.
//
// Threads: engine thread only. Memory: Peer records are capped by Config::max_connections; data by
// the store's pool. Errors: none reach a reader; a peer's failure is that connection's end.
// Lifetime: co_await stop() before destruction.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "net/clock.h"
#include "net/peer_list.h"
#include "net/peer_wire.h"
#include "net/piece_picker.h"
#include "net/stream.h"
#include "storage/hash.h"
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
  struct Config {
    storage::InfoHash info_hash;
    PeerId peer_id;
    std::size_t max_connections = 100;
    bool allow_local = false;
    std::uint64_t seed = 1;  // of every random choice
  };
  // `log(level, line)`: level 0 debug, 1 info, 2 warning.
  using Log = std::function<void(int level, const std::string& line)>;
  Swarm(asio::any_io_executor executor, Clock& clock, Dialer dialer, storage::PieceStore& store,
        storage::BlockPool& pool, Config config, Log log);
  ~Swarm();
  Swarm(const Swarm&) = delete;
  Swarm& operator=(const Swarm&) = delete;

  void start();  // dials what it knows, and keeps dialling as addresses come
  void add_peers(std::span<const Endpoint> endpoints, PeerSource source);
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
