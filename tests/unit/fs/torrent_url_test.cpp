#include "fs/torrent_url.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "storage/metainfo_limits.h"
#include "tests/unit/net/loopback_server.h"

namespace swarmfs::fs {
namespace {

using net::LoopbackServer;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;
using Answer = LoopbackServer::Answer;

class TorrentUrlTest : public testing::Test {
 protected:
  void TearDown() override {
    for (auto& server : servers) net::run_task(context, server->stop());
  }
  // Its URL.
  std::string serve(Answer answer) {
    servers.push_back(
        std::make_unique<LoopbackServer>(context, [answer](const std::string&) { return answer; }));
    return servers.back()->url("/it.torrent");
  }
  OrComplaint<std::vector<std::byte>> fetch(const std::string& url, bool allow_local = false) {
    return net::run_task(context, fetch_torrent(clock, url, allow_local));
  }
  std::string complaint(const std::string& url) {
    const auto bytes = fetch(url);
    EXPECT_FALSE(bytes) << url;
    if (bytes) return {};
    EXPECT_EQ(bytes.error().exit_code, kExitFailure);
    EXPECT_THAT(bytes.error().line, StartsWith(url + ": "));
    EXPECT_THAT(bytes.error().line, Not(HasSubstr("\n")));
    return bytes.error().line.substr(std::min(bytes.error().line.size(), url.size() + 2));
  }
  static Answer status(const std::string& line, const std::string& headers = {}) {
    return {"HTTP/1.1 " + line + "\r\n" + headers + "Content-Length: 0\r\n\r\n"};
  }

  asio::io_context context;
  net::ManualClock clock;
  std::vector<std::unique_ptr<LoopbackServer>> servers;
};

TEST_F(TorrentUrlTest, AUrlTypedByTheUserMayBeLocal) {
  const auto bytes = fetch(serve(net::ok("d4:infoe")));
  ASSERT_TRUE(bytes) << bytes.error().line;
  EXPECT_EQ(bytes->size(), 8U);
  EXPECT_EQ(bytes->front(), std::byte{'d'});
}

TEST_F(TorrentUrlTest, ATorrentOfTheFullSizeIsTakenAndNotAByteMore) {
  const auto bytes = fetch(serve(net::ok(std::string(storage::kMaxTorrentSize, 'x'))));
  ASSERT_TRUE(bytes) << bytes.error().line;
  EXPECT_EQ(bytes->size(), storage::kMaxTorrentSize);
  EXPECT_THAT(complaint(serve(net::ok(std::string(storage::kMaxTorrentSize + 1, 'x')))),
              HasSubstr("larger than 10 MiB"));
  Answer endless{"HTTP/1.1 200 OK\r\n\r\n", LoopbackServer::Then::repeat,
                 std::string(64 * 1024, 'x')};
  EXPECT_THAT(complaint(serve(endless)), HasSubstr("larger than 10 MiB"));
}

TEST_F(TorrentUrlTest, TheStatusIsSaidWithWhatToDo) {
  EXPECT_THAT(complaint(serve(status("404 Nope"))), HasSubstr("404 (not found); check the URL"));
  EXPECT_THAT(complaint(serve(status("403 Nope"))), HasSubstr("browser"));
  EXPECT_THAT(complaint(serve(status("503 Nope"))), HasSubstr("503 (its own trouble); try again"));
  EXPECT_THAT(complaint(serve(status("429 Nope"))), HasSubstr("429 (too many requests)"));
  EXPECT_THAT(complaint(serve(status("204 Nothing"))), HasSubstr("204 instead of"));
}

TEST_F(TorrentUrlTest, AServerThatDoesNotAnswerIsGivenUpAfterTheDeadline) {
  const std::string url = serve({"HTTP/1.1 200 OK\r\n", LoopbackServer::Then::hold});
  storage::TaskGroup tasks(context.get_executor());
  std::optional<OrComplaint<std::vector<std::byte>>> result;
  const auto fetch_into = [](net::Clock& c, std::string u, auto& into) -> Task<void> {
    auto task = fetch_torrent(c, std::move(u), false);
    into = co_await std::move(task);
  };
  tasks.spawn(fetch_into(clock, url, result));
  ASSERT_TRUE(net::run_until(context, [&] { return !servers.back()->requests().empty(); }));
  clock.advance(kDownloadDeadline - std::chrono::seconds(1));
  context.poll();
  EXPECT_FALSE(result) << "given up too early";
  clock.advance(std::chrono::seconds(1));
  ASSERT_TRUE(net::run_until(context, [&] { return tasks.size() == 0; }));
  ASSERT_TRUE(result && !*result);
  EXPECT_THAT(result->error().line, HasSubstr("no answer in time"));
}

TEST_F(TorrentUrlTest, WhereRedirectsLeadIsSaid) {
  const auto redirect = [](const std::string& to) {
    return status("302 There", "Location: " + to + "\r\n");
  };
  const auto bytes = fetch(serve(redirect(serve(net::ok("d1:xe")))));
  EXPECT_TRUE(bytes) << "from a local address to a local one";
  EXPECT_THAT(complaint(serve(redirect("magnet:?xt=urn:btih:x"))), HasSubstr("magnet"));
  EXPECT_THAT(complaint(serve(redirect("http://h ost/"))), HasSubstr("not a valid URL"));
  EXPECT_THAT(complaint(serve(redirect("/it.torrent"))), HasSubstr("makes no sense"));
}

// What a plain HTTP server says to a TLS client.
Task<void> answer_in_plain_text(asio::ip::tcp::acceptor& acceptor) {
  auto socket = co_await acceptor.async_accept(asio::use_awaitable);
  std::array<char, 4096> hello{};
  const auto into = asio::buffer(hello);
  co_await socket.async_read_some(into, asio::use_awaitable);
  const std::string text = "HTTP/1.1 400 Bad Request\r\n\r\n";
  const auto from = asio::buffer(text);
  co_await asio::async_write(socket, from, asio::use_awaitable);
}

TEST_F(TorrentUrlTest, AServerThatDoesNotSpeakTlsIsSaid) {
  asio::ip::tcp::acceptor acceptor(context, {asio::ip::address_v4::loopback(), 0});
  storage::TaskGroup tasks(context.get_executor());
  tasks.spawn(answer_in_plain_text(acceptor));
  EXPECT_THAT(
      complaint("https://127.0.0.1:" + std::to_string(acceptor.local_endpoint().port()) + "/x"),
      testing::AllOf(HasSubstr("no secure connection"), HasSubstr("certificates")));
  net::run_task(context, tasks.join());
}

TEST(DownloadFailure, AHostThatIsNotFoundIsSaid) {
  for (const error_code ec : {error_code(asio::error::host_not_found),
                              error_code(asio::error::host_not_found_try_again)}) {
    EXPECT_THAT(explain_download_failure("http://h/x", ec).line,
                StartsWith("http://h/x: host not found; check its name"));
  }
}

TEST_F(TorrentUrlTest, WhatIsNoServerIsSaid) {
  EXPECT_THAT(complaint("http://"), HasSubstr("not a valid URL"));
  EXPECT_THAT(complaint("http://h/a b"), HasSubstr("%20"));
  EXPECT_THAT(complaint("http://0.0.0.0:1/x"), HasSubstr("--allow-local"));
  EXPECT_THAT(complaint(serve(net::raw("this is not HTTP\r\n\r\n"))), HasSubstr("makes no sense"));
  asio::ip::tcp::acceptor closed(context, {asio::ip::address_v4::loopback(), 0});
  const auto port = std::to_string(closed.local_endpoint().port());
  closed.close();
  EXPECT_THAT(complaint("http://127.0.0.1:" + port + "/"), HasSubstr("Connection refused"));
}

}  // namespace
}  // namespace swarmfs::fs
