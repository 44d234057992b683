// What a .torrent may say at most.
//
// Threads: constants.
#pragma once
#include <cstddef>
#include <cstdint>

namespace swarmfs::storage {

// Larger than any .torrent seen in the wild by a good margin; libtorrent refuses more than
// 10,000,000 bytes.
inline constexpr std::size_t kMaxTorrentSize = 10 * 1024 * 1024;
// libtorrent's limits. One bit a piece makes a bitfield of 256 KiB, below the 1 MiB of a peer
// message.
inline constexpr std::uint32_t kMaxPieces = 2'097'152;
inline constexpr std::int64_t kMaxPieceLength = 512 * 1024 * 1024 - 16 * 1024;
inline constexpr std::int64_t kMaxFileLength = (std::int64_t{1} << 48) - 1;
// Folders above a file, the torrent's own not counted.
inline constexpr std::size_t kMaxFolderDepth = 100;
// 9999-12-31: what comes later is milliseconds or nonsense.
inline constexpr std::int64_t kMaxCreationDate = 253'402'300'799;

}  // namespace swarmfs::storage
