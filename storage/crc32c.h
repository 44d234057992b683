// CRC-32C, the checksum that two BEPs hash addresses with: 40 (peer priority) and 42 (node ids).
//
// Threads: any; pure. Memory: none. Errors: none.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

namespace swarmfs::storage {

// RFC 3720 appendix B.4 (Castagnoli), as a number.
[[nodiscard]] std::uint32_t crc32c(std::span<const std::byte> bytes);

}  // namespace swarmfs::storage
