#include "net/http.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <zlib.h>

#include <boost/asio/ip/udp.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/unit/net/loopback_server.h"

namespace swarmfs::net {
namespace {

using namespace std::chrono_literals;
using Then = LoopbackServer::Then;

// window_bits: 31 gzip, 15 zlib, -15 bare deflate.
std::string deflated(const std::string& plain, int window_bits) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, window_bits, 9, Z_DEFAULT_STRATEGY), Z_OK);
  std::string packed(deflateBound(&stream, plain.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

class HttpTest : public testing::Test {
 protected:
  void TearDown() override {
    for (auto& server : servers) run_task(context, server->stop());
  }
  LoopbackServer& serve(LoopbackServer::Handler handler, asio::ssl::context* tls = nullptr) {
    servers.push_back(std::make_unique<LoopbackServer>(context, std::move(handler),
                                                       asio::ip::address_v4::loopback(), tls));
    return *servers.back();
  }
  LoopbackServer& serve(LoopbackServer::Answer answer) {
    return serve([answer](const std::string&) { return answer; });
  }
  Result<HttpReply> get(const std::string& url, UrlSource source = UrlSource::user) {
    HttpRequest request;
    request.url = url;
    request.source = source;
    return run_task(context, http_get(clock, request));
  }
  error_code get_error(const std::string& url, UrlSource source = UrlSource::user) {
    const auto reply = get(url, source);
    return reply ? error_code() : reply.error();
  }

  asio::io_context context;
  ManualClock clock;  // a test that needs time turns it
  std::vector<std::unique_ptr<LoopbackServer>> servers;
};

TEST_F(HttpTest, FetchesABodyAndSaysWhoAnswered) {
  auto& server = serve(ok("d8:intervali60ee"));
  const auto reply = get(server.url("/announce?x=%ff"));
  ASSERT_TRUE(reply) << reply.error();
  EXPECT_EQ(reply->status, 200u);
  EXPECT_EQ(reply->body, "d8:intervali60ee");
  EXPECT_TRUE(reply->remote.is_loopback());
  ASSERT_EQ(server.requests().size(), 1u);
  EXPECT_TRUE(server.requests()[0].starts_with("GET /announce?x=%ff HTTP/1.1\r\n"));
  EXPECT_NE(server.requests()[0].find("Host: 127.0.0.1:" + std::to_string(server.port()) + "\r\n"),
            std::string::npos);
}

TEST_F(HttpTest, TellsAStatusOtherThan200InsteadOfFailing) {
  auto& server = serve(raw("HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone"));
  const auto reply = get(server.url("/"));
  ASSERT_TRUE(reply) << reply.error();
  EXPECT_EQ(reply->status, 404u);
  EXPECT_EQ(reply->body, "gone");
}

TEST_F(HttpTest, ReadsChunkedBodiesAndBodiesThatEndWithTheConnection) {
  auto& chunked = serve(raw(
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1;x=y\r\nd\r\n0\r\n\r\n"));
  EXPECT_EQ(get(chunked.url("/")).value().body, "abcd");
  auto& until_close = serve(raw("HTTP/1.0 200 OK\r\n\r\nto the end"));
  EXPECT_EQ(get(until_close.url("/")).value().body, "to the end");
}

TEST_F(HttpTest, FindsAnIPv6Host) {
  asio::ip::tcp::acceptor probe(context);
  error_code ec;
  probe.open(asio::ip::tcp::v6(), ec);
  if (!ec) probe.bind({asio::ip::address_v6::loopback(), 0}, ec);
  ASSERT_FALSE(ec) << "this test needs ::1 on the loopback interface: " << ec.message();
  servers.push_back(std::make_unique<LoopbackServer>(
      context, [](const std::string&) { return ok("six"); }, asio::ip::address_v6::loopback()));
  const auto reply = get(servers.back()->url("/"));
  ASSERT_TRUE(reply) << reply.error();
  EXPECT_EQ(reply->body, "six");
  EXPECT_NE(servers.back()->requests()[0].find("Host: [::1]:"), std::string::npos);
}

TEST_F(HttpTest, GoesOnToTheNextAddressOfAName) {
  auto& server = serve(ok("four"));  // on 127.0.0.1 only; localhost is usually ::1 first
  const auto reply = get("http://LocalHost:" + std::to_string(server.port()) + "/");
  ASSERT_TRUE(reply) << reply.error();
  EXPECT_EQ(reply->body, "four");
  EXPECT_NE(server.requests()[0].find("Host: localhost:"), std::string::npos);
}

TEST_F(HttpTest, ReportsARefusedConnectionAsSuch) {
  asio::ip::tcp::acceptor taken(context, {asio::ip::address_v4::loopback(), 0});
  const std::string url = "http://127.0.0.1:" + std::to_string(taken.local_endpoint().port()) + "/";
  taken.close();
  EXPECT_EQ(get_error(url), asio::error::connection_refused);
}

// ---- Compression

TEST_F(HttpTest, InflatesWhatIsMarkedAndGzipThatIsNot) {
  const std::string plain(5000, 'a');
  const std::vector<std::pair<std::string, std::string>> table = {
      {"Content-Encoding: gzip\r\n", deflated(plain, 31)},
      {"Content-Encoding: x-gzip\r\n", deflated(plain, 31)},
      {"Content-Encoding: deflate\r\n", deflated(plain, 15)},
      {"Content-Encoding: deflate\r\n", deflated(plain, -15)},
      {"Content-Encoding: identity\r\n", plain},
      {"", deflated(plain, 31)},
  };
  for (const auto& [header, body] : table) {
    auto& server = serve(ok(body, header));
    const auto reply = get(server.url("/"));
    ASSERT_TRUE(reply) << header << reply.error();
    EXPECT_EQ(reply->body, plain) << header;
  }
}

TEST_F(HttpTest, StopsAGzipBombAtOneMebibyte) {
  auto& bomb = serve(ok(deflated(std::string(200 << 20, '\0'), 31), "Content-Encoding: gzip\r\n"));
  EXPECT_EQ(get_error(bomb.url("/")), NetErrc::too_large);
  EXPECT_EQ(inflate_body(deflated(std::string(1000, 'x'), 31), 999).error(), NetErrc::too_large);
  EXPECT_EQ(inflate_body(deflated(std::string(1000, 'x'), 31), 1000).value().size(), 1000u);
}

TEST_F(HttpTest, RefusesDamagedCompression) {
  const std::string whole = deflated("a body that is long enough to be cut short", 31);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_EQ(inflate_body(whole.substr(0, size), 1000).error(), NetErrc::malformed_reply) << size;
  }
  std::string reserved_bits = whole;
  reserved_bits[3] = '\xe0';
  EXPECT_EQ(inflate_body(reserved_bits, 1000).error(), NetErrc::malformed_reply);
  std::string flipped = whole;
  flipped[flipped.size() - 6] = static_cast<char>(flipped[flipped.size() - 6] ^ 1);  // its CRC
  EXPECT_EQ(inflate_body(flipped, 1000).error(), NetErrc::malformed_reply);
  auto& unknown = serve(ok("...", "Content-Encoding: br\r\n"));
  EXPECT_EQ(get_error(unknown.url("/")), NetErrc::malformed_reply);
}

// ---- Servers that misbehave

TEST_F(HttpTest, StopsReadingABodyThatDoesNotEnd) {
  const std::string chunk = "1000\r\n" + std::string(4096, 'x') + "\r\n";
  auto& chunked =
      serve({"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Then::repeat, chunk});
  EXPECT_EQ(get_error(chunked.url("/")), NetErrc::too_large);
  auto& until_close = serve({"HTTP/1.1 200 OK\r\n\r\n", Then::repeat, std::string(4096, 'x')});
  EXPECT_EQ(get_error(until_close.url("/")), NetErrc::too_large);
  auto& announced =
      serve({"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n", Then::repeat, "x"});
  EXPECT_EQ(get_error(announced.url("/")), NetErrc::too_large);
}

TEST_F(HttpTest, StopsReadingHeadersThatDoNotEnd) {
  auto& many = serve({"HTTP/1.1 200 OK\r\n", Then::repeat, "X-Header: value\r\n"});
  EXPECT_EQ(get_error(many.url("/")), NetErrc::too_large);
  auto& one = serve({"HTTP/1.1 200 OK\r\nX: ", Then::repeat, std::string(4096, 'x')});
  EXPECT_EQ(get_error(one.url("/")), NetErrc::too_large);
  const std::string fits = "X: " + std::string(60 * 1024, 'x') + "\r\n";
  auto& large = serve(ok("body", fits));
  EXPECT_EQ(get(large.url("/")).value().body, "body");
}

TEST_F(HttpTest, RefusesWhatIsNotHttp) {
  const std::vector<std::string> table = {
      "",
      "garbage\r\n\r\n",
      "HTTP/1.1 99999 Odd\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
      "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      std::string("HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n", 28),
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nx",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n0\r\n\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxx0\r\n\r\n",
  };
  for (const std::string& bytes : table) {
    auto& server = serve(raw(bytes));
    EXPECT_EQ(get_error(server.url("/")), NetErrc::malformed_reply) << bytes;
  }
}

TEST_F(HttpTest, RefusesABodyThatIsCutShort) {
  auto& length = serve(raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this"));
  EXPECT_EQ(get_error(length.url("/")), NetErrc::malformed_reply);
  auto& chunked = serve(raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"));
  EXPECT_EQ(get_error(chunked.url("/")), NetErrc::malformed_reply);
  auto& headers = serve(raw("HTTP/1.1 200 OK\r\nContent-Le"));
  EXPECT_EQ(get_error(headers.url("/")), NetErrc::malformed_reply);
}

// ---- Time

TEST_F(HttpTest, GivesUpOnASilentServerWhenTheDeadlinePasses) {
  auto& server = serve({"", Then::hold});
  std::optional<Result<HttpReply>> reply;
  HttpRequest request;
  request.url = server.url("/announce");
  asio::co_spawn(context, http_get(clock, request),
                 [&reply](std::exception_ptr, Result<HttpReply> r) { reply = r; });
  ASSERT_TRUE(run_until(context, [&] { return !server.requests().empty(); }));
  clock.advance(kHttpDeadline - 1us);
  context.poll();
  EXPECT_FALSE(reply) << "gave up too early";
  clock.advance(1us);
  ASSERT_TRUE(run_until(context, [&] { return reply && server.open() == 0; }));
  EXPECT_EQ(reply->error(), NetErrc::timed_out);
}

TEST_F(HttpTest, CountsASlowDripAgainstTheSameDeadline) {
  // The server goes on dripping while the fixture is torn down.
  const auto drips = std::make_shared<std::size_t>(0);
  auto& server = serve({ok(std::string(1000, 'x')).bytes, Then::drip, {}, [this, drips] {
                          ++*drips;
                          clock.advance(1s);
                        }});
  EXPECT_EQ(get_error(server.url("/announce")), NetErrc::timed_out);
  const std::size_t sent = *drips;
  EXPECT_GE(sent, 30u);
  EXPECT_LE(sent, 100u) << "the client went on reading";
}

TEST_F(HttpTest, LeavesADeadAddressForTheNextOneAfterFourSeconds) {
  // Accepts nothing and has a full queue, so that a SYN gets no answer.
  asio::ip::tcp::acceptor dead(context, asio::ip::tcp::v4());
  dead.bind({asio::ip::address_v4::loopback(), 0});
  dead.listen(0);
  std::vector<asio::ip::tcp::socket> fillers;
  for (int i = 0; i < 4; ++i) {
    fillers.emplace_back(context).async_connect(dead.local_endpoint(), [](error_code) {});
  }
  context.poll();
  asio::ip::tcp::acceptor alive(context, {asio::ip::address_v4::loopback(), 0});
  const auto socket = std::make_shared<asio::ip::tcp::socket>(context);
  std::optional<error_code> outcome;
  asio::co_spawn(context,
                 connect_to_first(clock, socket, {dead.local_endpoint(), alive.local_endpoint()}),
                 [&outcome](std::exception_ptr, error_code ec) { outcome = ec; });
  ASSERT_TRUE(run_until(context, [&] { return clock.earliest_timer().has_value(); }));
  clock.advance(kConnectTimeout - 1us);
  context.poll();
  EXPECT_FALSE(outcome);
  clock.advance(1us);
  ASSERT_TRUE(run_until(context, [&] { return outcome.has_value(); }));
  EXPECT_FALSE(*outcome) << outcome->message();
  EXPECT_EQ(socket->remote_endpoint(), alive.local_endpoint());
  for (auto& filler : fillers) filler.close();
  context.poll();
}

TEST_F(HttpTest, CanBeCancelledWhileTheServerIsSilent) {
  auto& server = serve({"", Then::hold});
  storage::TaskGroup tasks(context.get_executor());
  HttpRequest request;
  request.url = server.url("/announce");
  struct Spawn {
    static Task<void> get(Clock& clock, HttpRequest request) {
      (void)co_await http_get(clock, std::move(request));
    }
  };
  tasks.spawn(Spawn::get(clock, request));
  ASSERT_TRUE(run_until(context, [&] { return !server.requests().empty(); }));
  tasks.cancel();
  run_task(context, tasks.join());
  EXPECT_EQ(tasks.size(), 0u);
  EXPECT_TRUE(run_until(context, [&] { return server.open() == 0; })) << "the socket leaked";
  EXPECT_FALSE(clock.earliest_timer()) << "a timer leaked";
}

// ---- Redirects

LoopbackServer::Answer redirect(const std::string& location, int status = 302) {
  return raw("HTTP/1.1 " + std::to_string(status) + " Moved\r\nLocation: " + location +
             "\r\nContent-Length: 0\r\n\r\n");
}

TEST_F(HttpTest, FollowsRelativeAndAbsoluteRedirects) {
  auto& target = serve(ok("here"));
  auto& server = serve([&](const std::string& request) {
    if (request.starts_with("GET /a/b ")) return redirect("c?d=e", 301);
    if (request.starts_with("GET /a/c?d=e ")) return redirect("/f", 307);
    return redirect(target.url("/g"), 308);
  });
  const auto reply = get(server.url("/a/b"));
  ASSERT_TRUE(reply) << reply.error();
  EXPECT_EQ(reply->body, "here");
  EXPECT_TRUE(server.requests()[2].starts_with("GET /f "));
  EXPECT_TRUE(target.requests()[0].starts_with("GET /g "));
}

TEST_F(HttpTest, FollowsFiveRedirectsAndNotSix) {
  int left = 5;
  auto& server =
      serve([&](const std::string&) { return left-- > 0 ? redirect("/again") : ok("x"); });
  EXPECT_EQ(get(server.url("/")).value().body, "x");
  auto& loop = serve(redirect("/again"));
  EXPECT_EQ(get_error(loop.url("/")), NetErrc::malformed_reply);
  EXPECT_EQ(loop.requests().size(), 6u);
}

TEST_F(HttpTest, RefusesRedirectsThatLeadNowhereGood) {
  const std::vector<std::pair<std::string, NetErrc>> table = {
      {"", NetErrc::malformed_reply},
      {"file:///etc/passwd", NetErrc::unsupported_scheme},
      {"gopher://127.0.0.1/", NetErrc::unsupported_scheme},
      {"http://127.0.0.1:0/", NetErrc::bad_url},
      {"http://0.0.0.0/", NetErrc::refused_address},
      {"http://exa mple/", NetErrc::bad_url},
      {"http://b\xc3\xbc"
       "cher/",
       NetErrc::bad_url},
  };
  for (const auto& [location, expected] : table) {
    auto& server = serve(redirect(location));
    EXPECT_EQ(get_error(server.url("/")), expected) << location;
  }
}

TEST_F(HttpTest, HoldsTheConnectPolicyAgainAtEveryRedirect) {
  auto& internal = serve(ok("secret"));
  auto& tracker = serve(redirect(internal.url("/latest/meta-data")));
  EXPECT_EQ(get_error(tracker.url("/announce"), UrlSource::tracker_list), NetErrc::refused_address);
  EXPECT_TRUE(internal.requests().empty());
  EXPECT_EQ(get_error(tracker.url("/scrape"), UrlSource::tracker_list), NetErrc::refused_address);
  EXPECT_EQ(tracker.requests().size(), 1u);
}

TEST_F(HttpTest, NeverFollowsARedirectToAMoreLocalAddress) {
  asio::ip::udp::socket route(context, asio::ip::udp::v4());
  error_code ec;  // connecting a datagram socket sends nothing, it only asks for the route
  route.connect({asio::ip::make_address("192.0.2.1"), 9}, ec);
  ASSERT_FALSE(ec) << "this test needs an address beside loopback: " << ec.message();
  const auto outer_address = route.local_endpoint().address();
  auto& inner = serve(ok("secret"));
  servers.push_back(std::make_unique<LoopbackServer>(
      context, [&](const std::string&) { return redirect(inner.url("/announce")); },
      outer_address));
  for (const UrlSource source : {UrlSource::user, UrlSource::tracker_list}) {
    EXPECT_EQ(get_error(servers.back()->url("/announce"), source), NetErrc::refused_address);
  }
  EXPECT_EQ(servers.back()->requests().size(), 2u);
  EXPECT_TRUE(inner.requests().empty());
}

TEST_F(HttpTest, ReachesLocalServersOnlyForTheUserATrackersAnnounceOrWithAllowLocal) {
  auto& server = serve(ok("x"));
  EXPECT_EQ(get_error(server.url("/file"), UrlSource::web_seed_list), NetErrc::refused_address);
  EXPECT_EQ(get_error(server.url("/file"), UrlSource::tracker_list), NetErrc::refused_address);
  // The same host, spelled to get around a check of the text.
  for (const char* spelling : {"2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "localhost"}) {
    const std::string url =
        "http://" + std::string(spelling) + ':' + std::to_string(server.port()) + "/file";
    EXPECT_TRUE(get_error(url, UrlSource::tracker_list)) << url;
  }
  EXPECT_TRUE(server.requests().empty());
  EXPECT_FALSE(get_error(server.url("/announce?x=1"), UrlSource::tracker_list));
  HttpRequest lifted;
  lifted.url = server.url("/file");
  lifted.source = UrlSource::web_seed_list;
  lifted.allow_local = true;
  EXPECT_TRUE(run_task(context, http_get(clock, lifted)));
}

TEST_F(HttpTest, SendsCredentialsToTheirOriginAndToNobodyElse) {
  const auto has_credentials = [](const std::string& request) {
    return request.find("Authorization: Basic dXNlcjpwYSBzcw==\r\n") != std::string::npos;
  };
  std::string back;
  auto& stranger = serve([&](const std::string&) { return redirect(back); });
  auto& server = serve([&](const std::string& request) {
    if (request.starts_with("GET /one ")) return redirect("/two");
    return request.starts_with("GET /two ") ? redirect(stranger.url("/")) : ok("x");
  });
  back = server.url("/three");
  const std::string port = std::to_string(server.port());
  ASSERT_TRUE(get("http://user:pa%20ss@127.0.0.1:" + port + "/one"));
  ASSERT_EQ(server.requests().size(), 3u);
  EXPECT_TRUE(has_credentials(server.requests()[0]));
  EXPECT_TRUE(has_credentials(server.requests()[1]));
  EXPECT_EQ(stranger.requests().at(0).find("Authorization"), std::string::npos);
  EXPECT_EQ(server.requests()[2].find("Authorization"), std::string::npos)
      << "a stranger sent us back with them";
  EXPECT_EQ(server.requests()[0].find("user:pa"), std::string::npos);
}

// ---- URLs

TEST(HttpUrlTest, TakesAUrlApart) {
  const HttpUrl url = parse_http_url("HTTPS://Example.COM/a%20b?c=d#e").value();
  EXPECT_TRUE(url.tls);
  EXPECT_EQ(url.host, "example.com");
  EXPECT_EQ(url.port, 443);
  EXPECT_EQ(url.path, "/a%20b");
  EXPECT_EQ(url.target, "/a%20b?c=d");
  EXPECT_EQ(url.authority(), "example.com");
  EXPECT_EQ(parse_http_url("http://h").value().target, "/");
  EXPECT_EQ(parse_http_url("http://h:/").value().port, 80);
  EXPECT_EQ(parse_http_url("http://h:65535/").value().port, 65535);
  EXPECT_EQ(parse_http_url("http://h?q").value().target, "/?q");
  EXPECT_EQ(parse_http_url("http://[2001:DB8::1]:81/").value().host, "2001:db8::1");
  EXPECT_EQ(parse_http_url("http://[2001:db8::1]:81/").value().authority(), "[2001:db8::1]:81");
  EXPECT_TRUE(parse_http_url("http://xn--bcher-kva.example/"));
}

TEST(HttpUrlTest, RefusesWhatCouldMeanSomethingElse) {
  for (const char* scheme : {"udp://h:80/announce", "ftp://h/", "file:///x", "wss://h/"}) {
    EXPECT_EQ(parse_http_url(scheme).error(), NetErrc::unsupported_scheme) << scheme;
  }
  const std::vector<std::string> bad = {
      "",
      "h",
      "/announce",
      "http://",
      "http:///x",
      "http://h:0/",
      "http://h:65536/",
      "http://h:-1/",
      "http://h:99999999999999/",
      "http://[::1/",
      "http://::1/",
      "http://[v1.x]/",
      "http://a..b/",
      "http://.a/",
      "http://b\xc3\xbc"
      "cher/",
      "http://%31/",
      "http://a%2eb/",
      "http://h\r\nX: y/",
      "http://h/a b",
      "http://h/\r\nX: y",
      "http://h/\x7f",
      " http://h/",
      "http://h/\xff",
      std::string("http://h/\0", 10),
      "http://" + std::string(300, 'a') + ".com/",
      "http://h!/",
      "http://a,b/",
  };
  for (const std::string& url : bad) {
    const auto parsed = parse_http_url(url);
    EXPECT_TRUE(parsed.has_error()) << url;
  }
}

// ---- TLS

// A certificate that signs itself, for one DNS name or address ("DNS:localhost").
struct Certificate {
  explicit Certificate(const char* alternative_name) : key(EVP_EC_gen("P-256")), x509(X509_new()) {
    X509_set_version(x509, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
    X509_gmtime_adj(X509_getm_notBefore(x509), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x509), 3600);
    X509_set_pubkey(x509, key);
    X509_NAME* name = X509_get_subject_name(x509);
    const auto* text = reinterpret_cast<const unsigned char*>(alternative_name);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, text, -1, -1, 0);
    X509_set_issuer_name(x509, name);
    for (const auto& [id, value] : {std::pair(NID_subject_alt_name, alternative_name),
                                    std::pair(NID_basic_constraints, "CA:TRUE")}) {
      X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, id, value);
      X509_add_ext(x509, extension, -1);
      X509_EXTENSION_free(extension);
    }
    X509_sign(x509, key, EVP_sha256());
    SSL_CTX_use_certificate(server.native_handle(), x509);
    SSL_CTX_use_PrivateKey(server.native_handle(), key);
  }
  ~Certificate() {
    X509_free(x509);
    EVP_PKEY_free(key);
  }
  Certificate(const Certificate&) = delete;
  Certificate& operator=(const Certificate&) = delete;

  EVP_PKEY* key;
  X509* x509;
  asio::ssl::context server{asio::ssl::context::tls_server};
};

class HttpsTest : public HttpTest {
 protected:
  // OpenSSL reads the system's certificates once, from where this says: the trusted one is written
  // there before the first https URL of the process.
  static void SetUpTestSuite() {
    trusted = new Certificate("DNS:localhost");
    path =
        std::filesystem::path(testing::TempDir()) / ("ca-" + std::to_string(::getpid()) + ".pem");
    FILE* file = std::fopen(path.c_str(), "w");
    ASSERT_NE(file, nullptr);
    PEM_write_X509(file, trusted->x509);
    std::fclose(file);
    ::setenv("SSL_CERT_FILE", path.c_str(), 1);
  }
  static void TearDownTestSuite() {
    std::filesystem::remove(path);
    delete trusted;
  }
  static std::string url_of(const LoopbackServer& server) {
    return "https://localhost:" + std::to_string(server.port()) + "/announce";
  }
  static inline Certificate* trusted = nullptr;
  static inline std::filesystem::path path;
};

TEST_F(HttpsTest, FetchesFromAServerWhoseCertificateIsTrustedAndNamesIt) {
  std::string name;
  const auto on_name = [](SSL* ssl, int*, void* into) {
    const char* asked = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    *static_cast<std::string*>(into) = asked ? asked : "";
    return SSL_TLSEXT_ERR_OK;
  };
  SSL_CTX_set_tlsext_servername_callback(trusted->server.native_handle(), +on_name);
  SSL_CTX_set_tlsext_servername_arg(trusted->server.native_handle(), &name);
  auto& server = serve([](const std::string&) { return ok("over TLS"); }, &trusted->server);
  const auto reply = get(url_of(server));
  ASSERT_TRUE(reply) << reply.error().message();
  EXPECT_EQ(reply->body, "over TLS");
  EXPECT_EQ(name, "localhost");
  SSL_CTX_set_tlsext_servername_callback(trusted->server.native_handle(), nullptr);
}

TEST_F(HttpsTest, RefusesAnotherNameAndAnUnknownIssuer) {
  auto& other_name = serve([](const std::string&) { return ok("x"); }, &trusted->server);
  EXPECT_TRUE(is_tls_failure(get_error(other_name.url("/announce"))))
      << "127.0.0.1 is not localhost";
  Certificate stranger("DNS:localhost");
  auto& unknown = serve([](const std::string&) { return ok("x"); }, &stranger.server);
  EXPECT_TRUE(is_tls_failure(get_error(url_of(unknown))));
  EXPECT_TRUE(other_name.requests().empty());
  EXPECT_TRUE(unknown.requests().empty());
  run_task(context, unknown.stop());
}

TEST_F(HttpsTest, NeverGoesFromTlsToPlainText) {
  auto& plain = serve(ok("x"));
  auto& server =
      serve([&](const std::string&) { return redirect(plain.url("/announce")); }, &trusted->server);
  EXPECT_EQ(get_error(url_of(server)), NetErrc::malformed_reply);
  EXPECT_EQ(server.requests().size(), 1u);
  EXPECT_TRUE(plain.requests().empty());
}

TEST_F(HttpsTest, ReportsAServerThatDoesNotSpeakTls) {
  asio::ip::tcp::acceptor closes(context, {asio::ip::address_v4::loopback(), 0});
  closes.async_accept([](error_code, asio::ip::tcp::socket) {});
  EXPECT_TRUE(
      get_error("https://localhost:" + std::to_string(closes.local_endpoint().port()) + "/"));
  EXPECT_FALSE(is_tls_failure(asio::error::connection_refused));
}

}  // namespace
}  // namespace swarmfs::net
