// What a cache file holds, as it is remembered between runs: a value, and the bytes of the file
// `resume`. All integers big-endian:
//
//   8  "swarmfsR"
//   4  version: 1
//  20  info-hash
//   4  piece length
//   8  total size
//   .  one bit a piece, as in a BEP 3 bitfield: its data had been synced when this was written
//   .  times of last use of those pieces, in piece order, as runs of one time: 4 bytes of Unix
//      minutes (0: never), then the number of pieces as LEB128
//   2  number of peers, then 18 bytes each: IPv6 address (IPv4 mapped), port
//   4  CRC-32C of everything before
//
// What is claimed is a hint and not a promise: whoever reads such a piece hashes it first.
//
// Threads: any; pure. Memory: that of the value: 9 bytes a piece at the most in the file. Errors:
// StorageErrc::resume_...; whatever is odd makes the whole file nothing. One value has one form.
#pragma once
#include <boost/asio/ip/tcp.hpp>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "storage/bitfield.h"
#include "storage/hash.h"
#include "storage/layout.h"
#include "storage/result.h"

namespace swarmfs::storage {

// Peers kept: as many as are dialled at once when a mount starts (net/connections: 60).
inline constexpr std::size_t kMaxResumePeers = 60;

struct Resume {
  InfoHash info_hash;
  std::uint32_t piece_length = 0;
  std::uint64_t total_size = 0;
  Bitfield pieces;                       // whose data is in the file
  std::vector<std::uint32_t> last_used;  // by piece, Unix minutes; 0: never, or not in the file
  std::vector<asio::ip::tcp::endpoint> peers;  // that delivered, the best first

  bool operator==(const Resume&) const = default;
};

// Nothing in the file, nobody known.
[[nodiscard]] Resume empty_resume(const InfoHash& info_hash, const Layout& layout);
// Whether its numbers are those of this torrent.
[[nodiscard]] bool fits(const Resume& resume, const InfoHash& info_hash, const Layout& layout);

// At most kMaxResumePeers peers; none with port 0.
[[nodiscard]] std::vector<std::byte> encode_resume(const Resume& resume);
[[nodiscard]] Result<Resume> parse_resume(std::span<const std::byte> bytes);
// Bytes of the largest file of a torrent with so many pieces.
[[nodiscard]] std::size_t max_resume_size(std::uint32_t piece_count);

}  // namespace swarmfs::storage
