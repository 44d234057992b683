// A .torrent that the user names by its http or https URL, downloaded.
//
// Threads: any, before the engine starts; Asio resolves names on a thread of its own. Memory: twice
// kMaxTorrentSize. Errors: a Complaint that names the URL. Lifetime: after download_torrent() that
// succeeded, no thread is left, so one may fork; after one that failed, a name lookup may go on.
#pragma once
#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "fs/complaint.h"
#include "fs/torrent_file.h"
#include "net/clock.h"
#include "net/local_interface.h"

namespace swarmfs::fs {

// Twice what trackers get: the largest .torrent at 170 KB/s. The user watches, and has ^C.
inline constexpr net::Duration kDownloadDeadline = std::chrono::seconds(60);

// What lies at `url`, which may be a local address; a redirect may not lead to a more local one
// unless `allow_local`.
[[nodiscard]] Task<OrComplaint<std::vector<std::byte>>> fetch_torrent(
    net::Clock& clock, std::string url, bool allow_local, net::LocalInterface interface = {});

// The same and parsed, in an event loop of its own. SIGINT is left alone: it ends the process.
[[nodiscard]] OrComplaint<TorrentFile> download_torrent(const std::string& url, bool allow_local,
                                                        net::LocalInterface interface = {});

// -- pure parts
// What went wrong, and what to do. `ec` from net::http_get(), `status` other than 200.
[[nodiscard]] Complaint explain_download_failure(const std::string& url, error_code ec);
[[nodiscard]] Complaint explain_http_status(const std::string& url, unsigned status);

}  // namespace swarmfs::fs
