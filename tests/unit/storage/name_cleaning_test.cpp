#include "storage/name_cleaning.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <chrono>
#include <set>

namespace swarmfs::storage {
namespace {

using Paths = std::vector<std::vector<std::string>>;
using namespace std::string_literals;

Paths unique(Paths paths) {
  const error_code ec = make_unique(paths);
  EXPECT_FALSE(ec) << ec.message();
  return paths;
}

// Independent of the code under test: RFC 3629's table, by lead byte.
bool is_utf8(std::string_view s) {
  const auto in = [&](std::size_t i, int low, int high) {
    return i < s.size() && static_cast<unsigned char>(s[i]) >= low &&
           static_cast<unsigned char>(s[i]) <= high;
  };
  std::size_t i = 0;
  while (i < s.size()) {
    if (in(i, 0x00, 0x7F))
      i += 1;
    else if (in(i, 0xC2, 0xDF) && in(i + 1, 0x80, 0xBF))
      i += 2;
    else if (in(i, 0xE0, 0xE0) && in(i + 1, 0xA0, 0xBF) && in(i + 2, 0x80, 0xBF))
      i += 3;
    else if (in(i, 0xED, 0xED) && in(i + 1, 0x80, 0x9F) && in(i + 2, 0x80, 0xBF))
      i += 3;
    else if (in(i, 0xE1, 0xEF) && !in(i, 0xED, 0xED) && in(i + 1, 0x80, 0xBF) &&
             in(i + 2, 0x80, 0xBF))
      i += 3;
    else if (in(i, 0xF0, 0xF0) && in(i + 1, 0x90, 0xBF) && in(i + 2, 0x80, 0xBF) &&
             in(i + 3, 0x80, 0xBF))
      i += 4;
    else if (in(i, 0xF4, 0xF4) && in(i + 1, 0x80, 0x8F) && in(i + 2, 0x80, 0xBF) &&
             in(i + 3, 0x80, 0xBF))
      i += 4;
    else if (in(i, 0xF1, 0xF3) && in(i + 1, 0x80, 0xBF) && in(i + 2, 0x80, 0xBF) &&
             in(i + 3, 0x80, 0xBF))
      i += 4;
    else
      return false;
  }
  return true;
}

bool is_safe(const std::string& name) {
  if (name.empty() || name.size() > 255 || name == "." || name == "..") return false;
  for (const char c : name) {
    if (static_cast<unsigned char>(c) < 0x20 || c == '/' || c == 0x7F) return false;
  }
  return is_utf8(name);
}

// -- one name

TEST(CleanName, OrdinaryNamesAreKeptAsTheyAre) {
  for (const std::string name : {"movie.mkv", "name. ", " x", ".hidden", "...", "a\\b",
                                 "C:", "naïve 日本 🎬.txt", "می\u200cخواهم", "a:b*c?\"<>|"}) {
    EXPECT_EQ(clean_name(name), name);
  }
}

TEST(CleanName, SlashesNulsAndControlCharactersAreReplaced) {
  EXPECT_EQ(clean_name("a/../../b"), "a_.._.._b");
  EXPECT_EQ(clean_name("a\0b"s), "a_b");
  EXPECT_EQ(clean_name("a\r\n\x1B[31m\x7F"), "a___[31m_");
  EXPECT_EQ(clean_name("a\u0085b\u2028c"), "a_b_c");
  EXPECT_EQ(clean_name("\x01.."), "_..");
}

TEST(CleanName, DotNamesLeaveNothingHoweverTheyAreHidden) {
  for (const std::string_view name :
       {"", ".", "..", ".\u200b.", "\u202e..", "\ufeff.", "\u200d..\u200c", "\u2066\u2069"}) {
    EXPECT_EQ(clean_name(name), "") << name;
  }
}

TEST(CleanName, BidirectionalOverridesVanish) {
  EXPECT_EQ(clean_name("a\u202egpj.exe"), "agpj.exe");
}

TEST(CleanName, BytesThatAreNotUtf8BecomeReplacementCharacters) {
  EXPECT_EQ(clean_name("caf\xE9.txt"), "caf\uFFFD.txt");
  EXPECT_EQ(clean_name("\xC0\xAE\xC0\xAE"), "\uFFFD\uFFFD\uFFFD\uFFFD")
      << "an overlong .. is not ..";
  EXPECT_EQ(clean_name("\xE0\x80\xAF"), "\uFFFD\uFFFD\uFFFD") << "an overlong slash";
  EXPECT_EQ(clean_name("\xED\xA0\x80"), "\uFFFD\uFFFD\uFFFD") << "a surrogate";
  EXPECT_EQ(clean_name("\xF4\x90\x80\x80"), "\uFFFD\uFFFD\uFFFD\uFFFD") << "above U+10FFFF";
  EXPECT_EQ(clean_name("a\xE2\x82"), "a\uFFFD\uFFFD") << "cut short";
}

TEST(CleanName, ALongNameIsCutBetweenCharactersAndKeepsItsExtension) {
  EXPECT_EQ(clean_name(std::string(255, 'x')), std::string(255, 'x'));
  EXPECT_EQ(clean_name(std::string(300, 'x') + ".mkv"), std::string(251, 'x') + ".mkv");
  std::string wide;
  for (int i = 0; i < 100; ++i) wide += "日";
  EXPECT_EQ(clean_name("a" + wide).size(), 253U) << "1 + 84 * 3: an 85th would need 256";
  EXPECT_TRUE(is_utf8(clean_name("ab" + wide + ".mp4")));
}

TEST(NumberedName, TheNumberGoesBeforeTheExtension) {
  EXPECT_EQ(numbered_name("b.mkv", 1), "b.1.mkv");
  EXPECT_EQ(numbered_name("README", 12), "README.12");
  EXPECT_EQ(numbered_name(".bashrc", 1), ".bashrc.1");
  EXPECT_EQ(numbered_name("vol. 2 of the story", 1), "vol. 2 of the story.1");
  EXPECT_EQ(numbered_name(std::string(251, 'x') + ".mkv", 500), std::string(247, 'x') + ".500.mkv");
}

// -- all names

TEST(MakeUnique, TheSecondOfANameGetsANumber) {
  EXPECT_EQ(unique({{"a", "b.mkv"}, {"a", "b.mkv"}, {"c", "b.mkv"}}),
            (Paths{{"a", "b.mkv"}, {"a", "b.1.mkv"}, {"c", "b.mkv"}}));
}

TEST(MakeUnique, AFolderWinsOverAFile) {
  EXPECT_EQ(unique({{"a"}, {"a", "b"}}), (Paths{{"a.1"}, {"a", "b"}}));
  EXPECT_EQ(unique({{"x", "y"}, {"x", "y", "z"}}), (Paths{{"x", "y.1"}, {"x", "y", "z"}}));
}

TEST(MakeUnique, AGeneratedNameNeverTakesOneThatTheTorrentGave) {
  EXPECT_EQ(unique({{"b"}, {"b"}, {"b.1"}}), (Paths{{"b"}, {"b.2"}, {"b.1"}}));
  EXPECT_EQ(unique({{"b"}, {"b"}, {"b.1", "inside"}}), (Paths{{"b"}, {"b.2"}, {"b.1", "inside"}}));
}

TEST(MakeUnique, FiveHundredRenamesAreMadeAndNoMore) {
  Paths paths(501, {"x"});
  EXPECT_EQ(unique(paths).back().back(), "x.500");
  paths.push_back({"x"});
  EXPECT_EQ(make_unique(paths), StorageErrc::too_many_same_names);
}

TEST(MakeUnique, FoldersAreCounted) {
  Paths paths;
  for (std::uint32_t i = 0; i < kMaxFolders; ++i) paths.push_back({std::to_string(i), "f"});
  EXPECT_FALSE(make_unique(paths));
  paths.push_back({"one more", "f"});
  EXPECT_EQ(make_unique(paths), StorageErrc::too_many_folders);
}

TEST(MakeUnique, AHundredThousandFilesInOneFolderAreQuick) {
  Paths paths;
  for (int i = 0; i < 100'000; ++i) paths.push_back({"d", std::to_string(i / 2) + ".jpg"});
  const auto start = std::chrono::steady_clock::now();
  EXPECT_FALSE(make_unique(paths));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
  EXPECT_EQ(paths.back().back(), "49999.1.jpg");
}

// -- properties

RC_GTEST_PROP(NameProperty, AnyBytesBecomeASafeNameOrNothing, (const std::string& raw)) {
  const std::string name = clean_name(raw);
  RC_ASSERT(name.empty() || is_safe(name));
  RC_ASSERT(clean_name(name) == name);
}

// Bytes that matter, so that random names meet dots, cuts and broken sequences.
rc::Gen<std::string> nasty_name() {
  const std::vector<std::string> parts{"a",
                                       ".",
                                       "/",
                                       "\xE2",
                                       "\x80",
                                       "\x8B",
                                       "\u202e",
                                       "日",
                                       "\x01",
                                       "\xF0\x9F",
                                       std::string(100, 'y'),
                                       std::string(1, '\0')};
  return rc::gen::map(rc::gen::container<std::vector<std::string>>(rc::gen::elementOf(parts)),
                      [](const std::vector<std::string>& chosen) {
                        std::string name;
                        for (const std::string& part : chosen) name += part;
                        return name;
                      });
}

RC_GTEST_PROP(NameProperty, NastyBytesBecomeASafeNameOrNothing, ()) {
  const std::string name = clean_name(*nasty_name());
  RC_ASSERT(name.empty() || is_safe(name));
  RC_ASSERT(clean_name(name) == name);
}

RC_GTEST_PROP(NameProperty, PathsEndUpUniqueAndSafe, ()) {
  const std::vector<std::string> few{
      "a", "b", "a.1", "b.1", "a.2", std::string(255, 'x'), std::string(253, 'x') + ".1"};
  const auto components =
      rc::gen::nonEmpty(rc::gen::container<std::vector<std::string>>(rc::gen::elementOf(few)));
  Paths paths = *rc::gen::container<Paths>(components);
  RC_ASSERT(!make_unique(paths));
  std::set<std::vector<std::string>> files, folders;
  for (const auto& path : paths) {
    for (const std::string& name : path) RC_ASSERT(is_safe(name));
    RC_ASSERT(files.insert(path).second);
    for (std::size_t depth = 1; depth < path.size(); ++depth) {
      folders.insert({path.begin(), path.begin() + static_cast<std::ptrdiff_t>(depth)});
    }
  }
  for (const auto& folder : folders) RC_ASSERT(!files.contains(folder));
}

}  // namespace
}  // namespace swarmfs::storage
