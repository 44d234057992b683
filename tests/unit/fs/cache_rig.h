// A cache directory with torrents in it, for the tests of what swarmfsctl does.
//
// Each torrent has four pieces of 32 KiB and a bit, whose bytes are known.
#pragma once
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fs/cache_folder.h"
#include "fs/cache_listing.h"
#include "fs/small_file.h"
#include "storage/bencode.h"
#include "storage/metainfo.h"
#include "storage/resume.h"
#include "tests/unit/temp_folder.h"

namespace swarmfs::fs {

class CacheRig : public testing::Test {
 protected:
  static constexpr std::uint32_t kPiece = 32 * 1024;
  static constexpr std::uint32_t kPieces = 5;
  static constexpr std::uint64_t kSize = 4 * kPiece + 1000;

  // What was put there of one torrent.
  struct Kept {
    storage::Metainfo metainfo;
    std::string bytes;
    std::filesystem::path folder;
  };

  CacheRig() {
    std::filesystem::create_directory(root_);
    directory_ = open_folder(root_);
  }

  static std::span<const std::byte> bytes_of(std::string_view text) {
    return std::as_bytes(std::span(text.data(), text.size()));
  }
  static std::string content(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static void write(const std::filesystem::path& path, std::string_view text) {
    std::ofstream(path, std::ios::binary) << text;
  }

  // Only its metainfo.
  Kept add_empty(const std::string& name, const std::string& suffix = "") {
    std::string bytes;
    for (std::uint64_t i = 0; bytes.size() < kSize; ++i)
      bytes += name + " " + std::to_string(i) + ";";
    bytes.resize(kSize);
    std::string hashes;
    for (std::uint64_t at = 0; at < kSize; at += kPiece) {
      const auto digest = storage::sha1(bytes_of(std::string_view(bytes).substr(at, kPiece)));
      hashes.append(reinterpret_cast<const char*>(digest.bytes.data()), digest.bytes.size());
    }
    storage::bencode::Dictionary info, torrent;
    info.add("length", kSize).add("name", name).add("piece length", kPiece).add("pieces", hashes);
    torrent.add("info", info);
    const std::string text = torrent.encode();
    Result<storage::Metainfo> metainfo = storage::parse_metainfo(bytes_of(text));
    EXPECT_TRUE(metainfo) << metainfo.error().message();
    const std::filesystem::path folder = root_ / (metainfo->info_hash.hex() + suffix);
    std::filesystem::create_directory(folder);
    write(folder / "metainfo", text);
    write(folder / "added", "1500000000\n");
    write(folder / "lock", "1\n");
    return {*std::move(metainfo), std::move(bytes), folder};
  }
  // With all its data, of which `claimed` pieces are said to be there, used `minutes` after 1970.
  Kept add(const std::string& name, std::uint32_t claimed = kPieces,
           std::uint32_t minutes = 29'000'000, const std::string& suffix = "") {
    Kept kept = add_empty(name, suffix);
    write(kept.folder / "data", kept.bytes);
    claim(kept, claimed, minutes);
    return kept;
  }
  static void claim(const Kept& kept, std::uint32_t claimed, std::uint32_t minutes) {
    storage::Resume resume = storage::empty_resume(kept.metainfo.info_hash, kept.metainfo.layout);
    for (std::uint32_t i = 0; i < claimed; ++i) {
      resume.pieces.set(*kept.metainfo.layout.piece_at(i));
      resume.last_used[i] = minutes;
    }
    const auto bytes = storage::encode_resume(resume);
    write(kept.folder / "resume", {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }
  static std::uint32_t claimed(const Kept& kept) {
    const storage::UniqueFd folder = open_folder(kept.folder);
    const auto resume =
        load_folder_resume(folder.get(), kept.metainfo.info_hash, kept.metainfo.layout);
    return resume ? resume->pieces.count() : 0;
  }
  // As a mount does, by process `pid`; until the descriptor is closed.
  static storage::UniqueFd mount(const Kept& kept, const std::string& pid = "4711") {
    const storage::UniqueFd folder = open_folder(kept.folder);
    storage::UniqueFd lock = open_in(folder.get(), "lock", O_RDWR | O_CREAT);
    EXPECT_EQ(::flock(lock.get(), LOCK_EX | LOCK_NB), 0);
    EXPECT_EQ(::ftruncate(lock.get(), 0), 0);
    EXPECT_EQ(write_whole(lock.get(), bytes_of(pid + "\n")), 0);
    return lock;
  }

  CacheListing listing() const {
    auto found = list_cache(root_, true);
    EXPECT_TRUE(found) << found.error().line;
    return *std::move(found);
  }
  // Requires exactly one.
  CachedTorrent only() const {
    CacheListing all = listing();
    EXPECT_EQ(all.torrents.size(), 1U);
    return all.torrents.at(0);
  }

  TempFolder folder_;
  std::filesystem::path scratch_ = folder_.path();
  std::filesystem::path root_ = scratch_ / "cache";
  storage::UniqueFd directory_;  // root_
};

}  // namespace swarmfs::fs
