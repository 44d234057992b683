#include "fs/source.h"

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <string_view>
#include <utility>

#include "fs/torrent_url.h"

namespace swarmfs::fs {
namespace {

// Of a link in a complaint; real ones with many trackers are longer than a screen.
constexpr std::size_t kMaxShownLink = 120;

bool starts_with_ignoring_case(std::string_view text, std::string_view lower) {
  return text.size() >= lower.size() &&
         std::equal(lower.begin(), lower.end(), text.begin(), [](char l, char c) {
           return l == std::tolower(static_cast<unsigned char>(c));
         });
}

bool exists(const std::string& path) {
  return ::access(path.c_str(), F_OK) == 0;
}

OrComplaint<Source> open_magnet(const std::string& typed) {
  const std::string shown =
      typed.size() <= kMaxShownLink ? typed : typed.substr(0, kMaxShownLink) + "...";
  Result<storage::Magnet> magnet = storage::parse_magnet(typed);
  if (!magnet) return Complaint{shown + ": " + magnet.error().message()};
  if (!magnet->info_hash) {
    return Complaint{shown +
                     ": v2-only torrents (BEP 52) are not supported yet; use a link that has a v1 "
                     "info-hash too (xt=urn:btih:...)"};
  }
  return Source(*std::move(magnet));
}

OrComplaint<Source> open_stdin() {
  if (::isatty(STDIN_FILENO) == 1) {
    return Complaint{"stdin is a terminal; pipe a torrent in: curl -sL URL | swarmfs - MOUNTPOINT"};
  }
  OrComplaint<TorrentFile> torrent = read_torrent(STDIN_FILENO, "stdin");
  if (!torrent) return torrent.error();
  return Source(*std::move(torrent));
}

// Nothing is called `typed`: what was it meant to be?
std::string meant(const std::string& typed) {
  if (typed.find("://") != typed.npos) {
    return "no such file, nor a link that swarmfs knows; give a path, an http or https URL, or a "
           "magnet link";
  }
  // No shorter than a hash that lost some digits, which no file is called by accident.
  constexpr std::size_t kHashLike = 30;
  const bool hex = std::all_of(typed.begin(), typed.end(),
                               [](unsigned char c) { return std::isxdigit(c) != 0; });
  if (hex && typed.size() >= kHashLike) {
    return "no such file, nor an info-hash: that has 40 hex digits, this has " +
           std::to_string(typed.size());
  }
  return {};
}

OrComplaint<Source> open_file(const std::string& typed) {
  const std::string hint = exists(typed) ? "" : meant(typed);
  if (!hint.empty()) return Complaint{typed + ": " + hint};
  OrComplaint<TorrentFile> torrent = open_torrent_file(typed);
  if (!torrent) return torrent.error();
  return Source(*std::move(torrent));
}

}  // namespace

SourceKind kind_of_source(const std::string& typed) {
  if (typed == "-") return SourceKind::standard_input;
  if (storage::is_magnet_link(typed)) return SourceKind::magnet;
  if (starts_with_ignoring_case(typed, "http://") || starts_with_ignoring_case(typed, "https://")) {
    return SourceKind::url;
  }
  const Result<storage::Magnet> hash = storage::parse_magnet(typed);
  const bool is_hash = hash || hash.error() == storage::StorageErrc::magnet_hash_zero;
  return is_hash && !exists(typed) ? SourceKind::magnet : SourceKind::file;
}

OrComplaint<Source> open_source(const std::string& typed, bool allow_local,
                                const net::LocalInterface& interface) {
  switch (kind_of_source(typed)) {
    case SourceKind::standard_input:
      return open_stdin();
    case SourceKind::url: {
      OrComplaint<TorrentFile> torrent = download_torrent(typed, allow_local, interface);
      if (!torrent) return torrent.error();
      return Source(*std::move(torrent));
    }
    case SourceKind::magnet:
      return open_magnet(typed);
    case SourceKind::file:
      break;
  }
  return open_file(typed);
}

}  // namespace swarmfs::fs
