// The DHT's messages (BEP 5, 32, 42, 43).
#include "net/krpc.h"

#include <algorithm>

#include "tests/fuzz/fuzz_target.h"

void swarmfs::fuzz::run(Bytes input) {
  using namespace net;
  const auto message = krpc::decode(input);
  if (!message) return;
  require(input.size() <= krpc::kMaxReceived, "the limit of a message");
  require(message->transaction.size() <= krpc::kMaxTransaction, "the limit of a transaction id");
  require(message->version.size() <= krpc::kMaxVersion, "the limit of a version");
  if (const auto* reply = std::get_if<krpc::Reply>(&message->body)) {
    require(reply->nodes.size() <= 2 * krpc::kMaxNodes, "the limit of nodes");
    require(reply->values.size() <= krpc::kMaxValues, "the limit of peers");
    require(reply->token.size() <= krpc::kMaxToken, "the limit of a token");
    for (const auto& node : reply->nodes) require(node.endpoint.port() != 0, "a node has a port");
  }
  if (const auto* error = std::get_if<krpc::Error>(&message->body)) {
    require(error->text.size() <= krpc::kMaxErrorText, "the limit of an error's text");
  }
  if (std::holds_alternative<krpc::BadQuery>(message->body)) return;
  const auto again = krpc::decode(bytes_of(krpc::encode(*message)));
  require(again.has_value(), "what we write can be read");
  require(*again == *message, "what was written is read again");
}
