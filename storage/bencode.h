// Bencode (BEP 3): bytes in, a tree of views out; and back.
//
// Threads:  a Document is immutable and may be read from any thread.
// Memory:   kTokenSize bytes a token (a key is a token too), nothing for payload: values point into
// the source. Errors:   StorageErrc::bencode_*. The reader never recurses and never allocates what
// a length claims. Lifetime: a Value lives as long as the source bytes and its Document (which may
// be moved).
#pragma once
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "storage/result.h"

namespace swarmfs::storage::bencode {

struct Limits {
  std::uint32_t depth;   // containers inside each other
  std::uint32_t tokens;  // values and keys
};
// A .torrent: libtorrent's limits, which every file in the wild passes. A chain of lists has
// crashed clients (CVE-2020-8437); a token costs us 16 bytes for at least 2 of the file.
inline constexpr Limits kTorrentLimits{100, 3'000'000};
// A message from a peer, tracker or DHT node: none we know of nests deeper than 6 or lists more
// than 2,000 peers.
inline constexpr Limits kMessageLimits{16, 10'000};
// Digits in a string's length: 2^32 has 10, and no source is larger.
inline constexpr std::size_t kMaxLengthDigits = 10;

// strict: canonical bencode and nothing else (messages, BEP 52 info dictionaries). lenient: also
// what old programs put in .torrent files, see Oddities. Both refuse a repeated key: two readers
// could then see two different torrents.
enum class Mode { strict, lenient };

// What lenient reading let pass.
struct Oddities {
  bool number_form = false;  // i01e, i-0e, 04:spam
  bool key_order = false;    // keys not sorted
  [[nodiscard]] bool any() const { return number_form || key_order; }
};

enum class Type : std::uint8_t { integer, string, list, dictionary };

struct Token {
  std::uint32_t begin = 0;  // the raw value is source[begin, end)
  std::uint32_t end = 0;
  std::uint32_t next = 0;  // index of the token after this value and all it holds
  Type type = Type::integer;
  std::uint8_t header = 0;  // strings: bytes before the payload
  bool canonical = true;    // integers and strings: written in the one right form
};
inline constexpr std::size_t kTokenSize = 16;
static_assert(sizeof(Token) == kTokenSize);

class Items;
class Entries;

// A value in a Document, or the absence of one: every question to a missing or differently typed
// value has an empty answer, so `root["info"]["length"].integer(0, kMax)` needs one check.
class Value {
 public:
  Value() = default;
  explicit operator bool() const { return token_ != nullptr; }
  [[nodiscard]] bool is(Type type) const { return token_ != nullptr && token_->type == type; }

  // The bytes of the value as they stand in the source (an info-hash is over these).
  [[nodiscard]] std::span<const std::byte> raw() const;
  [[nodiscard]] std::optional<std::int64_t> integer() const;
  // Empty when out of [low, high]: check the range before any narrowing.
  [[nodiscard]] std::optional<std::int64_t> integer(std::int64_t low, std::int64_t high) const;
  // Empty when the number does not fit T.
  template <std::integral T>
  [[nodiscard]] std::optional<T> integer_as() const {
    const std::optional<std::int64_t> number = integer();
    if (!number || !std::in_range<T>(*number)) return std::nullopt;
    return static_cast<T>(*number);
  }
  [[nodiscard]] std::optional<std::string_view> string() const;
  [[nodiscard]] std::optional<std::span<const std::byte>> bytes() const;
  // False for an integer or string that lenient reading accepted in an odd form.
  [[nodiscard]] bool canonical() const { return token_ != nullptr && token_->canonical; }

  // The value of a dictionary's key; missing when there is none. O(keys).
  [[nodiscard]] Value operator[](std::string_view key) const;
  // `for (const Value item : value.items())`; nothing unless this is a list. O(items).
  [[nodiscard]] Items items() const;
  // `for (const Entry entry : value.entries())`; nothing unless this is a dictionary. O(keys).
  [[nodiscard]] Entries entries() const;

 private:
  friend class Document;
  friend class Items;
  friend class Entries;
  Value(const Token* tokens, const Token* token, const std::byte* source)
      : tokens_(tokens), token_(token), source_(source) {}
  const Token* tokens_ = nullptr;
  const Token* token_ = nullptr;
  const std::byte* source_ = nullptr;
};

struct Entry {
  std::string_view key;
  Value value;
};

class Items {
 public:
  class Iterator {
   public:
    using difference_type = std::ptrdiff_t;
    using value_type = Value;
    Value operator*() const { return at_; }
    Iterator& operator++();
    void operator++(int) { ++*this; }
    bool operator==(const Iterator& other) const { return at_.token_ == other.at_.token_; }

   private:
    friend class Items;
    explicit Iterator(Value at) : at_(at) {}
    Value at_;
  };
  [[nodiscard]] Iterator begin() const { return Iterator(begin_); }
  [[nodiscard]] Iterator end() const { return Iterator(end_); }
  [[nodiscard]] bool empty() const { return begin_.token_ == end_.token_; }

 private:
  friend class Value;
  Value begin_;
  Value end_;
};

class Entries {
 public:
  class Iterator {
   public:
    using difference_type = std::ptrdiff_t;
    using value_type = Entry;
    Entry operator*() const;
    Iterator& operator++();
    void operator++(int) { ++*this; }
    bool operator==(const Iterator& other) const { return key_.token_ == other.key_.token_; }

   private:
    friend class Entries;
    explicit Iterator(Value key) : key_(key) {}
    Value key_;
  };
  [[nodiscard]] Iterator begin() const { return Iterator(begin_); }
  [[nodiscard]] Iterator end() const { return Iterator(end_); }
  [[nodiscard]] bool empty() const { return begin_.token_ == end_.token_; }

 private:
  friend class Value;
  Value begin_;
  Value end_;
};

class Document {
 public:
  // Reads one value from the start of `source`, which may go on behind it: see end().
  [[nodiscard]] static Result<Document> read(std::span<const std::byte> source, Limits limits,
                                             Mode mode);

  [[nodiscard]] Value root() const { return Value(tokens_.data(), tokens_.data(), source_.data()); }
  // Bytes the value takes. What follows is the caller's business (in ut_metadata, BEP 9, it is the
  // payload).
  [[nodiscard]] std::size_t end() const { return tokens_.front().end; }
  [[nodiscard]] std::span<const std::byte> trailing() const { return source_.subspan(end()); }
  [[nodiscard]] Oddities oddities() const { return oddities_; }
  [[nodiscard]] std::size_t token_count() const { return tokens_.size(); }

 private:
  friend class Reader;
  Document() = default;
  std::span<const std::byte> source_;
  std::vector<Token> tokens_;  // never empty
  Oddities oddities_;
};

// Writing goes from the inside out: encode the parts, add them, encode the whole.
[[nodiscard]] std::string encode(std::int64_t number);
[[nodiscard]] std::string encode(std::string_view text);
[[nodiscard]] std::string encode(std::span<const std::byte> bytes);

class List {
 public:
  List& add(std::int64_t number) { return add_encoded(bencode::encode(number)); }
  List& add(std::string_view text) { return add_encoded(bencode::encode(text)); }
  List& add(const List& list) { return add_encoded(list.encode()); }
  List& add_encoded(std::string_view value);  // one bencoded value
  [[nodiscard]] std::string encode() const { return "l" + items_ + "e"; }

 private:
  std::string items_;
};

// Keys may be added in any order and come out sorted. Adding a key twice is a bug.
class Dictionary {
 public:
  Dictionary& add(std::string_view key, std::int64_t number) {
    return add_encoded(key, bencode::encode(number));
  }
  Dictionary& add(std::string_view key, std::string_view text) {
    return add_encoded(key, bencode::encode(text));
  }
  Dictionary& add(std::string_view key, std::span<const std::byte> bytes) {
    return add_encoded(key, bencode::encode(bytes));
  }
  Dictionary& add(std::string_view key, const List& list) {
    return add_encoded(key, list.encode());
  }
  Dictionary& add(std::string_view key, const Dictionary& dictionary) {
    return add_encoded(key, dictionary.encode());
  }
  Dictionary& add_encoded(std::string_view key, std::string value);  // one bencoded value
  [[nodiscard]] std::string encode() const;

 private:
  std::map<std::string, std::string, std::less<>> entries_;
};

}  // namespace swarmfs::storage::bencode
