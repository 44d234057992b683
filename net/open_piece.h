// A piece in the making, block by block: free, asked of somebody (perhaps of several), or received.
//
// Threads: plain value. Memory: six bytes a block. Errors: none; asserts its own transitions.
// Invariant: free + asked + received == blocks; a block with copies out is not free.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "storage/layout.h"

namespace swarmfs::net {

using PeerKey = std::uint32_t;  // one connection, never reused; 0: nobody

class OpenPiece {
 public:
  // Padding counts as received, from nobody.
  OpenPiece(const storage::Layout& layout, storage::PieceIndex piece);

  [[nodiscard]] bool complete() const { return free_ == 0 && asked_ == 0; }
  [[nodiscard]] std::uint32_t free() const { return free_; }
  [[nodiscard]] std::uint32_t asked() const { return asked_; }
  [[nodiscard]] std::uint32_t blocks() const { return static_cast<std::uint32_t>(states_.size()); }
  [[nodiscard]] bool received(std::uint32_t block) const {
    return states_[block] == State::received;
  }
  [[nodiscard]] std::uint8_t copies(std::uint32_t block) const { return copies_[block]; }
  [[nodiscard]] const std::vector<PeerKey>& senders() const { return senders_; }
  [[nodiscard]] std::optional<std::uint32_t> first_free();
  [[nodiscard]] std::optional<std::uint32_t> first_asked() const;

  void ask(std::uint32_t block);      // one more request is out for it
  void release(std::uint32_t block);  // one request is gone; without others it is free again
  void receive(std::uint32_t block, PeerKey sender);
  void lose(std::uint32_t block);  // what was received could not be kept

 private:
  enum class State : std::uint8_t { free, asked, received };
  void set_free(std::uint32_t block);

  std::vector<State> states_;
  std::vector<std::uint8_t> copies_;  // requests out for the block
  std::vector<PeerKey> senders_;
  std::uint32_t free_ = 0;
  std::uint32_t asked_ = 0;
  std::uint32_t search_from_ = 0;  // no free block before it
};

}  // namespace swarmfs::net
