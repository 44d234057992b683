// Turns what a peer sends into messages, with blocks read straight into pool buffers: no copy when
// the stream is what was predicted (header, 16 KiB, header, 16 KiB ...), one copy of what was
// misplaced when it is not.
//
// Threads: engine thread. Memory: at most kMaxPredicted blocks plus one message (kMaxMessageSize or
// the bitfield). Errors: NetErrc::protocol_error, too_large; the connection is over then. Lifetime:
// the pool must outlive it.
#pragma once
#include <array>
#include <boost/asio/buffer.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "net/peer_wire.h"
#include "storage/block_pool.h"

namespace swarmfs::net {

// Blocks read with one system call at the most: 240 KiB, about what a busy loopback socket has
// ready; asio passes 64 buffers.
inline constexpr std::size_t kMaxPredicted = 15;

class MessageReader {
 public:
  struct Handlers {
    // A message other than `piece`. Views are valid during the call.
    std::function<error_code(const Message&)> on_message;
    // A piece message of `length` payload bytes. The block is empty when it is longer than a block,
    // or the pool is used up.
    std::function<error_code(std::uint32_t index, std::uint32_t begin, std::uint32_t length,
                             storage::Block)>
        on_block;
  };
  MessageReader(storage::BlockPool& pool, std::uint32_t max_message_size, Handlers handlers);

  // Where the next bytes should go. `expected_blocks`: how many requests are unanswered. Valid
  // until commit().
  [[nodiscard]] std::span<const asio::mutable_buffer> prepare(std::size_t expected_blocks);
  // `bytes` have arrived in the prepared buffers: calls the handlers. Stops at the first error.
  [[nodiscard]] error_code commit(std::size_t bytes);
  // Instead of commit(): nothing came. Gives predicted blocks back to the pool until the next
  // prepare().
  void release();

 private:
  struct Slot {
    std::array<std::byte, kPieceHeaderSize> header;
    storage::Block block;
  };
  struct Incoming {  // a piece message whose header has been read
    std::uint32_t index, begin, length;
    storage::Block block;  // empty: the bytes are skipped
    std::uint32_t filled = 0;
  };

  [[nodiscard]] bool starts_full_block(std::span<const std::byte, kPieceHeaderSize> header) const;
  [[nodiscard]] error_code finish_incoming();
  [[nodiscard]] error_code commit_slots(std::size_t bytes);
  [[nodiscard]] error_code parse_linear();
  void gather(std::size_t slot, std::size_t skip_header, std::size_t bytes);
  [[nodiscard]] storage::Block take_block();

  storage::BlockPool& pool_;
  std::uint32_t max_message_size_;
  Handlers handlers_;
  std::vector<asio::mutable_buffer> buffers_;
  std::array<Slot, kMaxPredicted> slots_;
  std::size_t slot_count_ = 0;
  std::size_t header_prefix_ = 0;  // bytes of slots_[0].header that had been read before
  std::optional<Incoming> incoming_;
  std::size_t incoming_room_ = 0;  // bytes of the first buffer that belong to incoming_
  std::vector<std::byte> linear_;  // unparsed bytes, from a message boundary
  std::vector<std::byte> tail_;    // where bytes go that were not predicted
  std::size_t predicted_ = 1;      // blocks to prepare for: follows what reads bring
};

}  // namespace swarmfs::net
