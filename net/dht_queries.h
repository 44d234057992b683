// Our queries in flight: numbers them, gives each answer to whoever asked, and learns how long an
// answer takes.
//
// Threads:  engine thread only.
// Memory:   kMaxQueries small records; a query beyond them is not sent.
// Errors:   none: what is not answered ends with a null reply after kQueryTimeout.
// Lifetime: Clock and UdpPort outlive it; an Answer is called once, or never when this is destroyed
//           first, and not inside ask().
#pragma once
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>

#include "net/clock.h"
#include "net/krpc.h"
#include "net/udp_port.h"

namespace swarmfs::net {

// More than all that a node does at one time: a dozen searches of 8 questions, and its table.
inline constexpr std::size_t kMaxQueries = 512;
// An answer later than this is ignored. Searches stop waiting long before (patience()).
inline constexpr Duration kQueryTimeout = std::chrono::seconds(4);
// Limits of patience(), and where it starts: round trips on this planet take 10 to 400 ms.
inline constexpr Duration kMinPatience = std::chrono::milliseconds(200);
inline constexpr Duration kFirstPatience = std::chrono::milliseconds(400);
inline constexpr Duration kMaxPatience = std::chrono::milliseconds(1500);
// Answers from which patience() is learned: those of the last three searches.
inline constexpr std::size_t kRoundTrips = 64;

class DhtQueries {
 public:
  // Null: silent, or an error; `silent` tells which.
  struct Outcome {
    const krpc::Message* message = nullptr;  // of which `reply` is the body
    const krpc::Reply* reply = nullptr;
    bool silent = false;
  };
  using Answer = std::function<void(const Outcome&)>;

  DhtQueries(Clock& clock, UdpPort& udp, SecretRandom& random);
  // False: it was not sent, and `answer` is not called.
  bool ask(const UdpEndpoint& to, krpc::Query query, Answer answer);
  // An answer came. One that nobody asked `from` for is ignored (also one from another port).
  void on_message(const krpc::Message& message, const UdpEndpoint& from);
  // Seven of eight answers have come by then. Later, a search waits three times as long for its end
  // (some nodes take seconds); sooner, it misses peers.
  [[nodiscard]] Duration patience() const { return patience_; }
  [[nodiscard]] std::size_t in_flight() const { return waiting_.size(); }
  void clear();  // nobody waits any more

 private:
  struct Waiting {
    UdpEndpoint to;
    TimePoint asked;
    Answer answer;
  };
  void learn(Duration round_trip);
  void expire();
  void arm();

  Clock& clock_;
  UdpPort& udp_;
  SecretRandom& random_;
  std::map<std::string, Waiting> waiting_;               // by transaction id
  std::deque<std::pair<TimePoint, std::string>> order_;  // when asked; also of answered ones
  Timer timer_;
  std::deque<Duration> round_trips_;  // the latest
  Duration patience_ = kFirstPatience;
  TimePoint last_answer_{};
};

}  // namespace swarmfs::net
