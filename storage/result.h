// Errors as values for the whole program, and the error codes of storage/.
//
// Threads: any. Errors: this is where they are defined; the message of each is one line for a user.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/system/error_code.hpp>
#include <boost/system/result.hpp>

namespace swarmfs {
namespace asio = boost::asio;
using boost::system::error_code;
template <class T>
using Result = boost::system::result<T>;
// A coroutine on the engine thread. It is awaited or given to a TaskGroup, never dropped.
template <class T>
using Task = asio::awaitable<T>;
}  // namespace swarmfs

namespace swarmfs::storage {

// The text of each, which a user sees, stands in result.cpp.
enum class StorageErrc {
  short_read = 1,  // the cache file ends before the bytes that were written to it
  closed,          // the store is shutting down; the read will not be answered
  cache_full,      // there is no room for the piece; it stays in memory while that lasts
  piece_damaged,   // a piece that was claimed to be in the file is something else
  // -- what is remembered of a cache file
  resume_version,
  resume_damaged,
  resume_foreign,
  // -- bencode
  bencode_truncated,
  bencode_syntax,
  bencode_integer,
  bencode_not_canonical,
  bencode_duplicate_key,
  bencode_too_deep,
  bencode_too_many_values,
  bencode_too_large,
  // -- metainfo: the file
  torrent_empty,
  torrent_too_large,
  not_a_torrent,
  info_missing,
  // -- metainfo: the info dictionary
  name_missing,
  piece_length_out_of_range,
  pieces_missing,
  pieces_malformed,
  pieces_wrong_count,
  too_many_pieces,
  length_and_files,
  length_or_files_missing,
  length_out_of_range,
  total_size_zero,
  no_files,
  only_padding,
  file_malformed,
  path_missing,
  path_malformed,
  path_too_deep,
  too_many_folders,
  too_many_same_names,
  // -- metainfo: BEP 52
  v2_only,
  v2_unknown_version,
  v2_version_missing,
  v2_not_canonical,
  v2_piece_length,
  v2_tree_missing,
  v2_tree_malformed,
  v2_root_malformed,
  v2_padding,
  v2_layers_malformed,
  v2_inconsistent,
  // -- magnet links and info-hashes
  not_a_magnet,
  magnet_too_long,
  magnet_hash_missing,
  magnet_hash_malformed,
  magnet_hash_zero,
  magnet_ambiguous,
};

const boost::system::error_category& storage_category();
inline error_code make_error_code(StorageErrc e) {
  return {static_cast<int>(e), storage_category()};
}

}  // namespace swarmfs::storage

template <>
struct boost::system::is_error_code_enum<swarmfs::storage::StorageErrc> : std::true_type {};
