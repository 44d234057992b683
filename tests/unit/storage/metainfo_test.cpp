#include "storage/metainfo.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "tests/unit/storage/torrents.h"

namespace swarmfs::storage {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using Tier = std::vector<std::string>;

// -- every row of tests/data/torrents.tsv

const std::map<std::string, StorageErrc>& expected_errors() {
  using enum StorageErrc;
  static const std::map<std::string, StorageErrc> errors{
      {"empty", torrent_empty},
      {"not_dict_int", not_a_torrent},
      {"info_is_list", info_missing},
      {"html_404", not_a_torrent},
      {"leading_bom", not_a_torrent},
      {"strlen_past_end", bencode_truncated},
      {"dup_pieces_key", bencode_duplicate_key},
      {"piece_length_zero", piece_length_out_of_range},
      {"piece_length_int64max", piece_length_out_of_range},
      {"piece_length_2pow32_plus16k", piece_length_out_of_range},
      {"piece_length_512MiB", piece_length_out_of_range},
      {"pieces_19", pieces_malformed},
      {"pieces_missing", pieces_missing},
      {"pieces_empty_nonempty_len", pieces_wrong_count},
      {"length_int64min", length_out_of_range},
      {"length_over_int64", bencode_integer},
      {"length_leading_zero", length_out_of_range},
      {"length_float", bencode_integer},
      {"length_zero_single", total_size_zero},
      {"neither_length_nor_files", length_or_files_missing},
      {"total_overflow_wraps_to_10", length_out_of_range},
      {"files_empty_list", no_files},
      {"file_entry_int", file_malformed},
      {"path_depth_5000", path_too_deep},
      {"path_int_component", path_malformed},
      {"path_missing", path_missing},
      {"name_empty", name_missing},
      {"name_int", name_missing},
      {"dup_5000_same", too_many_same_names},
      {"v2_meta_version_3", v2_unknown_version},
      {"v2_piece_8k", v2_piece_length},
      {"v2_no_tree", v2_tree_missing},
      {"v2_tree_without_version", v2_version_missing},
      {"v2_leaf_with_sibling", v2_tree_malformed},
      {"v2_root_31", v2_root_malformed},
      {"v2_pad_attr", v2_padding},
      {"v2_unsorted_tree", v2_not_canonical},
      {"v2_layer_unknown_root", v2_layers_malformed},
      {"v2_hybrid_name_mismatch", v2_inconsistent},
      // Sound, but this version cannot mount them.
      {"v2_empty_file_with_root", v2_only},
      {"v2_slash_key", v2_only},
      {"v2_layer_missing", v2_only},
  };
  return errors;
}

TEST(TorrentTable, EveryRowIsJudgedAsTheTableSays) {
  std::ifstream table(SWARMFS_TEST_DATA "/torrents.tsv");
  std::size_t rows = 0;
  for (std::string line; std::getline(table, line);) {
    if (line.starts_with('#')) continue;
    ++rows;
    std::istringstream fields(line);
    std::string file, verdict;
    std::getline(fields, file, '\t');
    std::getline(fields, verdict, '\t');
    const std::string name = file.substr(0, file.find(".torrent"));
    const error_code ec = error_of(load(name));
    const bool valid = !ec || ec == StorageErrc::v2_only;
    EXPECT_EQ(valid ? "valid" : "invalid", verdict) << line << "\n  we say: " << ec.message();
    const auto expected = expected_errors().find(name);
    if (expected == expected_errors().end()) {
      EXPECT_FALSE(ec) << line << "\n  we say: " << ec.message();
    } else {
      EXPECT_EQ(ec, expected->second) << line << "\n  we say: " << ec.message();
    }
  }
  EXPECT_GE(rows, 70U) << "the table is missing or cut";
}

TEST(TorrentTable, EveryErrorHasALineOfItsOwnForTheUser) {
  std::set<std::string> lines;
  for (const auto& [name, errc] : expected_errors()) {
    const std::string line = make_error_code(errc).message();
    EXPECT_THAT(line, testing::Not(HasSubstr("unknown storage error"))) << name;
    EXPECT_EQ(line.find('\n'), line.npos);
    lines.insert(line);
  }
  std::set<StorageErrc> codes;
  for (const auto& [name, errc] : expected_errors()) codes.insert(errc);
  EXPECT_EQ(lines.size(), codes.size());
}

// -- the outcomes that the table describes

TEST(TorrentTable, TrailingBytesAreAcceptedWithAWarning) {
  const Metainfo metainfo = parsed(load("trailing_newline"));
  EXPECT_THAT(metainfo.warnings, ElementsAre(HasSubstr("1 bytes after the end")));
}

TEST(TorrentTable, PiecesOfOneByteAreServed) {
  const Metainfo metainfo = parsed(load("piece_length_1"));
  EXPECT_EQ(metainfo.layout.piece_count(), 10U);
  EXPECT_EQ(metainfo.piece_hashes.size(), 10U);
}

TEST(TorrentTable, AnEmptyFileAtTheEndIsShown) {
  const Metainfo metainfo = parsed(load("zero_byte_file_last"));
  EXPECT_THAT(paths_of(metainfo), ElementsAre("a", "z"));
  EXPECT_EQ(metainfo.files[1].length, 0U);
  EXPECT_EQ(metainfo.files[1].offset, 10U);
}

TEST(TorrentTable, PadFilesAreHiddenAndNeverRequested) {
  const Metainfo metainfo = parsed(load("pad_files_hidden"));
  EXPECT_THAT(paths_of(metainfo), ElementsAre("a", "b"));
  EXPECT_EQ(metainfo.files[1].offset, 16384U);
  EXPECT_EQ(metainfo.files[1].index, 2U) << "padding counts where files are numbered (BEP 53)";
  EXPECT_THAT(metainfo.layout.pads(), ElementsAre(ByteRange{10, 16384}));
  EXPECT_EQ(metainfo.layout.total_size(), 16389U);
  EXPECT_FALSE(metainfo.single_file);
}

TEST(TorrentTable, NoPathEscapesOrHidesItsSiblings) {
  EXPECT_THAT(paths_in("path_dotdot"), ElementsAre("_/_/etc/passwd"));
  EXPECT_THAT(paths_in("path_only_dotdot"), ElementsAre("_"));
  EXPECT_THAT(paths_in("path_slash_inside"), ElementsAre("a_.._.._b"));
  EXPECT_THAT(paths_in("path_nul"), ElementsAre("a_b"));
  EXPECT_THAT(paths_in("path_all_empty"), ElementsAre("_/_"));
  EXPECT_THAT(paths_in("path_long_255"), ElementsAre(std::string(255, 'x')));
  EXPECT_THAT(paths_in("path_overlong_dotdot"), ElementsAre("\uFFFD\uFFFD\uFFFD\uFFFD/x"));
  EXPECT_THAT(paths_in("path_rtl_override"), ElementsAre("agpj.exe"));
  EXPECT_THAT(paths_in("path_trailing_dot_space"), ElementsAre("name. "));
  EXPECT_THAT(paths_in("path_hidden_parent"), ElementsAre("_.."));
}

TEST(TorrentTable, ANameThatIsNoNameBecomesTheInfoHash) {
  const Metainfo metainfo = parsed(load("name_dotdot"));
  EXPECT_EQ(metainfo.name, metainfo.info_hash.hex());
  EXPECT_TRUE(metainfo.single_file);
  EXPECT_THAT(paths_of(metainfo), ElementsAre(metainfo.name));
}

TEST(TorrentTable, FilesOfOneNameAreAllReachable) {
  EXPECT_THAT(paths_in("dup_paths"), ElementsAre("a/b.mkv", "a/b.1.mkv"));
  EXPECT_THAT(paths_in("file_vs_dir"), ElementsAre("a.1", "a/b"));
  EXPECT_THAT(paths_in("dup_after_sanitize"), ElementsAre("a_b", "ab", "a\\b"));
  EXPECT_THAT(parsed(load("dup_paths")).warnings, ElementsAre(HasSubstr("1 names were changed")));
}

TEST(TorrentTable, SymbolicLinksAreLeftOutAndCountForNothing) {
  for (const std::string name :
       {"symlink_abs", "symlink_self", "symlink_missing_target", "symlink_long_length"}) {
    const Metainfo metainfo = parsed(load(name));
    EXPECT_THAT(metainfo.files, testing::SizeIs(1)) << name;
    EXPECT_EQ(metainfo.layout.total_size(), 10U) << name;
    EXPECT_THAT(metainfo.warnings, ElementsAre("1 symbolic links are not shown")) << name;
  }
  EXPECT_THAT(paths_in("symlink_in"), ElementsAre("a/f"));
}

TEST(TorrentTable, SourcesThatMakeNoSenseAreLeftOutAndTheTorrentKept) {
  const Metainfo crlf = parsed(load("announce_crlf"));
  EXPECT_THAT(crlf.trackers, IsEmpty());
  ASSERT_THAT(crlf.warnings, testing::SizeIs(1));
  EXPECT_EQ(crlf.warnings[0].find('\r'), std::string::npos)
      << "a warning must not drive the terminal";
  const std::string link_local = "http://169.254.169.254/latest/meta-data/";
  EXPECT_THAT(parsed(load("announce_ssrf")).trackers, ElementsAre(Tier{link_local}))
      << "refused where it is resolved, by the connect policy";
  const Metainfo nodes = parsed(load("nodes_garbage"));
  EXPECT_THAT(nodes.nodes, ElementsAre(HostPort{"127.0.0.1", 6881}));
  EXPECT_THAT(nodes.warnings, ElementsAre(HasSubstr("5 entries")));
  const Metainfo date = parsed(load("creation_date_string"));
  EXPECT_FALSE(date.creation_date);
  EXPECT_THAT(date.warnings, testing::SizeIs(1));
}

// -- a good torrent, in full

TEST(Metainfo, ATorrentOfOneFileIsThatFile) {
  const Dictionary info = single_info();
  const std::string encoded = info.encode();
  Dictionary torrent;
  torrent.add("info", info)
      .add("announce", "http://t/announce")
      .add("creation date", 1'500'000'000);
  const Metainfo metainfo = parsed(torrent.encode());
  EXPECT_EQ(metainfo.name, "f");
  EXPECT_TRUE(metainfo.single_file);
  EXPECT_THAT(paths_of(metainfo), ElementsAre("f"));
  EXPECT_EQ(metainfo.files[0].length, 10U);
  EXPECT_EQ(metainfo.layout.total_size(), 10U);
  EXPECT_EQ(metainfo.layout.piece_length(), 16384U);
  EXPECT_THAT(metainfo.piece_hashes, testing::SizeIs(1));
  EXPECT_EQ(metainfo.piece_hashes[0].bytes[19], std::byte{'a'});
  EXPECT_EQ(metainfo.info_hash, sha1(std::as_bytes(std::span(encoded))));
  EXPECT_THAT(metainfo.trackers, ElementsAre(Tier{"http://t/announce"}));
  EXPECT_EQ(metainfo.creation_date, 1'500'000'000);
  EXPECT_FALSE(metainfo.is_private);
  EXPECT_FALSE(metainfo.has_v2);
  EXPECT_THAT(metainfo.warnings, IsEmpty());
}

TEST(Metainfo, FilesLieOneAfterTheOther) {
  List files;
  files.add_encoded(file_of(5, {"b", "x"}).encode()).add_encoded(file_of(0, {"empty"}).encode());
  files.add_encoded(file_of(20'000, {"a"}).add("attr", "xh").encode());
  const Metainfo metainfo = parsed(torrent_of(info_of(files, 20'005)));
  EXPECT_THAT(paths_of(metainfo), ElementsAre("b/x", "empty", "a"));
  EXPECT_EQ(metainfo.files[1].offset, 5U);
  EXPECT_EQ(metainfo.files[2].offset, 5U);
  EXPECT_EQ(metainfo.files[2].length, 20'000U);
  EXPECT_TRUE(metainfo.files[2].executable);
  EXPECT_FALSE(metainfo.files[0].executable);
  EXPECT_EQ(metainfo.layout.piece_count(), 2U);
}

TEST(Metainfo, TheInfoHashIsOverTheBytesAsTheyCame) {
  const std::string info =
      "d6:lengthi10e12:piece lengthi16384e4:name1:f6:pieces20:" + hashes(1) + "1:ai07ee";
  const Metainfo metainfo = parsed("d4:info" + info + "e");
  EXPECT_EQ(metainfo.info_hash, sha1(std::as_bytes(std::span(info)))) << "not over a sorted copy";
  EXPECT_THAT(metainfo.warnings, ElementsAre("keys are not sorted", "numbers have leading zeros"));
}

TEST(Metainfo, TheUtf8NamesWinWhereATorrentHasBoth) {
  Dictionary file = file_of(10, {"caf\xE9"});
  file.add("path.utf-8", path_of({"café"}));
  Dictionary info = info_of(List().add_encoded(file.encode()), 10);
  info.add("name.utf-8", "größe");
  const Metainfo metainfo = parsed(torrent_of(info));
  EXPECT_EQ(metainfo.name, "größe");
  EXPECT_THAT(paths_of(metainfo), ElementsAre("café"));
}

// -- sizes

Dictionary sized(std::int64_t length, std::int64_t piece_length, std::size_t pieces) {
  Dictionary info;
  info.add("length", length).add("name", "f").add("piece length", piece_length);
  info.add("pieces", hashes(pieces));
  return info;
}

TEST(Metainfo, ThePieceLengthMayBeAsLargeAsLibtorrentAllows) {
  EXPECT_FALSE(error_of(torrent_of(sized(10, kMaxPieceLength, 1))));
  EXPECT_EQ(error_of(torrent_of(sized(10, kMaxPieceLength + 1, 1))),
            StorageErrc::piece_length_out_of_range);
  EXPECT_EQ(error_of(torrent_of(sized(10, -1, 1))), StorageErrc::piece_length_out_of_range);
  EXPECT_EQ(error_of("d4:infod6:lengthi10e4:name1:f12:piece lengthi016384e6:pieces20:" + hashes(1) +
                     "ee"),
            StorageErrc::piece_length_out_of_range)
      << "a leading zero in a number that decides where bytes lie";
}

TEST(Metainfo, TheHashesMustBeExactlyAsManyAsThePieces) {
  EXPECT_FALSE(error_of(torrent_of(sized(32768, 16384, 2))));
  EXPECT_EQ(error_of(torrent_of(sized(32768, 16384, 3))), StorageErrc::pieces_wrong_count);
  EXPECT_EQ(error_of(torrent_of(sized(32769, 16384, 2))), StorageErrc::pieces_wrong_count);
}

TEST(Metainfo, TooManyPiecesAreRefusedByTheirSizeAlone) {
  EXPECT_EQ(error_of(torrent_of(sized(kMaxPieces, 1, 1))), StorageErrc::pieces_wrong_count);
  EXPECT_EQ(error_of(torrent_of(sized(std::int64_t{kMaxPieces} + 1, 1, 1))),
            StorageErrc::too_many_pieces);
  EXPECT_EQ(error_of(torrent_of(sized(kMaxFileLength + 1, kMaxPieceLength, 1))),
            StorageErrc::length_out_of_range);
  List files;
  for (int i = 0; i < 100'000; ++i) files.add_encoded(file_of(kMaxFileLength, {"x"}).encode());
  EXPECT_EQ(error_of(torrent_of(info_of(files, 1))), StorageErrc::too_many_pieces)
      << "the sum passes 2^64";
}

TEST(Metainfo, LengthAndFilesTogetherAreRefused) {
  Dictionary info = info_of(List().add_encoded(file_of(10, {"a"}).encode()), 10);
  info.add("length", 10);
  EXPECT_EQ(error_of(torrent_of(info)), StorageErrc::length_and_files);
}

TEST(Metainfo, AFileOfTenMebibytesIsReadAndOneByteMoreIsNot) {
  std::string text = torrent_of(single_info());
  text.resize(kMaxTorrentSize, '\n');
  EXPECT_FALSE(error_of(text));
  EXPECT_EQ(error_of(text + "\n"), StorageErrc::torrent_too_large);
}

TEST(Metainfo, AHundredFoldersDeepIsReadAndOneMoreIsNot) {
  const auto deep = [](int folders) {
    List path;
    for (int i = 0; i < folders; ++i) path.add("d");
    path.add("file");
    Dictionary file;
    file.add("length", 10).add("path", path);
    return torrent_of(info_of(List().add_encoded(file.encode()), 10));
  };
  EXPECT_EQ(parsed(deep(100)).files[0].path.size(), 101U);
  EXPECT_EQ(error_of(deep(101)), StorageErrc::path_too_deep);
}

// -- padding

TEST(Metainfo, BitCometPaddingIsPaddingToo) {
  List files;
  files.add_encoded(file_of(10, {"a"}).encode());
  files.add_encoded(
      file_of(100, {"_____padding_file_0_if you see this file, please update"}).encode());
  files.add_encoded(file_of(16274, {"dir", "_____padding_file_1_"}).encode());
  files.add_encoded(file_of(1, {"b"}).encode());
  const Metainfo metainfo = parsed(torrent_of(info_of(files, 16385)));
  EXPECT_THAT(paths_of(metainfo), ElementsAre("a", "b"));
  EXPECT_THAT(metainfo.layout.pads(), ElementsAre(ByteRange{10, 16384}))
      << "neighbours are one range";
}

TEST(Metainfo, PaddingNeedsNoPath) {
  Dictionary pad;
  pad.add("attr", "p").add("length", 6);
  const List files = List().add_encoded(file_of(10, {"a"}).encode()).add_encoded(pad.encode());
  EXPECT_THAT(paths_of(parsed(torrent_of(info_of(files, 16)))), ElementsAre("a"));
}

TEST(Metainfo, ATorrentOfNothingButPaddingIsRefused) {
  const List files = List().add_encoded(file_of(10, {".pad", "10"}).add("attr", "p").encode());
  EXPECT_EQ(error_of(torrent_of(info_of(files, 10))), StorageErrc::only_padding);
}

TEST(Metainfo, OnlyEmptyFilesAreRefusedInPlainWords) {
  const List files =
      List().add_encoded(file_of(0, {"a"}).encode()).add_encoded(file_of(0, {"b"}).encode());
  const error_code ec = error_of(torrent_of(info_of(files, 0)));
  EXPECT_EQ(ec, StorageErrc::total_size_zero);
  EXPECT_THAT(ec.message(), HasSubstr("total size of its files is 0"));
}

TEST(Metainfo, ThePrivateFlagIsKept) {
  EXPECT_TRUE(parsed(torrent_of(single_info().add("private", 1))).is_private);
  EXPECT_FALSE(parsed(torrent_of(single_info().add("private", 0))).is_private);
}

// -- scale

double seconds_to_parse(const std::string& text, error_code expected) {
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(error_of(text), expected) << error_of(text).message();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

TEST(MetainfoScale, AHundredThousandFilesParseWithinASecond) {
  List files;
  for (int i = 0; i < 100'000; ++i) {
    const std::string folder = "folder " + std::to_string(i / 100);
    files.add_encoded(file_of(1, {"data", folder, std::to_string(i % 50) + ".jpg"}).encode());
  }
  EXPECT_LT(seconds_to_parse(torrent_of(info_of(files, 100'000)), {}), 1.0);
}

TEST(MetainfoScale, TokenBombsAreRefusedQuickly) {
  std::string numbers = "d1:al", lists = "d1:al";
  for (int i = 0; i < 1'000'000; ++i) numbers += "i0e";
  for (int i = 0; i < 4'000'000; ++i) lists += "le";
  EXPECT_LT(seconds_to_parse(numbers + "ee", StorageErrc::info_missing), 1.0);
  EXPECT_LT(seconds_to_parse(lists + "ee", StorageErrc::bencode_too_many_values), 1.0);
}

// -- properties

RC_GTEST_PROP(MetainfoProperty, WhateverIsAcceptedIsSoundAndContained, ()) {
  static const std::vector<std::string> corpus = [] {
    std::vector<std::string> texts{torrent_of(hybrid_info()), load("pad_files_hidden"),
                                   load("dup_after_sanitize")};
    texts.push_back(load("nodes_garbage"));
    texts.push_back(load("symlink_in"));
    return texts;
  }();
  std::string text = *rc::gen::elementOf(corpus);
  for (int damage = *rc::gen::inRange(1, 4); damage > 0; --damage) {
    text[*rc::gen::inRange<std::size_t>(0, text.size())] =
        *rc::gen::elementOf(std::string("0123456789ilde:./\xFF\1ab"));
  }
  const Result<Metainfo> result = parse(text);
  RC_CLASSIFY(result.has_value(), "accepted");
  if (!result) return;
  RC_ASSERT(result->piece_hashes.size() == result->layout.piece_count());
  RC_ASSERT(!result->files.empty());
  std::uint64_t end = 0;
  std::set<std::vector<std::string>> paths;
  for (const FileEntry& file : result->files) {
    RC_ASSERT(file.offset >= end);
    end = file.offset + file.length;
    RC_ASSERT(end <= result->layout.total_size());
    RC_ASSERT(paths.insert(file.path).second);
    for (const std::string& name : file.path) {
      RC_ASSERT(!name.empty() && name != "." && name != ".." && name.size() <= 255);
      RC_ASSERT(name.find('/') == std::string::npos);
    }
  }
}

}  // namespace
}  // namespace swarmfs::storage
