#include "fs/ctl_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <initializer_list>

namespace swarmfs::fs {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using Action = CtlOptions::Action;
using namespace std::chrono_literals;

OrComplaint<CtlOptions> parse(std::initializer_list<const char*> words) {
  std::vector<const char*> argv{"swarmfsctl"};
  argv.insert(argv.end(), words);
  return parse_ctl_options(static_cast<int>(argv.size()), argv.data());
}

std::string complaint(std::initializer_list<const char*> words) {
  const auto options = parse(words);
  EXPECT_FALSE(options) << "was accepted";
  if (options) return {};
  EXPECT_EQ(options.error().exit_code, kExitUsage);
  EXPECT_EQ(options.error().line.find('\n'), std::string::npos);
  return options.error().line;
}

TEST(CtlOptionsTest, EachCommandWithItsOptionsInAnyOrder) {
  const auto list = parse({"cache", "list", "--json", "--cache-dir", "/c"});
  ASSERT_TRUE(list) << list.error().line;
  EXPECT_EQ(list->action, Action::list);
  EXPECT_TRUE(list->json);
  EXPECT_EQ(list->cache_dir, "/c");
  EXPECT_EQ(parse({"cache", "size"})->action, Action::size);
  EXPECT_FALSE(parse({"cache", "size"})->cache_dir);
  const auto remove = parse({"cache", "remove", "abcd", "--cache-dir=/c", "film"});
  ASSERT_TRUE(remove) << remove.error().line;
  EXPECT_EQ(remove->action, Action::remove);
  EXPECT_THAT(remove->torrents, ElementsAre("abcd", "film"));
  EXPECT_THAT(parse({"cache", "verify"})->torrents, ElementsAre());
  EXPECT_THAT(parse({"cache", "verify", "abcd"})->torrents, ElementsAre("abcd"));
}

TEST(CtlOptionsTest, ATorrentMayHaveTheNameOfACommandOrAnOption) {
  EXPECT_THAT(parse({"cache", "remove", "list", "cache"})->torrents, ElementsAre("list", "cache"));
  EXPECT_THAT(parse({"cache", "remove", "--", "--all"})->torrents, ElementsAre("--all"));
  EXPECT_FALSE(parse({"cache", "remove", "--", "--all"})->all);
}

TEST(CtlOptionsTest, HelpAndVersionGoBeforeEverythingElse) {
  EXPECT_EQ(parse({"-h"})->action, Action::help);
  EXPECT_EQ(parse({"cache", "--help"})->action, Action::help);
  EXPECT_EQ(parse({"cache", "remove", "-h"})->action, Action::help);
  EXPECT_EQ(parse({"-V"})->action, Action::version);
  EXPECT_EQ(parse({"cache", "frob", "-h"})->action, Action::help);
}

TEST(CtlOptionsTest, NoWordsAreNoCommandAndNoComplaint) {
  EXPECT_EQ(parse({})->action, Action::nothing);
}

TEST(CtlOptionsTest, WhatIsUnknownIsNamed) {
  EXPECT_THAT(complaint({"cahce", "list"}), HasSubstr("unknown command cahce"));
  EXPECT_THAT(complaint({"cache"}), HasSubstr("list, size, remove or verify"));
  EXPECT_THAT(complaint({"cache", "lst"}), HasSubstr("cache lst: unknown command"));
  EXPECT_THAT(complaint({"cache", "list", "--frob"}), HasSubstr("unknown option --frob"));
  EXPECT_THAT(complaint({"--json", "cache", "list"}), HasSubstr("unknown option --json"));
  EXPECT_THAT(complaint({"cache", "list", "abcd"}), HasSubstr("cache list: what is abcd for?"));
  EXPECT_THAT(complaint({"cache", "list", "verify"}), HasSubstr("what is verify for?"));
  EXPECT_THAT(complaint({"cache", "list", "--all"}), HasSubstr("--all"));
  EXPECT_THAT(complaint({"cache", "list", "--cache-dir"}), HasSubstr("--cache-dir"));
  EXPECT_THAT(complaint({"cache", "\x1b[2J"}), AllOf(HasSubstr("\\x1b"), Not(HasSubstr("\x1b"))));
}

TEST(CtlOptionsTest, RemoveWantsToKnowWhat) {
  EXPECT_THAT(complaint({"cache", "remove"}), HasSubstr("which torrents?"));
  EXPECT_THAT(complaint({"cache", "remove", ""}), HasSubstr("empty word"));
  EXPECT_THAT(complaint({"cache", "remove", "abcd", "--all"}), HasSubstr("not both"));
  EXPECT_THAT(complaint({"cache", "remove", "abcd", "--older-than", "30d"}), HasSubstr("--all"));
  EXPECT_THAT(complaint({"cache", "remove", "--all", "--older-than", "soon"}),
              HasSubstr("--older-than soon: not an age"));
  const auto old = parse({"cache", "remove", "--all", "--older-than", "30d"});
  ASSERT_TRUE(old) << old.error().line;
  EXPECT_TRUE(old->all);
  EXPECT_EQ(old->older_than, 720h);
}

TEST(CtlOptionsTest, AgesHaveANumberAndAUnit) {
  EXPECT_EQ(parse_age("45s"), 45s);
  EXPECT_EQ(parse_age("90m"), 90min);
  EXPECT_EQ(parse_age("12h"), 12h);
  EXPECT_EQ(parse_age("0d"), 0s);
  EXPECT_EQ(parse_age("2w"), 336h);
  EXPECT_EQ(parse_age("36525d"), 876'600h);
  for (const char* text : {"", "d", "30", "30 d", "-1d", "+1d", "1.5d", "30D", "d30", "36526d",
                           "18446744073709551615w", "99999999999999999999s"}) {
    EXPECT_FALSE(parse_age(text)) << text;
  }
}

TEST(CtlOptionsTest, TheHelpNamesEverything) {
  for (const char* word : {"list", "size", "remove", "verify", "--cache-dir", "--json", "--all",
                           "--older-than", "--help", "--version"}) {
    EXPECT_THAT(ctl_help_text(), HasSubstr(word));
  }
}

}  // namespace
}  // namespace swarmfs::fs
