#include "net/range_reply.h"

#include <algorithm>
#include <boost/beast/core/string.hpp>
#include <charconv>
#include <string>

namespace swarmfs::net {
namespace {

bool is_encoded(const HttpHead& head) {
  return !head.content_encoding.empty() &&
         !boost::beast::iequals(head.content_encoding, "identity");
}

bool takes(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

bool takes_number(std::string_view& text, std::uint64_t& number) {
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (ec != std::errc()) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}

// 206. A multipart body has no Content-Range among its headers.
RangeReply judge_partial(const HttpHead& head, const RangeAsked& asked) {
  std::string_view text = head.content_range;
  std::uint64_t first = 0, last = 0, total = asked.file_size;
  if (!takes(text, "bytes ") || !takes_number(text, first) || !takes(text, "-") ||
      !takes_number(text, last) || !takes(text, "/")) {
    return RangeReply::broken;
  }
  if (text != "*" && (!takes_number(text, total) || !text.empty())) return RangeReply::broken;
  if (total != asked.file_size) return RangeReply::not_there;
  if (first != asked.begin || last != asked.end - 1) return RangeReply::broken;
  if (head.content_length.value_or(asked.end - asked.begin) != asked.end - asked.begin) {
    return RangeReply::broken;
  }
  return RangeReply::range;
}

}  // namespace

RangeReply judge_range_reply(const HttpHead& head, const RangeAsked& asked) {
  if (is_redirect(head.status)) return RangeReply::redirect;
  if (head.status == 206) {
    return is_encoded(head) ? RangeReply::broken : judge_partial(head, asked);
  }
  if (head.status == 200) {
    if (is_encoded(head)) return RangeReply::broken;
    const bool other = head.content_length.value_or(asked.file_size) != asked.file_size;
    return other ? RangeReply::not_there : RangeReply::whole_file;  // pages that say "not found"
  }
  if (head.status == 408 || head.status == 429 || head.status >= 500) return RangeReply::busy;
  return head.status >= 400 ? RangeReply::not_there : RangeReply::broken;
}

std::string range_header(const RangeAsked& asked) {
  return "bytes=" + std::to_string(asked.begin) + '-' + std::to_string(asked.end - 1);
}

Duration retry_after(std::string_view header) {
  std::uint64_t seconds = 0;
  if (!takes_number(header, seconds) || !header.empty()) return {};
  constexpr auto kMost = std::chrono::duration_cast<std::chrono::seconds>(kMaxRetryAfter);
  return std::chrono::seconds(std::min<std::uint64_t>(seconds, kMost.count()));
}

}  // namespace swarmfs::net
