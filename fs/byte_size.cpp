#include "fs/byte_size.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <utility>

namespace swarmfs::fs {
namespace {

// What off_t can say.
constexpr double kMaxBytes = 9223372036854775807.0;
// More characters than any amount needs; keeps from_chars from long ways round.
constexpr std::size_t kMaxText = 32;
constexpr std::string_view kUnits = "KMGT";
constexpr double kPercent = 100;

// Digits with at most one point among them, as a number.
std::optional<double> parse_decimal(std::string_view text) {
  const bool plain = !text.empty() && text.front() != '.' && text.back() != '.' &&
                     text.find_first_not_of("0123456789.") == std::string_view::npos &&
                     std::count(text.begin(), text.end(), '.') <= 1;
  if (!plain || text.size() > kMaxText) return std::nullopt;
  double value = 0;
  const auto [end, ec] =
      std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  if (ec != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

char upper(char c) {
  return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
}

// Takes what names the unit off the end; the unit in bytes, 1 for none.
double take_unit(std::string_view& text) {
  std::string_view rest = text;
  if (!rest.empty() && upper(rest.back()) == 'B') rest.remove_suffix(1);
  if (!rest.empty() && rest.back() == 'i' && rest.size() < text.size()) rest.remove_suffix(1);
  if (rest.empty()) return 1;
  const std::size_t power = kUnits.find(upper(rest.back()));
  if (power == std::string_view::npos) return 1;
  rest.remove_suffix(1);
  text = rest;
  return std::ldexp(1.0, 10 * (static_cast<int>(power) + 1));
}

}  // namespace

std::optional<std::uint64_t> parse_bytes(std::string_view text) {
  const double unit = take_unit(text);
  const std::optional<double> number = parse_decimal(text);
  if (!number) return std::nullopt;
  if (unit == 1) {  // to the byte, and no fractions of one
    std::uint64_t value = 0;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool whole = ec == std::errc() && end == text.data() + text.size();
    if (!whole || value == 0 || value > static_cast<std::uint64_t>(INT64_MAX)) return std::nullopt;
    return value;
  }
  const double bytes = *number * unit;
  if (bytes < 1 || bytes >= kMaxBytes) return std::nullopt;
  return static_cast<std::uint64_t>(bytes);
}

std::optional<Amount> Amount::parse(std::string_view text) {
  if (text.ends_with('%')) {
    text.remove_suffix(1);
    const std::optional<double> percent = parse_decimal(text);
    if (!percent || *percent <= 0 || *percent > kPercent) return std::nullopt;
    return of_percent(*percent);
  }
  const std::optional<std::uint64_t> bytes = parse_bytes(text);
  if (!bytes) return std::nullopt;
  return of_bytes(*bytes);
}

std::uint64_t Amount::resolve(std::uint64_t total) const {
  if (percent_ <= 0) return bytes_;
  return static_cast<std::uint64_t>(static_cast<double>(total) * (percent_ / kPercent));
}

std::string bytes_text(std::uint64_t bytes) {
  constexpr std::array<const char*, 5> kNames{"bytes", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  std::size_t name = 0;
  // 1023.95 would be shown as 1024.0.
  while (value >= 1023.95 && name + 1 < kNames.size()) {
    value /= 1024;
    ++name;
  }
  std::array<char, 32> text{};
  const bool whole = name == 0 || std::abs(value - std::round(value)) < 0.05;
  std::snprintf(text.data(), text.size(), whole ? "%.0f %s" : "%.1f %s", value, kNames[name]);
  return text.data();
}

}  // namespace swarmfs::fs
