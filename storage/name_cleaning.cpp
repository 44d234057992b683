#include "storage/name_cleaning.h"

#include <algorithm>
#include <map>
#include <utility>

namespace swarmfs::storage {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD
constexpr char kStandIn = '_';
// Longer than any real extension (".torrent", ".part01.rar" counts as ".rar"); longer ones are part
// of a sentence.
constexpr std::size_t kMaxExtensionSize = 16;

struct Character {
  char32_t code = 0;
  std::size_t size = 0;  // bytes; 0: not UTF-8 here
};

// The first character of `text` (not empty), by RFC 3629: shortest form only, no surrogates, at
// most U+10FFFF.
Character first_character(std::string_view text) {
  const auto byte_at = [text](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  const unsigned lead = byte_at(0);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xC2 || lead > 0xF4) return {};
  const std::size_t size = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  char32_t code = lead & (0xFFU >> (size + 1));
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte_at(i) & 0xC0U) != 0x80) return {};
    code = (code << 6) | (byte_at(i) & 0x3FU);
  }
  if (size == 3 && code < 0x800) return {};
  if (size == 4 && (code < 0x10000 || code > 0x10FFFF)) return {};
  if (code >= 0xD800 && code <= 0xDFFF) return {};
  return {code, size};
}

// C0, DEL, C1, and the Unicode line and paragraph separators.
bool is_control(char32_t c) {
  return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0x2028 || c == 0x2029;
}

// Invisible, and changes how what is around it reads: "a<RLO>gpj.exe" is shown as "aexe.jpg".
bool is_deceptive(char32_t c) {
  return c == 0x061C || c == 0x200B || c == 0x200E || c == 0x200F ||      // marks, zero-width space
         (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069) ||  // embeddings, isolates
         (c >= 0x2060 && c <= 0x2064) || c == 0xFEFF;  // word joiner and the like
}

// Persian, Indic scripts and emoji are spelt with these; they stay where there is something to
// join.
bool is_joiner(char32_t c) {
  return c == 0x200C || c == 0x200D;
}

// ".", "..", and what looks like them.
bool is_dot_name(std::string_view name) {
  std::size_t dots = 0;
  while (!name.empty()) {
    const Character c = first_character(name);
    if (!is_joiner(c.code)) {
      if (c.code != '.' || ++dots > 2) return false;
    }
    name.remove_prefix(c.size);
  }
  return true;  // also for nothing at all
}

// The longest start of `text` that is at most `size` bytes and ends between characters. Requires
// valid UTF-8.
std::string_view cut(std::string_view text, std::size_t size) {
  if (text.size() <= size) return text;
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xC0U) == 0x80) --size;
  return text.substr(0, size);
}

// Where the extension begins, its dot included; the size of the name when it has none.
std::size_t extension_of(std::string_view name) {
  const std::size_t dot = name.rfind('.');
  if (dot == std::string_view::npos || dot == 0) return name.size();
  const std::string_view extension = name.substr(dot);
  const bool sentence = extension.find(' ') != std::string_view::npos;
  return sentence || extension.size() > kMaxExtensionSize ? name.size() : dot;
}

// `name` with `insert` before its extension, the part before that cut as needed.
std::string with_suffix(std::string_view name, std::string_view insert) {
  const std::size_t dot = extension_of(name);
  const std::string_view extension = name.substr(dot);
  std::string out(cut(name.substr(0, dot), kMaxNameSize - insert.size() - extension.size()));
  return out.append(insert).append(extension);
}

class Namespace {
 public:
  // Folders first: they win over files. Fills folder_of_.
  error_code claim_folders(const std::vector<std::vector<std::string>>& paths) {
    const std::vector<std::string>* last = nullptr;
    std::vector<FolderId> folders;  // of *last, from the root down
    for (const std::vector<std::string>& path : paths) {
      const std::size_t depth = path.size() - 1;
      std::size_t same =
          0;  // leading folders that the path before had too: most files lie beside the last
      while (last != nullptr && same < std::min(depth, last->size() - 1) &&
             path[same] == (*last)[same])
        ++same;
      folders.resize(same);
      for (std::size_t i = same; i < depth; ++i) {
        const FolderId parent = folders.empty() ? kTop : folders.back();
        Taken& taken = taken_[{parent, path[i]}];
        if (taken.folder == kNoFolder) taken.folder = ++folder_count_;
        if (folder_count_ > kMaxFolders) return StorageErrc::too_many_folders;
        folders.push_back(taken.folder);
      }
      folder_of_.push_back(folders.empty() ? kTop : folders.back());
      last = &path;
    }
    return {};
  }

  error_code claim_files(std::vector<std::vector<std::string>>& paths) {
    std::vector<std::size_t> homeless;
    for (std::size_t i = 0; i < paths.size(); ++i) {
      if (!taken_.try_emplace({folder_of_[i], paths[i].back()}).second) homeless.push_back(i);
    }
    for (const std::size_t i : homeless) {
      if (const error_code ec = rename(folder_of_[i], paths[i].back())) return ec;
    }
    return {};
  }

 private:
  using FolderId = std::uint32_t;
  static constexpr FolderId kNoFolder = 0;
  static constexpr FolderId kTop = ~FolderId{0};
  struct Taken {
    FolderId folder = kNoFolder;  // kNoFolder: a file
    std::uint32_t renamed = 0;    // numbers tried so far for others that wanted this name
  };

  error_code rename(FolderId folder, std::string& name) {
    Taken& wanted = taken_.find({folder, name})->second;
    while (wanted.renamed < kMaxSameNames) {
      std::string candidate = numbered_name(name, ++wanted.renamed);
      if (taken_.contains({folder, candidate})) continue;
      name = std::move(candidate);
      taken_.try_emplace({folder, name});
      return {};
    }
    return StorageErrc::too_many_same_names;
  }

  // Keys point into the paths. An ordered map: torrents choose the names, and could choose
  // colliding hashes.
  std::map<std::pair<FolderId, std::string_view>, Taken> taken_;
  std::vector<FolderId> folder_of_;  // of each path
  FolderId folder_count_ = 0;
};

}  // namespace

std::string clean_name(std::string_view raw) {
  std::string out;
  while (!raw.empty()) {
    const Character c = first_character(raw);
    const std::string_view bytes = raw.substr(0, std::max<std::size_t>(c.size, 1));
    raw.remove_prefix(bytes.size());
    if (c.size == 0) {
      out += kReplacement;
    } else if (c.code == '/' || is_control(c.code)) {
      out += kStandIn;
    } else if (!is_deceptive(c.code)) {
      out += bytes;
    }
  }
  if (out.size() > kMaxNameSize) out = with_suffix(out, "");
  if (is_dot_name(out)) return {};  // last: what was taken out above can have hidden it
  return out;
}

std::string numbered_name(const std::string& name, std::uint32_t number) {
  return with_suffix(name, "." + std::to_string(number));
}

error_code make_unique(std::vector<std::vector<std::string>>& paths) {
  Namespace names;
  if (const error_code ec = names.claim_folders(paths)) return ec;
  return names.claim_files(paths);
}

}  // namespace swarmfs::storage
