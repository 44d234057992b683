// One run: the real engine (Connections, Swarm, PieceStore, BlockPool) between simulated peers and
// simulated readers.
//
// Threads: one. Errors: violations() after run(). Lifetime: one run each.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "net/swarm.h"
#include "storage/block_pool.h"
#include "storage/piece_store.h"
#include "storage/task_group.h"
#include "storage/worker_pool.h"
#include "tests/sim/audit.h"
#include "tests/sim/reader.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_net.h"
#include "tests/sim/sim_peer.h"

namespace swarmfs::sim {

// What an earlier run left in the cache file.
struct Leftover {
  double claimed = 1;  // share of the pieces that are said to be there
  double right = 1;    // share of those that are: others are holes, cut off, or have a flipped bit
};

struct WorldSpec {
  std::uint64_t seed = 1;
  std::uint64_t total = 4 * 1024 * 1024;
  std::uint32_t piece_length = 256 * 1024;
  std::vector<storage::ByteRange> pads;
  std::vector<PeerSpec> peers;
  std::vector<ReaderSpec> readers;
  double line_rate = 0;              // bytes per second of the access line; 0: no limit
  std::optional<DiskSpec> disk;      // empty: memory only
  std::optional<Leftover> leftover;  // only with a disk
  Duration evict_every{};            // some piece is taken out of the file; zero: none is
  // Also one that is read at that moment. A read of two large pieces may then never see both.
  bool evict_wanted = false;
  std::size_t pool_blocks = 4096;
  Duration warm_up{};         // mounted for this long before the readers start
  Duration horizon = 120s;    // readers that are not done by then have failed
  Duration read_bound = 60s;  // each read ends within
  Duration quiet = 5s;        // run on after the last reader: nothing may be requested
  bool ask_oracle = false;
};

class World {
 public:
  explicit World(WorldSpec spec);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  void run();
  void follow(std::uint32_t piece) { ledger_.follow(piece); }

  [[nodiscard]] const WorldSpec& spec() const { return spec_; }
  [[nodiscard]] const std::vector<std::string>& violations() const { return ledger_.violations(); }
  [[nodiscard]] const Ledger& ledger() const { return ledger_; }
  [[nodiscard]] const std::vector<std::unique_ptr<Reader>>& readers() const { return readers_; }
  [[nodiscard]] const std::vector<std::unique_ptr<SimPeer>>& peers() const { return peers_; }
  [[nodiscard]] const net::SwarmStatus& status() const { return status_; }  // at the end of the run
  [[nodiscard]] std::uint64_t trace() const { return ledger_.trace(); }
  [[nodiscard]] Duration took() const {
    return took_;
  }  // from the first reader's start to the last one's end
  [[nodiscard]] Duration lived() const { return loop_.elapsed(); }
  [[nodiscard]] const std::vector<std::string>& log() const { return log_; }
  // Least time for the blocks of `range` that are missing, over the links to peers that serve
  // honestly.
  [[nodiscard]] Duration oracle(storage::ByteRange range) const;

 private:
  [[nodiscard]] static Endpoint endpoint_of(std::size_t peer);
  void add_peers();
  [[nodiscard]] storage::Bitfield leave_behind();
  [[nodiscard]] Task<void> evict_some();
  void read_all();
  void rest();
  void check_reads();
  [[nodiscard]] std::string what_is_missing(storage::ByteRange range) const;
  void shut_down();
  [[nodiscard]] static Task<void> stop(World& world, bool& stopped);

  WorldSpec spec_;
  SimLoop loop_;
  Rng rng_;
  Truth truth_;
  Ledger ledger_;
  SimNet net_;
  std::vector<std::unique_ptr<SimPeer>> peers_;
  storage::BlockPool pool_;
  storage::WorkerPool workers_;
  std::unique_ptr<SimDisk> disk_;
  std::unique_ptr<storage::PieceStore> store_;
  std::unique_ptr<net::Connections> connections_;
  std::unique_ptr<net::Swarm> swarm_;
  std::vector<std::unique_ptr<Reader>> readers_;
  storage::TaskGroup tasks_;
  net::SwarmStatus status_;
  Duration took_{};
  std::vector<std::string> log_;
};

}  // namespace swarmfs::sim
