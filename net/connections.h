// Who we are connected to: dials addresses, takes who comes, shakes hands, keeps connections alive
// and ends bad ones, from the start of the torrent to its end. While nobody reads it rests: a few
// warm peers, next to no traffic, until wake(). What peers say goes to whoever is in charge:
// messages about pieces to one Receiver, those of an extension to its unit. Before there is a
// Receiver (the metainfo is missing) they are remembered for it.
//
// Threads: engine thread only. Memory: at most Config::max_connections connections, each with what
// PeerConnection and EarlyMessages keep; PeerList's addresses. Errors: a peer's failure is that
// connection's end. Lifetime: co_await stop() before destruction; receiver and listeners outlive
// it, or are taken away first.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "net/clock.h"
#include "net/extension.h"
#include "net/external_address.h"
#include "net/open_piece.h"
#include "net/peer_list.h"
#include "net/peer_wire.h"
#include "net/stream.h"
#include "storage/block_pool.h"

namespace swarmfs::net {

// A connection whose handshake is done. Valid until its on_closed.
struct Connected {
  PeerKey key;
  Endpoint endpoint;
  bool incoming = false;    // it came to us: `endpoint` is not where it listens
  bool web_seed = false;    // it is no peer: `endpoint` only stands for it
  Duration connect_time{};  // of TCP: about a round trip
  bool fast = false;        // BEP 6
  bool extensions = false;  // BEP 10
  ExtensionHandshake said;  // what its extension handshakes add up to; empty before the first
};

class Connections {
 public:
  struct Config {
    storage::InfoHash info_hash;
    PeerId peer_id;
    std::size_t max_connections = 100;
    bool allow_local = false;
    std::uint64_t seed = 1;  // of every random choice
    ExtensionOffer offer = {};
    // Where the others see us: peers bear witness, and dialling follows it (BEP 40). May be null.
    std::shared_ptr<ExternalAddress> external = {};
  };
  // `log(level, line)`: level 0 debug, 1 info, 2 warning.
  using Log = std::function<void(int level, const std::string& line)>;

  // Who takes what peers say about pieces. An error that a callback returns ends the connection.
  struct Receiver {
    std::function<void(const Connected&)> on_open;
    std::function<void(const Connected&)> on_extensions;  // an extension handshake came
    // Anything but pieces and extension messages. Views are valid during the call.
    std::function<error_code(PeerKey, const Message&)> on_message;
    std::function<error_code(PeerKey, std::uint32_t index)> on_dont_have;  // BEP 54
    std::function<error_code(PeerKey, std::uint32_t index, std::uint32_t begin,
                             std::uint32_t length, storage::Block)>
        on_block;
    std::function<std::size_t(PeerKey)> expected_blocks;  // unanswered requests
    std::function<void(PeerKey)> on_closed;
    std::function<bool()> wants;  // whether it needs something from somebody; empty: no
  };
  // Who takes an extension's messages. A peer that takes none of it may still send them.
  struct Listener {
    std::function<void(const Connected&)> on_extensions;
    std::function<error_code(const Connected&, std::span<const std::byte> payload)> on_message;
    std::function<void(PeerKey)> on_closed;  // also of peers that never spoke it
  };
  struct Counts {
    std::size_t known_addresses = 0;
    std::size_t dialling = 0;
    std::size_t connected = 0;  // handshake done
    std::size_t banned = 0;
  };

  Connections(asio::any_io_executor executor, Clock& clock, Dialer dialer, storage::BlockPool& pool,
              const Config& config, Log log);
  ~Connections();
  Connections(const Connections&) = delete;
  Connections& operator=(const Connections&) = delete;

  void start();  // dials what it knows, and keeps dialling as addresses come
  void wake();   // somebody reads: no rest from now on, and everyone due is dialled
  // A peer that came to us and named this torrent. The same rules hold for it: refused are the
  // banned, ourselves, and who is connected already.
  void accept(std::unique_ptr<Stream> stream, const Handshake& theirs);
  void add_peers(std::span<const Endpoint> endpoints, PeerSource source);
  // A web server that speaks as a peer does, from behind its handshake on, and needs the fast
  // extension. `name` is for people; `stream->remote()` is what it is banned by; `round_trip`: as
  // far as it is known.
  void add_web_seed(std::unique_ptr<Stream> stream, const std::string& name, Duration round_trip);
  // Tells `receiver` of every connection and all it has said; from then on it is called as things
  // happen. An empty one: what is said is remembered again.
  void set_receiver(Receiver receiver);
  void set_listener(ExtensionId extension, Listener listener);
  // Says the extension handshake again, to everyone, with what we offer now.
  void set_offer(const ExtensionOffer& offer);
  // BEP 27: only the user and trackers name peers. Others' are disconnected and forgotten.
  void make_private();

  void send(PeerKey key, const Message& message);  // queued until flush(); nothing when it is gone
  void flush(PeerKey key);                         // one write for all that was queued
  [[nodiscard]] std::size_t unsent(PeerKey key) const;  // bytes the peer does not read
  void mark_useful(PeerKey key);                        // it sent verified data
  void close(PeerKey key, error_code why);
  void ban(const Endpoint& endpoint, const char* why);
  [[nodiscard]] bool is_banned(const Endpoint& endpoint) const;

  // Empty: no such connection (any more).
  [[nodiscard]] const Connected* find(PeerKey key) const;
  // In the order in which they were made.
  [[nodiscard]] std::vector<const Connected*> all() const;
  [[nodiscard]] Counts counts() const;
  // Addresses that sent verified data, the best first.
  [[nodiscard]] std::vector<Endpoint> useful_peers() const;
  [[nodiscard]] Task<void> stop();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace swarmfs::net
