#include "tests/sim/truth.h"

#include <array>
#include <cstring>
#include <string>

#include "storage/bencode.h"
#include "tests/sim/rng.h"

namespace swarmfs::sim {
namespace {

constexpr std::size_t kWord = sizeof(std::uint64_t);

std::uint64_t word(std::uint64_t seed, std::uint64_t index) {
  return mix(seed + index * 0x9e3779b97f4a7c15U);
}

}  // namespace

Truth::Truth(storage::Layout layout, std::uint64_t seed, std::size_t filler)
    : layout_(std::move(layout)), seed_(mix(seed)) {
  std::vector<std::byte> piece;
  for (std::optional<storage::PieceIndex> p = layout_.first_piece(); p; p = layout_.next(*p)) {
    piece.resize(layout_.piece_size(*p));
    fill(layout_.range(*p).begin, piece);
    hashes_.push_back(storage::sha1(piece));
  }
  std::string pieces;
  for (const storage::Sha1Digest& hash : hashes_) {
    pieces.append(reinterpret_cast<const char*>(hash.bytes.data()), hash.bytes.size());
  }
  storage::bencode::Dictionary info;
  info.add("length", static_cast<std::int64_t>(layout_.total_size()));
  info.add("name", "truth " + std::to_string(seed));
  info.add("piece length", static_cast<std::int64_t>(layout_.piece_length()));
  info.add("pieces", pieces);
  if (filler > 0) info.add("x_filler", std::string(filler, 'x'));
  const std::string text = info.encode();
  const auto bytes = std::as_bytes(std::span(text));
  info_.assign(bytes.begin(), bytes.end());
  info_hash_ = storage::sha1(info_);
}

void Truth::fill(std::uint64_t offset, std::span<std::byte> out) const {
  std::size_t at = 0;
  while (at < out.size()) {
    const std::uint64_t value = word(seed_, (offset + at) / kWord);
    const std::size_t skip = (offset + at) % kWord;
    const std::size_t n = std::min(kWord - skip, out.size() - at);
    std::memcpy(out.data() + at, reinterpret_cast<const std::byte*>(&value) + skip, n);
    at += n;
  }
  for (const storage::ByteRange& pad : layout_.pads()) {
    const storage::ByteRange zeros = pad.intersection({offset, offset + out.size()});
    if (!zeros.empty()) std::memset(out.data() + (zeros.begin - offset), 0, zeros.size());
  }
}

bool Truth::matches(std::uint64_t offset, std::span<const std::byte> bytes) const {
  std::array<std::byte, 4096> expected;
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t n = std::min(expected.size(), bytes.size() - at);
    fill(offset + at, std::span(expected).first(n));
    if (std::memcmp(expected.data(), bytes.data() + at, n) != 0) return false;
    at += n;
  }
  return true;
}

}  // namespace swarmfs::sim
