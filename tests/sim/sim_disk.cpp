#include "tests/sim/sim_disk.h"

#include <algorithm>
#include <boost/system/errc.hpp>

namespace swarmfs::sim {
namespace errc = boost::system::errc;

void SimDisk::copy_in(std::uint64_t offset, std::span<const std::byte> from) {
  for (std::size_t at = 0; at < from.size();) {
    std::vector<std::byte>& chunk = chunks_[(offset + at) / kChunk];
    chunk.resize(kChunk);
    const std::size_t skip = (offset + at) % kChunk;
    const std::size_t n = std::min(kChunk - skip, from.size() - at);
    std::copy_n(from.begin() + static_cast<std::ptrdiff_t>(at), n,
                chunk.begin() + static_cast<std::ptrdiff_t>(skip));
    at += n;
  }
  written_ += from.size();
}

bool SimDisk::copy_out(std::uint64_t offset, std::span<std::byte> into) {
  for (std::size_t at = 0; at < into.size();) {
    const auto chunk = chunks_.find((offset + at) / kChunk);
    if (chunk == chunks_.end()) return false;
    const std::size_t skip = (offset + at) % kChunk;
    const std::size_t n = std::min(kChunk - skip, into.size() - at);
    std::copy_n(chunk->second.begin() + static_cast<std::ptrdiff_t>(skip), n,
                into.begin() + static_cast<std::ptrdiff_t>(at));
    at += n;
  }
  if (!into.empty() && rng_.chance(spec_.corrupt_reads))
    into[rng_.below(into.size())] ^= std::byte{1};
  return true;
}

Task<error_code> SimDisk::read(std::uint64_t offset, std::span<std::byte> into) {
  ++reads_;
  if (spec_.latency > Duration{}) co_await loop_.clock().sleep(spec_.latency);
  if (rng_.chance(spec_.read_errors)) co_return errc::make_error_code(errc::io_error);
  if (rng_.chance(spec_.short_reads)) {
    (void)copy_out(offset, into.first(into.size() / 2));
    co_return make_error_code(storage::StorageErrc::short_read);
  }
  co_return copy_out(offset, into) ? error_code{}
                                   : make_error_code(storage::StorageErrc::short_read);
}

bool SimDisk::read_now(std::uint64_t offset, std::span<std::byte> into) {
  return rng_.chance(spec_.cached) && copy_out(offset, into);
}

Task<error_code> SimDisk::write(std::uint64_t offset,
                                std::vector<std::span<const std::byte>> from) {
  const std::uint32_t call = ++writes_;
  if (spec_.latency > Duration{}) co_await loop_.clock().sleep(spec_.latency);
  if (spec_.fails_on_call == call) co_return errc::make_error_code(errc::io_error);
  for (const std::span<const std::byte>& part : from) {
    std::size_t n = part.size();
    if (spec_.full_after)
      n = std::min<std::size_t>(n, *spec_.full_after - std::min(*spec_.full_after, written_));
    copy_in(offset, part.first(n));
    if (n < part.size()) co_return errc::make_error_code(errc::no_space_on_device);
    offset += n;
  }
  co_return error_code{};
}

Task<error_code> SimDisk::sync() {
  if (spec_.latency > Duration{}) co_await loop_.clock().sleep(spec_.latency);
  co_return error_code{};
}

}  // namespace swarmfs::sim
