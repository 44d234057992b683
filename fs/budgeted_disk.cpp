#include "fs/budgeted_disk.h"

#include <boost/system/errc.hpp>
#include <utility>

namespace swarmfs::fs {

Task<error_code> BudgetedDisk::write(std::uint64_t offset,
                                     std::vector<std::span<const std::byte>> from) {
  if (budget_ == nullptr) co_return storage::StorageErrc::cache_full;
  std::uint64_t size = 0;
  for (const auto& part : from) size += part.size();
  const error_code none = co_await budget_->room(size);
  if (none) {
    // Full or busy: for now. Otherwise the ledger cannot be written, and the file hardly either.
    const bool passes = none == storage::StorageErrc::cache_full ||
                        none == boost::system::errc::device_or_resource_busy;
    if (!passes && failed_) failed_();
    co_return none;
  }
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
