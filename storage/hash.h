// Digests. The only unit that includes OpenSSL's digests.
//
// Threads: a hasher belongs to one thread at a time; it may be moved between threads. Errors: none
// (allocation aside).
#pragma once
#include <array>
#include <compare>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace swarmfs::storage {

struct Sha1Digest {
  std::array<std::byte, 20> bytes{};
  auto operator<=>(const Sha1Digest&) const = default;
  [[nodiscard]] std::string hex() const;  // 40 lower-case digits
  [[nodiscard]] static std::optional<Sha1Digest> from_hex(
      std::string_view);  // exactly 40 hex digits
};
using InfoHash = Sha1Digest;

// What names a v2 torrent (BEP 52).
struct Sha256Digest {
  std::array<std::byte, 32> bytes{};
  auto operator<=>(const Sha256Digest&) const = default;
  [[nodiscard]] std::string hex() const;  // 64 lower-case digits
  [[nodiscard]] static std::optional<Sha256Digest> from_hex(
      std::string_view);  // exactly 64 hex digits
};

// Incremental SHA-1 (FIPS 180-4): update in order, then finish once.
class Sha1 {
 public:
  Sha1();
  Sha1(Sha1&&) noexcept;
  Sha1& operator=(Sha1&&) noexcept;
  ~Sha1();
  void update(std::span<const std::byte> bytes);
  [[nodiscard]] Sha1Digest finish();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

[[nodiscard]] Sha1Digest sha1(std::span<const std::byte> bytes);

}  // namespace swarmfs::storage
