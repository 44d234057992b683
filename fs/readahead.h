// The habit of one open file: whether its reader streams, how fast it consumes, and which bytes it
// will want next. Pure: READs and the time go in, a plan comes out.
//
// It arms only after a stretch of contiguous reading, so that probes (file, ffprobe, thumbnails,
// hops between an index and the data) fetch nothing beyond their own pieces. The window is counted
// in seconds of the consumption measured while the reader was not waiting for us: a player gets
// what it plays in kAhead, a copy, which consumes all it can get, gets the cap.
//
// Threads: plain value. Memory: constant. Errors: none. Offsets are the file's own.
#pragma once
#include <cstdint>
#include <optional>

#include "net/clock.h"
#include "storage/units.h"

namespace swarmfs::fs {

class Readahead {
 public:
  struct Plan {
    storage::ByteRange range;  // empty: withdraw what was planned
    double pace = 0;           // bytes per second; the first byte of `range` is due now
    bool operator==(const Plan&) const = default;
  };

  // Contiguous bytes after which a reader counts as streaming. Above what probes read in one go
  // (ffprobe up to 704 KiB, a thumbnail 670 KiB; measured), below what a player buffers first.
  static constexpr std::uint64_t kArmAfter = 1024 * 1024;
  // READs of one sequential reader arrive out of order by up to this much (the kernel sends them
  // asynchronously, and a player's threads share a handle).
  static constexpr std::uint64_t kSlack = 1024 * 1024;
  // Window when arming; it grows by twice what is read after that.
  static constexpr std::uint64_t kFirstWindow = 256 * 1024;
  // Least window of a reader past its ramp: covers a request round trip and a piece's hash for any
  // consumption too slow to matter.
  static constexpr std::uint64_t kMinWindow = 4 * 1024 * 1024;
  // Most planned ahead of one handle, when its owner does not say otherwise.
  static constexpr std::uint64_t kMaxWindow = 32 * 1024 * 1024;
  // Seconds of consumption to have ahead: rides out a choked peer (10 s, the unchoke interval).
  static constexpr net::Duration kAhead = std::chrono::seconds(10);

  explicit Readahead(std::uint64_t file_size, std::uint64_t max_window = kMaxWindow)
      : file_size_(file_size), max_window_(max_window) {}

  // The reader asks for `read` (clipped to the file). Returns the plan to put in force instead of
  // the last one; empty: no change. `max_window`: this handle's present share.
  [[nodiscard]] std::optional<Plan> on_read(storage::ByteRange read, net::TimePoint now);
  // A READ has to wait for data; it is answered. While any waits, the reader's time does not count.
  void on_wait(net::TimePoint now);
  void on_answer(net::TimePoint now);
  // Forgets the plan (the reader went away); arms anew by reading on.
  void disarm();

  // Where the reader is: what it may ask for again because READs arrive out of order, and all that
  // is planned. Empty before the first READ, and after disarm().
  [[nodiscard]] storage::ByteRange window() const;

  [[nodiscard]] bool armed() const { return armed_; }
  [[nodiscard]] double rate() const;  // bytes per second while not waiting; 0: unknown

 private:
  [[nodiscard]] std::optional<Plan> plan();
  void count(std::uint64_t bytes, net::TimePoint now);
  [[nodiscard]] std::uint64_t window_size() const;

  std::uint64_t file_size_;
  std::uint64_t max_window_;
  // The run: a stretch of reading without a jump.
  std::uint64_t run_begin_ = 0;
  std::uint64_t run_end_ = 0;    // one past the highest byte asked for
  std::uint64_t run_bytes_ = 0;  // asked for in it; holes of less than kSlack do not count
  bool armed_ = false;
  std::uint64_t armed_at_ = 0;  // run_bytes_ when it armed
  std::uint64_t planned_end_ = 0;
  // Consumption: bytes and active seconds, both fading by bytes consumed.
  double bytes_ = 0;
  double seconds_ = 0;
  std::uint32_t waiting_ = 0;
  std::optional<net::TimePoint> active_since_;  // empty while waiting or before the first READ
};

}  // namespace swarmfs::fs
