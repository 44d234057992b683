#include "net/web_seed_files.h"

#include <algorithm>

namespace swarmfs::net {
namespace {

bool is_unreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_' || c == '~';
}

// What a server may be asked for. These two mean other folders, however they are encoded (RFC 3986,
// 6.2.2.2).
bool is_name(std::string_view component) {
  return !component.empty() && component != "." && component != "..";
}

}  // namespace

std::string percent_encoded(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    if (is_unreserved(c)) {
      encoded += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      encoded += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
    }
  }
  return encoded;
}

WebSeedFiles::WebSeedFiles(const storage::Metainfo& metainfo) : metainfo_(metainfo) {
  for (File file = 0; file < metainfo.files.size(); ++file) {
    if (metainfo.files[file].length > 0) files_.push_back(file);
  }
}

storage::ByteRange WebSeedFiles::range(File file) const {
  const storage::FileEntry& entry = metainfo_.files[file];
  return {entry.offset, entry.offset + entry.length};
}

std::vector<WebSeedFiles::Span> WebSeedFiles::spans(storage::ByteRange bytes) const {
  std::vector<Span> spans;
  auto next = std::partition_point(files_.begin(), files_.end(),
                                   [&](File file) { return range(file).end <= bytes.begin; });
  while (!bytes.empty()) {
    // Whatever belongs to no file is padding.
    const std::uint64_t file_begin = next == files_.end() ? bytes.end : range(*next).begin;
    if (bytes.begin < file_begin) {
      const std::uint64_t end = std::min(bytes.end, file_begin);
      spans.push_back({{bytes.begin, end}, std::nullopt});
      bytes.begin = end;
      continue;
    }
    const std::uint64_t end = std::min(bytes.end, range(*next).end);
    spans.push_back({{bytes.begin, end}, *next});
    bytes.begin = end;
    ++next;
  }
  return spans;
}

std::string WebSeedFiles::suffix(File file, std::string_view seed_url) const {
  const bool folder = seed_url.ends_with('/');
  const std::string& name =
      is_name(metainfo_.original_name) ? metainfo_.original_name : metainfo_.name;
  if (metainfo_.single_file) return folder ? percent_encoded(name) : std::string();
  const storage::FileEntry& entry = metainfo_.files[file];
  const bool usable =
      !entry.original.empty() && std::all_of(entry.original.begin(), entry.original.end(), is_name);
  std::string suffix = (folder ? "" : "/") + percent_encoded(name);
  for (const std::string& component : usable ? entry.original : entry.path) {
    suffix += '/' + percent_encoded(component);
  }
  return suffix;
}

}  // namespace swarmfs::net
