// A web server as a peer (BEP 19). To the swarm it is a Stream that speaks the peer wire protocol:
// it has everything, never chokes, and answers what it is asked in that order. To the server it is
// a client of HTTP/1.1 with one connection that is kept: consecutive blocks become one request for
// a range, and the next requests follow a round trip before the answer comes to its end.
//
// What is cancelled before it was asked costs nothing. What is on its way already is read to its
// end, unless that takes longer than a new connection does.
//
// Threads:  engine thread only.
// Memory:   HttpConnection's, kMaxOutbox, and what the swarm asks for, at some ten bytes a block.
// Errors:   serve() ends with the server's failure. A file it lacks costs only the pieces in it.
// Lifetime: held by shared_ptr; close(), then await connect() and serve().
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "net/clock.h"
#include "net/http_connection.h"
#include "net/peer_wire.h"
#include "net/range_reply.h"
#include "net/stream.h"
#include "net/web_seed_files.h"
#include "net/web_seed_places.h"
#include "storage/bitfield.h"
#include "storage/wait_list.h"

namespace swarmfs::net {

// Most bytes in one request. The swarm asks for a few hundred milliseconds' worth at a time; this
// bounds what one answer may bring that a seek has made useless.
inline constexpr std::uint64_t kMaxRange = 4 * 1024 * 1024;
// Requests sent ahead of their answers. libtorrent sends five.
inline constexpr std::size_t kMaxPipelined = 8;
// Of a file from its start, read to get at what was asked for when a server takes no ranges.
inline constexpr std::uint64_t kMaxSkipped = 1024 * 1024;
// A server that says nothing for so long is given up: what nginx gives a client (60 s), halved,
// because somebody may be waiting and a new connection costs little.
inline constexpr Duration kWebSeedSilence = std::chrono::seconds(30);
// What is taken for the time to the first byte until it is measured. The connection alone says too
// little: a server opens a file, or asks another one for it. Too long only delays the first
// request's rivals, too short would pass for a slow line.
inline constexpr Duration kFirstByteGuess = std::chrono::milliseconds(100);
// Blocks that the swarm has not taken yet.
inline constexpr std::size_t kMaxOutbox = 256 * 1024;

class WebSeed : public std::enable_shared_from_this<WebSeed> {
 public:
  // `seed`: the URL as the torrent gives it.
  WebSeed(asio::any_io_executor executor, Clock& clock, const WebSeedFiles& files, HttpHop seed);

  // To the server. Must succeed before serve().
  [[nodiscard]] Task<error_code> connect();
  // The swarm's side, once; `remote` is what it calls itself.
  [[nodiscard]] std::unique_ptr<Stream> stream(const Endpoint& remote);
  // Until close(), or until the server is no use.
  [[nodiscard]] Task<error_code> serve();
  void close();

  // About how long it takes until the first byte of an answer comes.
  [[nodiscard]] Duration first_byte_time() const {
    return std::max(connect_time_, kFirstByteGuess);
  }
  [[nodiscard]] std::uint64_t delivered_blocks() const { return delivered_; }
  // How long the server asked to be left alone.
  [[nodiscard]] Duration asked_pause() const { return asked_pause_; }

 private:
  class SwarmSide;
  using File = WebSeedFiles::File;
  struct Ask {  // a block the swarm asks for
    Request request;
    storage::PieceIndex piece;
    storage::ByteRange bytes;
    bool cancelled = false;
  };
  struct Get {                // a request to the server
    WebSeedFiles::Span span;  // what is missing of it
    bool sent = false;
  };
  enum class Step : std::uint8_t { go_on, failed };  // failed: failure_ says why

  // -- the swarm's side
  [[nodiscard]] Result<std::size_t> take(std::span<const asio::mutable_buffer> into);
  void on_written(std::span<const std::byte> bytes);
  void on_message(const Message& message);
  void on_request(const Request& request);
  void on_cancel(const Cancel& cancel);
  void reconsider();
  void say(const Message& message);

  // -- what is asked, and what is on its way
  [[nodiscard]] Task<void> work();
  [[nodiscard]] std::uint64_t on_the_way() const;
  [[nodiscard]] bool any_sent() const;
  [[nodiscard]] bool time_for_more() const;
  void plan();
  void start_over();
  void drop_connection();
  void fill_zeros();
  void advance(std::size_t bytes);

  // -- the server's side
  [[nodiscard]] RangeAsked range_of(const Get& get) const;
  [[nodiscard]] Task<error_code> open(HttpHop hop);
  [[nodiscard]] Task<error_code> send();
  [[nodiscard]] Task<Step> receive();
  [[nodiscard]] Task<Step> receive_body(HttpHead head, std::uint64_t skipped);
  [[nodiscard]] Task<error_code> read_range();
  [[nodiscard]] Task<error_code> skip(std::uint64_t bytes);
  Step fail(error_code why);
  Step on_lost(error_code why);
  Step on_redirect(File file, const HttpHead& head);
  Step on_not_there(File file);
  Step offer_less(storage::ByteRange among);
  [[nodiscard]] bool has(storage::PieceIndex piece) const;
  [[nodiscard]] std::uint64_t cheap_rest() const;
  template <class T>
  [[nodiscard]] Task<T> watched(Task<T> call);

  asio::any_io_executor executor_;
  Clock& clock_;
  const WebSeedFiles& files_;
  WebSeedPlaces places_;
  HttpHop last_;  // that was connected to
  storage::Bitfield have_;
  std::set<File> missing_;  // the server lacks them
  bool no_ranges_ = false;
  int redirects_ = 0;  // in a row

  std::shared_ptr<HttpConnection> http_;  // null: none
  Duration connect_time_{};
  bool fruitful_ = false;  // it has brought something
  Timer silence_;
  bool silent_ = false;  // it was closed for silence

  std::vector<std::byte> inbox_;  // of a message of the swarm that is not complete
  std::vector<std::byte> outbox_;
  std::size_t taken_ = 0;         // of outbox_
  bool interested_ = true;        // the swarm
  std::deque<Ask> wanted_;        // not asked for
  std::deque<Ask> asked_;         // of the server, in the order in which it will come
  std::deque<Get> gets_;          // that bring asked_
  std::vector<std::byte> block_;  // asked_.front(), as far as it has come
  std::size_t filled_ = 0;
  bool abandoned_ = false;  // nobody wants what is on its way
  double rate_;             // bytes per second while a body comes
  std::uint64_t delivered_ = 0;

  storage::WaitList readable_;  // the swarm's reader
  storage::WaitList work_to_do_;
  storage::WaitList drained_;
  bool closed_ = false;
  bool ended_ = false;
  error_code failure_;
  Duration asked_pause_{};
};

}  // namespace swarmfs::net
