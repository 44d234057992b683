// One torrent at work: its memory, its store, its peers and its trackers, started and stopped in
// the right order. It may start without its metainfo (a magnet): peers are connected first, the
// metainfo comes from them, and the same connections go on to the data.
//
// Threads:  engine thread only.
// Memory:   the block pool of pool_size() bytes once the metainfo is there; before it, what
//           MetadataFetch keeps. Besides, what the connections and the Announcer keep.
// Errors:   wait_metadata() says why metadata that peers proved right is no torrent we can serve.
//           Anything else that fails is logged and tried again.
// Lifetime: co_await stop() before destruction; the parts named by reference outlive it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "net/clock.h"
#include "net/connections.h"
#include "net/discovery.h"
#include "net/listener.h"
#include "net/local_interface.h"
#include "net/stream.h"
#include "net/swarm.h"
#include "net/tracker.h"
#include "storage/disk.h"
#include "storage/metainfo.h"
#include "storage/piece_store.h"
#include "storage/worker_pool.h"

namespace swarmfs::net {

// What the program takes besides blocks: itself and its libraries (13 MiB measured), buffers for
// what is read back, connections, and a bit of everything a piece.
inline constexpr std::uint64_t kMemoryBesideBlocks = 16 * 1024 * 1024;
// Bytes of blocks for a torrent with pieces of this length in a program that is to stay within
// `memory_limit`: what it leaves, and at least two pieces and what connections read into, or a
// torrent of large pieces would stand still.
[[nodiscard]] std::size_t pool_size(std::uint32_t piece_length, std::uint64_t memory_limit);
// Ten seconds at 40 Mbit/s, the window of one reader of the largest films, is 48 MiB of blocks.
inline constexpr std::uint64_t kUsualMemory = 64 * 1024 * 1024;

class TorrentSession {
 public:
  struct Parts {
    asio::any_io_executor executor;
    Clock& clock;
    Dialer dialer;
    storage::InfoHash info_hash;
    std::optional<storage::Metainfo> metainfo;  // empty: fetched from peers
    // The .torrent that `metainfo` came from, so that peers can have its info dictionary from us;
    // empty: they cannot.
    std::vector<std::byte> torrent = {};
    // BEP 12 tiers: of the metainfo or the magnet, and the user's own.
    std::vector<std::vector<std::string>> trackers;
    storage::WorkerPool& hashers;
    storage::Disk* disk;  // null: memory only. Addressed from the first piece on, not before.
    std::vector<std::string> web_seeds = {};           // of the .torrent or the link (BEP 19)
    std::vector<storage::HostPort> peers;              // the user's
    std::vector<storage::HostPort> hinted_peers = {};  // the link's (BEP 9 x.pe)
    std::uint16_t port = 0;                            // told to trackers when there is no listener
    Listener* listener = nullptr;                      // null: nobody can come to us
    Discovery* discovery = nullptr;                    // null: no DHT, no LSD, no UDP trackers
    LocalInterface interface = {};                     // that trackers are reached by
    std::size_t user_tiers = 0;  // the first ones of `trackers`, which the user named
    bool allow_local = false;
    std::uint64_t memory_limit = kUsualMemory;
    // What is in the cache file already, as an earlier process said. Asked once, when the metainfo
    // is there.
    std::function<storage::Bitfield(const storage::Metainfo&)> claimed = {};
    bool pex = true;  // exchange peers with peers (BEP 11); never for a private torrent
    Connections::Log log;
    // Called once when the metainfo has come from peers, before wait_metadata() completes, with a
    // .torrent to keep: the info dictionary as it is hashed, and the trackers. parse_metainfo()
    // makes metainfo() of it.
    std::function<void(std::span<const std::byte> torrent)> on_metadata = {};
  };
  explicit TorrentSession(Parts parts);
  ~TorrentSession();
  TorrentSession(const TorrentSession&) = delete;
  TorrentSession& operator=(const TorrentSession&) = delete;

  void start();
  // Readers first, then trackers and peers together, then the store: at most the Announcer's
  // deadline, and what is left to write.
  [[nodiscard]] Task<void> stop();

  [[nodiscard]] bool has_metadata() const;
  // Completes when the metainfo is there: at once with a .torrent. Any number may wait, each may be
  // cancelled. Fails for good when the metadata that matches the info-hash is no torrent we can
  // serve (StorageErrc), and with StorageErrc::closed at stop().
  [[nodiscard]] Task<Result<void>> wait_metadata();
  // Only once has_metadata(): never moved or replaced from then on.
  [[nodiscard]] const storage::Metainfo& metainfo() const;
  [[nodiscard]] storage::PieceStore& store();

  // Addresses that DHT, LSD or anybody else found. A private torrent takes the user's and the
  // trackers' only (BEP 27).
  void add_peers(std::span<const Endpoint> endpoints, PeerSource source);
  // Nothing can be wanted before the metainfo is there: an empty Demand then, and nothing
  // reachable.
  [[nodiscard]] Demand want(Wish wish);
  [[nodiscard]] bool reachable(storage::ByteRange range) const;
  [[nodiscard]] SwarmStatus status() const;
  [[nodiscard]] std::string trackers_status() const;
  // Worth dialling first in another run, the best first. A private torrent's are not to be
  // remembered: only its trackers may name them (BEP 27), and nothing says that they did.
  [[nodiscard]] std::vector<Endpoint> peers_to_remember() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace swarmfs::net
