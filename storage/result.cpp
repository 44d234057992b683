#include "storage/result.h"

#include <string>

namespace swarmfs::storage {
namespace {

class StorageCategory final : public boost::system::error_category {
 public:
  const char* name() const noexcept override { return "storage"; }
  std::string message(int value) const override {
    switch (static_cast<StorageErrc>(value)) {
      case StorageErrc::short_read:
        return "the cache file is shorter than what was written to it";
      case StorageErrc::closed:
        return "the mount is shutting down";
      case StorageErrc::cache_full:
        return "the cache is full";
      case StorageErrc::piece_damaged:
        return "the file does not hold what was downloaded";
      case StorageErrc::resume_version:
        return "it was written by another version of swarmfs";
      case StorageErrc::resume_damaged:
        return "it is damaged";
      case StorageErrc::resume_foreign:
        return "it belongs to another torrent";
      case StorageErrc::bencode_truncated:
        return "the bencoded data ends in the middle of a value (is it cut short?)";
      case StorageErrc::bencode_syntax:
        return "this is not bencoded data";
      case StorageErrc::bencode_integer:
        return "the bencoded data holds a malformed number or one that does not fit 64 bits";
      case StorageErrc::bencode_not_canonical:
        return "the bencoded data is not in canonical form (sorted keys, no leading zeros)";
      case StorageErrc::bencode_duplicate_key:
        return "a key appears twice in a dictionary of the bencoded data";
      case StorageErrc::bencode_too_deep:
        return "the bencoded data is nested too deep";
      case StorageErrc::bencode_too_many_values:
        return "the bencoded data holds too many values";
      case StorageErrc::bencode_too_large:
        return "the bencoded data is 4 GiB or larger";
      case StorageErrc::torrent_empty:
        return "the torrent file is empty";
      case StorageErrc::torrent_too_large:
        return "the torrent file is larger than 10 MiB";
      case StorageErrc::not_a_torrent:
        return "this is not a torrent file (not a bencoded dictionary)";
      case StorageErrc::info_missing:
        return "not a torrent: there is no info dictionary";
      case StorageErrc::name_missing:
        return "the torrent has no name, or its name is not text";
      case StorageErrc::piece_length_out_of_range:
        return "piece length missing or out of range (1 byte to 512 MiB - 16 KiB)";
      case StorageErrc::pieces_missing:
        return "the torrent has no piece hashes";
      case StorageErrc::pieces_malformed:
        return "the piece hashes are not a multiple of 20 bytes";
      case StorageErrc::pieces_wrong_count:
        return "the number of piece hashes does not match the total size";
      case StorageErrc::too_many_pieces:
        return "the torrent has more than 2,097,152 pieces";
      case StorageErrc::length_and_files:
        return "the torrent says that it is a single file and also many files";
      case StorageErrc::length_or_files_missing:
        return "the torrent has neither a length nor a list of files";
      case StorageErrc::length_out_of_range:
        return "a file's length is missing, malformed or out of range";
      case StorageErrc::total_size_zero:
        return "the torrent holds no data: the total size of its files is 0";
      case StorageErrc::no_files:
        return "the torrent's list of files is empty or not a list";
      case StorageErrc::only_padding:
        return "the torrent holds nothing but padding";
      case StorageErrc::file_malformed:
        return "an entry in the list of files is not a dictionary";
      case StorageErrc::path_missing:
        return "a file in the torrent has no path";
      case StorageErrc::path_malformed:
        return "a file's path holds something that is not text";
      case StorageErrc::path_too_deep:
        return "a file's path is more than 100 folders deep";
      case StorageErrc::too_many_folders:
        return "the torrent has more than 200,000 folders";
      case StorageErrc::too_many_same_names:
        return "more than 500 files of the torrent have the same name";
      case StorageErrc::v2_only:
        return "v2-only torrents (BEP 52) are not supported yet";
      case StorageErrc::v2_unknown_version:
        return "unknown meta version: only v1 and v2 torrents are known";
      case StorageErrc::v2_version_missing:
        return "the torrent has a v2 file tree but no meta version";
      case StorageErrc::v2_not_canonical:
        return "the v2 info dictionary is not in canonical form (sorted keys, no leading zeros)";
      case StorageErrc::v2_piece_length:
        return "the piece length of a v2 torrent must be a power of two of at least 16 KiB";
      case StorageErrc::v2_tree_missing:
        return "the v2 torrent has no file tree";
      case StorageErrc::v2_tree_malformed:
        return "the v2 file tree is malformed";
      case StorageErrc::v2_root_malformed:
        return "a file of the v2 torrent has no valid pieces root (32 bytes)";
      case StorageErrc::v2_padding:
        return "a v2 file tree must not hold padding files";
      case StorageErrc::v2_layers_malformed:
        return "the piece layers of the v2 torrent do not match its files";
      case StorageErrc::v2_inconsistent:
        return "the v1 and v2 halves of the torrent describe different files";
      case StorageErrc::not_a_magnet:
        return "neither a magnet link (magnet:?xt=urn:btih:...) nor an info-hash";
      case StorageErrc::magnet_too_long:
        return "the magnet link is longer than 256 KiB";
      case StorageErrc::magnet_hash_missing:
        return "the magnet link names no torrent: it has no xt=urn:btih:INFO-HASH (is it cut "
               "short? put it in quotes, the shell ends a command at '&')";
      case StorageErrc::magnet_hash_malformed:
        return "the magnet link's info-hash is malformed: it must be 40 hex digits or 32 base32 "
               "characters (v2: 1220 and 64 hex digits)";
      case StorageErrc::magnet_hash_zero:
        return "the info-hash is all zeros, which names no torrent";
      case StorageErrc::magnet_ambiguous:
        return "the magnet link names two different torrents";
    }
    return "unknown storage error";
  }
};

}  // namespace

const boost::system::error_category& storage_category() {
  static const StorageCategory category;
  return category;
}

}  // namespace swarmfs::storage
