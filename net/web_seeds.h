// The web seeds of one torrent: a few of them are connected and hand their streams to Connections,
// the others wait for their turn. One that fails comes back, later each time; one that sent wrong
// data does not.
//
// Threads: engine thread only. Memory: kMaxWebSeedsInUse WebSeeds, and a URL each. Errors: none; a
// line in the log. Lifetime: metainfo and connections outlive it; co_await stop() first.
#pragma once
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "net/clock.h"
#include "net/connections.h"
#include "net/local_interface.h"
#include "storage/metainfo.h"

namespace swarmfs::net {

// At work at one time. A server fills a line by itself; more are for those that turn out slow or
// wrong.
inline constexpr std::size_t kMaxWebSeedsInUse = 8;
// Of these, at one host: RFC 9112 (9.4) asks clients to be sparing, and browsers take six.
inline constexpr std::size_t kMaxWebSeedsPerHost = 2;
// Before the first new try, and the longest. A server that restarts is back within seconds; one
// that is gone is asked six times an hour.
inline constexpr Duration kFirstWebSeedPause = std::chrono::seconds(2);
inline constexpr Duration kLongestWebSeedPause = std::chrono::minutes(10);

class WebSeeds {
 public:
  struct Parts {
    asio::any_io_executor executor;
    Clock& clock;
    Connections& connections;
    const storage::Metainfo& metainfo;
    std::vector<std::string> urls;
    bool allow_local = false;
    LocalInterface interface = {};
    Connections::Log log;
  };
  struct Counts {
    std::size_t known = 0;  // not banned
    std::size_t dialling = 0;
  };

  explicit WebSeeds(Parts parts);
  ~WebSeeds();
  WebSeeds(const WebSeeds&) = delete;
  WebSeeds& operator=(const WebSeeds&) = delete;

  void start();
  [[nodiscard]] Counts counts() const;
  [[nodiscard]] Task<void> stop();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace swarmfs::net
