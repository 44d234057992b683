#include "storage/bencode.h"

#include <algorithm>
#include <cassert>

namespace swarmfs::storage::bencode {
namespace {

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

constexpr bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// The number that `digits` spell, negated if asked; empty when it does not fit. Requires digits
// only.
std::optional<std::int64_t> to_number(std::string_view digits, bool negative) {
  std::int64_t number = 0;
  for (const char c : digits) {
    // Counting down reaches INT64_MIN, whose magnitude no positive int64 has.
    if (__builtin_mul_overflow(number, 10, &number)) return std::nullopt;
    if (__builtin_sub_overflow(number, c - '0', &number)) return std::nullopt;
  }
  if (!negative && __builtin_sub_overflow(std::int64_t{0}, number, &number)) return std::nullopt;
  return number;
}

}  // namespace

// One pass over the source. The containers that are still open stand on an explicit stack of at
// most limits.depth.
class Reader {
 public:
  Reader(std::span<const std::byte> source, Limits limits, Mode mode)
      : text_(as_text(source)), limits_(limits), mode_(mode) {
    document_.source_ = source;
  }

  Result<Document> read() {
    // Offsets in tokens have 32 bits.
    if (text_.size() > std::numeric_limits<std::uint32_t>::max())
      return StorageErrc::bencode_too_large;
    do {
      if (const error_code ec = step()) return ec;
    } while (!open_.empty());
    return std::move(document_);
  }

 private:
  struct Open {
    std::uint32_t token;     // the container
    bool wants_key;          // a dictionary, between two entries
    bool sorted;             // a dictionary whose keys ascend so far
    std::uint32_t last_key;  // token of the last key; `token` itself before the first
  };

  // Reads one scalar, opens one container or closes one.
  error_code step() {
    if (position_ == text_.size()) return StorageErrc::bencode_truncated;
    const char c = text_[position_];
    if (!open_.empty()) {
      Open& parent = open_.back();
      const bool dictionary = tokens()[parent.token].type == Type::dictionary;
      if (c == 'e' && (!dictionary || parent.wants_key)) return close();
      if (dictionary && parent.wants_key) return read_key(parent);
      if (dictionary) parent.wants_key = true;  // after the value that follows now
    }
    if (is_digit(c)) return read_string();
    if (c == 'i') return read_integer();
    if (c == 'l') return open(Type::list);
    if (c == 'd') return open(Type::dictionary);
    return StorageErrc::bencode_syntax;
  }

  error_code open(Type type) {
    if (open_.size() >= limits_.depth) return StorageErrc::bencode_too_deep;
    const auto index = static_cast<std::uint32_t>(tokens().size());
    ++position_;
    if (const error_code ec = push({.begin = here() - 1, .type = type})) return ec;
    open_.push_back({index, type == Type::dictionary, true, index});
    return {};
  }

  error_code close() {
    const Open closed = open_.back();
    ++position_;
    tokens()[closed.token].end = here();
    tokens()[closed.token].next = static_cast<std::uint32_t>(tokens().size());
    if (!closed.sorted && repeats_a_key(closed.token)) return StorageErrc::bencode_duplicate_key;
    open_.pop_back();
    return {};
  }

  error_code read_key(Open& dictionary) {
    if (!is_digit(text_[position_])) return StorageErrc::bencode_syntax;
    const auto index = static_cast<std::uint32_t>(tokens().size());
    if (const error_code ec = read_string()) return ec;
    if (dictionary.last_key != dictionary.token) {
      const int order = payload(dictionary.last_key).compare(payload(index));
      if (order == 0) return StorageErrc::bencode_duplicate_key;
      if (order > 0) {
        if (mode_ == Mode::strict) return StorageErrc::bencode_not_canonical;
        document_.oddities_.key_order = true;
        dictionary.sorted = false;
      }
    }
    dictionary.last_key = index;
    dictionary.wants_key = false;
    return {};
  }

  error_code read_string() {
    const std::size_t begin = position_;
    const std::string_view digits = read_digits();
    if (digits.size() > kMaxLengthDigits) return StorageErrc::bencode_syntax;
    if (position_ == text_.size()) return StorageErrc::bencode_truncated;
    if (text_[position_] != ':') return StorageErrc::bencode_syntax;
    ++position_;
    const bool canonical = digits.size() == 1 || digits.front() != '0';
    if (const error_code ec = accept_form(canonical)) return ec;
    const auto length =
        static_cast<std::uint64_t>(*to_number(digits, false));  // 10 digits always fit
    if (length > text_.size() - position_) return StorageErrc::bencode_truncated;
    const auto header = static_cast<std::uint8_t>(position_ - begin);
    position_ += static_cast<std::size_t>(length);
    return push({.begin = static_cast<std::uint32_t>(begin),
                 .end = here(),
                 .type = Type::string,
                 .header = header,
                 .canonical = canonical});
  }

  error_code read_integer() {
    const std::uint32_t begin = here();
    ++position_;
    const bool negative = position_ < text_.size() && text_[position_] == '-';
    if (negative) ++position_;
    const std::string_view digits = read_digits();
    if (position_ == text_.size()) return StorageErrc::bencode_truncated;
    if (digits.empty() || text_[position_] != 'e') return StorageErrc::bencode_integer;
    ++position_;
    const std::optional<std::int64_t> number = to_number(digits, negative);
    if (!number) return StorageErrc::bencode_integer;
    // Zero with a leading zero (i00e) is what no program writes: refused in both modes.
    if (digits.size() > 1 && *number == 0) return StorageErrc::bencode_integer;
    const bool canonical = digits.front() != '0' || (digits.size() == 1 && !negative);
    if (const error_code ec = accept_form(canonical)) return ec;
    return push({.begin = begin, .end = here(), .canonical = canonical});
  }

  std::string_view read_digits() {
    const std::size_t begin = position_;
    while (position_ < text_.size() && is_digit(text_[position_])) ++position_;
    return text_.substr(begin, position_ - begin);
  }

  error_code accept_form(bool canonical) {
    if (canonical) return {};
    document_.oddities_.number_form = true;
    return mode_ == Mode::strict ? error_code(StorageErrc::bencode_not_canonical) : error_code();
  }

  error_code push(Token token) {
    if (tokens().size() >= limits_.tokens) return StorageErrc::bencode_too_many_values;
    token.next = static_cast<std::uint32_t>(tokens().size()) + 1;
    tokens().push_back(token);
    return {};
  }

  // Neighbours were compared while reading; keys that are not sorted are sorted here to find the
  // rest. O(n log n).
  bool repeats_a_key(std::uint32_t dictionary) {
    std::vector<std::string_view> keys;
    for (std::uint32_t key = dictionary + 1; key < tokens()[dictionary].next;
         key = tokens()[key + 1].next) {
      keys.push_back(payload(key));
    }
    std::sort(keys.begin(), keys.end());
    return std::adjacent_find(keys.begin(), keys.end()) != keys.end();
  }

  std::string_view payload(std::uint32_t index) {
    const Token& token = tokens()[index];
    return text_.substr(token.begin + token.header, token.end - token.begin - token.header);
  }

  std::vector<Token>& tokens() { return document_.tokens_; }
  std::uint32_t here() const { return static_cast<std::uint32_t>(position_); }

  std::string_view text_;
  Limits limits_;
  Mode mode_;
  std::size_t position_ = 0;
  std::vector<Open> open_;
  Document document_;
};

Result<Document> Document::read(std::span<const std::byte> source, Limits limits, Mode mode) {
  return Reader(source, limits, mode).read();
}

std::span<const std::byte> Value::raw() const {
  if (token_ == nullptr) return {};
  return {source_ + token_->begin, source_ + token_->end};
}

std::optional<std::int64_t> Value::integer() const {
  if (!is(Type::integer)) return std::nullopt;
  std::string_view digits = as_text(raw());
  digits = digits.substr(1, digits.size() - 2);
  const bool negative = digits.front() == '-';
  return to_number(digits.substr(negative ? 1 : 0), negative);
}

std::optional<std::int64_t> Value::integer(std::int64_t low, std::int64_t high) const {
  const std::optional<std::int64_t> number = integer();
  if (!number || *number < low || *number > high) return std::nullopt;
  return number;
}

std::optional<std::span<const std::byte>> Value::bytes() const {
  if (!is(Type::string)) return std::nullopt;
  return raw().subspan(token_->header);
}

std::optional<std::string_view> Value::string() const {
  if (!is(Type::string)) return std::nullopt;
  return as_text(*bytes());
}

Value Value::operator[](std::string_view key) const {
  for (const Entry entry : entries()) {
    if (entry.key == key) return entry.value;
  }
  return {};
}

Items Value::items() const {
  Items items;
  if (!is(Type::list)) return items;
  items.begin_ = Value(tokens_, token_ + 1, source_);
  items.end_ = Value(tokens_, tokens_ + token_->next, source_);
  return items;
}

Entries Value::entries() const {
  Entries entries;
  if (!is(Type::dictionary)) return entries;
  entries.begin_ = Value(tokens_, token_ + 1, source_);
  entries.end_ = Value(tokens_, tokens_ + token_->next, source_);
  return entries;
}

Items::Iterator& Items::Iterator::operator++() {
  at_.token_ = at_.tokens_ + at_.token_->next;
  return *this;
}

Entry Entries::Iterator::operator*() const {
  return {*key_.string(), Value(key_.tokens_, key_.token_ + 1, key_.source_)};
}

Entries::Iterator& Entries::Iterator::operator++() {
  const Token* value = key_.token_ + 1;
  key_.token_ = key_.tokens_ + value->next;
  return *this;
}

std::string encode(std::int64_t number) {
  return "i" + std::to_string(number) + "e";
}

std::string encode(std::string_view text) {
  return std::to_string(text.size()) + ":" + std::string(text);
}

std::string encode(std::span<const std::byte> bytes) {
  return encode(as_text(bytes));
}

List& List::add_encoded(std::string_view value) {
  items_ += value;
  return *this;
}

Dictionary& Dictionary::add_encoded(std::string_view key, std::string value) {
  [[maybe_unused]] const bool added = entries_.emplace(key, std::move(value)).second;
  assert(added);
  return *this;
}

std::string Dictionary::encode() const {
  std::string out = "d";
  for (const auto& [key, value] : entries_) out += bencode::encode(std::string_view(key)) + value;
  return out + "e";
}

}  // namespace swarmfs::storage::bencode
