#include "storage/resume.h"

#include <algorithm>
#include <boost/endian/conversion.hpp>
#include <cstring>
#include <limits>
#include <optional>
#include <string_view>

#include "storage/crc32c.h"
#include "storage/metainfo_limits.h"

namespace swarmfs::storage {
namespace {

constexpr std::string_view kMagic = "swarmfsR";
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kHeaderSize = 8 + 4 + 20 + 4 + 8;
constexpr std::size_t kPeerSize = 16 + 2;
constexpr std::size_t kChecksumSize = 4;
// 2,097,152 pieces take four groups of seven bits.
constexpr unsigned kMaxRunBytes = 4;
static_assert(kMaxPieces < (std::uint32_t{1} << (7 * kMaxRunBytes)));

class Writer {
 public:
  template <class T>
  void number(T value) {
    value = boost::endian::native_to_big(value);
    add(std::as_bytes(std::span(&value, 1)));
  }
  void add(std::span<const std::byte> bytes) {
    out_.insert(out_.end(), bytes.begin(), bytes.end());
  }
  void leb128(std::uint32_t value) {
    for (; value >= 0x80; value >>= 7) out_.push_back(static_cast<std::byte>(value | 0x80));
    out_.push_back(static_cast<std::byte>(value));
  }
  [[nodiscard]] std::vector<std::byte> finish() && {
    number(crc32c(out_));
    return std::move(out_);
  }

 private:
  std::vector<std::byte> out_;
};

// Takes values off the front. Once it is short of bytes it stays so: zeros, and bad().
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : rest_(bytes) {}
  [[nodiscard]] std::span<const std::byte> take(std::size_t size) {
    if (size > rest_.size()) {
      bad_ = true;
      rest_ = {};
      return {};
    }
    const auto taken = rest_.first(size);
    rest_ = rest_.subspan(size);
    return taken;
  }
  template <class T>
  [[nodiscard]] T number() {
    T value = 0;
    const auto bytes = take(sizeof value);
    if (!bytes.empty()) std::memcpy(&value, bytes.data(), sizeof value);
    return boost::endian::big_to_native(value);
  }
  // In its shortest form; anything else is bad.
  [[nodiscard]] std::uint32_t leb128() {
    std::uint32_t value = 0;
    for (unsigned i = 0; i < kMaxRunBytes; ++i) {
      const auto group = number<std::uint8_t>();
      value |= std::uint32_t{group & 0x7fU} << (7 * i);
      if (group < 0x80) {
        bad_ = bad_ || (group == 0 && i > 0);
        return value;
      }
    }
    bad_ = true;
    return 0;
  }
  [[nodiscard]] bool bad() const { return bad_; }
  [[nodiscard]] bool at_end() const { return rest_.empty(); }

 private:
  std::span<const std::byte> rest_;
  bool bad_ = false;
};

std::optional<std::uint32_t> piece_count_of(std::uint64_t total, std::uint32_t piece_length) {
  if (total == 0 || piece_length == 0 || piece_length > kMaxPieceLength) return std::nullopt;
  const std::uint64_t count = (total - 1) / piece_length + 1;
  if (count > kMaxPieces) return std::nullopt;
  return static_cast<std::uint32_t>(count);
}

// Calls f(piece number) for each piece that is claimed.
template <class F>
void for_each_set(std::span<const std::byte> wire, F f) {
  for (std::uint32_t i = 0; i < wire.size() * 8; ++i) {
    if ((std::to_integer<unsigned>(wire[i / 8]) >> (7 - i % 8)) & 1U) f(i);
  }
}

void write_times(const Resume& resume, std::span<const std::byte> wire, Writer& out) {
  std::uint32_t time = 0;
  std::uint32_t run = 0;
  const auto end_run = [&] {
    if (run == 0) return;
    out.number(time);
    out.leb128(run);
  };
  for_each_set(wire, [&](std::uint32_t piece) {
    if (run > 0 && resume.last_used[piece] == time) {
      ++run;
      return;
    }
    end_run();
    time = resume.last_used[piece];
    run = 1;
  });
  end_run();
}

bool read_times(Reader& in, std::span<const std::byte> wire, std::vector<std::uint32_t>& times) {
  std::uint32_t time = 0;
  std::uint32_t left = 0;
  bool first = true;
  bool good = true;
  for_each_set(wire, [&](std::uint32_t piece) {
    if (left == 0 && good) {
      const auto next = in.number<std::uint32_t>();
      left = in.leb128();
      good = !in.bad() && left > 0 && (first || next != time);  // one value has one form
      time = next;
      first = false;
    }
    if (!good) return;
    times[piece] = time;
    --left;
  });
  return good && left == 0;
}

void write_peers(const Resume& resume, Writer& out) {
  const std::size_t count = std::min(resume.peers.size(), kMaxResumePeers);
  out.number(static_cast<std::uint16_t>(count));
  for (std::size_t i = 0; i < count; ++i) {
    const asio::ip::address address = resume.peers[i].address();
    const auto v6 = address.is_v4()
                        ? asio::ip::make_address_v6(asio::ip::v4_mapped, address.to_v4())
                        : address.to_v6();
    const auto bytes = v6.to_bytes();
    out.add(std::as_bytes(std::span(bytes)));
    out.number(resume.peers[i].port());
  }
}

bool read_peers(Reader& in, std::vector<asio::ip::tcp::endpoint>& peers) {
  const auto count = in.number<std::uint16_t>();
  if (in.bad() || count > kMaxResumePeers) return false;
  for (std::uint16_t i = 0; i < count; ++i) {
    asio::ip::address_v6::bytes_type bytes{};
    const auto raw = in.take(bytes.size());
    const auto port = in.number<std::uint16_t>();
    if (in.bad() || port == 0) return false;
    std::memcpy(bytes.data(), raw.data(), bytes.size());
    const asio::ip::address_v6 v6(bytes);
    if (v6.is_v4_mapped()) {
      peers.emplace_back(asio::ip::make_address_v4(asio::ip::v4_mapped, v6), port);
    } else {
      peers.emplace_back(v6, port);
    }
  }
  return true;
}

Result<Resume> read_body(Reader in) {
  Resume resume;
  const auto hash = in.take(resume.info_hash.bytes.size());
  std::copy(hash.begin(), hash.end(), resume.info_hash.bytes.begin());
  resume.piece_length = in.number<std::uint32_t>();
  resume.total_size = in.number<std::uint64_t>();
  const auto count = piece_count_of(resume.total_size, resume.piece_length);
  if (in.bad() || !count) return StorageErrc::resume_damaged;
  const auto wire = in.take((std::size_t{*count} + 7) / 8);
  auto pieces = Bitfield::from_wire(wire, *count);
  // Spare bits are to be zero: they would come out as pieces that do not exist.
  if (!pieces || !std::ranges::equal(pieces->to_wire(), wire)) return StorageErrc::resume_damaged;
  resume.pieces = *std::move(pieces);
  resume.last_used.resize(*count);
  if (!read_times(in, wire, resume.last_used) || !read_peers(in, resume.peers) || !in.at_end()) {
    return StorageErrc::resume_damaged;
  }
  return resume;
}

}  // namespace

Resume empty_resume(const InfoHash& info_hash, const Layout& layout) {
  return {.info_hash = info_hash,
          .piece_length = layout.piece_length(),
          .total_size = layout.total_size(),
          .pieces = Bitfield(layout.piece_count()),
          .last_used = std::vector<std::uint32_t>(layout.piece_count()),
          .peers = {}};
}

bool fits(const Resume& resume, const InfoHash& info_hash, const Layout& layout) {
  return resume.info_hash == info_hash && resume.piece_length == layout.piece_length() &&
         resume.total_size == layout.total_size();
}

std::vector<std::byte> encode_resume(const Resume& resume) {
  Writer out;
  out.add(std::as_bytes(std::span(kMagic)));
  out.number(kVersion);
  out.add(resume.info_hash.bytes);
  out.number(resume.piece_length);
  out.number(resume.total_size);
  const std::vector<std::byte> wire = resume.pieces.to_wire();
  out.add(wire);
  write_times(resume, wire, out);
  write_peers(resume, out);
  return std::move(out).finish();
}

Result<Resume> parse_resume(std::span<const std::byte> bytes) {
  const auto magic = std::as_bytes(std::span(kMagic));
  if (bytes.size() < magic.size() || !std::ranges::equal(bytes.first(magic.size()), magic)) {
    return StorageErrc::resume_damaged;
  }
  Reader in(bytes.subspan(magic.size()));
  const auto version = in.number<std::uint32_t>();
  if (in.bad()) return StorageErrc::resume_damaged;
  if (version != kVersion) return StorageErrc::resume_version;
  if (bytes.size() < kHeaderSize + kChecksumSize) return StorageErrc::resume_damaged;
  const auto body = bytes.first(bytes.size() - kChecksumSize);
  if (Reader(bytes.last(kChecksumSize)).number<std::uint32_t>() != crc32c(body)) {
    return StorageErrc::resume_damaged;
  }
  return read_body(Reader(body.subspan(magic.size() + sizeof version)));
}

std::size_t max_resume_size(std::uint32_t piece_count) {
  const std::size_t pieces = piece_count;
  return kHeaderSize + (pieces + 7) / 8 + pieces * (4 + kMaxRunBytes) + 2 +
         kMaxResumePeers * kPeerSize + kChecksumSize;
}

}  // namespace swarmfs::storage
