// A disk that is slow, full or broken as told. Its file is sparse.
//
// Threads: one. Memory: what was written. Errors: on purpose. Lifetime: await all calls first.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "storage/disk.h"
#include "tests/sim/rng.h"
#include "tests/sim/sim_clock.h"

namespace swarmfs::sim {

struct DiskSpec {
  Duration latency{};                         // of each call
  double cached = 1;                          // probability that read_now() can answer
  std::optional<std::uint64_t> full_after{};  // bytes; then ENOSPC, after writing what still fits
  std::optional<std::uint32_t> fails_on_call{};  // EIO on this call to write (1 = the first)
  double read_errors = 0;                        // probability of EIO on a read
  double short_reads = 0;                        // probability that the file ends early
  double corrupt_reads = 0;                      // probability that a read returns a flipped bit
  // Each n-th call fails with EIO; 0: none does.
  std::uint32_t write_fault = 0, read_fault = 0, sync_fault = 0, punch_fault = 0;
};

class SimDisk final : public storage::Disk {
 public:
  SimDisk(SimLoop& loop, DiskSpec spec, std::uint64_t seed)
      : loop_(loop), spec_(spec), rng_(seed) {}
  Task<error_code> read(std::uint64_t offset, std::span<std::byte> into) override;
  bool read_now(std::uint64_t offset, std::span<std::byte> into) override;
  Task<error_code> write(std::uint64_t offset,
                         std::vector<std::span<const std::byte>> from) override;
  Task<error_code> sync() override;
  Task<error_code> punch(storage::ByteRange range) override;
  // Was there before this run, and takes no room.
  void preset(std::uint64_t offset, std::span<const std::byte> bytes);
  [[nodiscard]] std::uint64_t written() const { return written_; }
  [[nodiscard]] std::uint32_t reads() const { return reads_; }

 private:
  static constexpr std::size_t kChunk = 16 * 1024;
  using Chunk = std::vector<std::byte>;
  static bool is_nth(std::uint32_t count, std::uint32_t n) { return n != 0 && count % n == 0; }
  bool copy_out(std::uint64_t offset, std::span<std::byte> into);
  void copy_in(std::uint64_t offset, std::span<const std::byte> from);

  SimLoop& loop_;
  DiskSpec spec_;
  Rng rng_;
  std::map<std::uint64_t, Chunk> chunks_;  // by offset / kChunk; the others are holes
  std::uint64_t size_ = 0;                 // of the file
  std::uint64_t written_ = 0;
  std::uint32_t writes_ = 0, reads_ = 0, syncs_ = 0, punches_ = 0;
};

}  // namespace swarmfs::sim
