#include "storage/bencode.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <chrono>
#include <fstream>
#include <sstream>

namespace swarmfs::storage::bencode {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}
std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Result<Document> read(std::string_view text, Mode mode = Mode::strict,
                      Limits limits = kTorrentLimits) {
  return Document::read(bytes_of(text), limits, mode);
}

error_code error_of(const Result<Document>& result) {
  return result ? error_code() : result.error();
}

// -- every row of tests/data/bencode_cases.tsv

struct Case {
  std::string input, shown, strict, lenient;
};

// `6c65` is hex; `'l'*101+'e'*101` is repetition.
std::string expand(const std::string& spec) {
  std::string out;
  if (spec.find('*') == std::string::npos) {
    for (std::size_t i = 0; i + 1 < spec.size(); i += 2) {
      out += static_cast<char>(std::stoi(spec.substr(i, 2), nullptr, 16));
    }
    return out;
  }
  std::istringstream parts(spec);
  for (std::string part; std::getline(parts, part, '+');) {
    out += std::string(std::stoul(part.substr(4)), part.at(1));
  }
  return out;
}

std::vector<Case> load_cases() {
  std::ifstream file(SWARMFS_TEST_DATA "/bencode_cases.tsv");
  std::vector<Case> cases;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with('#')) continue;
    std::istringstream fields(line);
    std::string spec;
    Case c;
    std::getline(fields, spec, '\t');
    std::getline(fields, c.shown, '\t');
    std::getline(fields, c.strict, '\t');
    std::getline(fields, c.lenient, '\t');
    c.input = expand(spec);
    cases.push_back(std::move(c));
  }
  return cases;
}

std::string verdict(const std::string& input, Mode mode) {
  const Result<Document> document = read(input, mode);
  if (!document) return "err";
  if (document->oddities().any()) return "warn";
  return document->trailing().empty() ? "ok" : "ok+trailing";
}

TEST(BencodeTable, EveryRowReadsAsTheTableSays) {
  const std::vector<Case> cases = load_cases();
  ASSERT_GE(cases.size(), 70U) << "the table is missing or cut";
  for (const Case& c : cases) {
    EXPECT_EQ(verdict(c.input, Mode::strict), c.strict) << "strict: " << c.shown;
    EXPECT_EQ(verdict(c.input, Mode::lenient), c.lenient) << "lenient: " << c.shown;
  }
}

// -- reading

TEST(Bencode, ADictionaryAnswersByKeyAndType) {
  const std::string text =
      "d3:bin3:\x01\x02\x03"
      "4:listli1e2:xxde"
      "e6:numberi-7ee";
  const Result<Document> document = read(text);
  ASSERT_TRUE(document);
  const Value root = document->root();
  EXPECT_EQ(root["number"].integer(), -7);
  EXPECT_EQ(root["bin"].bytes()->size(), 3U);
  EXPECT_EQ(root["bin"].string(), "\x01\x02\x03");
  EXPECT_EQ(text_of(root["list"].raw()), "li1e2:xxdee");
  std::vector<Type> types;
  for (const Value item : root["list"].items()) {
    types.push_back(item.is(Type::integer)  ? Type::integer
                    : item.is(Type::string) ? Type::string
                                            : Type::dictionary);
  }
  EXPECT_EQ(types, (std::vector{Type::integer, Type::string, Type::dictionary}));
  std::string keys;
  for (const Entry entry : root.entries()) keys += std::string(entry.key) + " ";
  EXPECT_EQ(keys, "bin list number ");
}

TEST(Bencode, QuestionsToTheWrongTypeHaveEmptyAnswers) {
  const Result<Document> document = read("d1:ai1e1:b1:xe");
  ASSERT_TRUE(document);
  const Value root = document->root();
  EXPECT_FALSE(root["missing"]);
  EXPECT_FALSE(root["missing"]["deeper"].integer());
  EXPECT_FALSE(root["a"].string());
  EXPECT_FALSE(root["a"].bytes());
  EXPECT_FALSE(root["b"].integer());
  EXPECT_TRUE(root["a"].items().empty());
  EXPECT_TRUE(root.items().empty());
  EXPECT_TRUE(root["b"].entries().empty());
  EXPECT_FALSE(root["b"]["x"]);
  EXPECT_TRUE(Value().raw().empty());
}

TEST(Bencode, ANumberIsCheckedBeforeItIsNarrowed) {
  const Result<Document> document = read(
      "li4294967298e"
      "i-1e"
      "i65535e"
      "ee");
  ASSERT_TRUE(document);
  auto at = document->root().items().begin();
  EXPECT_FALSE((*at).integer_as<std::uint32_t>()) << "2^32 + 2 must not become 2";
  EXPECT_EQ((*at).integer_as<std::uint64_t>(), 4294967298U);
  EXPECT_FALSE((*at).integer(0, 4294967297));
  ++at;
  EXPECT_FALSE((*at).integer_as<std::uint64_t>());
  ++at;
  EXPECT_EQ((*at).integer_as<std::uint16_t>(), 65535);
}

TEST(Bencode, WhatFollowsTheValueIsHandedBack) {
  const std::string text = "d8:msg_typei1e5:piecei0e10:total_sizei3425eePAYLOAD";
  const Result<Document> document = read(text, Mode::strict, kMessageLimits);
  ASSERT_TRUE(document);
  EXPECT_EQ(text_of(document->trailing()), "PAYLOAD");
  EXPECT_EQ(document->end(), text.size() - 7);
}

TEST(Bencode, AValueSurvivesMovingItsDocument) {
  Result<Document> document = read("d1:ai42ee");
  ASSERT_TRUE(document);
  const Value value = document->root()["a"];
  const Document moved = std::move(*document);
  EXPECT_EQ(value.integer(), 42);
  EXPECT_EQ(moved.root()["a"].integer(), 42);
}

TEST(Bencode, LenientReadingTellsWhatWasOdd) {
  const Result<Document> numbers = read("d1:ai01e1:bi1ee", Mode::lenient);
  ASSERT_TRUE(numbers);
  EXPECT_TRUE(numbers->oddities().number_form);
  EXPECT_FALSE(numbers->oddities().key_order);
  EXPECT_FALSE(numbers->root()["a"].canonical());
  EXPECT_TRUE(numbers->root()["b"].canonical());
  EXPECT_EQ(numbers->root()["a"].integer(), 1);
  const Result<Document> order = read("d1:bi1e1:ai2ee", Mode::lenient);
  ASSERT_TRUE(order);
  EXPECT_TRUE(order->oddities().key_order);
  EXPECT_EQ(order->root()["a"].integer(), 2);
}

TEST(Bencode, ARepeatedKeyIsFoundAlsoAmongUnsortedKeys) {
  EXPECT_EQ(error_of(read("d1:ai1e1:bi1e1:ai2ee", Mode::lenient)),
            StorageErrc::bencode_duplicate_key);
  EXPECT_EQ(error_of(read("d1:ci1e1:ad1:xi1ee1:bi1e1:c0:e", Mode::lenient)),
            StorageErrc::bencode_duplicate_key);
  EXPECT_TRUE(read("d1:bd1:ai1ee1:ai1ee", Mode::lenient)) << "the same key at two levels is fine";
}

TEST(Bencode, EachFailureHasItsOwnName) {
  EXPECT_EQ(error_of(read("")), StorageErrc::bencode_truncated);
  EXPECT_EQ(error_of(read("<html>")), StorageErrc::bencode_syntax);
  EXPECT_EQ(error_of(read("i1.5e")), StorageErrc::bencode_integer);
  EXPECT_EQ(error_of(read("i007e")), StorageErrc::bencode_not_canonical);
  EXPECT_EQ(error_of(read("d1:bi1e1:ai2ee")), StorageErrc::bencode_not_canonical);
  EXPECT_EQ(error_of(read("999999999:a")), StorageErrc::bencode_truncated);
}

TEST(Bencode, NetworkMessagesMayNestSixteenDeepAndNoMore) {
  const auto nested = [](std::size_t depth) {
    return std::string(depth, 'l') + std::string(depth, 'e');
  };
  EXPECT_TRUE(read(nested(16), Mode::strict, kMessageLimits));
  EXPECT_EQ(error_of(read(nested(17), Mode::strict, kMessageLimits)),
            StorageErrc::bencode_too_deep);
}

TEST(Bencode, TheTokenLimitCountsKeysToo) {
  EXPECT_TRUE(read("d1:ai1ee", Mode::strict, {16, 3}));
  EXPECT_EQ(error_of(read("d1:ai1ee", Mode::strict, {16, 2})),
            StorageErrc::bencode_too_many_values);
}

TEST(Bencode, BombsAreRefusedInNoTime) {
  const auto start = std::chrono::steady_clock::now();
  std::string keys;
  for (int i = 0; i < 200'000; ++i) keys += "d1:a";
  EXPECT_EQ(error_of(read(std::string(10'000'000, 'l'))), StorageErrc::bencode_too_deep);
  EXPECT_EQ(error_of(read(keys)), StorageErrc::bencode_too_deep);
  std::string flat = "l";
  for (int i = 0; i < 1'000'000; ++i) flat += "i0e";
  EXPECT_EQ(error_of(read(flat + "e", Mode::strict, kMessageLimits)),
            StorageErrc::bencode_too_many_values);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
}

TEST(Bencode, AnUnsortedDictionaryOfAHundredThousandKeysIsQuick) {
  std::string text = "d";
  for (int i = 199'999; i >= 100'000; --i) text += "6:" + std::to_string(i) + "le";
  const auto start = std::chrono::steady_clock::now();
  EXPECT_TRUE(read(text + "e", Mode::lenient));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
}

// -- writing

TEST(BencodeWriter, KeysComeOutSortedHoweverTheyWentIn) {
  Dictionary inner;
  inner.add("ut_pex", 2).add("ut_metadata", 1);
  List list;
  list.add(-5).add("x");
  Dictionary message;
  message.add("v", "swarmfs").add("m", inner).add("l", list).add("", 0);
  EXPECT_EQ(message.encode(), "d0:i0e1:lli-5e1:xe1:md11:ut_metadatai1e6:ut_pexi2ee1:v7:swarmfse");
}

// -- properties

// A random tree, as its canonical encoding.
std::string random_value(int depth) {
  const int kind = *rc::gen::inRange(0, depth == 0 ? 2 : 4);
  if (kind == 0) return encode(*rc::gen::arbitrary<std::int64_t>());
  if (kind == 1) return encode(std::string_view(*rc::gen::arbitrary<std::string>()));
  const int size = *rc::gen::inRange(0, 5);
  if (kind == 2) {
    List list;
    for (int i = 0; i < size; ++i) list.add_encoded(random_value(depth - 1));
    return list.encode();
  }
  Dictionary dictionary;
  for (const std::string& key : *rc::gen::arbitrary<std::set<std::string>>()) {
    dictionary.add_encoded(key, random_value(depth - 1));
  }
  return dictionary.encode();
}

std::string rewrite(Value value) {
  if (const auto number = value.integer()) return encode(*number);
  if (const auto text = value.string()) return encode(*text);
  if (value.is(Type::list)) {
    List list;
    for (const Value item : value.items()) list.add_encoded(rewrite(item));
    return list.encode();
  }
  Dictionary dictionary;
  for (const Entry entry : value.entries()) dictionary.add_encoded(entry.key, rewrite(entry.value));
  return dictionary.encode();
}

RC_GTEST_PROP(BencodeProperty, WhatIsWrittenIsReadBackTheSame, ()) {
  const std::string text = random_value(3);
  const Result<Document> document = read(text);
  RC_ASSERT(document.has_value());
  RC_ASSERT(document->end() == text.size());
  RC_ASSERT(text_of(document->root().raw()) == text);
  RC_ASSERT(rewrite(document->root()) == text);
}

// Whatever the bytes: strict acceptance means lenient acceptance without oddities, and that the
// bytes are the one canonical form of their value.
void check_any_bytes(const std::string& text) {
  const Result<Document> strict = read(text, Mode::strict);
  const Result<Document> lenient = read(text, Mode::lenient);
  if (lenient) RC_ASSERT(lenient->end() <= text.size());
  if (!strict) return;
  RC_ASSERT(lenient.has_value());
  RC_ASSERT(!lenient->oddities().any());
  RC_ASSERT(rewrite(strict->root()) == text.substr(0, strict->end()));
}

RC_GTEST_PROP(BencodeProperty, RandomBytesAreReadInCanonicalFormOrRefused, ()) {
  const std::string alphabet = "ilde0123456789:-a";
  check_any_bytes(*rc::gen::container<std::string>(rc::gen::elementOf(alphabet)));
}

RC_GTEST_PROP(BencodeProperty, DamagedBytesAreReadInCanonicalFormOrRefused, ()) {
  std::string text = random_value(3);
  const auto at = *rc::gen::inRange<std::size_t>(0, text.size());
  text[at] = *rc::gen::elementOf(std::string("ilde0123456789:-a"));
  check_any_bytes(text);
}

}  // namespace
}  // namespace swarmfs::storage::bencode
