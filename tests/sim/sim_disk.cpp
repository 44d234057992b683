#include "tests/sim/sim_disk.h"

#include <algorithm>
#include <boost/system/errc.hpp>

namespace swarmfs::sim {
namespace errc = boost::system::errc;

void SimDisk::copy_in(std::uint64_t offset, std::span<const std::byte> from) {
  for (std::size_t at = 0; at < from.size();) {
    Chunk& chunk = chunks_[(offset + at) / kChunk];
    chunk.resize(kChunk);
    const std::size_t skip = (offset + at) % kChunk;
    const std::size_t n = std::min(kChunk - skip, from.size() - at);
    std::copy_n(from.begin() + static_cast<std::ptrdiff_t>(at), n,
                chunk.begin() + static_cast<std::ptrdiff_t>(skip));
    at += n;
  }
  written_ += from.size();
  if (!from.empty()) size_ = std::max(size_, offset + from.size());
}

void SimDisk::preset(std::uint64_t offset, std::span<const std::byte> bytes) {
  const std::uint64_t before = written_;
  copy_in(offset, bytes);
  written_ = before;
}

bool SimDisk::copy_out(std::uint64_t offset, std::span<std::byte> into) {
  if (offset + into.size() > size_) return false;
  for (std::size_t at = 0; at < into.size();) {
    const auto chunk = chunks_.find((offset + at) / kChunk);
    const std::size_t skip = (offset + at) % kChunk;
    const std::size_t n = std::min(kChunk - skip, into.size() - at);
    const auto to = into.begin() + static_cast<std::ptrdiff_t>(at);
    if (chunk == chunks_.end()) {
      std::fill_n(to, n, std::byte{});
    } else {
      std::copy_n(chunk->second.begin() + static_cast<std::ptrdiff_t>(skip), n, to);
    }
    at += n;
  }
  if (!into.empty() && rng_.chance(spec_.corrupt_reads))
    into[rng_.below(into.size())] ^= std::byte{1};
  return true;
}

Task<error_code> SimDisk::read(std::uint64_t offset, std::span<std::byte> into) {
  const std::uint32_t call = ++reads_;
  if (spec_.latency > Duration{}) co_await loop_.clock().sleep(spec_.latency);
  if (rng_.chance(spec_.read_errors) || is_nth(call, spec_.read_fault))
    co_return errc::make_error_code(errc::io_error);
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
  if (spec_.fails_on_call == call || is_nth(call, spec_.write_fault))
    co_return errc::make_error_code(errc::io_error);
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
  const std::uint32_t call = ++syncs_;
  if (spec_.latency > Duration{}) co_await loop_.clock().sleep(spec_.latency);
  co_return is_nth(call, spec_.sync_fault) ? errc::make_error_code(errc::io_error) : error_code{};
}

Task<error_code> SimDisk::punch(storage::ByteRange range) {
  const std::uint32_t call = ++punches_;
  if (spec_.latency > Duration{}) co_await loop_.clock().sleep(spec_.latency);
  if (is_nth(call, spec_.punch_fault)) co_return errc::make_error_code(errc::io_error);
  for (std::uint64_t at = range.begin; at < range.end;) {
    const std::size_t skip = at % kChunk;
    const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(kChunk - skip, range.end - at));
    const auto chunk = chunks_.find(at / kChunk);
    if (chunk != chunks_.end())
      std::fill_n(chunk->second.begin() + static_cast<std::ptrdiff_t>(skip), n, std::byte{});
    at += n;
  }
  co_return error_code{};
}

}  // namespace swarmfs::sim
