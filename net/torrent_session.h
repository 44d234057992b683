// One torrent at work: its memory, its store, its peers and its trackers, started and stopped in
// the right order.
//
// Threads:  engine thread only.
// Memory:   the block pool of pool_size() bytes, and what the Swarm and the Announcer keep.
// Errors:   none; what fails is logged and tried again.
// Lifetime: co_await stop() before destruction; the parts named by reference outlive it.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "net/clock.h"
#include "net/host_port.h"
#include "net/stream.h"
#include "net/swarm.h"
#include "net/tracker.h"
#include "storage/block_pool.h"
#include "storage/disk.h"
#include "storage/metainfo.h"
#include "storage/piece_store.h"
#include "storage/task_group.h"
#include "storage/worker_pool.h"

namespace swarmfs::net {

// A peer as the user names it.
using PeerName = HostPort;

// Bytes of blocks for a torrent with pieces of this length: enough for several readers' windows,
// and at least two pieces and what connections read into, or a torrent of large pieces would stand
// still.
[[nodiscard]] std::size_t pool_size(std::uint32_t piece_length);

class TorrentSession {
 public:
  struct Parts {
    asio::any_io_executor executor;
    Clock& clock;
    Dialer dialer;
    storage::Metainfo metainfo;
    storage::WorkerPool& hashers;
    storage::Disk* disk;  // null: memory only
    std::vector<PeerName> peers;
    std::uint16_t port = 0;  // told to trackers
    bool allow_local = false;
    Swarm::Log log;
  };
  explicit TorrentSession(Parts parts);
  TorrentSession(const TorrentSession&) = delete;
  TorrentSession& operator=(const TorrentSession&) = delete;

  void start();
  // Readers first, then trackers and peers together, then the store: at most the Announcer's
  // deadline, and what is left to write.
  [[nodiscard]] Task<void> stop();

  [[nodiscard]] const storage::Metainfo& metainfo() const { return parts_.metainfo; }
  [[nodiscard]] storage::PieceStore& store() { return store_; }
  [[nodiscard]] Swarm& swarm() { return swarm_; }
  [[nodiscard]] std::string trackers_status() const { return announcer_.status(); }

 private:
  [[nodiscard]] Swarm::Config swarm_config() const;
  [[nodiscard]] Announcer::Parts announcer_parts();
  // Looks `name` up until it is found, and adds what it stands for.
  [[nodiscard]] Task<void> find_peer(PeerName name);

  Parts parts_;
  PeerId peer_id_;
  storage::BlockPool pool_;
  storage::PieceStore store_;
  Swarm swarm_;
  Announcer announcer_;
  storage::TaskGroup lookups_;
};

}  // namespace swarmfs::net
