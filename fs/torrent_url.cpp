#include "fs/torrent_url.h"

#include <unistd.h>

#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdio>
#include <cstring>
#include <optional>
#include <utility>

#include "fs/terminal_text.h"
#include "net/error.h"
#include "net/http.h"
#include "storage/metainfo_limits.h"
#include "storage/task_group.h"

namespace swarmfs::fs {
namespace {

using Bytes = std::vector<std::byte>;

// On a terminal, a download that takes longer says so.
constexpr net::Duration kQuietDownload = std::chrono::seconds(1);

std::string why_not(error_code ec) {
  using net::NetErrc;
  if (ec == NetErrc::timed_out || ec == asio::error::timed_out) {
    return "no answer in time; try again later, or download it with a browser";
  }
  if (ec == asio::error::host_not_found || ec == asio::error::no_data ||
      ec == asio::error::host_not_found_try_again) {
    return "host not found; check its name, and whether this machine is online";
  }
  if (ec == NetErrc::too_large) {
    return "larger than 10 MiB, which no .torrent is; check that it is not the data itself";
  }
  if (ec == NetErrc::refused_address) {
    return "leads to an address that strangers must not send us to; --allow-local lifts that";
  }
  if (ec == NetErrc::bad_url) {
    return "not a valid URL, or redirects to one; write spaces and the like as %20";
  }
  if (ec == NetErrc::unsupported_scheme) {
    return "redirects to what is neither http nor https; if it is a magnet link, give that";
  }
  if (ec == NetErrc::malformed_reply) {
    return "the server's answer makes no sense; check the URL with a browser";
  }
  if (net::is_tls_failure(ec)) {
    return "no secure connection: " + ec.message() +
           "; check the host's name, this machine's clock and its certificates (ca-certificates)";
  }
  return "cannot be downloaded: " + ec.message() + "; check the URL";
}

std::string why_not(unsigned status) {
  const std::string said = "the server says " + std::to_string(status);
  switch (status) {
    case 401:
    case 403:
      return said + " (not allowed); download it with a browser that is logged in";
    case 404:
    case 410:
      return said + " (not found); check the URL";
    case 429:
      return said + " (too many requests); try again later";
    default:
      return said + (status >= 500 ? " (its own trouble); try again later"
                                   : " instead of sending a torrent; check the URL");
  }
}

Task<void> say_when_slow(net::Clock& clock, std::string url) {
  co_await clock.sleep(kQuietDownload);
  std::fprintf(stderr, "swarmfs: downloading %s\n", printable(url).c_str());
}

Task<void> fetch_into(net::Clock& clock, std::string url, bool allow_local,
                      net::LocalInterface interface, std::optional<OrComplaint<Bytes>>& bytes) {
  auto fetching = fetch_torrent(clock, std::move(url), allow_local, std::move(interface));
  bytes = co_await std::move(fetching);
}

OrComplaint<Bytes> fetch_now(asio::io_context& io, const std::string& url, bool allow_local,
                             net::LocalInterface interface) {
  net::RealClock clock(io.get_executor());
  storage::TaskGroup watchers(io.get_executor());
  storage::TaskGroup tasks(io.get_executor());
  std::optional<OrComplaint<Bytes>> bytes;
  tasks.spawn(fetch_into(clock, url, allow_local, std::move(interface), bytes));
  if (::isatty(STDERR_FILENO) == 1) watchers.spawn(say_when_slow(clock, url));
  while (tasks.size() > 0) io.run_one();
  watchers.cancel();
  while (watchers.size() > 0) io.run_one();
  return *std::move(bytes);
}

}  // namespace

Task<OrComplaint<Bytes>> fetch_torrent(net::Clock& clock, std::string url, bool allow_local,
                                       net::LocalInterface interface) {
  net::HttpRequest request{.url = url,
                           .source = net::UrlSource::user,
                           .allow_local = allow_local,
                           .deadline = kDownloadDeadline,
                           .max_body = storage::kMaxTorrentSize,
                           .interface = std::move(interface)};
  auto getting = net::http_get(clock, std::move(request));
  Result<net::HttpReply> reply = co_await std::move(getting);
  if (!reply) co_return explain_download_failure(url, reply.error());
  if (reply->status != 200) co_return explain_http_status(url, reply->status);
  Bytes bytes(reply->body.size());
  std::memcpy(bytes.data(), reply->body.data(), bytes.size());
  co_return bytes;
}

OrComplaint<TorrentFile> download_torrent(const std::string& url, bool allow_local,
                                          net::LocalInterface interface) {
  // Destroying it would wait for a name lookup that was given up. After a success there is none,
  // and its threads must be gone before a fork.
  static asio::io_context* io = nullptr;
  io = new asio::io_context(1);
  OrComplaint<Bytes> bytes = fetch_now(*io, url, allow_local, std::move(interface));
  if (!bytes) return bytes.error();
  delete std::exchange(io, nullptr);
  return to_torrent(url, *std::move(bytes));
}

Complaint explain_download_failure(const std::string& url, error_code ec) {
  return {url + ": " + why_not(ec)};
}

Complaint explain_http_status(const std::string& url, unsigned status) {
  return {url + ": " + why_not(status)};
}

}  // namespace swarmfs::fs
