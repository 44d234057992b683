// Torrents for the tests of the metainfo parser: built from parts, or loaded from tests/data.
#pragma once
#include <gtest/gtest.h>

#include <fstream>
#include <initializer_list>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "storage/bencode.h"
#include "storage/metainfo.h"

namespace swarmfs::storage {

using bencode::Dictionary;
using bencode::List;

inline std::string load(const std::string& name) {
  std::ifstream file(SWARMFS_TEST_DATA "/torrents/" + name + ".torrent", std::ios::binary);
  EXPECT_TRUE(file) << name << " is missing";
  return {std::istreambuf_iterator<char>(file), {}};
}

inline Result<Metainfo> parse(std::string_view text) {
  return parse_metainfo(std::as_bytes(std::span(text)));
}

inline error_code error_of(std::string_view text) {
  const Result<Metainfo> result = parse(text);
  return result ? error_code() : result.error();
}

// Requires a torrent that is accepted.
inline Metainfo parsed(std::string_view text) {
  Result<Metainfo> result = parse(text);
  EXPECT_TRUE(result) << result.error().message();
  return std::move(result).value();
}

inline std::vector<std::string> paths_of(const Metainfo& metainfo) {
  std::vector<std::string> paths;
  for (const FileEntry& file : metainfo.files) {
    std::string path;
    for (const std::string& name : file.path) path += (path.empty() ? "" : "/") + name;
    paths.push_back(path);
  }
  return paths;
}

inline std::vector<std::string> paths_in(const std::string& file) {
  return paths_of(parsed(load(file)));
}

inline List path_of(std::initializer_list<std::string_view> names) {
  List path;
  for (const std::string_view name : names) path.add(name);
  return path;
}

inline Dictionary file_of(std::int64_t length, std::initializer_list<std::string_view> path) {
  Dictionary file;
  file.add("length", length).add("path", path_of(path));
  return file;
}

inline std::string hashes(std::size_t count) {
  return std::string(20 * count, 'a');
}

// A torrent of `total` bytes in pieces of 16 KiB.
inline Dictionary info_of(const List& files, std::size_t total) {
  Dictionary info;
  info.add("files", files).add("name", "root").add("piece length", 16384);
  info.add("pieces", hashes((total + 16383) / 16384));
  return info;
}

inline Dictionary single_info() {
  Dictionary info;
  info.add("length", 10).add("name", "f").add("piece length", 16384).add("pieces", hashes(1));
  return info;
}

inline std::string torrent_of(const Dictionary& info) {
  Dictionary torrent;
  torrent.add("info", info);
  return torrent.encode();
}

inline Dictionary v2_file(std::int64_t length, char root) {
  Dictionary leaf, node;
  leaf.add("length", length);
  if (root != 0) leaf.add("pieces root", std::string(32, root));
  return node.add("", leaf);
}

// Files "a" (10 bytes), "b" (5) with the padding between them, as libtorrent makes hybrids.
inline Dictionary hybrid_info(std::int64_t v2_length_of_b = 5, bool padded = true) {
  List files;
  files.add_encoded(file_of(10, {"a"}).encode());
  if (padded) files.add_encoded(file_of(16374, {".pad", "16374"}).add("attr", "p").encode());
  files.add_encoded(file_of(5, {"b"}).encode());
  Dictionary tree;
  tree.add("a", v2_file(10, 'A')).add("b", v2_file(v2_length_of_b, 'B'));
  return info_of(files, padded ? 16389 : 15).add("meta version", 2).add("file tree", tree);
}

}  // namespace swarmfs::storage
