// Text from outside (a torrent, a peer, a tracker, a file name) made fit for a terminal or a log.
//
// Threads: any; pure, but for terminal_columns(). Memory: the result. Errors: none; what cannot be
// shown is shown as a number.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace swarmfs::fs {

// One line of valid UTF-8. Control characters and bytes that are not UTF-8 become \xNN; characters
// that make a text read differently from what it is (bidirectional marks, zero-width characters,
// line separators) become \u{NNNN}. Everything else is kept.
[[nodiscard]] std::string printable(std::string_view text);

// printable(), and no wider than `columns`: a longer line would wrap, and could not be replaced by
// the next. Characters beyond ASCII count as wide.
[[nodiscard]] std::string fitting(std::string_view text, std::size_t columns);
// How many columns the terminal has; 80 when it does not say.
[[nodiscard]] std::size_t terminal_columns(int fd);

// "0 B", "1023 B", "1.21 KiB", "12.3 MiB", "456 GiB": three digits; "64 KiB" when it is just that.
[[nodiscard]] std::string human_size(std::uint64_t bytes);

}  // namespace swarmfs::fs
