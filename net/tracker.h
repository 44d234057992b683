// Announcing to HTTP trackers: one loop a tracker, all tiers in parallel at the start (BEP 12 order
// matters only later).
//
// Threads: engine thread only. Memory: replies are capped (kMaxTrackerBody, kMaxPeersPerReply).
// Errors: a failing tracker is logged once per change of state and retried with back-off; it never
// fails the torrent. Lifetime: co_await stop() before destruction.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "net/clock.h"
#include "net/error.h"
#include "net/peer_list.h"
#include "net/peer_wire.h"
#include "net/stream.h"
#include "storage/hash.h"

namespace swarmfs::net {

enum class AnnounceEvent { none, started, stopped };

struct AnnounceRequest {
  storage::InfoHash info_hash;
  PeerId peer_id;
  std::uint16_t port = 0;        // what we listen on
  std::uint64_t downloaded = 0;  // bytes since started
  std::uint64_t left = 0;        // bytes
  std::uint32_t key = 0;
  std::uint32_t num_want = 200;
  AnnounceEvent event = AnnounceEvent::none;
  std::string tracker_id;
};

struct AnnounceReply {
  std::vector<Endpoint> peers;
  std::chrono::seconds interval{1800};  // clamped to [60 s, 1 day]
  std::string tracker_id;
  std::string warning;         // escaped for a terminal
  std::string failure_reason;  // escaped; not empty: nothing else is meant
};

// The URL of an announce (BEP 3, 7, 23): base plus query, every byte outside the unreserved set
// percent-encoded.
[[nodiscard]] std::string announce_url(std::string_view base, const AnnounceRequest& request);
// A tracker's body (bencoded). Compact and dictionary peers, peers6; garbage entries are skipped.
[[nodiscard]] Result<AnnounceReply> parse_announce_reply(std::span<const std::byte> body);

// Announces one torrent everywhere.
class Announcer {
 public:
  struct Parts {
    asio::any_io_executor executor;
    Clock& clock;
    std::vector<std::vector<std::string>> tiers;
    bool allow_local = false;
    AnnounceRequest identity;  // event, downloaded, left filled in per announce
    std::function<std::pair<std::uint64_t, std::uint64_t>()> progress;  // downloaded, left
    std::function<void(std::span<const Endpoint>, PeerSource)> found;   // new peers
    std::function<void(const std::string&)> log;                        // one line
  };
  explicit Announcer(Parts parts);
  ~Announcer();
  void start();
  // Says "stopped" where "started" was heard, for at most kStopDeadline, and ends.
  [[nodiscard]] Task<void> stop();
  // One line for the user: what the trackers last said ("2 of 3 trackers answered, 14 peers").
  [[nodiscard]] std::string status() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace swarmfs::net
