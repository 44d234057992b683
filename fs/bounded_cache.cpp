#include "fs/bounded_cache.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "fs/cache_ledger.h"
#include "fs/cache_usage.h"
#include "fs/idle_torrents.h"
#include "storage/task_group.h"

namespace swarmfs::fs {
namespace {

using namespace std::chrono_literals;

// Reserved at a time: a turn at the ledger costs about as much as writing 100 KiB.
constexpr std::uint64_t kMaxChunk = 16 * 1024 * 1024;
// And of a small cache no more than this share, which others could not use.
constexpr std::uint64_t kChunkShare = 32;
// What torrents that nobody has mounted give up at a time, in chunks: each time costs a sync.
constexpr std::uint64_t kIdleChunks = 8;
// How soon --prefetch sees that a file was opened, closed or completed.
constexpr net::Duration kPrefetchLook = 1s;

std::uint64_t chunk_of(const CacheLimits& limits, const DiskSpace& disk) {
  const std::uint64_t size = limits.size ? limits.size->resolve(disk.total) : disk.total;
  return std::clamp<std::uint64_t>(size / kChunkShare, 1, kMaxChunk);
}

}  // namespace

BoundedCache::BoundedCache(Parts parts)
    : parts_(std::move(parts)), chunk_(chunk_of(parts_.limits, disk_space(parts_.root))) {
  Result<CacheLedger> ledger = CacheLedger::open(parts_.root, parts_.limits);
  if (!ledger) {
    parts_.warn("cannot share out the cache directory (" + parts_.root +
                "/budget: " + ledger.error().message() + "); nothing is kept on disk");
    disk_ = std::make_unique<BudgetedDisk>(parts_.disk, nullptr);
    return;
  }
  CacheBudget::Parts budget = budget_parts();
  budget.ledger = std::make_shared<CacheLedger>(*std::move(ledger));
  budget_.emplace(std::move(budget));
  // What cannot be kept would be fetched again and again.
  disk_ = std::make_unique<BudgetedDisk>(parts_.disk, &*budget_, [this] { stop_prefetch(); });
}

BoundedCache::~BoundedCache() = default;

CacheBudget::Parts BoundedCache::budget_parts() {
  return {.executor = parts_.executor,
          .clock = parts_.clock,
          .workers = parts_.workers,
          .ledger = nullptr,
          .chunk = chunk_,
          .give_up = [this](std::uint64_t bytes,
                            storage::UseTime before) { return give_up(bytes, before); },
          .oldest = [this] { return own_ ? own_->oldest() : storage::kNeverUsed; },
          .give_up_idle =
              [root = parts_.root, least = kIdleChunks * chunk_](std::uint64_t bytes) {
                return give_up_idle(root, std::max(bytes, least));
              },
          .spare =
              [this](std::uint64_t bytes) {
                spare_ = bytes;
                if (prefetcher_) prefetcher_->on_spare(bytes);
              },
          .warn = parts_.warn};
}

storage::Disk& BoundedCache::disk() {
  return *disk_;
}

void BoundedCache::attach(OwnPieces::Parts own, std::span<const std::uint32_t> last_used) {
  store_ = &own.store;
  own_.emplace(std::move(own), last_used);
}

void BoundedCache::prefetch(std::function<net::Demand(net::Wish)> want,
                            std::function<std::vector<storage::ByteRange>()> files,
                            std::uint64_t in_flight) {
  const auto is_there = [store = store_](storage::ByteRange range) {
    return store->present_bytes(range) == range.size();
  };
  prefetcher_.emplace(Prefetcher::Parts{.want = std::move(want),
                                        .files = std::move(files),
                                        .is_there = is_there,
                                        .margin = chunk_ + in_flight});
  prefetcher_->on_spare(spare_);
}

void BoundedCache::on_used(storage::PieceIndex piece) {
  if (own_) own_->on_used(piece);
}

Task<std::uint64_t> BoundedCache::give_up(std::uint64_t bytes, storage::UseTime used_before) {
  if (!own_) co_return 0;
  co_return co_await own_->give_up(bytes, used_before);
}

Task<void> BoundedCache::look_for_prefetch() {
  while (true) {
    co_await parts_.clock.sleep(kPrefetchLook);
    if (prefetcher_) prefetcher_->look();
  }
}

Task<void> BoundedCache::stop() {
  if (!budget_) co_return;
  co_await budget_->stop();
  if (own_) co_await own_->stop();
}

Task<void> BoundedCache::watch() {
  if (!budget_) co_return;
  co_await budget_->watch();
}

}  // namespace swarmfs::fs
