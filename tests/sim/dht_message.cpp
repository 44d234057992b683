#include "tests/sim/dht_message.h"

#include <array>

namespace swarmfs::sim {
namespace {

using storage::bencode::Dictionary;
using storage::bencode::Document;
using storage::bencode::List;
using storage::bencode::Type;
using storage::bencode::Value;

constexpr std::array<std::string_view, 4> kMethods{"ping", "find_node", "get_peers",
                                                   "announce_peer"};

DhtMethod method_of(std::string_view name) {
  for (std::size_t i = 0; i < kMethods.size(); ++i) {
    if (kMethods[i] == name) return static_cast<DhtMethod>(i);
  }
  return DhtMethod::unknown;
}

std::optional<DhtId> id_in(const Value& value) {
  const auto text = value.string();
  return text ? id_of(*text) : std::nullopt;
}

// Empty: nothing wrong.
std::string read_wants(const Value& want, DhtQuery& query) {
  if (!want) return "";
  if (!want.is(Type::list)) return "want is no list";
  query.named_a_family = true;
  for (const Value item : want.items()) {
    const auto text = item.string();
    if (!text) return "want holds no string";
    query.want4 = query.want4 || *text == "n4";
    query.want6 = query.want6 || *text == "n6";
  }
  return "";
}

std::string read_announce(const Value& a, DhtQuery& query) {
  const auto token = a["token"].string();
  if (!token || token->empty()) return "announce_peer without a token";
  query.token = *token;
  query.implied_port = a["implied_port"].integer(1, 1).has_value();
  const auto port = a["port"].integer(1, 65'535);
  if (!port) return "announce_peer without a port of 1 to 65535";
  query.port = static_cast<std::uint16_t>(*port);
  return "";
}

DhtMessage read_query(const Value& root, std::string transaction) {
  DhtQuery query;
  query.transaction = std::move(transaction);
  const auto name = root["q"].string();
  if (!name) return Wrong{"a query without a name"};
  query.method = method_of(*name);
  const Value a = root["a"];
  if (!a.is(Type::dictionary)) return Wrong{"a query without arguments"};
  const auto id = id_in(a["id"]);
  if (!id) return Wrong{"a query without an id of 20 bytes"};
  query.id = *id;
  if (root["ro"]) {
    if (!root["ro"].integer(0, 1)) return Wrong{"ro is neither 0 nor 1"};
    query.read_only = root["ro"].integer() == 1;
  }
  if (query.method == DhtMethod::unknown || query.method == DhtMethod::ping) return query;
  const auto target = id_in(a[query.method == DhtMethod::find_node ? "target" : "info_hash"]);
  if (!target) return Wrong{std::string(*name) + " without a target of 20 bytes"};
  query.target = *target;
  std::string wrong = query.method == DhtMethod::announce_peer ? read_announce(a, query)
                                                               : read_wants(a["want"], query);
  if (!wrong.empty()) return Wrong{std::move(wrong)};
  return query;
}

// Empty: nothing wrong.
std::string read_nodes(const Value& nodes, bool v6, std::optional<std::vector<DhtContact>>& into) {
  if (!nodes) return "";
  const auto text = nodes.string();
  if (text) into = contacts_of(*text, v6);
  return into ? "" : "nodes that are no whole contacts";
}

DhtMessage read_reply(const Value& root, std::string transaction) {
  DhtReply reply;
  reply.transaction = std::move(transaction);
  const Value r = root["r"];
  if (!r.is(Type::dictionary)) return Wrong{"a reply without values"};
  const auto id = id_in(r["id"]);
  if (!id) return Wrong{"a reply without an id of 20 bytes"};
  reply.id = *id;
  reply.token = r["token"].string().value_or("");
  for (const bool v6 : {false, true}) {
    std::string wrong =
        read_nodes(r[v6 ? "nodes6" : "nodes"], v6, v6 ? reply.nodes6 : reply.nodes4);
    if (!wrong.empty()) return Wrong{std::move(wrong)};
  }
  if (r["values"].is(Type::list)) {
    reply.values.emplace();
    for (const Value item : r["values"].items()) {
      const auto text = item.string();
      const auto endpoint = text ? endpoint_of(*text) : std::nullopt;
      if (!endpoint) return Wrong{"values that are no addresses"};
      reply.values->push_back(*endpoint);
    }
  }
  if (const Value ip = root["ip"]; ip) {
    const auto text = ip.string();
    if (text) reply.your_address = endpoint_of(*text);
    if (!reply.your_address) return Wrong{"an ip that is no address with a port"};
  }
  return reply;
}

}  // namespace

DhtMessage read_dht_message(std::span<const std::byte> payload) {
  const auto document =
      Document::read(payload, storage::bencode::kMessageLimits, storage::bencode::Mode::strict);
  if (!document) return Wrong{"no bencode: " + document.error().message()};
  if (!document->trailing().empty()) return Wrong{"bytes behind the message"};
  const Value root = document->root();
  if (!root.is(Type::dictionary)) return Wrong{"no dictionary"};
  const auto transaction = root["t"].string();
  if (!transaction || transaction->empty() || transaction->size() > 16)
    return Wrong{"a transaction of no sensible length"};
  const auto kind = root["y"].string();
  if (kind == "q") return read_query(root, std::string(*transaction));
  if (kind == "r") return read_reply(root, std::string(*transaction));
  if (kind != "e") return Wrong{"neither query nor reply nor error"};
  const auto items = root["e"].items();
  if (items.empty() || !(*items.begin()).integer()) return Wrong{"an error without a code"};
  return DhtError{std::string(*transaction), *(*items.begin()).integer()};
}

std::string write(const DhtQuery& query) {
  Dictionary a;
  a.add("id", text_of(query.id));
  if (query.method == DhtMethod::find_node) a.add("target", text_of(query.target));
  if (query.method == DhtMethod::get_peers || query.method == DhtMethod::announce_peer)
    a.add("info_hash", text_of(query.target));
  if (query.named_a_family) {
    List want;
    if (query.want4) want.add("n4");
    if (query.want6) want.add("n6");
    a.add("want", want);
  }
  if (query.method == DhtMethod::announce_peer) {
    a.add("port", query.port).add("token", query.token);
    if (query.implied_port) a.add("implied_port", 1);
  }
  Dictionary root;
  root.add("t", query.transaction).add("y", "q").add("a", a);
  root.add("q", kMethods[static_cast<std::size_t>(query.method)]);
  if (query.read_only) root.add("ro", 1);
  return root.encode();
}

std::string write(const DhtReply& reply) {
  const auto all = [](const std::vector<DhtContact>& contacts) {
    std::string text;
    for (const DhtContact& contact : contacts) text += compact(contact);
    return text;
  };
  Dictionary r;
  r.add("id", text_of(reply.id));
  if (reply.nodes4) r.add("nodes", all(*reply.nodes4));
  if (reply.nodes6) r.add("nodes6", all(*reply.nodes6));
  if (!reply.token.empty()) r.add("token", reply.token);
  if (reply.values) {
    List values;
    for (const UdpEndpoint& peer : *reply.values) values.add(compact(peer));
    r.add("values", values);
  }
  Dictionary root;
  root.add("t", reply.transaction).add("y", "r").add("r", r).add("v", "SM01");
  if (reply.your_address) root.add("ip", compact(*reply.your_address));
  return root.encode();
}

std::string write_error(std::string_view transaction, int code, std::string_view text) {
  List error;
  error.add(code).add(text);
  Dictionary root;
  root.add("t", transaction).add("y", "e").add("e", error);
  return root.encode();
}

}  // namespace swarmfs::sim
