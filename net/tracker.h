// Announcing to HTTP trackers: one loop a tracker, all tiers in parallel at the start (BEP 12 order
// matters only later).
//
// Threads: engine thread only. Memory: replies are capped (kMaxHttpBody, kMaxPeersPerReply), and so
// is the number of trackers (kMaxTrackers). Errors: a failing tracker is logged once per change of
// state and retried with back-off; it never fails the torrent. Lifetime: co_await stop() before
// destruction.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/clock.h"
#include "net/error.h"
#include "net/http.h"
#include "net/peer_list.h"
#include "net/peer_wire.h"
#include "net/stream.h"
#include "storage/hash.h"

namespace swarmfs::net {

// Peers taken from one reply: what we ask for. A tracker that sends more does not get to fill the
// address book.
inline constexpr std::size_t kMaxPeersPerReply = 200;
// Trackers announced to. Lists in the wild reach about 200, most of them UDP or dead; each is a
// connection at start.
inline constexpr std::size_t kMaxTrackers = 100;
// A tracker's id is echoed in each announce; real ones are shorter than 40 bytes.
inline constexpr std::size_t kMaxTrackerId = 1024;
inline constexpr std::size_t kMaxTrackerText = 200;  // of a message shown to the user, in bytes

// How often we announce whatever the tracker says: often enough to notice that it is back, seldom
// enough not to be banned. The default is what trackers mostly say.
inline constexpr std::chrono::seconds kMinInterval{60};
inline constexpr std::chrono::seconds kMaxInterval{24 * 3600};
inline constexpr std::chrono::seconds kDefaultInterval{1800};
// After failures: doubled each time. A first tracker that was not up yet (a machine that just
// booted, a network that comes later) is all there is, so it is asked sooner.
inline constexpr Duration kFirstAnnounceBackOff = std::chrono::seconds(15);
inline constexpr Duration kEagerAnnounceBackOff = std::chrono::seconds(5);
inline constexpr Duration kMaxAnnounceBackOff = std::chrono::minutes(30);
// What "stopped" may cost at the end: the whole shutdown takes less than a second. A tracker that
// misses it forgets us after an interval anyway.
inline constexpr Duration kStopDeadline = std::chrono::milliseconds(800);

enum class AnnounceEvent { none, started, stopped };

struct AnnounceRequest {
  storage::InfoHash info_hash;
  PeerId peer_id;
  std::uint16_t port = 0;        // what we listen on
  std::uint64_t downloaded = 0;  // bytes since started
  std::uint64_t left = 0;        // bytes
  std::uint32_t key = 0;
  std::uint32_t num_want = kMaxPeersPerReply;
  AnnounceEvent event = AnnounceEvent::none;
  std::string tracker_id;
};

struct AnnounceReply {
  std::vector<Endpoint> peers;
  std::chrono::seconds interval = kDefaultInterval;  // clamped to [kMinInterval, kMaxInterval]
  std::string tracker_id;
  std::string warning;         // escaped for a terminal
  std::string failure_reason;  // escaped; not empty: nothing else is meant but the two below
  std::optional<std::chrono::seconds> retry_in;  // after a failure, where the tracker says (BEP 31)
  bool retry_never = false;                      // the same
};

// The URL of an announce (BEP 3, 7, 23): base plus query, every byte outside the unreserved set
// percent-encoded.
[[nodiscard]] std::string announce_url(std::string_view base, const AnnounceRequest& request);
// A tracker's body (bencoded). Compact and dictionary peers, peers6; garbage entries are skipped.
[[nodiscard]] Result<AnnounceReply> parse_announce_reply(std::span<const std::byte> body);

// The larger of what the tracker sent as `interval` and `min interval`, clamped.
[[nodiscard]] std::chrono::seconds announce_interval(std::optional<std::int64_t> interval,
                                                     std::optional<std::int64_t> min_interval);
// The pause after `failures` (at least 1) failures in a row. eager: no tracker has answered yet.
// `fraction`, in [0, 1), spreads it by 20 % both ways, so that a tracker that comes back is not
// met by everybody at once.
[[nodiscard]] Duration announce_back_off(std::uint32_t failures, bool eager, double fraction);

// Announces one torrent everywhere.
class Announcer {
 public:
  using Fetch = std::function<Task<Result<HttpReply>>(HttpRequest)>;
  struct Parts {
    asio::any_io_executor executor;
    Clock& clock;
    std::vector<std::vector<std::string>> tiers;
    bool allow_local = false;
    AnnounceRequest identity;  // event, downloaded, left filled in per announce
    std::function<std::pair<std::uint64_t, std::uint64_t>()> progress;  // downloaded, left
    std::function<void(std::span<const Endpoint>, PeerSource)> found;   // new peers
    std::function<void(const std::string&)> log;                        // one line
    Fetch fetch = {};                                                   // empty: http_get
  };
  explicit Announcer(Parts parts);
  ~Announcer();
  Announcer(const Announcer&) = delete;
  Announcer& operator=(const Announcer&) = delete;
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
