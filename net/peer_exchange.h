// Peer exchange at work (BEP 11): addresses that peers tell us are dialled, peers are told once a
// minute whom we are connected to. Never made for a private torrent (BEP 27).
//
// Threads: engine thread only. Memory: an inbox and an outbox a connection. Errors: none; a peer
// that floods us is disconnected. Lifetime: the connections outlive it; destroying it ends it at
// once.
#pragma once
#include <map>
#include <memory>

#include "net/clock.h"
#include "net/connections.h"
#include "net/pex.h"

namespace swarmfs::net {

class PeerExchange {
 public:
  PeerExchange(Clock& clock, Connections& connections);
  ~PeerExchange();
  PeerExchange(const PeerExchange&) = delete;
  PeerExchange& operator=(const PeerExchange&) = delete;

 private:
  struct Correspondent {
    PexInbox inbox;
    PexOutbox outbox;
  };
  error_code on_message(const Connected& peer, std::span<const std::byte> payload);
  void tell_all();

  Clock& clock_;
  Connections& connections_;
  std::map<PeerKey, Correspondent> correspondents_;
  Timer timer_;
};

}  // namespace swarmfs::net
