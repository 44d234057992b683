#include "net/peer_exchange.h"

#include <optional>
#include <set>

#include "net/connect_policy.h"

namespace swarmfs::net {

PeerExchange::PeerExchange(Clock& clock, Connections& connections)
    : clock_(clock), connections_(connections), timer_(clock, [this] { tell_all(); }) {
  Connections::Listener listener;
  listener.on_message = [this](const Connected& peer, std::span<const std::byte> payload) {
    return on_message(peer, payload);
  };
  listener.on_closed = [this](PeerKey key) { correspondents_.erase(key); };
  connections.set_listener(ExtensionId::pex, std::move(listener));
  timer_.arm(clock.now() + kPexInterval);
}

PeerExchange::~PeerExchange() {
  connections_.set_listener(ExtensionId::pex, {});
}

error_code PeerExchange::on_message(const Connected& peer, std::span<const std::byte> payload) {
  PexInbox& inbox = correspondents_[peer.key].inbox;
  switch (inbox.on_message(clock_.now())) {
    case PexInbox::Verdict::flood:
      return NetErrc::protocol_error;
    case PexInbox::Verdict::ignore:
      return {};
    case PexInbox::Verdict::take:
      break;
  }
  const std::optional<PexMessage> message = decode_pex(payload);
  if (!message) return {};
  const std::size_t count = inbox.take(message->added.size());
  connections_.add_peers(std::span(message->added).first(count), PeerSource::pex);
  return {};
}

void PeerExchange::tell_all() {
  const std::vector<const Connected*> all = connections_.all();
  for (const Connected* peer : all) {
    const std::uint8_t id = peer->said.pex_id.value_or(0);
    if (id == 0) continue;
    std::set<Endpoint> others;
    for (const Connected* other : all) {
      // We do not know where it listens, or it is no peer.
      if (other->incoming || other->web_seed) continue;
      if (other != peer && may_tell(other->endpoint, peer->endpoint))
        others.insert(normalised(other->endpoint));
    }
    const std::optional<PexMessage> message = correspondents_[peer->key].outbox.next(others);
    if (!message) continue;
    const std::vector<std::byte> payload = encode(*message);
    connections_.send(peer->key, Extended{id, payload});
    connections_.flush(peer->key);
  }
  timer_.arm(clock_.now() + kPexInterval);
}

}  // namespace swarmfs::net
