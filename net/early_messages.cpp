#include "net/early_messages.h"

#include <algorithm>
#include <type_traits>

#include "net/peer.h"
#include "storage/metainfo_limits.h"

namespace swarmfs::net {
namespace {

constexpr std::size_t kMaxBitfield = (storage::kMaxPieces + 7) / 8;

std::byte mask(std::uint32_t piece) {  // BEP 3: the first piece is the high bit
  return static_cast<std::byte>(0x80U >> (piece % 8));
}

}  // namespace

error_code EarlyMessages::on_have(std::uint32_t piece) {
  lost_.erase(piece);
  if (have_all_) return {};
  if (piece >= storage::kMaxPieces) return NetErrc::protocol_error;
  if (piece / 8 >= pieces_.size()) {
    if (bitfield_came_) return NetErrc::protocol_error;  // which said that there are fewer
    pieces_.resize(piece / 8 + 1);
  }
  pieces_[piece / 8] |= mask(piece);
  return {};
}

void EarlyMessages::on_dont_have(std::uint32_t piece) {
  if (have_all_ && piece < storage::kMaxPieces && lost_.size() < kMaxEarlyLost) lost_.insert(piece);
  if (piece / 8 < pieces_.size()) pieces_[piece / 8] &= ~mask(piece);
}

error_code EarlyMessages::on_bitfield(std::span<const std::byte> bytes) {
  if (bytes.size() > kMaxBitfield) return NetErrc::protocol_error;
  pieces_.assign(bytes.begin(), bytes.end());
  bitfield_came_ = true;
  have_all_ = false;
  lost_.clear();
  return {};
}

error_code EarlyMessages::on_message(const Message& message) {
  const auto visitor = [this]<class T>(const T& m) -> error_code {
    if constexpr (std::is_same_v<T, Choke>) {
      choking_ = true;
    } else if constexpr (std::is_same_v<T, Unchoke>) {
      choking_ = false;
    } else if constexpr (std::is_same_v<T, Have>) {
      return on_have(m.index);
    } else if constexpr (std::is_same_v<T, BitfieldMessage>) {
      return on_bitfield(m.bytes);
    } else if constexpr (std::is_same_v<T, HaveAll>) {
      have_all_ = true;
      bitfield_came_ = false;
      pieces_ = {};
      lost_.clear();
    } else if constexpr (std::is_same_v<T, AllowedFast>) {
      if (allowed_fast_.size() < kMaxAllowedFast) allowed_fast_.push_back(m.index);
    }
    return {};
  };
  return std::visit(visitor, message);
}

error_code EarlyMessages::replay(const std::function<error_code(const Message&)>& to) const {
  error_code ec;
  const auto say = [&ec, &to](const Message& message) {
    if (!ec) ec = to(message);
  };
  if (have_all_) say(HaveAll{});
  if (bitfield_came_) say(BitfieldMessage{pieces_});
  for (std::uint32_t piece = 0; !bitfield_came_ && piece < 8 * pieces_.size(); ++piece) {
    if ((pieces_[piece / 8] & mask(piece)) != std::byte{0}) say(Have{piece});
  }
  for (const std::uint32_t piece : allowed_fast_) say(AllowedFast{piece});
  if (!choking_) say(Unchoke{});
  return ec;
}

}  // namespace swarmfs::net
