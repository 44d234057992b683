#include "fs/terminal_text.h"

#include <sys/ioctl.h>

#include <array>
#include <cstdio>

namespace swarmfs::fs {
namespace {

// Of the UTF-8 sequence that `text` starts with; 0: it starts with none (overlong forms and
// surrogates are none).
std::size_t sequence_size(std::string_view text, std::uint32_t* code_point) {
  const auto byte = [&text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(0);
  const std::size_t size = first < 0x80 ? 1 : first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (size == 1) {
    *code_point = first;
    return 1;
  }
  if (first < 0xC2 || first > 0xF4 || text.size() < size) return 0;
  std::uint32_t value = first & (0xFFU >> (size + 1));
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xC0U) != 0x80) return 0;
    value = value << 6 | (byte(i) & 0x3FU);
  }
  const bool overlong = (size == 3 && value < 0x800) || (size == 4 && value < 0x10000);
  if (overlong || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) return 0;
  *code_point = value;
  return size;
}

bool is_control(std::uint32_t c) {
  return c < 0x20 || (c >= 0x7F && c <= 0x9F);
}

bool is_deceptive(std::uint32_t c) {
  return (c >= 0x200B && c <= 0x200F) || (c >= 0x2028 && c <= 0x202E) ||
         (c >= 0x2060 && c <= 0x206F) || c == 0x061C || c == 0xFEFF || c == 0x00AD;
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  const auto add_bytes = [&out](std::string_view bytes) {
    for (const char c : bytes) {
      std::array<char, 8> number{};
      std::snprintf(number.data(), number.size(), "\\x%02x", static_cast<unsigned char>(c));
      out += number.data();
    }
  };
  while (!text.empty()) {
    std::uint32_t c = 0;
    const std::size_t size = sequence_size(text, &c);
    const std::string_view bytes = text.substr(0, size == 0 ? 1 : size);
    if (size == 0 || is_control(c)) {
      add_bytes(bytes);
    } else if (is_deceptive(c)) {
      std::array<char, 16> number{};
      std::snprintf(number.data(), number.size(), "\\u{%x}", c);
      out += number.data();
    } else {
      out += bytes;
    }
    text.remove_prefix(bytes.size());
  }
  return out;
}

std::string fitting(std::string_view text, std::size_t columns) {
  const std::string whole = printable(text);
  std::string_view rest = whole;
  std::size_t width = 0;
  while (!rest.empty()) {
    std::uint32_t c = 0;
    const std::size_t size = sequence_size(rest, &c);
    width += c < 0x80 ? 1 : 2;
    if (width > columns) break;
    rest.remove_prefix(size);
  }
  return whole.substr(0, whole.size() - rest.size());
}

std::size_t terminal_columns(int fd) {
  constexpr std::size_t kUsual = 80;
  winsize size{};
  return ::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : kUsual;
}

std::string human_size(std::uint64_t bytes) {
  static constexpr std::array kUnits{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < 1024) return std::to_string(bytes) + " B";
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  // 1023.5 would be printed as 1024.
  while (value >= 1023.5) {
    value /= 1024;
    ++unit;
  }
  const bool exact = bytes % (std::uint64_t{1} << (10 * unit)) == 0;
  const int decimals = exact || value >= 99.95 ? 0 : value < 9.995 ? 2 : 1;
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.*f %s", decimals, value, kUnits[unit]);
  return text.data();
}

}  // namespace swarmfs::fs
