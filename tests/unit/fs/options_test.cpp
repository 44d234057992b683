#include "fs/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

namespace swarmfs::fs {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using Words = std::vector<std::string>;

OrComplaint<Options> parse(const Words& words) {
  std::vector<const char*> argv{"swarmfs"};
  for (const std::string& word : words) argv.push_back(word.c_str());
  return parse_options(static_cast<int>(argv.size()), argv.data());
}

struct Accepted {
  Words words;
  std::function<bool(const Options&)> holds;
};

Words mounting(Words options) {
  options.insert(options.end(), {"a.torrent", "/mnt"});
  return options;
}

TEST(OptionsTest, EveryOptionDoesWhatItSays) {
  const std::vector<Accepted> table{
      {{}, [](const Options& o) { return o.action == Options::Action::mount; }},
      {{}, [](const Options& o) { return o.source == "a.torrent" && o.mountpoint == "/mnt"; }},
      {{}, [](const Options& o) { return !o.foreground && !o.debug && !o.allow_local; }},
      {{}, [](const Options& o) { return o.port == kDefaultPort && !o.cache_dir; }},
      {{}, [](const Options& o) { return o.log_level == LogLevel::info && !o.soft_timeout; }},
      {{"-f"}, [](const Options& o) { return o.foreground && !o.debug; }},
      {{"--foreground"}, [](const Options& o) { return o.foreground; }},
      {{"-d"}, [](const Options& o) { return o.debug && o.foreground; }},
      {{"-d"}, [](const Options& o) { return o.log_level == LogLevel::debug; }},
      {{"--cache-dir", "c"}, [](const Options& o) { return o.cache_dir == "c"; }},
      {{"--cache-dir=a b,c"}, [](const Options& o) { return o.cache_dir == "a b,c"; }},
      {{"--port", "1"}, [](const Options& o) { return o.port == 1; }},
      {{"--port", "1", "--port=65535"}, [](const Options& o) { return o.port == 65535; }},
      {{"--allow-local"}, [](const Options& o) { return o.allow_local; }},
      {{"--verify"}, [](const Options& o) { return o.verify; }},
      {{"--log-level", "error"}, [](const Options& o) { return o.log_level == LogLevel::error; }},
      {{"-o", "cache_dir=/x"}, [](const Options& o) { return o.cache_dir == "/x"; }},
      {{"-ocache-dir=/x\\,y"}, [](const Options& o) { return o.cache_dir == "/x,y"; }},
      {{"-o", "port=7,allow_local"}, [](const Options& o) { return o.port == 7 && o.allow_local; }},
      {{"-o", "foreground,log_level=error"}, [](const Options& o) { return o.foreground; }},
      {{"-o", "debug"}, [](const Options& o) { return o.debug; }},
      {{"-o", "soft,timeo=5"}, [](const Options& o) { return o.soft_timeout->count() == 5; }},
      {{"-o", "timeo=5", "-o", "soft"},
       [](const Options& o) { return o.soft_timeout->count() == 5; }},
      {{"-o", "soft"}, [](const Options& o) { return o.soft_timeout == kDefaultSoftTimeout; }},
      {{"-o", "soft,hard"}, [](const Options& o) { return !o.soft_timeout; }},
      {{}, [](const Options& o) { return o.dht && o.pex && o.lsd && o.web_seeds && !o.interface; }},
      {{"--no-dht"}, [](const Options& o) { return !o.dht && o.pex && o.lsd; }},
      {{"--no-pex"}, [](const Options& o) { return o.dht && !o.pex && o.lsd; }},
      {{"--no-web-seeds"}, [](const Options& o) { return !o.web_seeds && o.dht; }},
      {{"--no-lsd"}, [](const Options& o) { return o.dht && o.pex && !o.lsd; }},
      {{"-o", "no_dht,no-pex,no_lsd"}, [](const Options& o) { return !o.dht && !o.pex && !o.lsd; }},
      {{"--interface", "wg0.1"}, [](const Options& o) { return o.interface == "wg0.1"; }},
      {{"--interface=2001:db8::1"}, [](const Options& o) { return o.interface == "2001:db8::1"; }},
      {{"--interface", "a", "-o", "interface=192.0.2.7"},
       [](const Options& o) { return o.interface == "192.0.2.7"; }},
      {{}, [](const Options& o) { return !o.wait_metadata && !o.wait_metadata_limit; }},
      {{"--wait-metadata"},
       [](const Options& o) { return o.wait_metadata && !o.wait_metadata_limit; }},
      {{"--wait-metadata=5"}, [](const Options& o) { return o.wait_metadata_limit->count() == 5; }},
      {{"-o", "wait_metadata"},
       [](const Options& o) { return o.wait_metadata && !o.wait_metadata_limit; }},
      {{"-o", "wait_metadata=86400"},
       [](const Options& o) { return o.wait_metadata && o.wait_metadata_limit->count() == 86400; }},
      {{"-o", "wait_metadata=5,wait_metadata=6"},
       [](const Options& o) { return o.wait_metadata_limit->count() == 6; }},
      {{}, [](const Options& o) { return !o.cache_size && !o.min_free && !o.ephemeral; }},
      {{},
       [](const Options& o) {
         return o.prefetch == Prefetch::none && o.memory_limit == kDefaultMemoryLimit;
       }},
      {{"--cache-size", "20G"},
       [](const Options& o) { return o.cache_size == Amount::of_bytes(20ULL << 30); }},
      {{"-o", "cache_size=10%,min_free=1.5G"},
       [](const Options& o) {
         return o.cache_size == Amount::of_percent(10) &&
                o.min_free == Amount::of_bytes(3ULL << 29);
       }},
      {{"--min-free=5%"}, [](const Options& o) { return o.min_free == Amount::of_percent(5); }},
      {{"--ephemeral"}, [](const Options& o) { return o.ephemeral; }},
      {{"-o", "ephemeral"}, [](const Options& o) { return o.ephemeral; }},
      {{"--prefetch=file"}, [](const Options& o) { return o.prefetch == Prefetch::file; }},
      {{"-o", "prefetch=torrent"},
       [](const Options& o) { return o.prefetch == Prefetch::torrent; }},
      {{"--prefetch", "torrent", "--prefetch", "none"},
       [](const Options& o) { return o.prefetch == Prefetch::none; }},
      {{"--memory-limit=32M"}, [](const Options& o) { return o.memory_limit == 32U << 20; }},
      {{"-o", "memory_limit=1g"}, [](const Options& o) { return o.memory_limit == 1U << 30; }},
      {{"-o", "allow_other"}, [](const Options& o) { return o.allow_other; }},
      {{"-o", "fsname=x\\,y"}, [](const Options& o) { return o.fsname == "x,y"; }},
  };
  for (std::size_t row = 0; row < table.size(); ++row) {
    const OrComplaint<Options> options = parse(mounting(table[row].words));
    ASSERT_TRUE(options) << "row " << row << ": " << options.error().line;
    EXPECT_TRUE(table[row].holds(*options)) << "row " << row;
  }
}

TEST(OptionsTest, TheFirstWordsMayComeBeforeTheOptionsAsMountWritesThem) {
  const auto options = parse({"a.torrent", "/mnt", "-o", "rw,_netdev,x-systemd.automount,port=9"});
  ASSERT_TRUE(options) << options.error().line;
  EXPECT_EQ(options->source, "a.torrent");
  EXPECT_EQ(options->mountpoint, "/mnt");
  EXPECT_EQ(options->port, 9);
  EXPECT_THAT(options->kernel_options, IsEmpty());
}

TEST(OptionsTest, WhatFstabAndMountAddIsStripped) {
  const auto options = parse(mounting(
      {"-o",
       "_netdev,nofail,noauto,auto,user,users,x-systemd.automount,X-a=b,defaults,comment=c,"
       "relatime",
       "-o", "rw,suid,dev,ro,nosuid,nodev,noatime,lazytime,user=me,default_permissions,,"}));
  ASSERT_TRUE(options) << options.error().line;
  EXPECT_THAT(options->kernel_options, IsEmpty());
}

TEST(OptionsTest, WhatTheKernelKnowsIsHandedOn) {
  const auto options = parse(mounting({"-o", "noexec,nofail,context=\"a:b\""}));
  ASSERT_TRUE(options) << options.error().line;
  EXPECT_THAT(options->kernel_options, ElementsAre("noexec", "context=\"a:b\""));
}

TEST(OptionsTest, PeersAddUpWhereverTheyStand) {
  const auto options = parse(mounting({"--peer", "192.0.2.7:1", "-o", "peer=seed.example:2",
                                       "--peer=[2001:db8::1]:65535", "-o", "peer=[::1]:4"}));
  ASSERT_TRUE(options) << options.error().line;
  EXPECT_THAT(
      options->peers,
      ElementsAre(storage::HostPort{"192.0.2.7", 1}, storage::HostPort{"2001:db8::1", 65535},
                  storage::HostPort{"seed.example", 2}, storage::HostPort{"::1", 4}));
}

TEST(OptionsTest, TrackersAndNodesAddUpToo) {
  const auto options =
      parse(mounting({"--tracker", "udp://t.example:1/announce", "-o", "tracker=http://t/a?k=v\\,w",
                      "--dht-bootstrap=[2001:db8::1]:1", "-o", "dht_bootstrap=node.example:6881"}));
  ASSERT_TRUE(options) << options.error().line;
  EXPECT_THAT(options->trackers, ElementsAre("udp://t.example:1/announce", "http://t/a?k=v,w"));
  EXPECT_THAT(options->dht_bootstrap, ElementsAre(storage::HostPort{"2001:db8::1", 1},
                                                  storage::HostPort{"node.example", 6881}));
}

TEST(OptionsTest, ASourceNeedNotBeAFile) {
  for (const char* source : {"-", "magnet:?xt=urn:btih:x&dn=a,b", "https://h/x.torrent?a=b"}) {
    EXPECT_EQ(parse({source, "/mnt", "-o", "ro"})->source, source);
    EXPECT_EQ(parse({"-f", source, "/mnt"})->source, source);
    EXPECT_EQ(parse({"--wait-metadata", source, "/mnt"})->source, source);
    EXPECT_EQ(parse({"--check", source})->source, source);
  }
}

TEST(OptionsTest, AMagnetThatTheShellCutIsRecognised) {
  const auto options = parse({"magnet:?xt=urn:btih:x"});
  ASSERT_FALSE(options);
  EXPECT_THAT(options.error().line, HasSubstr("quotes"));
}

TEST(OptionsTest, APeerTakesOneWordAndLeavesTheRest) {
  const auto options = parse({"--peer", "a:1", "a.torrent", "/mnt"});
  ASSERT_TRUE(options) << options.error().line;
  EXPECT_EQ(options->source, "a.torrent");
}

TEST(OptionsTest, HelpAndVersionNeedNothingElse) {
  for (const char* word : {"-h", "--help"}) {
    EXPECT_EQ(parse({word})->action, Options::Action::help) << word;
  }
  for (const char* word : {"-V", "--version"}) {
    EXPECT_EQ(parse({word})->action, Options::Action::version) << word;
  }
}

TEST(OptionsTest, CheckTakesOneFile) {
  const auto options = parse({"--check", "b.torrent"});
  ASSERT_TRUE(options) << options.error().line;
  EXPECT_EQ(options->action, Options::Action::check);
  EXPECT_EQ(options->source, "b.torrent");
}

TEST(OptionsTest, AfterTwoDashesEverythingIsAName) {
  const auto options = parse({"-f", "--", "-x.torrent", "-m"});
  ASSERT_TRUE(options) << options.error().line;
  EXPECT_EQ(options->source, "-x.torrent");
  EXPECT_EQ(options->mountpoint, "-m");
}

struct Refused {
  Words words;
  std::string named;  // what the complaint must name
};

TEST(OptionsTest, EveryMistakeIsOneLineThatNamesItAndExitCodeTwo) {
  const std::vector<Refused> table{
      {{}, "what to mount"},
      {{"a.torrent"}, "a.torrent"},
      {{"a.torrent", "/mnt", "third"}, "third"},
      {{"", "/mnt"}, "empty"},
      {{"--check", "b.torrent", "/mnt"}, "/mnt"},
      {{"--check"}, "--check"},
      {mounting({"--nope"}), "--nope"},
      {mounting({"-x"}), "-x"},
      {mounting({"--nope=\n\x1b[2J"}), "\\x0a\\x1b[2J"},
      {mounting({"-o", "nope"}), "-o nope"},
      {mounting({"-o", "nope=3,ro"}), "-o nope=3"},
      {mounting({"-o", "f"}), "-o f"},
      {mounting({"-o", "help"}), "-o help"},
      {mounting({"-o", "check=b.torrent"}), "-o check"},
      {mounting({"-o", "auto_unmount"}), "auto_unmount"},
      {mounting({"-o", "allow_root"}), "allow_other"},
      {mounting({"-o", "nonempty"}), "empty directory"},
      {mounting({"-o", "subtype=x"}), "subtype"},
      {mounting({"-o", "timeo=5"}), "soft"},
      {mounting({"-o", "soft,timeo=0"}), "timeo=0"},
      {mounting({"-o", "soft,timeo=1.5"}), "timeo=1.5"},
      {mounting({"-o", "soft,timeo=99999999999999999999"}), "timeo"},
      {mounting({"-o", "allow_local=maybe"}), "allow_local"},
      {mounting({"-o", "cache_dir"}), "cache_dir"},
      {mounting({"--port", "0"}), "--port 0"},
      {mounting({"--port", "65536"}), "--port 65536"},
      {mounting({"--port", "-1"}), "-1"},
      {mounting({"--port", "1x"}), "--port 1x"},
      {mounting({"-o", "port="}), "port"},
      {mounting({"--log-level", "loud"}), "--log-level loud"},
      {mounting({"--peer", "192.0.2.7"}), "--peer 192.0.2.7"},
      {mounting({"--peer", "192.0.2.7:0"}), "--peer 192.0.2.7:0"},
      {mounting({"--peer", ":6881"}), "--peer :6881"},
      {mounting({"--peer", "::1:6881"}), "[2001:db8::1]:6881"},
      {mounting({"--peer", "[::1:6881"}), "--peer [::1:6881"},
      {mounting({"--peer", "[seed.example]:6881"}), "--peer [seed.example]"},
      {mounting({"--peer", "http://seed.example:80"}), "--peer http://"},
      {mounting({"--peer", "a b:80"}), "--peer a b:80"},
      {mounting({"--dht-bootstrap", "node.example"}), "--dht-bootstrap node.example"},
      {mounting({"-o", "dht_bootstrap=:1"}), "--dht-bootstrap :1"},
      {mounting({"--tracker", "file:///etc/passwd"}), "--tracker file:///etc/passwd"},
      {mounting({"--tracker", "t.example:1337"}), "udp://tracker.example"},
      {mounting({"--tracker", "http://t/\x1b"}), "http://t/\\x1b"},
      {mounting({"--interface", "sixteen-letters-"}), "--interface sixteen-letters-"},
      {mounting({"--interface", "../eth0"}), "--interface ../eth0"},
      {mounting({"--interface", "192.0.2.7:80"}), "--interface 192.0.2.7:80"},
      {mounting({"--wait-metadata=0"}), "--wait-metadata=0"},
      {mounting({"--wait-metadata=86401"}), "86400"},
      {mounting({"-o", "wait_metadata=soon"}), "wait-metadata=soon"},
      {mounting({"--cache-size", "20 G"}), "--cache-size 20 G"},
      {mounting({"--cache-size", "0"}), "--cache-size 0"},
      {mounting({"--cache-size", "1M"}), "16 MiB"},
      {mounting({"-o", "cache_size=110%"}), "--cache-size 110%"},
      {mounting({"--min-free", "some"}), "--min-free some"},
      {mounting({"--memory-limit", "10%"}), "--memory-limit 10%"},
      {mounting({"--memory-limit", "31M"}), "32 MiB"},
      {mounting({"--prefetch", "everything"}), "none, file or torrent"},
      {mounting({"-o", "ephemeral=maybe"}), "ephemeral"},
  };
  for (std::size_t row = 0; row < table.size(); ++row) {
    const OrComplaint<Options> options = parse(table[row].words);
    ASSERT_FALSE(options) << "row " << row << " (" << table[row].named << ") was accepted";
    EXPECT_EQ(options.error().exit_code, kExitUsage) << "row " << row;
    EXPECT_THAT(options.error().line, HasSubstr(table[row].named)) << "row " << row;
    EXPECT_THAT(options.error().line, Not(HasSubstr("\n"))) << "row " << row;
  }
}

TEST(OptionsTest, TheHelpNamesEveryOption) {
  const std::string help = help_text();
  for (const char* name : {"-f",
                           "-d",
                           "-o",
                           "-h",
                           "-V",
                           "--peer",
                           "--cache-dir",
                           "--port",
                           "--allow-local",
                           "--verify",
                           "--log-level",
                           "--check",
                           "allow_other",
                           "timeo",
                           "--no-dht",
                           "--no-pex",
                           "--no-lsd",
                           "--no-web-seeds",
                           "--tracker",
                           "--interface",
                           "--dht-bootstrap",
                           "--wait-metadata[=SECONDS]",
                           "--cache-size",
                           "--min-free",
                           "--ephemeral",
                           "--prefetch",
                           "--memory-limit",
                           "magnet"}) {
    EXPECT_THAT(help, HasSubstr(name));
  }
}

TEST(MountOptionsTest, CommasSeparateUnlessEscaped) {
  EXPECT_THAT(split_mount_options("a,b=c,,d\\,e,f\\\\,"), ElementsAre("a", "b=c", "d,e", "f\\"));
  EXPECT_THAT(split_mount_options(""), IsEmpty());
}

}  // namespace
}  // namespace swarmfs::fs
