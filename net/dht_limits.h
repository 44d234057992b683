// Whom we answer, and how much: nobody makes us a reflector, or busy.
//
// Threads: engine thread only; pure (time is given). Memory: kMaxCountedHosts small records.
// Errors: none.
#pragma once
#include <cstddef>
#include <map>
#include <set>
#include <utility>

#include "net/clock.h"
#include "net/host_key.h"

namespace swarmfs::net {

// Queries a host may send: 5 a second on average, and one that sends 50 within 10 seconds is not
// answered for 5 minutes. libtorrent's numbers; a busy but honest node asks us once a second.
inline constexpr std::size_t kMaxQueriesPerWindow = 50;
inline constexpr Duration kQueryWindow = std::chrono::seconds(10);
inline constexpr Duration kQueryBan = std::chrono::minutes(5);
// Hosts counted at one time; the one not heard of for longest is forgotten. A flood of forged
// addresses fills this, and is met by the budget below.
inline constexpr std::size_t kMaxCountedHosts = 4096;
// Bytes a second of answers to everybody, and how much of it may be saved up: libtorrent's 8 kB/s,
// 20 to 80 answers a second.
inline constexpr std::size_t kAnswerRate = 8000;
inline constexpr std::size_t kAnswerBurst = 16'000;

class DhtLimits {
 public:
  // A query came from there; true: it may be answered.
  [[nodiscard]] bool on_query(const UdpEndpoint& from, TimePoint now);
  // Takes an answer of this size from the budget; false: it must not be sent.
  [[nodiscard]] bool may_answer(std::size_t bytes, TimePoint now);
  [[nodiscard]] std::size_t counted_hosts() const { return hosts_.size(); }

 private:
  struct Host {
    TimePoint window;  // when it began
    std::size_t queries = 0;
    TimePoint banned_until{};
    TimePoint heard;
  };
  std::map<HostKey, Host> hosts_;
  std::set<std::pair<TimePoint, HostKey>> by_age_;  // by Host::heard
  double budget_ = kAnswerBurst;
  TimePoint budget_at_{};
};

}  // namespace swarmfs::net
