// Programs that read the mount, the way fs/read_op does it: want() the range, read() the store, let
// go. What they get is compared with the truth, byte for byte.
//
// Threads: one. Memory: one entry a read. Errors: wrong bytes are a violation in the ledger.
// Lifetime: World.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "fs/readahead.h"
#include "net/swarm.h"
#include "storage/piece_store.h"
#include "tests/sim/audit.h"
#include "tests/sim/sim_clock.h"
#include "tests/sim/truth.h"

namespace swarmfs::sim {

struct ReaderSpec {
  enum class Kind {
    copy,   // from front to back, as fast as it can (cp, and a player with a greedy cache)
    play,   // from front to back at a bitrate, from a 2 s buffer, with jumps
    seeks,  // small reads at random places, one after the other
    probe,  // head, tail, head again: ffprobe, file managers, thumbnailers
  };
  Kind kind = Kind::copy;
  Duration start{};
  std::uint64_t from = 0;    // copy, play: first byte
  std::uint64_t bytes = 0;   // copy, play: how many (play: from each place); 0: to the end
  double bitrate = 1e6;      // play: bytes per second
  std::uint32_t jumps = 0;   // play: to random places, each of which is played like the first
  std::uint32_t count = 10;  // seeks
  std::uint32_t size = 128 * 1024;  // of a read: what the kernel sends at a time
  Duration pause{};                 // between two seeks
  double impatience = 0;            // probability that a read is given up before its time
};

struct ReadResult {
  TimePoint began;
  storage::ByteRange range;
  std::optional<Duration> took;  // empty: still waiting, or given up
  bool given_up = false;
  Duration bound{};  // the oracle's least possible time; zero: not asked, or nothing was missing
};

// What a reader touches.
struct Bench {
  SimLoop& loop;
  const Truth& truth;
  storage::PieceStore& store;
  net::Swarm& swarm;
  Ledger& ledger;
  std::function<Duration(storage::ByteRange)> oracle;  // may be empty
};

class Reader {
 public:
  Reader(Bench bench, ReaderSpec spec, std::uint64_t seed, std::uint32_t id = 1);
  ~Reader();
  [[nodiscard]] Task<void> run();
  [[nodiscard]] bool done() const { return done_; }
  [[nodiscard]] const ReaderSpec& spec() const { return spec_; }
  [[nodiscard]] const std::vector<ReadResult>& results() const { return results_; }
  [[nodiscard]] std::uint64_t bytes_read() const { return bytes_read_; }
  // play: how often and how long the picture stood still after it had begun; how long it took to
  // appear, after the opening and after each jump.
  [[nodiscard]] std::uint32_t stalls() const { return stalls_; }
  [[nodiscard]] Duration stalled() const { return stalled_; }
  [[nodiscard]] const std::vector<Duration>& pictures() const { return pictures_; }

 private:
  class Wished;
  class Waiting;
  [[nodiscard]] Task<void> read(storage::ByteRange range);
  [[nodiscard]] Task<std::optional<Result<storage::ReadView>>> read_or_give_up(
      storage::ByteRange range, Duration patience);
  [[nodiscard]] Task<void> copy();
  [[nodiscard]] Task<void> play();
  [[nodiscard]] Task<void> play(storage::ByteRange part);
  [[nodiscard]] Task<void> seeks();
  [[nodiscard]] Task<void> probe();
  void plan_ahead(storage::ByteRange range);
  void check(const storage::ReadView& view, storage::ByteRange range);

  Bench bench_;
  ReaderSpec spec_;
  std::uint32_t id_;  // net::Wish::reader
  Rng rng_;
  std::vector<ReadResult> results_;
  bool done_ = false;
  std::uint64_t bytes_read_ = 0;
  fs::Readahead readahead_;  // as the mount has it
  std::unique_ptr<Wished> ahead_;
  std::uint32_t stalls_ = 0;
  Duration stalled_{};
  std::vector<Duration> pictures_;
};

}  // namespace swarmfs::sim
