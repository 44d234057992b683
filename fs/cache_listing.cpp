#include "fs/cache_listing.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <set>
#include <utility>

#include "fs/cache_usage.h"
#include "fs/small_file.h"
#include "fs/terminal_text.h"

namespace swarmfs::fs {
namespace {

using storage::InfoHash;
using storage::UniqueFd;

constexpr std::size_t kHashDigits = 40;
constexpr std::int64_t kMinute = 60;

// When the folder changed last: somebody mounted it then, or mended it.
std::optional<std::int64_t> changed(int folder) {
  struct stat info {};
  if (::fstat(folder, &info) != 0) return std::nullopt;
  return info.st_mtim.tv_sec;
}

std::optional<std::int64_t> last_use(const storage::Resume& resume) {
  const auto latest = std::max_element(resume.last_used.begin(), resume.last_used.end());
  if (latest == resume.last_used.end() || *latest == 0) return std::nullopt;
  return *latest * kMinute;
}

void read_contents(int folder, CachedTorrent& entry) {
  const auto metainfo = load_folder_metainfo(folder, entry.info_hash);
  if (!metainfo) {
    if (is_there(folder, "metainfo")) {
      entry.problem = "damaged: its metainfo cannot be read or is another torrent's";
    } else if (disk_bytes(folder, "data") > 0) {
      entry.problem = "damaged: its metainfo is gone";
    }
    return;
  }
  entry.name = metainfo->name;
  entry.size = metainfo->layout.total_size();
  entry.pieces = metainfo->layout.piece_count();
  const Result<storage::Resume> resume =
      load_folder_resume(folder, entry.info_hash, metainfo->layout);
  if (!resume) {
    entry.problem = resume_problem(resume.error());
    return;
  }
  entry.kept_pieces = resume->pieces.count();
  if (const auto used = last_use(*resume)) entry.last_used = used;
  if (entry.kept_pieces > 0 && !open_folder_data(folder, O_RDONLY))
    entry.problem = "damaged: its data is gone";
}

CachedTorrent look_at(int root, const std::string& name) {
  CachedTorrent entry{.folder = name,
                      .info_hash = *InfoHash::from_hex(name.substr(0, kHashDigits)),
                      .ephemeral = name.ends_with(kEphemeralSuffix)};
  const UniqueFd folder = open_cache_folder(root, name);
  if (!folder) {
    const bool foreign = errno == ELOOP || errno == ENOTDIR;
    entry.problem = foreign ? "no folder of ours: left alone" : std::strerror(errno);
    return entry;
  }
  entry.disk_bytes = disk_bytes(folder.get());
  entry.last_used = changed(folder.get());
  entry.user = find_lock_holder(folder.get());
  read_contents(folder.get(), entry);
  return entry;
}

bool is_hex(std::string_view text) {
  return text.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos;
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](char c) {
    return c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return text;
}

}  // namespace

std::string resume_problem(error_code error) {
  return "its resume file cannot be used (" + error.message() + "): nothing counts as kept";
}

OrComplaint<CacheListing> list_cache(const std::string& root, bool must_exist) {
  const UniqueFd directory = open_folder(root);
  if (!directory) {
    if (errno == ENOENT && !must_exist) return CacheListing();
    return Complaint{root + ": " + std::strerror(errno) +
                     "; name the cache directory with --cache-dir"};
  }
  CacheListing listing;
  const std::vector<std::string> names = cache_folders(root);
  for (std::size_t i = 0; i < std::min(names.size(), kMaxListed); ++i)
    listing.torrents.push_back(look_at(directory.get(), names[i]));
  listing.left_out = names.size() - listing.torrents.size();
  // What has no time goes last; what has the same stays in the order of the hashes.
  std::stable_sort(
      listing.torrents.begin(), listing.torrents.end(),
      [](const CachedTorrent& a, const CachedTorrent& b) { return a.last_used > b.last_used; });
  return listing;
}

OrComplaint<std::vector<const CachedTorrent*>> find_torrents(const CacheListing& listing,
                                                             const std::string& word) {
  std::vector<const CachedTorrent*> found;
  std::set<std::string> hashes;
  const auto collect = [&](auto fits) {
    for (const CachedTorrent& torrent : listing.torrents) {
      if (!fits(torrent)) continue;
      found.push_back(&torrent);
      hashes.insert(torrent.info_hash.hex());
    }
  };
  const std::string digits = lower(word);
  const bool is_prefix = is_hex(word) && word.size() >= kMinHashPrefix;
  collect([&](const CachedTorrent& t) { return t.info_hash.hex() == digits; });
  if (found.empty()) {
    collect([&](const CachedTorrent& t) {
      const bool named = !t.name.empty() && (t.name == word || printable(t.name) == word);
      return named || (is_prefix && t.info_hash.hex().starts_with(digits));
    });
  }
  if (hashes.size() == 1) return found;
  if (found.empty()) {
    const bool too_short = is_hex(word) && !is_prefix;
    return Complaint{word + ": not in the cache" +
                     (too_short ? "; at least 4 digits of an info-hash, please"
                                : "; swarmfsctl cache list shows what is")};
  }
  return Complaint{word + ": fits " + std::to_string(hashes.size()) + " torrents, " +
                   *hashes.begin() + " and " + *std::next(hashes.begin()) +
                   (hashes.size() > 2 ? " among them" : "") + "; give more digits"};
}

}  // namespace swarmfs::fs
