#include "storage/magnet.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "storage/name_cleaning.h"
#include "storage/warning_list.h"

namespace swarmfs::storage {
namespace {

constexpr std::string_view kScheme = "magnet:";
constexpr std::string_view kV1Urn = "urn:btih:";
constexpr std::string_view kV2Urn = "urn:btmh:";
constexpr std::string_view kSha256Multihash = "1220";  // code of SHA-256, 32 bytes

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

bool starts_with_ignoring_case(std::string_view text, std::string_view prefix) {
  return text.size() >= prefix.size() &&
         std::equal(prefix.begin(), prefix.end(), text.begin(),
                    [](char a, char b) { return lower(a) == lower(b); });
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n\v\f";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

// Takes what stands before `separator`, and the separator, off the front of `rest`.
std::string_view take_until(std::string_view& rest, char separator) {
  const std::size_t end = std::min(rest.find(separator), rest.size());
  const std::string_view taken = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return taken;
}

template <class Number>
std::optional<Number> read_number(std::string_view digits, int base = 10) {
  Number value = 0;
  const auto [end, bad] =
      std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (bad != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

// Undoes %XX; empty when one is broken.
std::optional<std::string> unescaped(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    if (text.front() != '%') {
      out += text.front();
      text.remove_prefix(1);
      continue;
    }
    const auto value =
        text.size() < 3 ? std::nullopt : read_number<std::uint8_t>(text.substr(1, 2), 16);
    if (!value) return std::nullopt;
    out += static_cast<char>(*value);
    text.remove_prefix(3);
  }
  return out;
}

// RFC 4648, section 6: 32 characters are 20 bytes without padding.
std::optional<InfoHash> from_base32(std::string_view text) {
  InfoHash hash;
  if (text.size() * 5 != hash.bytes.size() * 8) return std::nullopt;
  std::uint64_t bits = 0;
  std::size_t have = 0, at = 0;
  for (const char given : text) {
    const char c = lower(given);
    const bool letter = c >= 'a' && c <= 'z';
    if (!letter && !(c >= '2' && c <= '7')) return std::nullopt;
    bits = (bits << 5) | static_cast<std::uint64_t>(letter ? c - 'a' : c - '2' + 26);
    for (have += 5; have >= 8;) {
      have -= 8;
      hash.bytes[at++] = static_cast<std::byte>((bits >> have) & 0xFF);
    }
  }
  return hash;
}

std::optional<InfoHash> v1_hash(std::string_view text) {
  const std::optional<InfoHash> hash = InfoHash::from_hex(text);
  return hash ? hash : from_base32(text);
}

template <class Digest>
error_code set_hash(std::optional<Digest>& place, const std::optional<Digest>& hash) {
  if (!hash) return StorageErrc::magnet_hash_malformed;
  if (*hash == Digest{}) return StorageErrc::magnet_hash_zero;
  if (place && *place != *hash) return StorageErrc::magnet_ambiguous;
  place = hash;
  return {};
}

// "4" or "4-8".
std::optional<FileRange> read_range(std::string_view text) {
  const std::size_t dash = text.find('-');
  const auto first = read_number<std::uint32_t>(text.substr(0, dash));
  const auto last = dash == text.npos ? first : read_number<std::uint32_t>(text.substr(dash + 1));
  if (!first || !last || *last < *first) return std::nullopt;
  return FileRange{*first, *last};
}

// Sorted, and joined where they overlap or touch.
std::vector<FileRange> joined(std::vector<FileRange> ranges) {
  std::sort(ranges.begin(), ranges.end(),
            [](const FileRange& a, const FileRange& b) { return a.first < b.first; });
  std::vector<FileRange> out;
  for (const FileRange& range : ranges) {
    if (!out.empty() && range.first <= std::uint64_t{out.back().last} + 1) {
      out.back().last = std::max(out.back().last, range.last);
    } else {
      out.push_back(range);
    }
  }
  return out;
}

class LinkReader {
 public:
  Result<Magnet> read(std::string_view parameters) {
    while (!parameters.empty()) {
      const std::string_view parameter = take_until(parameters, '&');
      const std::size_t equals = parameter.find('=');
      if (equals == parameter.npos) continue;
      if (const error_code ec =
              take(key_of(parameter.substr(0, equals)), parameter.substr(equals + 1))) {
        return ec;
      }
    }
    if (!magnet_.info_hash && !magnet_.v2_hash) return StorageErrc::magnet_hash_missing;
    finish();
    return std::move(magnet_);
  }

 private:
  // "xt.1" is "xt".
  static std::string key_of(std::string_view text) {
    const std::size_t dot = text.rfind('.');
    if (dot != text.npos && read_number<std::uint64_t>(text.substr(dot + 1))) {
      text = text.substr(0, dot);
    }
    std::string key(text.substr(0, kLongestKey + 1));
    std::transform(key.begin(), key.end(), key.begin(), lower);
    return key;
  }

  error_code take(const std::string& key, std::string_view escaped) {
    static constexpr std::array<std::pair<std::string_view, void (LinkReader::*)(std::string)>, 6>
        kHints{{{"dn", &LinkReader::take_name},
                {"tr", &LinkReader::take_tracker},
                {"ws", &LinkReader::take_web_seed},
                {"x.pe", &LinkReader::take_peer},
                {"so", &LinkReader::take_selection},
                {"xl", &LinkReader::take_length}}};
    if (key == "xt") {
      const std::optional<std::string> urn = unescaped(escaped);
      return urn ? take_topic(*urn) : StorageErrc::magnet_hash_malformed;
    }
    const auto* hint = std::find_if(kHints.begin(), kHints.end(),
                                    [&key](const auto& known) { return known.first == key; });
    if (hint == kHints.end() || escaped.empty()) return {};
    std::string text(escaped);
    // As web forms write a space; a real plus is %2B. Elsewhere a plus is itself.
    if (key == "dn") std::replace(text.begin(), text.end(), '+', ' ');
    std::optional<std::string> value = unescaped(text);
    if (!value) {
      warn_ignored(key, "broken % escape", escaped);
    } else {
      (this->*hint->second)(*std::move(value));
    }
    return {};
  }

  error_code take_topic(std::string_view urn) {
    if (starts_with_ignoring_case(urn, kV1Urn)) {
      return set_hash(magnet_.info_hash, v1_hash(urn.substr(kV1Urn.size())));
    }
    if (!starts_with_ignoring_case(urn, kV2Urn)) return {};  // other networks' hashes
    const std::string_view multihash = urn.substr(kV2Urn.size());
    if (!multihash.starts_with(kSha256Multihash)) return StorageErrc::magnet_hash_malformed;
    return set_hash(magnet_.v2_hash,
                    Sha256Digest::from_hex(multihash.substr(kSha256Multihash.size())));
  }

  void take_name(std::string name) {
    if (magnet_.name.empty()) magnet_.name = clean_name(name);
  }

  void take_tracker(std::string url) {
    if (!is_tracker_url(url)) return warn_ignored("tr", "not an http, https or udp URL", url);
    add_once(magnet_.trackers, std::move(url), kMaxTrackers);
  }

  void take_web_seed(std::string url) {
    if (!is_web_seed_url(url)) return warn_ignored("ws", "not an http or https URL", url);
    add_once(magnet_.web_seeds, std::move(url), kMaxWebSeeds);
  }

  void take_peer(std::string text) {
    std::optional<HostPort> peer = parse_host_port(text);
    if (!peer) return warn_ignored("x.pe", "not HOST:PORT", text);
    add_once(magnet_.peers, *std::move(peer), kMaxMagnetPeers);
  }

  void take_selection(std::string list) {
    std::string_view rest = list;
    while (!rest.empty()) {
      const std::string_view item = take_until(rest, ',');
      const std::optional<FileRange> range = read_range(item);
      if (range) {
        ranges_.push_back(*range);
      } else {
        warn_ignored("so", "not a file index or a range of them", item);
      }
    }
  }

  void take_length(std::string digits) {
    const std::optional<std::uint64_t> length = read_number<std::uint64_t>(digits);
    if (!length) return warn_ignored("xl", "not a number of bytes", digits);
    if (!magnet_.length) magnet_.length = length;
  }

  template <class T>
  void add_once(std::vector<T>& list, T value, std::size_t most) {
    if (std::find(list.begin(), list.end(), value) != list.end()) return;
    if (list.size() == most) {
      ++left_out_;
    } else {
      list.push_back(std::move(value));
    }
  }

  void finish() {
    magnet_.selected = joined(std::move(ranges_));
    if (magnet_.selected.size() > kMaxSelectedRanges) {
      left_out_ += magnet_.selected.size() - kMaxSelectedRanges;
      magnet_.selected.resize(kMaxSelectedRanges);
    }
    if (left_out_ > 0) {
      warnings_.add(
          std::to_string(left_out_) +
          " trackers, web seeds, peers or files beyond what a link may name were ignored");
    }
    magnet_.warnings = warnings_.take();
  }

  void warn_ignored(std::string_view key, std::string_view why, std::string_view value) {
    warnings_.add(std::string(key) + " ignored (" + std::string(why) +
                  "): " + WarningList::quote(value));
  }

  static constexpr std::size_t kLongestKey = 4;  // "x.pe"
  Magnet magnet_;
  WarningList warnings_;
  std::vector<FileRange> ranges_;
  std::size_t left_out_ = 0;
};

Result<Magnet> read_bare_hash(std::string_view text) {
  Magnet magnet;
  const std::optional<InfoHash> v1 = v1_hash(text);
  const std::optional<Sha256Digest> v2 = Sha256Digest::from_hex(text);
  if (!v1 && !v2) return StorageErrc::not_a_magnet;
  const error_code ec = v1 ? set_hash(magnet.info_hash, v1) : set_hash(magnet.v2_hash, v2);
  if (ec) return ec;
  return magnet;
}

}  // namespace

bool is_magnet_link(std::string_view text) {
  return starts_with_ignoring_case(text, kScheme);
}

Result<Magnet> parse_magnet(std::string_view text) {
  if (text.size() > kMaxMagnetSize) return StorageErrc::magnet_too_long;
  text = trimmed(text);
  if (!is_magnet_link(text)) return read_bare_hash(text);
  text.remove_prefix(kScheme.size());
  text.remove_prefix(std::min(text.find_first_not_of('/'), text.size()));  // an empty authority
  if (text.empty()) return StorageErrc::magnet_hash_missing;
  if (text.front() != '?') return StorageErrc::not_a_magnet;
  return LinkReader().read(text.substr(1));
}

}  // namespace swarmfs::storage
