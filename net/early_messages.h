// What a peer says about its pieces before the metainfo is known: remembered in a bounded form, and
// said again to whoever takes over the connection. Whether it makes sense can only be judged then.
//
// Threads: pure. Memory: a bit for each piece that was named, kMaxPieces / 8 bytes at the most, and
// kMaxEarlyLost indices.
// Errors: protocol_error for what no torrent can mean.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <set>
#include <vector>

#include "net/peer_wire.h"

namespace swarmfs::net {

// Pieces remembered that a peer which had all has no longer (BEP 54). Of more of them it is asked
// in vain: as if it had not said so.
inline constexpr std::size_t kMaxEarlyLost = 1000;

class EarlyMessages {
 public:
  // What says nothing about pieces is not remembered.
  [[nodiscard]] error_code on_message(const Message& message);
  void on_dont_have(std::uint32_t piece);
  // Of a peer that had said it has all: to be told after replay().
  [[nodiscard]] const std::set<std::uint32_t>& lost() const { return lost_; }
  // Calls `to` with as few messages as mean the same, until one fails.
  [[nodiscard]] error_code replay(const std::function<error_code(const Message&)>& to) const;

 private:
  [[nodiscard]] error_code on_have(std::uint32_t piece);
  [[nodiscard]] error_code on_bitfield(std::span<const std::byte> bytes);

  bool have_all_ = false;
  bool bitfield_came_ = false;     // its length is part of what was said
  std::vector<std::byte> pieces_;  // as in a bitfield message
  std::set<std::uint32_t> lost_;   // when it had all
  std::vector<std::uint32_t> allowed_fast_;
  bool choking_ = true;
};

}  // namespace swarmfs::net
