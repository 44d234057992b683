// The cache file of one torrent, written only when the budget has room for it.
//
// Threads, Memory, Lifetime: those of storage::Disk; the disk and the budget outlive it. Errors:
// those of the disk; those of CacheBudget::room() for a write without room, which is not tried.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "fs/cache_budget.h"
#include "storage/disk.h"

namespace swarmfs::fs {

class BudgetedDisk final : public storage::Disk {
 public:
  // `budget`: null: there is never room. `failed`: called when a write failed that had room, or
  // whose room cannot be known.
  BudgetedDisk(storage::Disk& disk, CacheBudget* budget, std::function<void()> failed = {})
      : disk_(disk), budget_(budget), failed_(std::move(failed)) {}
  Task<error_code> read(std::uint64_t offset, std::span<std::byte> into) override {
    return disk_.read(offset, into);
  }
  bool read_now(std::uint64_t offset, std::span<std::byte> into) override {
    return disk_.read_now(offset, into);
  }
  Task<error_code> write(std::uint64_t offset,
                         std::vector<std::span<const std::byte>> from) override;
  Task<error_code> sync() override { return disk_.sync(); }
  Task<error_code> punch(storage::ByteRange range) override { return disk_.punch(range); }

 private:
  storage::Disk& disk_;
  CacheBudget* budget_;
  std::function<void()> failed_;
};

}  // namespace swarmfs::fs
