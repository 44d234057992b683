// What a file had wrong with it that was accepted all the same: a bounded list of lines for a user.
//
// Threads: plain value. Memory: kMaxWarnings lines. Errors: none.
#pragma once
#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace swarmfs::storage {

// A screenful; a hostile torrent must not fill the log.
inline constexpr std::size_t kMaxWarnings = 20;
// Bytes quoted from the file in one line.
inline constexpr std::size_t kMaxQuote = 80;

class WarningList {
 public:
  void add(std::string line) {
    if (lines_.size() < kMaxWarnings) {
      lines_.push_back(std::move(line));
    } else {
      ++left_out_;
    }
  }
  // `text` as it may be printed on a terminal.
  [[nodiscard]] static std::string quote(std::string_view text) {
    std::string out(text.substr(0, kMaxQuote));
    std::replace_if(
        out.begin(), out.end(), [](char c) { return c < 0x20 || c > 0x7E; }, '?');
    return text.size() > kMaxQuote ? out + "..." : out;
  }
  [[nodiscard]] std::vector<std::string> take() {
    if (left_out_ > 0) lines_.push_back("and " + std::to_string(left_out_) + " more");
    left_out_ = 0;
    return std::exchange(lines_, {});
  }

 private:
  std::vector<std::string> lines_;
  std::size_t left_out_ = 0;
};

}  // namespace swarmfs::storage
