// The messages of ut_metadata (BEP 9): a bencoded dictionary, and behind it the bytes of a piece.
//
// Threads: pure. Memory: views into the input. Errors: none: what is malformed, or of a kind we do
// not know (BEP 9: to be ignored), says nothing.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "net/extension.h"
#include "storage/units.h"

namespace swarmfs::net {

// BEP 9: pieces of 16 KiB, the last one may be shorter. Not the pieces of the torrent.
inline constexpr std::uint32_t kMetadataPiece = storage::kBlockSize;
inline constexpr std::uint32_t kMaxMetadataPieces = kMaxMetadataSize / kMetadataPiece;

struct MetadataMessage {
  enum class Type : std::uint8_t { request = 0, data = 1, reject = 2 };
  Type type = Type::request;
  std::uint32_t piece = 0;                    // below kMaxMetadataPieces
  std::optional<std::uint32_t> total_size{};  // data: of the whole, 1 to kMaxMetadataSize
  std::span<const std::byte> data{};          // data: at most kMetadataPiece bytes
};

[[nodiscard]] std::vector<std::byte> encode(const MetadataMessage& message);
[[nodiscard]] std::optional<MetadataMessage> decode_metadata(std::span<const std::byte> payload);

}  // namespace swarmfs::net
