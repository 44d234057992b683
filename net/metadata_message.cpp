#include "net/metadata_message.h"

#include <string>

#include "storage/bencode.h"

namespace swarmfs::net {
namespace bencode = storage::bencode;

std::vector<std::byte> encode(const MetadataMessage& message) {
  bencode::Dictionary header;
  header.add("msg_type", static_cast<std::int64_t>(message.type));
  header.add("piece", std::int64_t{message.piece});
  if (message.total_size) header.add("total_size", std::int64_t{*message.total_size});
  const std::string text = header.encode();
  const auto bytes = std::as_bytes(std::span(text));
  std::vector<std::byte> payload(bytes.begin(), bytes.end());
  payload.insert(payload.end(), message.data.begin(), message.data.end());
  return payload;
}

std::optional<MetadataMessage> decode_metadata(std::span<const std::byte> payload) {
  const auto document =
      bencode::Document::read(payload, bencode::kMessageLimits, bencode::Mode::lenient);
  if (!document) return std::nullopt;
  const bencode::Value root = document->root();
  const auto type = root["msg_type"].integer(0, 2);
  const auto piece = root["piece"].integer(0, kMaxMetadataPieces - 1);
  if (!type || !piece) return std::nullopt;
  MetadataMessage message;
  message.type = static_cast<MetadataMessage::Type>(*type);
  message.piece = static_cast<std::uint32_t>(*piece);
  if (const auto size = root["total_size"].integer(1, kMaxMetadataSize)) {
    message.total_size = static_cast<std::uint32_t>(*size);
  }
  if (message.type == MetadataMessage::Type::data) {
    message.data = document->trailing();
    if (message.data.size() > kMetadataPiece) return std::nullopt;
  }
  return message;
}

}  // namespace swarmfs::net
