#include "net/message_reader.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace swarmfs::net {
namespace {

// Room for what is not a block: a burst of have messages, the start of a bitfield.
constexpr std::size_t kTailSize = 4096;
constexpr std::uint32_t kFullPieceMessage = 9 + storage::kBlockSize;

}  // namespace

MessageReader::MessageReader(storage::BlockPool& pool, std::uint32_t max_message_size,
                             Handlers handlers)
    : pool_(pool),
      max_message_size_(max_message_size),
      handlers_(std::move(handlers)),
      tail_(kTailSize) {}

std::span<const asio::mutable_buffer> MessageReader::prepare(std::size_t expected_blocks) {
  buffers_.clear();
  slot_count_ = 0;
  header_prefix_ = 0;
  incoming_room_ = 0;
  if (incoming_) {
    if (!incoming_->block) {  // skipping
      incoming_room_ = std::min<std::size_t>(incoming_->length - incoming_->filled, tail_.size());
      buffers_.emplace_back(tail_.data(), incoming_room_);
      return buffers_;
    }
    incoming_room_ = incoming_->length - incoming_->filled;
    buffers_.emplace_back(incoming_->block.data() + incoming_->filled, incoming_room_);
    if (expected_blocks > 0) --expected_blocks;
  }
  // A partial header can be completed in place; any other partial message is read on in line.
  if (linear_.size() < kPieceHeaderSize) {
    const std::size_t want = std::min({expected_blocks, predicted_, kMaxPredicted});
    while (slot_count_ < want) {
      Slot& slot = slots_[slot_count_];
      if (!slot.block) {
        std::optional<storage::Block> block = pool_.acquire();
        if (!block) break;
        slot.block = std::move(*block);
      }
      std::size_t skip = 0;
      if (slot_count_ == 0 && !linear_.empty()) {
        std::copy(linear_.begin(), linear_.end(), slot.header.begin());
        header_prefix_ = skip = linear_.size();
      }
      buffers_.emplace_back(slot.header.data() + skip, kPieceHeaderSize - skip);
      buffers_.emplace_back(slot.block.data(), storage::kBlockSize);
      ++slot_count_;
    }
    if (header_prefix_ > 0) linear_.clear();
  }
  buffers_.emplace_back(tail_.data(), tail_.size());
  return buffers_;
}

void MessageReader::release() {
  if (header_prefix_ > 0) {
    linear_.assign(slots_[0].header.begin(),
                   slots_[0].header.begin() + static_cast<std::ptrdiff_t>(header_prefix_));
  }
  header_prefix_ = slot_count_ = 0;
  for (Slot& slot : slots_) slot.block = storage::Block();
}

bool MessageReader::starts_full_block(std::span<const std::byte, kPieceHeaderSize> header) const {
  return read_u32(header.first<4>()) == kFullPieceMessage &&
         header[4] == static_cast<std::byte>(MessageId::piece);
}

error_code MessageReader::finish_incoming() {
  Incoming done = std::move(*incoming_);
  incoming_.reset();
  return handlers_.on_block(done.index, done.begin, done.length, std::move(done.block));
}

error_code MessageReader::commit(std::size_t bytes) {
  // Follow the stream: twice what came, so that a faster peer is met in a few reads.
  predicted_ = std::clamp<std::size_t>(2 * (bytes / storage::kBlockSize) + 1, 1, kMaxPredicted);
  if (incoming_) {
    const std::size_t n = std::min(bytes, incoming_room_);
    incoming_->filled += static_cast<std::uint32_t>(n);
    bytes -= n;
    if (incoming_->filled == incoming_->length) {
      if (const error_code ec = finish_incoming()) return ec;
    }
  }
  if (const error_code ec = commit_slots(bytes)) return ec;
  return parse_linear();
}

error_code MessageReader::commit_slots(std::size_t bytes) {
  for (std::size_t i = 0; i < slot_count_; ++i) {
    Slot& slot = slots_[i];
    const std::size_t prefix = i == 0 ? header_prefix_ : 0;
    if (bytes < kPieceHeaderSize - prefix || !starts_full_block(slot.header)) {
      gather(i, prefix, bytes);
      return {};
    }
    bytes -= kPieceHeaderSize - prefix;
    const std::size_t n = std::min<std::size_t>(bytes, storage::kBlockSize);
    bytes -= n;
    const std::span<const std::byte> header = slot.header;
    incoming_ =
        Incoming{read_u32(header.subspan(5).first<4>()), read_u32(header.subspan(9).first<4>()),
                 storage::kBlockSize, std::move(slot.block), static_cast<std::uint32_t>(n)};
    if (n < storage::kBlockSize) return {};
    if (const error_code ec = finish_incoming()) return ec;
    if (bytes == 0) return {};
  }
  linear_.insert(linear_.end(), tail_.begin(), tail_.begin() + static_cast<std::ptrdiff_t>(bytes));
  return {};
}

// The stream was not what was predicted from `slot` on: `bytes` more bytes (and the header's
// prefix) go in line.
void MessageReader::gather(std::size_t slot, std::size_t prefix, std::size_t bytes) {
  const auto take = [this, &bytes](const std::byte* data, std::size_t room) {
    const std::size_t n = std::min(bytes, room);
    linear_.insert(linear_.end(), data, data + n);
    bytes -= n;
  };
  linear_.insert(linear_.end(), slots_[slot].header.begin(),
                 slots_[slot].header.begin() + static_cast<std::ptrdiff_t>(prefix));
  take(slots_[slot].header.data() + prefix, kPieceHeaderSize - prefix);
  for (std::size_t i = slot; i < slot_count_; ++i) {
    if (i != slot) take(slots_[i].header.data(), kPieceHeaderSize);
    take(slots_[i].block.data(), storage::kBlockSize);
  }
  take(tail_.data(), tail_.size());
}

// A predicted block that was not used, else one from the pool; empty when that is used up.
storage::Block MessageReader::take_block() {
  for (Slot& slot : slots_) {
    if (slot.block) return std::move(slot.block);
  }
  std::optional<storage::Block> block = pool_.acquire();
  return block ? std::move(*block) : storage::Block();
}

error_code MessageReader::parse_linear() {
  std::span<const std::byte> rest = linear_;
  while (rest.size() >= kLengthPrefixSize) {
    const std::uint32_t length = read_u32(rest.first<4>());
    if (length > max_message_size_) return NetErrc::too_large;
    const auto body = rest.subspan(kLengthPrefixSize);
    if (length >= 9 && !body.empty() && body[0] == static_cast<std::byte>(MessageId::piece)) {
      if (rest.size() < kPieceHeaderSize) break;
      Incoming next{read_u32(body.subspan(1).first<4>()),
                    read_u32(body.subspan(5).first<4>()),
                    length - 9,
                    {},
                    0};
      if (next.length <= storage::kBlockSize) next.block = take_block();
      const auto data = rest.subspan(kPieceHeaderSize);
      next.filled = static_cast<std::uint32_t>(std::min<std::size_t>(data.size(), next.length));
      if (next.block) std::copy_n(data.begin(), next.filled, next.block.data());
      rest = data.subspan(next.filled);
      incoming_ = std::move(next);
      if (incoming_->filled < incoming_->length) break;
      if (const error_code ec = finish_incoming()) return ec;
      continue;
    }
    if (body.size() < length) break;
    const Result<Message> message = decode(body.first(length));
    if (!message) return message.error();
    if (const error_code ec = handlers_.on_message(*message)) return ec;
    rest = body.subspan(length);
  }
  linear_.erase(linear_.begin(), linear_.end() - static_cast<std::ptrdiff_t>(rest.size()));
  return {};
}

}  // namespace swarmfs::net
