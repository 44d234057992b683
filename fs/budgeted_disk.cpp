#include "fs/budgeted_disk.h"

#include <utility>

namespace swarmfs::fs {

Task<error_code> BudgetedDisk::write(std::uint64_t offset,
                                     std::vector<std::span<const std::byte>> from) {
  if (budget_ == nullptr) co_return storage::StorageErrc::cache_full;
  std::uint64_t size = 0;
  for (const auto& part : from) size += part.size();
  const bool room = co_await budget_->room(size);
  if (!room) co_return storage::StorageErrc::cache_full;
  const error_code written = co_await disk_.write(offset, std::move(from));
  // What came of it before the disk was full would take room that nobody knows of.
  if (written && written != storage::StorageErrc::short_read) {
    const storage::ByteRange range{offset, offset + size};
    const error_code punched = co_await disk_.punch(range);
    static_cast<void>(punched);  // then it stays, until the piece comes again
    if (failed_) failed_();
  }
  budget_->settle(size);
  co_return written;
}

}  // namespace swarmfs::fs
