#include "storage/hash.h"

#include <openssl/evp.h>

#include <new>

namespace swarmfs::storage {
namespace {

std::string hex_of(std::span<const std::byte> bytes) {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (const std::byte b : bytes) {
    out += kDigits[std::to_integer<unsigned>(b) >> 4];
    out += kDigits[std::to_integer<unsigned>(b) & 15U];
  }
  return out;
}

// False unless `text` is exactly the digits of `into`.
bool read_hex(std::string_view text, std::span<std::byte> into) {
  if (text.size() != 2 * into.size()) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    unsigned value = 0;
    if (c >= '0' && c <= '9')
      value = static_cast<unsigned>(c - '0');
    else if (c >= 'a' && c <= 'f')
      value = static_cast<unsigned>(c - 'a') + 10;
    else if (c >= 'A' && c <= 'F')
      value = static_cast<unsigned>(c - 'A') + 10;
    else
      return false;
    into[i / 2] = (into[i / 2] << 4) | std::byte(value);
  }
  return true;
}

}  // namespace

struct Sha1::Context {
  EVP_MD_CTX* evp = EVP_MD_CTX_new();
  Context() {
    if (evp == nullptr || EVP_DigestInit_ex(evp, EVP_sha1(), nullptr) != 1) throw std::bad_alloc();
  }
  ~Context() { EVP_MD_CTX_free(evp); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
};

Sha1::Sha1() : context_(std::make_unique<Context>()) {}
Sha1::Sha1(Sha1&&) noexcept = default;
Sha1& Sha1::operator=(Sha1&&) noexcept = default;
Sha1::~Sha1() = default;

void Sha1::update(std::span<const std::byte> bytes) {
  EVP_DigestUpdate(context_->evp, bytes.data(), bytes.size());
}

Sha1Digest Sha1::finish() {
  Sha1Digest digest;
  EVP_DigestFinal_ex(context_->evp, reinterpret_cast<unsigned char*>(digest.bytes.data()), nullptr);
  return digest;
}

Sha1Digest sha1(std::span<const std::byte> bytes) {
  Sha1 hasher;
  hasher.update(bytes);
  return hasher.finish();
}

std::string Sha1Digest::hex() const {
  return hex_of(bytes);
}

std::optional<Sha1Digest> Sha1Digest::from_hex(std::string_view text) {
  Sha1Digest digest;
  if (!read_hex(text, digest.bytes)) return std::nullopt;
  return digest;
}

std::string Sha256Digest::hex() const {
  return hex_of(bytes);
}

std::optional<Sha256Digest> Sha256Digest::from_hex(std::string_view text) {
  Sha256Digest digest;
  if (!read_hex(text, digest.bytes)) return std::nullopt;
  return digest;
}

}  // namespace swarmfs::storage
