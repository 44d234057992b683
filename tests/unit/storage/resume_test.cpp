#include "storage/resume.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <boost/endian/conversion.hpp>
#include <cstring>
#include <string_view>

#include "storage/crc32c.h"

namespace swarmfs::storage {
namespace {

using Bytes = std::vector<std::byte>;

constexpr std::uint32_t kPieceLength = 32 * 1024;
constexpr std::uint32_t kPieces = 21;  // three bytes of bits, three of them spare
// Where things lie in the file.
constexpr std::size_t kVersionAt = 8, kTotalAt = 36, kBitsAt = 44, kTimesAt = 47;

const InfoHash kHash = sha1(std::as_bytes(std::span(std::string_view("this torrent"))));

Layout layout() {
  return Layout((kPieces - 1) * std::uint64_t{kPieceLength} + 5, kPieceLength);
}
PieceIndex piece(std::uint32_t n) {
  return layout().piece_at(n).value();
}
Resume example() {
  Resume resume = empty_resume(kHash, layout());
  for (const std::uint32_t n : {0U, 1U, 2U, 7U, 20U}) {
    resume.pieces.set(piece(n));
    resume.last_used[n] = n < 2 ? 0 : 29'000'000 + n / 8;
  }
  resume.peers = {{asio::ip::make_address("192.0.2.7"), 6881},
                  {asio::ip::make_address("2001:db8::1"), 51413}};
  return resume;
}
// With a checksum that is right again: what a buggy or hostile writer could have written.
Bytes resealed(Bytes bytes) {
  const std::uint32_t crc =
      boost::endian::native_to_big(crc32c(std::span(bytes).first(bytes.size() - 4)));
  std::memcpy(bytes.data() + bytes.size() - 4, &crc, 4);
  return bytes;
}
error_code error_of(const Bytes& bytes) {
  const Result<Resume> parsed = parse_resume(bytes);
  return parsed ? error_code() : parsed.error();
}

TEST(ResumeTest, ComesBackAsItWasWritten) {
  const Result<Resume> parsed = parse_resume(encode_resume(example()));
  ASSERT_TRUE(parsed) << parsed.error().message();
  EXPECT_EQ(*parsed, example());
  const Resume nothing = empty_resume(kHash, layout());
  EXPECT_EQ(parse_resume(encode_resume(nothing)).value(), nothing);
}

TEST(ResumeTest, NoFlippedBitIsAccepted) {
  const Bytes good = encode_resume(example());
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    Bytes bad = good;
    bad[bit / 8] ^= std::byte{1} << (bit % 8);
    EXPECT_FALSE(parse_resume(bad)) << "bit " << bit;
  }
}

TEST(ResumeTest, NoCutOrLongerFileIsAccepted) {
  const Bytes good = encode_resume(example());
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_TRUE(error_of({good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size)}));
  }
  Bytes longer = good;
  longer.push_back({});
  EXPECT_TRUE(error_of(longer));
  EXPECT_TRUE(error_of(resealed(longer))) << "trailing bytes";
}

TEST(ResumeTest, AnotherVersionIsSaidToBeOne) {
  for (const int version : {0, 2}) {
    Bytes bytes = encode_resume(example());
    bytes[kVersionAt + 3] = static_cast<std::byte>(version);
    EXPECT_EQ(error_of(bytes), StorageErrc::resume_version) << "its checksum may be another";
    EXPECT_EQ(error_of(resealed(bytes)), StorageErrc::resume_version);
  }
}

TEST(ResumeTest, WhatHasTheRightChecksumIsStillChecked) {
  const auto changed = [](std::size_t at, std::uint8_t value) {
    Bytes bytes = encode_resume(example());
    bytes[at] = std::byte{value};
    return resealed(bytes);
  };
  EXPECT_FALSE(error_of(changed(kTotalAt + 7, 4))) << "as many pieces: it is another torrent's";
  EXPECT_TRUE(error_of(changed(kBitsAt + 2, 0x0c))) << "a spare bit";
  EXPECT_TRUE(error_of(changed(kTotalAt, 0xff))) << "more pieces than a torrent may have";
  EXPECT_TRUE(error_of(changed(kTotalAt + 5, 0))) << "fewer pieces than bits";
  EXPECT_TRUE(error_of(changed(kTimesAt + 4, 0))) << "an empty run";
  EXPECT_TRUE(error_of(changed(kTimesAt + 4, 200))) << "a run beyond the last piece";
  EXPECT_TRUE(error_of(changed(kTimesAt + 4, 6))) << "a run beyond the last piece";
}

TEST(ResumeTest, OneValueHasOneForm) {
  Resume resume = empty_resume(kHash, layout());
  resume.pieces.set(piece(0));
  resume.pieces.set(piece(1));
  const Bytes good = encode_resume(resume);
  Bytes split = good;  // two runs of the same time
  split[kTimesAt + 4] = std::byte{1};
  const Bytes again(5, std::byte{0});
  split.insert(split.begin() + kTimesAt + 5, again.begin(), again.end());
  split[kTimesAt + 9] = std::byte{1};
  EXPECT_TRUE(error_of(resealed(split)));
  Bytes padded = good;  // LEB128 with a group of nothing
  padded[kTimesAt + 4] = std::byte{0x82};
  padded.insert(padded.begin() + kTimesAt + 5, std::byte{0});
  EXPECT_TRUE(error_of(resealed(padded)));
}

TEST(ResumeTest, FitsItsOwnTorrentOnly) {
  const Resume resume = example();
  EXPECT_TRUE(fits(resume, kHash, layout()));
  EXPECT_FALSE(fits(resume, InfoHash(), layout()));
  EXPECT_FALSE(fits(resume, kHash, Layout(layout().total_size() + 1, kPieceLength)));
  EXPECT_FALSE(fits(resume, kHash, Layout(layout().total_size(), kPieceLength * 2)));
}

TEST(ResumeTest, KeepsTheBestPeersOnly) {
  Resume resume = example();
  resume.peers.clear();
  for (std::uint16_t i = 0; i < 2 * kMaxResumePeers; ++i) {
    resume.peers.emplace_back(asio::ip::make_address("192.0.2.1"),
                              static_cast<unsigned short>(i + 1));
  }
  const Resume parsed = parse_resume(encode_resume(resume)).value();
  ASSERT_EQ(parsed.peers.size(), kMaxResumePeers);
  EXPECT_TRUE(std::equal(parsed.peers.begin(), parsed.peers.end(), resume.peers.begin()));
}

TEST(ResumeTest, LongRunsAreCheapAndTheLargestTorrentFits) {
  constexpr std::uint32_t kMany = 2'097'152;
  const Layout large(std::uint64_t{kMany} * 16384, 16384);
  Resume resume = empty_resume(kHash, large);
  resume.pieces.set_all();
  EXPECT_LT(encode_resume(resume).size(), kMany / 8 + 100);
  for (std::uint32_t i = 0; i < kMany; ++i) resume.last_used[i] = i;
  const Bytes worst = encode_resume(resume);
  EXPECT_LE(worst.size(), max_resume_size(kMany));
  EXPECT_EQ(parse_resume(worst).value(), resume);
}

RC_GTEST_PROP(ResumeProperty, AnyValueComesBack, (const std::vector<std::uint32_t>& times)) {
  Resume resume = empty_resume(kHash, layout());
  for (std::uint32_t i = 0; i < kPieces && i < times.size(); ++i) {
    if (times[i] % 3 == 0) continue;
    resume.pieces.set(piece(i));
    resume.last_used[i] = times[i] / 3;
  }
  RC_ASSERT(parse_resume(encode_resume(resume)).value() == resume);
}

}  // namespace
}  // namespace swarmfs::storage
