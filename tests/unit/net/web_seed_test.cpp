#include "net/web_seed.h"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <random>

#include "storage/block_pool.h"
#include "tests/unit/net/loopback_server.h"
#include "tests/unit/net/range_server.h"

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;
using storage::kBlockSize;
using Then = RangeServer::Then;

constexpr std::uint32_t kPiece = 4 * kBlockSize;

std::string random_bytes(std::size_t size, unsigned seed) {
  std::mt19937 rng(seed);
  std::string bytes(size, '\0');
  for (char& c : bytes) c = static_cast<char>(rng());
  return bytes;
}

struct Part {
  std::string path;  // empty: padding
  std::uint64_t size;
};

// A torrent "t" of these files, and their bytes.
struct Content {
  explicit Content(const std::vector<Part>& parts) : bytes(), metainfo(make(parts)) {}

  storage::Metainfo make(const std::vector<Part>& parts) {
    std::vector<storage::ByteRange> pads;
    std::vector<storage::FileEntry> files;
    std::uint64_t at = 0;
    for (const Part& part : parts) {
      if (part.path.empty()) {
        pads.push_back({at, at + part.size});
        bytes += std::string(part.size, '\0');
      } else {
        files.push_back({{part.path}, at, part.size});
        bytes += random_bytes(part.size, static_cast<unsigned>(at + 1));
      }
      at += part.size;
    }
    storage::Metainfo made{
        .name = "t", .info_hash = {}, .layout = {at, kPiece, pads}, .piece_hashes = {}};
    made.original_name = "t";
    made.files = files;
    made.single_file = parts.size() == 1;
    return made;
  }
  [[nodiscard]] std::string file(std::size_t n) const {
    return bytes.substr(metainfo.files[n].offset, metainfo.files[n].length);
  }

  std::string bytes;  // of the torrent
  storage::Metainfo metainfo;
};

// The swarm's side of a web seed: says what it wants, notes what comes.
class WebSeedTest : public testing::Test {
 protected:
  void TearDown() override {
    if (web) web->close();
    run_task(context, tasks.join());
    stream.reset();
    run_task(context, server->stop());
  }

  void begin(const std::vector<Part>& parts, const std::string& path) {
    content.emplace(parts);
    files.emplace(content->metainfo);
    HttpHop hop;
    hop.url = parse_http_url(server->url(path)).value();
    hop.source = UrlSource::web_seed_list;
    hop.allow_local = allow_local;
    web = std::make_shared<WebSeed>(context.get_executor(), clock, *files, hop);
    connected = run_task(context, web->connect());
    if (connected) return;
    stream = web->stream({});
    tasks.spawn(serve());
    tasks.spawn(listen());
  }
  // With another server.
  void begin_afresh() {
    TearDown();
    server.emplace(context);
    ended.reset();
    arrived.clear();
    rejected.clear();
  }
  // One file "/f" that the server has.
  void begin_with_file(std::uint64_t size) {
    begin({{"t", size}}, "/f");
    server->files["/f"] = content->bytes;
  }

  Task<void> serve() { ended = co_await web->serve(); }
  Task<void> listen() {
    std::vector<std::byte> bytes;
    std::array<std::byte, 64 * 1024> part;
    while (true) {
      const std::array<asio::mutable_buffer, 1> into{asio::buffer(part)};
      const Result<std::size_t> size = stream->read_now(into);
      if (!size && size.error() != asio::error::would_block) co_return;
      if (!size) {
        co_await stream->wait_readable();
        continue;
      }
      bytes.insert(bytes.end(), part.begin(), part.begin() + static_cast<std::ptrdiff_t>(*size));
      bytes.erase(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(take(bytes)));
    }
  }
  std::size_t take(std::span<const std::byte> bytes) {
    std::size_t taken = 0;
    while (bytes.size() - taken >= 4) {
      const std::uint32_t length = read_u32(bytes.subspan(taken).first<4>());
      if (bytes.size() - taken - 4 < length) break;
      note(decode(bytes.subspan(taken + 4, length)).value());
      taken += 4 + length;
    }
    return taken;
  }
  void note(const Message& message) {
    if (const auto* piece = std::get_if<Piece>(&message)) {
      const std::uint64_t at = std::uint64_t{piece->index} * kPiece + piece->begin;
      const std::string_view data(reinterpret_cast<const char*>(piece->data.data()),
                                  piece->data.size());
      EXPECT_EQ(data, content->bytes.substr(at, data.size())) << "wrong bytes at " << at;
      arrived.push_back(at / kBlockSize);
    } else if (const auto* reject = std::get_if<Reject>(&message)) {
      rejected.push_back((std::uint64_t{reject->index} * kPiece + reject->begin) / kBlockSize);
    } else if (const auto* bitfield = std::get_if<BitfieldMessage>(&message)) {
      has = storage::Bitfield::from_wire(bitfield->bytes, content->metainfo.layout.piece_count());
    } else if (std::holds_alternative<Choke>(message)) {
      choking = true;
    } else if (std::holds_alternative<Unchoke>(message)) {
      choking = false;
    } else if (std::holds_alternative<KeepAlive>(message)) {
      ++keep_alives;
    }
  }

  void write(const Message& message) { encode(message, unsent); }
  void flush() {
    const std::array<asio::const_buffer, 1> all{asio::buffer(unsent)};
    EXPECT_EQ(stream->write_now(all).value(), unsent.size());
    unsent.clear();
  }
  template <class M>
  void say(std::uint64_t first, std::uint64_t last) {  // of blocks of the torrent, both included
    for (std::uint64_t block = first; block <= last; ++block) {
      const std::uint64_t at = block * kBlockSize;
      const std::uint64_t size = std::min<std::uint64_t>(kBlockSize, content->bytes.size() - at);
      write(M{static_cast<std::uint32_t>(at / kPiece), static_cast<std::uint32_t>(at % kPiece),
              static_cast<std::uint32_t>(size)});
    }
  }
  void ask(std::uint64_t first, std::uint64_t last) {
    say<Request>(first, last);
    flush();
  }
  bool until(const std::function<bool()>& done) { return run_until(context, done); }
  bool until_arrived(std::size_t blocks) {
    return until([&] { return arrived.size() + rejected.size() >= blocks; });
  }
  error_code end() {
    EXPECT_TRUE(until([&] { return ended.has_value(); }));
    return ended.value_or(error_code());
  }

  asio::io_context context;
  ManualClock clock;
  std::optional<RangeServer> server{std::in_place, context};
  bool allow_local = true;
  std::optional<Content> content;
  std::optional<WebSeedFiles> files;
  std::shared_ptr<WebSeed> web;
  std::unique_ptr<Stream> stream;
  storage::TaskGroup tasks{context.get_executor()};
  error_code connected;
  std::optional<error_code> ended;
  std::vector<std::byte> unsent;
  std::vector<std::uint64_t> arrived, rejected;  // blocks of the torrent
  std::optional<storage::Bitfield> has;
  bool choking = true;
  int keep_alives = 0;
};

TEST_F(WebSeedTest, ConsecutiveBlocksAreOneRequest) {
  begin_with_file(10 * kPiece + 777);
  ask(0, 19);
  ASSERT_TRUE(until_arrived(20));
  EXPECT_EQ(server->requests.size(), 1U);
  EXPECT_EQ(server->requests[0].begin, 0U);
  EXPECT_EQ(server->requests[0].end, 20U * kBlockSize);
  ask(40, 40);  // the last, short one
  ASSERT_TRUE(until_arrived(21));
  EXPECT_EQ(server->requests.back().end, content->bytes.size());
  EXPECT_EQ(server->connections, 1U);
}

TEST_F(WebSeedTest, WhatIsAskedMeanwhileIsAskedTogether) {
  begin_with_file(100 * kPiece);
  ask(0, 31);
  std::size_t next = 32;
  while (arrived.size() < 200) {  // one more for each that came, as the swarm does
    const std::size_t before = arrived.size();
    ASSERT_TRUE(until_arrived(before + 1));
    for (std::size_t i = before; i < arrived.size(); ++i, ++next) ask(next, next);
  }
  EXPECT_LE(server->requests.size(), 20U);
  EXPECT_EQ(server->connections, 1U);
}

TEST_F(WebSeedTest, ARangeOverFilesIsARequestForEachAndNoneForPadding) {
  begin({{"a b", 20'000}, {"", 12'768}, {"c#?%", 50'000}, {"d", 200'000}}, "/pub/");
  server->files["/pub/t/a%20b"] = content->file(0);
  server->files["/pub/t/c%23%3F%25"] = content->file(1);
  server->files["/pub/t/d"] = content->file(2);
  ask(0, 5);
  ASSERT_TRUE(until_arrived(6));
  EXPECT_TRUE(rejected.empty());
  std::uint64_t asked = 0;
  for (const auto& request : server->requests) asked += request.end - request.begin;
  EXPECT_EQ(asked, 6 * kBlockSize - 12'768U);
  EXPECT_EQ(server->requests.size(), 3U);
}

TEST_F(WebSeedTest, ARedirectIsFollowedAndRemembered) {
  begin({{"t", 4 * kPiece}}, "/old");
  server->files["/new"] = content->bytes;
  server->instead = [](const RangeServer::Request& request) -> std::optional<RangeServer::Answer> {
    if (request.path != "/old") return std::nullopt;
    return RangeServer::Answer{RangeServer::empty("302 Found", "Location: /new\r\n")};
  };
  ask(0, 0);
  ASSERT_TRUE(until_arrived(1));
  ask(1, 1);
  ASSERT_TRUE(until_arrived(2));
  ASSERT_EQ(server->requests.size(), 3U);
  EXPECT_EQ(server->requests[2].path, "/new");
}

TEST_F(WebSeedTest, AFolderThatMovedHasMovedForAllItsFiles) {
  begin({{"a", kPiece}, {"b", kPiece}}, "/old/");
  server->files = {{"/new/t/a", content->file(0)}, {"/new/t/b", content->file(1)}};
  server->instead = [](const RangeServer::Request& request) -> std::optional<RangeServer::Answer> {
    if (!request.path.starts_with("/old")) return std::nullopt;
    const std::string to = "/new" + request.path.substr(4);
    return RangeServer::Answer{RangeServer::empty("301 Moved", "Location: " + to + "\r\n")};
  };
  ask(0, 0);
  ASSERT_TRUE(until_arrived(1));
  ask(4, 4);
  ASSERT_TRUE(until_arrived(2));
  EXPECT_EQ(server->requests.back().path, "/new/t/b");
  EXPECT_EQ(server->requests.size(), 3U);
}

TEST_F(WebSeedTest, ARedirectWithoutEndIsAFileThatIsNotThere) {
  begin({{"t", kPiece}}, "/f");
  server->instead = [](const RangeServer::Request& request) {
    return RangeServer::Answer{
        RangeServer::empty("302 Found", "Location: " + request.path + "x\r\n")};
  };
  ask(0, 0);
  EXPECT_EQ(end(), NetErrc::not_on_server);
  EXPECT_EQ(server->requests.size(), 1U + kMaxRedirects);
}

TEST_F(WebSeedTest, ARedirectToWhatIsNoWebServerIsAFileThatIsNotThere) {
  for (const char* to :
       {"file:///etc/passwd", "ftp://127.0.0.1/f", "//", "http://127.0.0.1:0/", ""}) {
    SCOPED_TRACE(to);
    begin_afresh();
    begin({{"t", kPiece}}, "/f");
    server->instead = [to](const RangeServer::Request&) {
      return RangeServer::Answer{
          RangeServer::empty("302 Found", "Location: " + std::string(to) + "\r\n")};
    };
    ask(0, 0);
    EXPECT_EQ(end(), NetErrc::not_on_server);
    EXPECT_EQ(server->requests.size(), 1U);
  }
}

TEST_F(WebSeedTest, WhatWasRedirectedElsewhereIsAskedOfTheSeedAgainWhenItIsGoneThere) {
  begin({{"t", 4 * kPiece}}, "/f");
  server->files = {{"/one", content->bytes}};
  std::string to = "/one";
  server->instead =
      [&to](const RangeServer::Request& request) -> std::optional<RangeServer::Answer> {
    if (request.path != "/f") return std::nullopt;
    return RangeServer::Answer{RangeServer::empty("302 Found", "Location: " + to + "\r\n")};
  };
  ask(0, 0);
  ASSERT_TRUE(until_arrived(1));
  server->files = {{"/two", content->bytes}};
  to = "/two";
  ask(1, 1);
  ASSERT_TRUE(until_arrived(2));
  EXPECT_TRUE(rejected.empty());
}

TEST_F(WebSeedTest, ItMayNotReachThisHostNorBeSentHere) {
  allow_local = false;
  begin_with_file(kPiece);
  EXPECT_EQ(connected, NetErrc::refused_address);
  EXPECT_EQ(server->connections, 0U);
}

TEST_F(WebSeedTest, ASmallFileMayComeWhole) {
  begin({{"a", 5'000}, {"b", kPiece}}, "/");
  server->files = {{"/t/a", content->file(0)}, {"/t/b", content->file(1)}};
  server->instead = [this](const RangeServer::Request& request) {
    return RangeServer::Answer{RangeServer::whole(server->files.at(request.path))};
  };
  ask(0, 1);
  ASSERT_TRUE(until_arrived(2));
  EXPECT_TRUE(rejected.empty() || has) << "refused without a word";
}

TEST_F(WebSeedTest, AServerWithoutRangesHasTheStartsOfFiles) {
  begin_with_file(4 * kMaxSkipped);
  server->instead = [this](const RangeServer::Request&) {
    return RangeServer::Answer{RangeServer::whole(content->bytes)};
  };
  const std::uint64_t blocks = kMaxSkipped / kBlockSize;
  ask(1, 1);
  ask(blocks, blocks);
  ASSERT_TRUE(until_arrived(2));
  EXPECT_EQ(arrived, (std::vector<std::uint64_t>{1}));
  EXPECT_EQ(rejected, (std::vector<std::uint64_t>{blocks}));
  ASSERT_TRUE(has);
  EXPECT_EQ(has->count(), kMaxSkipped / kPiece);
  EXPECT_FALSE(choking);
}

TEST_F(WebSeedTest, AFileThatIsNotThereCostsOnlyItsPieces) {
  for (const char* status : {"404 Not Found", "416 Range Not Satisfiable", "403 Forbidden"}) {
    SCOPED_TRACE(status);
    begin_afresh();
    begin({{"a", kPiece}, {"b", kPiece}, {"c", kPiece}}, "/");
    server->files = {{"/t/a", content->file(0)}, {"/t/c", content->file(2)}};
    server->instead =
        [status](const RangeServer::Request& r) -> std::optional<RangeServer::Answer> {
      if (r.path != "/t/b") return std::nullopt;
      return RangeServer::Answer{RangeServer::empty(status)};
    };
    ask(0, 11);
    ASSERT_TRUE(until_arrived(12));
    EXPECT_EQ(rejected, (std::vector<std::uint64_t>{4, 5, 6, 7}));
    EXPECT_EQ(arrived.size(), 8U);
    EXPECT_EQ(has->count(), 2U);
    EXPECT_FALSE(choking);
  }
}

TEST_F(WebSeedTest, AServerThatHasNothingIsNoUse) {
  begin({{"a", kPiece}, {"b", kPiece}, {"c", kPiece}, {"d", kPiece}, {"e", 9 * kPiece}}, "/");
  ask(0, 30);
  EXPECT_EQ(end(), NetErrc::not_on_server);
  EXPECT_LE(server->requests.size(), 4U * kMaxPipelined);
}

TEST_F(WebSeedTest, NonsenseIsNotTaken) {
  const std::string body(kBlockSize, 'x');
  const std::string length = "Content-Length: " + std::to_string(kBlockSize) + "\r\n";
  const std::string total = "/" + std::to_string(kPiece) + "\r\n";
  const std::string partial = "HTTP/1.1 206 Partial Content\r\n";
  const std::map<std::string, std::string> answers = {
      {"another range", partial + length + "Content-Range: bytes 1-16384" + total + "\r\n" + body},
      {"no range", partial + length + "\r\n" + body},
      {"several ranges",
       partial + length + "Content-Type: multipart/byteranges; boundary=x\r\n\r\n" + body},
      {"compressed", partial + length + "Content-Encoding: gzip\r\nContent-Range: bytes 0-16383" +
                         total + "\r\n" + body},
      {"a body longer than its range", partial +
                                           "Content-Length: 20000\r\nContent-Range: bytes 0-16383" +
                                           total + "\r\n" + body + body},
      {"longer, in chunks", partial + "Transfer-Encoding: chunked\r\nContent-Range: bytes 0-16383" +
                                total + "\r\n4001\r\n" + body + "x\r\n0\r\n\r\n"},
      {"no HTTP", "SSH-2.0-OpenSSH_9\r\n\r\n"},
      {"half a head", "HTTP/1.1 206 Par"},
      {"shorter than it says", partial + length + "Content-Range: bytes 0-16383" + total + "\r\nx"},
      {"no answer", ""},
      {"a status from nowhere", "HTTP/1.1 204 No Content\r\n\r\n"},
  };
  for (const auto& [what, answer] : answers) {
    SCOPED_TRACE(what);
    begin_afresh();
    begin({{"t", kPiece}}, "/f");
    const bool long_chunks = what == "longer, in chunks";
    if (long_chunks) content->bytes.assign(kPiece, 'x');
    server->instead = [&answer](const RangeServer::Request&) {
      return RangeServer::Answer{answer, Then::close};
    };
    ask(0, 0);
    EXPECT_EQ(end(), NetErrc::malformed_reply);
    EXPECT_EQ(server->requests.size(), 1U);
    EXPECT_EQ(web->delivered_blocks(), long_chunks ? 1U : 0U);
  }
}

TEST_F(WebSeedTest, ChunksAreTaken) {
  begin_with_file(kPiece);
  server->instead = [this](const RangeServer::Request&) {
    return RangeServer::Answer{
        "HTTP/1.1 206 Partial Content\r\nTransfer-Encoding: chunked\r\nContent-Range: bytes "
        "0-16383/65536\r\n\r\n1000\r\n" +
        content->bytes.substr(0, 4096) + "\r\n3000\r\n" + content->bytes.substr(4096, 12288) +
        "\r\n0\r\n\r\n"};
  };
  ask(0, 0);
  ASSERT_TRUE(until_arrived(1));
  server->instead = nullptr;
  ask(1, 1);
  ASSERT_TRUE(until_arrived(2));
  EXPECT_EQ(server->connections, 1U) << "the connection was given up";
}

TEST_F(WebSeedTest, AConnectionThatBreaksOffIsGoneOnWithWhereItDid) {
  begin_with_file(8 * kPiece);
  server->instead = [this](const RangeServer::Request& r) -> std::optional<RangeServer::Answer> {
    if (r.connection > 0) return std::nullopt;
    return RangeServer::Answer{server->partial(r).substr(0, 2 * kBlockSize + 5'000), Then::close};
  };
  ask(0, 31);
  ASSERT_TRUE(until_arrived(32));
  ASSERT_EQ(server->requests.size(), 2U);
  EXPECT_GT(server->requests[1].begin, 2U * kBlockSize);
  EXPECT_TRUE(rejected.empty());
}

TEST_F(WebSeedTest, KeepAliveThatIsNotKeptCostsAConnectionOnly) {
  begin_with_file(8 * kPiece);
  server->instead = [this](const RangeServer::Request& request) {
    return RangeServer::Answer{server->partial(request), Then::close};
  };
  for (std::uint64_t block = 0; block < 6; ++block) {
    ask(block * 3, block * 3);
    ASSERT_TRUE(until_arrived(block + 1));
  }
  EXPECT_FALSE(ended);
}

TEST_F(WebSeedTest, ASilentServerIsGivenUp) {
  begin_with_file(kPiece);
  server->instead = [](const RangeServer::Request&) { return RangeServer::Answer{"", Then::hold}; };
  ask(0, 0);
  ASSERT_TRUE(until([this] { return !server->requests.empty(); }));
  clock.advance(kWebSeedSilence - 1us);
  context.poll();
  EXPECT_FALSE(ended);
  clock.advance(1us);
  EXPECT_EQ(end(), NetErrc::timed_out);
}

TEST_F(WebSeedTest, AServerThatIsBusySaysForHowLong) {
  begin_with_file(kPiece);
  server->instead = [](const RangeServer::Request&) {
    return RangeServer::Answer{
        RangeServer::empty("503 Service Unavailable", "Retry-After: 120\r\n")};
  };
  ask(0, 0);
  EXPECT_EQ(end(), NetErrc::server_busy);
  EXPECT_EQ(web->asked_pause(), 120s);
}

TEST_F(WebSeedTest, WhatIsCancelledBeforeItWasAskedCostsNothing) {
  begin_with_file(8 * kPiece);
  say<Request>(0, 3);
  say<Request>(8, 11);
  say<Cancel>(8, 11);
  flush();
  ASSERT_TRUE(until_arrived(8));
  EXPECT_EQ(rejected, (std::vector<std::uint64_t>{8, 9, 10, 11}));
  EXPECT_EQ(server->requests.size(), 1U);
}

TEST_F(WebSeedTest, ALongBodyThatNobodyWantsIsCutOff) {
  begin_with_file(64 * kPiece);
  server->instead = [this](const RangeServer::Request& r) -> std::optional<RangeServer::Answer> {
    if (r.begin > 0) return std::nullopt;
    return RangeServer::Answer{server->partial(r).substr(0, 3 * kBlockSize), Then::hold};
  };
  ask(0, 63);
  ASSERT_TRUE(until_arrived(2));
  say<Cancel>(2, 63);
  say<Request>(200, 203);  // a seek
  flush();
  ASSERT_TRUE(until_arrived(2 + 62 + 4));
  EXPECT_EQ(arrived.size(), 6U);
  EXPECT_EQ(server->connections, 2U);
}

TEST_F(WebSeedTest, WhatIsWantedAgainBeforeItCameIsNotAskedTwice) {
  begin_with_file(kPiece);
  ask(0, 3);
  ASSERT_TRUE(until([this] { return !server->requests.empty(); }));
  say<Cancel>(2, 2);
  say<Request>(2, 2);
  flush();
  ASSERT_TRUE(until_arrived(5));
  EXPECT_EQ(rejected, (std::vector<std::uint64_t>{2}));
  EXPECT_EQ(arrived.size(), 4U);
  EXPECT_EQ(server->requests.size(), 1U);
}

TEST_F(WebSeedTest, AShortRestIsReadAndTheConnectionKept) {
  begin_with_file(64 * kPiece);
  ask(0, 0);
  ASSERT_TRUE(until([this] { return !server->requests.empty(); }));
  say<Cancel>(0, 0);
  say<Request>(200, 203);
  flush();
  ASSERT_TRUE(until_arrived(5));
  EXPECT_EQ(server->connections, 1U);
}

TEST_F(WebSeedTest, AtRestItHoldsNoConnectionAndIsBackWhenWanted) {
  begin_with_file(kPiece);
  ASSERT_TRUE(until([this] { return server->open == 1; }));
  write(NotInterested{});
  write(KeepAlive{});
  flush();
  ASSERT_TRUE(until([this] { return server->open == 0; }));
  EXPECT_EQ(keep_alives, 1);
  write(Interested{});
  flush();
  ASSERT_TRUE(until([this] { return server->open == 1; })) << "no connection for who comes next";
  ask(0, 3);
  ASSERT_TRUE(until_arrived(4));
}

TEST_F(WebSeedTest, AServerThatHungUpMeanwhileIsConnectedAgain) {
  begin_with_file(kPiece);
  server->instead = [this](const RangeServer::Request& r) -> std::optional<RangeServer::Answer> {
    return RangeServer::Answer{server->partial(r), Then::close};
  };
  ask(0, 0);
  ASSERT_TRUE(until_arrived(1));
  ASSERT_TRUE(until([this] { return server->open == 0; }));
  ask(1, 3);
  ASSERT_TRUE(until_arrived(4));
}

}  // namespace
}  // namespace swarmfs::net
