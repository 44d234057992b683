#include "net/dht_answers.h"

#include <algorithm>
#include <utility>

#include "net/connect_policy.h"

namespace swarmfs::net {

using krpc::Error;
using krpc::Reply;

std::optional<std::string> DhtAnswers::answer(const krpc::Message& query, std::size_t size,
                                              const UdpEndpoint& from, const RoutingTable& v4,
                                              const RoutingTable& v6, TimePoint now) {
  const Asked asked{from, v4, v6, now};
  krpc::Message message{query.transaction, Error{}, from, std::string(krpc::kOurVersion)};
  if (const auto* bad = std::get_if<krpc::BadQuery>(&query.body)) {
    message.body = Error{bad->code, ""};
  } else if (const auto* good = std::get_if<krpc::Query>(&query.body)) {
    message.body = body_for(*good, asked);
    if (const auto* get = std::get_if<krpc::GetPeers>(&good->question)) {
      add_values(message, get->info_hash, asked);
    }
  } else {
    return std::nullopt;
  }
  if (std::holds_alternative<Error>(message.body)) {  // bare: the code says all
    message.ip.reset();
    message.version.clear();
  }
  std::string bytes = krpc::encode(message);
  const std::size_t limit = std::holds_alternative<Error>(message.body) ? size : krpc::kMaxSent;
  if (bytes.size() > limit || !limits_.may_answer(bytes.size(), now)) return std::nullopt;
  return bytes;
}

DhtAnswers::Body DhtAnswers::body_for(const krpc::Query& query, const Asked& asked) {
  const RoutingTable& own_table = asked.from.address().is_v4() ? asked.v4 : asked.v6;
  Reply reply{own_table.own(), {}, {}, {}};
  if (const auto* find = std::get_if<krpc::FindNode>(&query.question)) {
    add_nodes(reply, find->target, find->want, asked);
  } else if (const auto* get = std::get_if<krpc::GetPeers>(&query.question)) {
    add_nodes(reply, get->info_hash, get->want, asked);
    reply.token = tokens_.make(asked.from.address(), get->info_hash, asked.now);
  } else if (const auto* announced = std::get_if<krpc::AnnouncePeer>(&query.question)) {
    return announce(*announced, std::move(reply), asked);
  }
  return reply;
}

DhtAnswers::Body DhtAnswers::announce(const krpc::AnnouncePeer& announce, Reply reply,
                                      const Asked& asked) {
  if (!tokens_.accepts(announce.token, asked.from.address(), announce.info_hash, asked.now)) {
    return Error{krpc::kProtocolError, ""};
  }
  const std::uint16_t port = announce.implied_port ? asked.from.port() : announce.port;
  const Endpoint peer(asked.from.address(), port);
  // Others will dial what we name.
  if (may_connect(peer, PeerSource::dht, allow_local_)) {
    store_.announce(announce.info_hash, peer, asked.now);
  }
  return reply;
}

void DhtAnswers::add_nodes(Reply& reply, const NodeId& target, krpc::Want want,
                           const Asked& asked) const {
  if (want == krpc::Want{}) want = {asked.from.address().is_v4(), asked.from.address().is_v6()};
  for (const auto& [wanted, table] :
       {std::pair(want.n4, &asked.v4), std::pair(want.n6, &asked.v6)}) {
    if (!wanted) continue;
    const auto nodes = table->closest_good(target, krpc::kMaxNodes, asked.now);
    reply.nodes.insert(reply.nodes.end(), nodes.begin(), nodes.end());
  }
}

// As many peers as there is room for.
void DhtAnswers::add_values(krpc::Message& message, const NodeId& info_hash, const Asked& asked) {
  auto* reply = std::get_if<Reply>(&message.body);
  if (reply == nullptr) return;
  const bool v6 = asked.from.address().is_v6();
  constexpr std::size_t kListSize = 10;           // "6:valuesle"
  const std::size_t record_size = v6 ? 21U : 8U;  // "18:" or "6:" and the record
  const std::size_t taken = krpc::encode(message).size() + kListSize;
  if (taken >= krpc::kMaxSent) return;
  const std::size_t room = std::min(krpc::kMaxValues, (krpc::kMaxSent - taken) / record_size);
  reply->values = store_.peers(info_hash, v6, room, random_, asked.now);
}

}  // namespace swarmfs::net
