#include "storage/metainfo.h"

#include <algorithm>
#include <cstring>

#include "storage/bencode.h"
#include "storage/metainfo_sources.h"
#include "storage/metainfo_v2.h"
#include "storage/name_cleaning.h"
#include "storage/warning_list.h"

namespace swarmfs::storage {
namespace {

using bencode::Document;
using bencode::Type;
using bencode::Value;

constexpr std::size_t kHashSize = sizeof(Sha1Digest::bytes);
// What BitComet calls its padding; it predates BEP 47 and has no attribute.
constexpr std::string_view kBitCometPadding = "_____padding_file_";

// A file as the v1 half describes it, nothing cleaned or left out.
struct RawFile {
  Value path;          // a list of strings, at least one; missing for padding and for a single file
  Value display_path;  // the same in UTF-8 when the torrent has that too
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  bool padding = false;
  bool symlink = false;
  bool executable = false;
};

// A number that decides where bytes lie. Lenient reading lets i010e pass; here two readers could
// then disagree (octal, or cut at the zero), so it must be in canonical form.
std::optional<std::int64_t> size_number(Value value, std::int64_t low, std::int64_t high) {
  return value.canonical() ? value.integer(low, high) : std::nullopt;
}

bool has(std::string_view attributes, char attribute) {
  return attributes.find(attribute) != attributes.npos;
}

error_code check_path(Value path) {
  if (!path.is(Type::list) || path.items().empty()) return StorageErrc::path_missing;
  std::size_t components = 0;
  for (const Value component : path.items()) {
    if (!component.is(Type::string)) return StorageErrc::path_malformed;
    if (++components > kMaxFolderDepth + 1) return StorageErrc::path_too_deep;
  }
  return {};
}

bool is_bitcomet_padding(Value path) {
  std::string_view last;
  for (const Value component : path.items()) last = component.string().value_or("");
  return last.starts_with(kBitCometPadding);
}

// The v1 list of files with offsets and checked sizes.
class FileReader {
 public:
  explicit FileReader(std::uint32_t piece_length)
      : room_(std::uint64_t{kMaxPieces} * piece_length) {}

  error_code read(Value info) {
    const Value list = info["files"];
    if (info["length"] && list) return StorageErrc::length_and_files;
    if (info["length"]) return add(info, true);
    if (!list) return StorageErrc::length_or_files_missing;
    if (!list.is(Type::list) || list.items().empty()) return StorageErrc::no_files;
    for (const Value file : list.items()) {
      if (!file.is(Type::dictionary)) return StorageErrc::file_malformed;
      if (const error_code ec = add(file, false)) return ec;
    }
    return {};
  }

  [[nodiscard]] const std::vector<RawFile>& files() const { return files_; }
  [[nodiscard]] std::uint64_t total() const { return total_; }

 private:
  error_code add(Value entry, bool single) {
    RawFile file;
    const std::string_view attributes = entry["attr"].string().value_or("");
    file.padding = has(attributes, 'p');
    file.symlink = has(attributes, 'l');
    file.executable = has(attributes, 'x');
    if (!single) {
      file.path = entry["path"];
      file.padding = file.padding || is_bitcomet_padding(file.path);
      const error_code ec = file.padding ? error_code() : check_path(file.path);
      if (ec) return ec;
      const Value utf8 = entry["path.utf-8"];
      file.display_path = check_path(utf8) ? file.path : utf8;
    }
    if (!file.symlink) {  // a link has no bytes among the pieces, whatever length it claims
      const std::optional<std::int64_t> length = size_number(entry["length"], 0, kMaxFileLength);
      if (!length) return StorageErrc::length_out_of_range;
      file.length = static_cast<std::uint64_t>(*length);
    }
    if (file.length > room_ - total_) return StorageErrc::too_many_pieces;
    file.offset = total_;
    total_ += file.length;
    files_.push_back(file);
    return {};
  }

  std::uint64_t room_;  // bytes in the largest torrent
  std::uint64_t total_ = 0;
  std::vector<RawFile> files_;
};

Result<std::vector<Sha1Digest>> read_hashes(Value pieces, const Layout& layout) {
  const std::optional<std::span<const std::byte>> bytes = pieces.bytes();
  if (bytes->size() / kHashSize != layout.piece_count()) return StorageErrc::pieces_wrong_count;
  std::vector<Sha1Digest> hashes(layout.piece_count());
  for (std::size_t i = 0; i < hashes.size(); ++i) {
    std::memcpy(hashes[i].bytes.data(), bytes->data() + i * kHashSize, kHashSize);
  }
  return hashes;
}

std::vector<ByteRange> padding_of(const std::vector<RawFile>& files) {
  std::vector<ByteRange> pads;
  for (const RawFile& file : files) {
    if (!file.padding || file.length == 0) continue;
    if (!pads.empty() && pads.back().end == file.offset) {
      pads.back().end += file.length;
    } else {
      pads.push_back({file.offset, file.offset + file.length});
    }
  }
  return pads;
}

// Both halves of a hybrid must name the same files in the same order, and BEP 52 starts each on a
// piece boundary.
bool halves_agree(const std::vector<RawFile>& v1, const std::vector<V2File>& v2,
                  std::string_view name, std::uint32_t piece_length) {
  auto other = v2.begin();
  for (const RawFile& file : v1) {
    if (file.padding) continue;
    if (other == v2.end() || other->length != file.length) return false;
    if (file.length > 0 && file.offset % piece_length != 0) return false;
    auto component = other->path.begin();
    if (!file.path && (other->path.size() != 1 || *component != name)) return false;
    for (const Value item : file.path.items()) {
      if (component == other->path.end() || *component != *item.string()) return false;
      ++component;
    }
    if (file.path && component != other->path.end()) return false;
    ++other;
  }
  return other == v2.end();
}

// The visible files of a torrent with many, their paths cleaned and unique.
Result<std::vector<FileEntry>> visible_files(const std::vector<RawFile>& raw,
                                             WarningList& warnings) {
  std::vector<FileEntry> files;
  std::vector<std::vector<std::string>> paths;
  std::size_t links = 0;
  std::uint32_t index = 0;  // of the next file; a torrent of kMaxTorrentSize has fewer than 2^32
  for (const RawFile& file : raw) {
    const std::uint32_t place = index++;
    if (file.symlink && !file.padding) ++links;
    if (file.symlink || file.padding) continue;
    std::vector<std::string>& path = paths.emplace_back();
    for (const Value component : file.display_path.items()) {
      path.push_back(clean_name(*component.string()));
      if (path.back().empty()) path.back() = kPlaceholderName;
    }
    files.push_back({{}, file.offset, file.length, file.executable, place});
  }
  if (files.empty()) return StorageErrc::only_padding;
  if (const error_code ec = make_unique(paths)) return ec;
  for (std::size_t i = 0; i < files.size(); ++i) files[i].path = std::move(paths[i]);
  if (links > 0) warnings.add(std::to_string(links) + " symbolic links are not shown");
  return files;
}

// Notes which files are shown under another path than the torrent gives them, and returns how many.
// `shown` lacks what is hidden in `raw`.
std::size_t note_renamed(const std::vector<RawFile>& raw, std::vector<FileEntry>& shown) {
  std::size_t renamed = 0;
  auto entry = shown.begin();
  for (const RawFile& file : raw) {
    if (file.symlink || file.padding) continue;
    std::vector<std::string> original;
    for (const Value component : file.display_path.items())
      original.emplace_back(*component.string());
    if (original != entry->path) {
      entry->original = std::move(original);
      ++renamed;
    }
    ++entry;
  }
  return renamed;
}

Result<std::uint32_t> read_piece_length(Value info) {
  const std::optional<std::int64_t> number = size_number(info["piece length"], 1, kMaxPieceLength);
  if (!number) return StorageErrc::piece_length_out_of_range;
  return static_cast<std::uint32_t>(*number);
}

// `name`, in UTF-8 when the torrent has that too.
Result<std::string_view> read_name(Value info) {
  const std::optional<std::string_view> name = info["name"].string();
  if (!name || name->empty()) return StorageErrc::name_missing;
  const std::string_view utf8 = info["name.utf-8"].string().value_or("");
  return utf8.empty() ? *name : utf8;
}

bool read_private(Value info, WarningList& warnings) {
  const Value flag = info["private"];
  if (!flag) return false;
  const std::optional<std::int64_t> number = flag.integer();
  if (!number) warnings.add("the private flag is not a number and was ignored");
  return number.value_or(0) != 0;
}

std::optional<std::int64_t> read_creation_date(Value root, WarningList& warnings) {
  const Value date = root["creation date"];
  const std::optional<std::int64_t> seconds = date.integer(0, kMaxCreationDate);
  if (date && !seconds) warnings.add("the creation date is not a time and was ignored");
  return seconds;
}

void warn_about(const Document& document, WarningList& warnings) {
  if (!document.trailing().empty()) {
    warnings.add(std::to_string(document.trailing().size()) +
                 " bytes after the end of the torrent were ignored");
  }
  if (document.oddities().key_order) warnings.add("keys are not sorted");
  if (document.oddities().number_form) warnings.add("numbers have leading zeros");
}

// Everything of the v1 half that lies in the info dictionary.
Result<Metainfo> read_v1(Value info, std::uint32_t piece_length,
                         const std::vector<V2File>* v2_files, WarningList& warnings) {
  const Result<std::string_view> name = read_name(info);
  if (!name) return name.error();
  const std::optional<std::string_view> pieces = info["pieces"].string();
  if (!pieces) return StorageErrc::pieces_missing;
  if (pieces->size() % kHashSize != 0) return StorageErrc::pieces_malformed;
  FileReader reader(piece_length);
  if (const error_code ec = reader.read(info)) return ec;
  if (reader.total() == 0) return StorageErrc::total_size_zero;
  if (v2_files != nullptr &&
      !halves_agree(reader.files(), *v2_files, *info["name"].string(), piece_length)) {
    return StorageErrc::v2_inconsistent;
  }

  Layout layout(reader.total(), piece_length, padding_of(reader.files()));
  Result<std::vector<Sha1Digest>> hashes = read_hashes(info["pieces"], layout);
  if (!hashes) return hashes.error();
  Metainfo metainfo{.name = clean_name(*name),
                    .info_hash = sha1(info.raw()),
                    .layout = std::move(layout),
                    .piece_hashes = *std::move(hashes)};
  if (metainfo.name.empty()) metainfo.name = metainfo.info_hash.hex();
  metainfo.original_name = *name;
  std::size_t renamed = metainfo.name == *name ? 0 : 1;
  metainfo.single_file = !info["files"];
  if (metainfo.single_file) {
    const RawFile& file = reader.files().front();
    if (file.padding) return StorageErrc::only_padding;
    metainfo.files.push_back({{metainfo.name}, 0, file.length, file.executable});
  } else {
    Result<std::vector<FileEntry>> files = visible_files(reader.files(), warnings);
    if (!files) return files.error();
    metainfo.files = *std::move(files);
    renamed += note_renamed(reader.files(), metainfo.files);
  }
  if (renamed > 0)
    warnings.add(std::to_string(renamed) + " names were changed to be valid and unique");
  metainfo.is_private = read_private(info, warnings);
  metainfo.has_v2 = v2_files != nullptr;
  return metainfo;
}

Result<Metainfo> read_metainfo(const Document& document) {
  WarningList warnings;
  const Value root = document.root();
  const Value info = root["info"];
  if (!info.is(Type::dictionary)) return StorageErrc::info_missing;
  const Result<bool> v2 = is_v2(info);
  if (!v2) return v2.error();
  const Result<std::uint32_t> piece_length = read_piece_length(info);
  if (!piece_length) return piece_length.error();
  std::vector<V2File> v2_files;
  if (*v2) {
    Result<std::vector<V2File>> files = read_v2_files(root, info, *piece_length);
    if (!files) return files.error();
    v2_files = *std::move(files);
    if (!info["pieces"]) {
      const Result<std::string_view> name = read_name(info);
      return name ? StorageErrc::v2_only : name.error();
    }
  }

  warn_about(document, warnings);
  Result<Metainfo> metainfo = read_v1(info, *piece_length, *v2 ? &v2_files : nullptr, warnings);
  if (!metainfo) return metainfo;
  MetainfoSources sources = read_sources(root, warnings);
  metainfo->trackers = std::move(sources.trackers);
  metainfo->web_seeds = std::move(sources.web_seeds);
  metainfo->nodes = std::move(sources.nodes);
  metainfo->creation_date = read_creation_date(root, warnings);
  metainfo->warnings = warnings.take();
  return metainfo;
}

}  // namespace

Result<Metainfo> parse_metainfo(std::span<const std::byte> bytes) {
  if (bytes.empty()) return StorageErrc::torrent_empty;
  if (bytes.size() > kMaxTorrentSize) return StorageErrc::torrent_too_large;
  if (bytes.front() != std::byte{'d'}) return StorageErrc::not_a_torrent;  // before any work
  const Result<Document> document =
      Document::read(bytes, bencode::kTorrentLimits, bencode::Mode::lenient);
  if (!document) return document.error();
  return read_metainfo(*document);
}

}  // namespace swarmfs::storage
