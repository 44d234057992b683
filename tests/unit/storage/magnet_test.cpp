#include "storage/magnet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

namespace swarmfs::storage {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

const std::string kHash = "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd";
const std::string kLink = "magnet:?xt=urn:btih:" + kHash;
const std::string kV2Hash(64, 'a');

Magnet parsed(const std::string& text) {
  Result<Magnet> magnet = parse_magnet(text);
  EXPECT_TRUE(magnet) << text << ": " << magnet.error().message();
  return magnet ? *std::move(magnet) : Magnet{};
}

error_code refusal(const std::string& text) {
  const Result<Magnet> magnet = parse_magnet(text);
  return magnet ? error_code() : magnet.error();
}

std::string repeated(const std::string& text, std::size_t times) {
  std::string out;
  for (std::size_t i = 0; i < times; ++i) out += text;
  return out;
}

// -- every row of tests/data/magnet_cases.tsv

struct Row {
  std::string link, verdict, libtorrent, note;
};

std::vector<Row> load_rows() {
  std::ifstream table(SWARMFS_TEST_DATA "/magnet_cases.tsv");
  std::vector<Row> rows;
  for (std::string line; std::getline(table, line);) {
    if (line.starts_with('#')) continue;
    std::istringstream fields(line);
    Row row;
    std::getline(fields, row.link, '\t');
    std::getline(fields, row.verdict, '\t');
    std::getline(fields, row.libtorrent, '\t');
    std::getline(fields, row.note, '\t');
    if (row.link.ends_with("\\n")) row.link.replace(row.link.size() - 2, 2, "\n");
    rows.push_back(row);
  }
  return rows;
}

Magnet row(const std::string& note) {
  for (const Row& r : load_rows()) {
    if (r.note == note) return parsed(r.link);
  }
  ADD_FAILURE() << "no row is called " << note;
  return {};
}

// The one row that is not what its note says: the hash has 38 digits once its two escapes are
// undone. APercentEncodedHashIsRead has the link that was meant.
constexpr std::string_view kSlip = "percent-encoded hash";

TEST(MagnetTable, EveryRowIsJudgedAsTheTableSays) {
  const std::vector<Row> rows = load_rows();
  for (const Row& r : rows) {
    const error_code ec = refusal(r.link);
    if (r.note == kSlip) {
      EXPECT_EQ(ec, StorageErrc::magnet_hash_malformed) << r.link;
      continue;
    }
    EXPECT_EQ(ec ? "err" : "ok", r.verdict) << r.link << " (" << r.note << ")\n  " << ec.message();
  }
  EXPECT_EQ(rows.size(), 43U) << "the table is missing or cut";
}

TEST(MagnetTable, WhatIsAcceptedNamesItsTorrent) {
  const std::set<std::string> known{kHash, "d2354010a3ca4ade5b7427bb093a62a3899ff381"};
  for (const Row& r : load_rows()) {
    if (r.verdict != "ok" || r.note == kSlip) continue;
    const Magnet magnet = parsed(r.link);
    if (r.note == "v2 multihash") {
      EXPECT_FALSE(magnet.info_hash);
    } else {
      ASSERT_TRUE(magnet.info_hash) << r.note;
      EXPECT_TRUE(known.contains(magnet.info_hash->hex())) << r.note;
    }
    EXPECT_EQ(magnet.v2_hash.has_value(), r.note == "v2 multihash" || r.note == "hybrid") << r.note;
  }
}

TEST(MagnetTable, TheNotesHold) {
  const std::string v2 = repeated("ab", 32);
  EXPECT_EQ(row("v2 multihash").v2_hash->hex(), v2);
  EXPECT_EQ(row("hybrid").v2_hash->hex(), v2);
  EXPECT_EQ(row("bad escape in dn: drop dn only").name, "");
  EXPECT_EQ(row("dn is a display name only; never a path").name, ".._.._etc");
  EXPECT_THAT(row("100 kB dn: truncate").name, SizeIs(testing::Le(255U)));
  EXPECT_THAT(row("1000 trackers: cap").trackers, SizeIs(testing::Le(kMaxTrackers)));
  EXPECT_THAT(row("tracker dropped").trackers, IsEmpty());
  EXPECT_THAT(row("tracker refused at use (SSRF)").trackers, ElementsAre("http://127.0.0.1:22/x"));
  EXPECT_THAT(row("web seed refused").web_seeds, ElementsAre("http://169.254.169.254/"));
  EXPECT_THAT(row("peer hint: loopback refused unless configured").peers,
              ElementsAre(HostPort{"127.0.0.1", 1}));
  EXPECT_THAT(row("bad endpoints dropped").peers, ElementsAre(HostPort{"::1", 6881}));
  EXPECT_THAT(row("BEP53").selected,
              ElementsAre(FileRange{0, 0}, FileRange{2, 2}, FileRange{4, 6}));
  EXPECT_THAT(row("inverted range ignored").selected, IsEmpty());
  EXPECT_THAT(row("must not allocate 4 G entries").selected,
              ElementsAre(FileRange{0, 4'294'967'295}));
  EXPECT_THAT(row("junk params ignored").warnings, IsEmpty());
}

// -- what names the torrent

TEST(MagnetTest, EachRefusalSaysWhatIsWrong) {
  using enum StorageErrc;
  EXPECT_EQ(refusal(""), not_a_magnet);
  EXPECT_EQ(refusal("http://x/y"), not_a_magnet);
  EXPECT_EQ(refusal("magnet:xt=urn:btih:" + kHash), not_a_magnet);
  EXPECT_EQ(refusal("magnet:"), magnet_hash_missing);
  EXPECT_EQ(refusal("magnet:?dn=foo"), magnet_hash_missing);
  EXPECT_EQ(refusal("magnet:?xt=urn:sha1:" + kHash), magnet_hash_missing);
  EXPECT_EQ(refusal("magnet:?xt=urn:btih:"), magnet_hash_malformed);
  EXPECT_EQ(refusal(kLink + "%zz"), magnet_hash_malformed);
  EXPECT_EQ(refusal("magnet:?xt=urn:btmh:1220abab"), magnet_hash_malformed);
  EXPECT_EQ(refusal("magnet:?xt=urn:btih:" + std::string(40, '0')), magnet_hash_zero);
  EXPECT_EQ(refusal("magnet:?xt=urn:btih:" + std::string(32, 'a')), magnet_hash_zero);
  EXPECT_EQ(refusal("magnet:?xt=urn:btmh:1220" + std::string(64, '0')), magnet_hash_zero);
  EXPECT_EQ(refusal(kLink + "&xt=urn:btih:" + std::string(40, 'a')), magnet_ambiguous);
  EXPECT_EQ(
      refusal(kLink + "&xt=urn:btmh:1220" + kV2Hash + "&xt=urn:btmh:1220" + std::string(64, 'b')),
      magnet_ambiguous);
  EXPECT_EQ(refusal(kLink + "&dn=" + std::string(kMaxMagnetSize, 'a')), magnet_too_long);
}

TEST(MagnetTest, APercentEncodedHashIsRead) {
  EXPECT_EQ(parsed("magnet:?xt=urn:btih:%63%64" + kHash.substr(2)).info_hash->hex(), kHash);
}

TEST(MagnetTest, TheSameHashTwiceIsOneTorrent) {
  EXPECT_EQ(parsed(kLink + "&xt.2=URN:BTIH:CDCD" + kHash.substr(4)).info_hash->hex(), kHash);
}

TEST(MagnetTest, HashesOfOtherNetworksAreIgnored) {
  const Magnet magnet =
      parsed("magnet:?xt=urn:ed2k:31d6cfe0d16ae931b73c59d7e0c089c0&xt=urn:btih:" + kHash +
             "&xt=urn:tree:tiger:7N5OAMRNGMSSEUE3");
  EXPECT_EQ(magnet.info_hash->hex(), kHash);
  EXPECT_THAT(magnet.warnings, IsEmpty());
}

TEST(MagnetTest, AHashAloneIsEnough) {
  EXPECT_EQ(parsed(" " + kHash + "\n").info_hash->hex(), kHash);
  EXPECT_EQ(parsed("2I2UAEFDZJFN4W3UE65QSOTCUOEZ744B").info_hash->hex(),
            "d2354010a3ca4ade5b7427bb093a62a3899ff381");
  EXPECT_EQ(parsed(kV2Hash).v2_hash->hex(), kV2Hash);
  EXPECT_FALSE(parsed(kV2Hash).info_hash);
}

TEST(MagnetTest, NothingElseIsABareHash) {
  for (const std::string& text :
       {kHash.substr(1), kHash + "0", kV2Hash + "a", std::string(40, 'g'), std::string(32, '1'),
        "urn:btih:" + kHash, kHash + "&tr=http://t/"}) {
    EXPECT_EQ(refusal(text), StorageErrc::not_a_magnet) << text;
  }
  EXPECT_EQ(refusal(std::string(40, '0')), StorageErrc::magnet_hash_zero);
}

RC_GTEST_PROP(MagnetProperty, HexAndBase32NameTheSameTorrent, ()) {
  InfoHash hash;
  for (std::byte& b : hash.bytes) b = std::byte{*rc::gen::arbitrary<std::uint8_t>()};
  RC_PRE(hash != InfoHash{});
  std::string bits, base32;
  for (const std::byte b : hash.bytes) {
    for (int i = 7; i >= 0; --i) bits += (std::to_integer<unsigned>(b) >> i) & 1U ? '1' : '0';
  }
  for (std::size_t at = 0; at < bits.size(); at += 5) {
    base32 += "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[std::stoul(bits.substr(at, 5), nullptr, 2)];
  }
  RC_ASSERT(parse_magnet(base32)->info_hash == hash);
  RC_ASSERT(parse_magnet("magnet:?xt=urn:btih:" + hash.hex())->info_hash == hash);
}

// -- the hints

TEST(MagnetTest, ALinkFromTheWildIsUnderstood) {
  const Magnet magnet = parsed(
      "magnet:?xt=urn:btih:" + kHash +
      "&dn=Big+Buck+Bunny%20%282008%29%2B&xl=276134947"
      "&tr=udp%3A%2F%2Ftracker.example%3A1337%2Fannounce&tr.1=https://t.example/a%3Fpasskey%3D1"
      "&ws=https%3A%2F%2Fw.example%2Fbunny%2F&x.pe=seed.example:6881&X.PE=[2001:db8::1]:51413");
  EXPECT_EQ(magnet.name, "Big Buck Bunny (2008)+");
  EXPECT_EQ(magnet.length, 276'134'947U);
  EXPECT_THAT(magnet.trackers,
              ElementsAre("udp://tracker.example:1337/announce", "https://t.example/a?passkey=1"));
  EXPECT_THAT(magnet.web_seeds, ElementsAre("https://w.example/bunny/"));
  EXPECT_THAT(magnet.peers, ElementsAre(HostPort{"seed.example", 6881}, HostPort{"2001:db8::1", 51413}));
  EXPECT_THAT(magnet.selected, IsEmpty());
  EXPECT_THAT(magnet.warnings, IsEmpty());
}

TEST(MagnetTest, AWrongHintIsLeftOutAndSaid) {
  const Magnet magnet =
      parsed(kLink + "&tr=file:///etc/passwd&ws=udp://w&x.pe=h:0&so=3-1&xl=-1" + "&tr=%zz");
  EXPECT_THAT(magnet.warnings,
              ElementsAre(HasSubstr("tr ignored (not an http, https or udp URL): file:///etc"),
                          HasSubstr("ws ignored"), HasSubstr("x.pe ignored"),
                          HasSubstr("so ignored"), HasSubstr("xl ignored"), HasSubstr("%zz")));
  EXPECT_FALSE(magnet.length);
}

TEST(MagnetTest, AWarningIsFitForATerminal) {
  const Magnet magnet = parsed(kLink + "&tr=%1b[2J%0a" + std::string(5000, 'x'));
  ASSERT_THAT(magnet.warnings, SizeIs(1));
  EXPECT_THAT(magnet.warnings[0], HasSubstr("?[2J?xxx"));
  EXPECT_LT(magnet.warnings[0].size(), 200U);
}

TEST(MagnetTest, ANameOfTheFullLengthIsCutAsAFileNameIs) {
  const std::string name = parsed(kLink + "&dn=" + std::string(100'000, 'A') + ".mkv").name;
  EXPECT_EQ(name.size(), 255U);
  EXPECT_TRUE(name.ends_with(".mkv"));
}

TEST(MagnetTest, AThousandTrackersAreAHundred) {
  std::string link = kLink;
  for (int k = 0; k < 1000; ++k) link += "&tr=udp://t" + std::to_string(k) + ":1";
  const Magnet magnet = parsed(link);
  EXPECT_THAT(magnet.trackers, SizeIs(kMaxTrackers));
  EXPECT_EQ(magnet.trackers.back(), "udp://t99:1");
  EXPECT_THAT(magnet.warnings, ElementsAre(HasSubstr("900 ")));
}

TEST(MagnetTest, TheSameTrackerTwiceIsAskedOnce) {
  const Magnet magnet = parsed(kLink + "&tr=http://t/a&tr=http%3A%2F%2Ft%2Fa&tr=");
  EXPECT_THAT(magnet.trackers, ElementsAre("http://t/a"));
  EXPECT_THAT(magnet.warnings, IsEmpty());
}

TEST(MagnetTest, SelectedFilesAreSortedAndJoined) {
  EXPECT_THAT(parsed(kLink + "&so=9,4-6,5-7,8,0&so=2").selected,
              ElementsAre(FileRange{0, 0}, FileRange{2, 2}, FileRange{4, 9}));
  EXPECT_THAT(parsed(kLink + "&so=4294967295,0-4294967294").selected,
              ElementsAre(FileRange{0, 4'294'967'295}));
}

TEST(MagnetTest, AWrongRangeDoesNotHarmTheOthers) {
  const Magnet magnet = parsed(kLink + "&so=,x,1,4294967296,-3,3-,2-1,5-6-7,+1,7");
  EXPECT_THAT(magnet.selected, ElementsAre(FileRange{1, 1}, FileRange{7, 7}));
  EXPECT_THAT(magnet.warnings, SizeIs(8));
}

TEST(MagnetTest, SelectionsAndPeersAreBounded) {
  std::string link = kLink + "&so=0";
  for (int k = 1; k < 20'000; ++k) link += "," + std::to_string(2 * k);
  for (int k = 1; k < 1000; ++k) link += "&x.pe=192.0.2.1:" + std::to_string(k);
  const Magnet magnet = parsed(link);
  EXPECT_THAT(magnet.selected, SizeIs(kMaxSelectedRanges));
  EXPECT_THAT(magnet.peers, SizeIs(kMaxMagnetPeers));
}

// -- any text at all

// Pieces that links are made of, so that most texts get past the first check.
rc::Gen<std::string> some_link() {
  const auto piece =
      rc::gen::element<std::string>("&xt=urn:btih:", "&xt=urn:btmh:1220", kHash, kV2Hash,
                                    "&dn=", "&tr=", "udp://t", "&x.pe=", "&so=", "&xl=", "%", "%4",
                                    "%41", "=", ".1", ",", "-", "9", "[", "]", ":", "\xFF", "/");
  return rc::gen::map(rc::gen::container<std::vector<std::string>>(piece),
                      [](const std::vector<std::string>& pieces) {
                        std::string link = "magnet:?";
                        for (const std::string& p : pieces) link += p;
                        return link;
                      });
}

void check_bounds(const Magnet& magnet) {
  RC_ASSERT(magnet.info_hash || magnet.v2_hash);
  RC_ASSERT(magnet.name.size() <= 255U);
  RC_ASSERT(magnet.trackers.size() <= kMaxTrackers);
  RC_ASSERT(magnet.warnings.size() <= 21U);
  for (std::size_t i = 0; i < magnet.selected.size(); ++i) {
    RC_ASSERT(magnet.selected[i].first <= magnet.selected[i].last);
    RC_ASSERT(i == 0 || magnet.selected[i - 1].last < magnet.selected[i].first);
  }
}

RC_GTEST_PROP(MagnetProperty, AnyLinkIsAMagnetWithinItsBoundsOrAnError, ()) {
  const Result<Magnet> magnet = parse_magnet(*some_link());
  if (magnet) check_bounds(*magnet);
}

RC_GTEST_PROP(MagnetProperty, AnyTextAfterAHashIsHarmless, (const std::string& rest)) {
  const Result<Magnet> magnet = parse_magnet(kLink + "&" + rest);
  RC_PRE(magnet.has_value());
  check_bounds(*magnet);
  RC_ASSERT(magnet->info_hash->hex() == kHash);
}

}  // namespace
}  // namespace swarmfs::storage
