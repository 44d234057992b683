#include "net/krpc.h"

#include <algorithm>
#include <array>

#include "net/connect_policy.h"
#include "net/error.h"
#include "storage/bencode.h"

namespace swarmfs::net::krpc {
namespace {

namespace bencode = storage::bencode;

constexpr std::size_t kIdSize = 20;

// ---- Compact forms

std::string_view characters(const NodeId& id) {
  return {reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size()};
}

template <class AnyEndpoint>
void append_endpoint(std::string& out, const AnyEndpoint& endpoint) {
  const auto append = [&out](const auto& bytes) {
    out.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  };
  if (endpoint.address().is_v4()) {
    append(endpoint.address().to_v4().to_bytes());
  } else {
    append(endpoint.address().to_v6().to_bytes());
  }
  out += static_cast<char>(endpoint.port() >> 8);
  out += static_cast<char>(endpoint.port() & 255);
}

template <class AnyEndpoint, class Address>
AnyEndpoint endpoint_of(std::string_view record) {
  typename Address::bytes_type bytes;
  std::copy_n(record.begin(), bytes.size(), reinterpret_cast<char*>(bytes.data()));
  const auto high = static_cast<unsigned char>(record[bytes.size()]);
  const auto low = static_cast<unsigned char>(record[bytes.size() + 1]);
  return {normalised(asio::ip::address(Address(bytes))),
          static_cast<std::uint16_t>(high << 8 | low)};
}

constexpr std::size_t kEndpoint4 = 6;   // BEP 5
constexpr std::size_t kEndpoint6 = 18;  // BEP 32

// Empty: no record of either length, or port 0.
template <class AnyEndpoint>
std::optional<AnyEndpoint> read_endpoint(std::string_view record) {
  AnyEndpoint endpoint;
  if (record.size() == kEndpoint4) {
    endpoint = endpoint_of<AnyEndpoint, asio::ip::address_v4>(record);
  } else if (record.size() == kEndpoint6) {
    endpoint = endpoint_of<AnyEndpoint, asio::ip::address_v6>(record);
  }
  if (endpoint.port() == 0) return std::nullopt;
  return endpoint;
}

// ---- Reading

std::optional<NodeId> read_id(bencode::Value value) {
  const auto bytes = value.bytes();
  if (!bytes || bytes->size() != kIdSize) return std::nullopt;
  NodeId id;
  std::copy(bytes->begin(), bytes->end(), id.bytes.begin());
  return id;
}

std::string read_text(bencode::Value value, std::size_t limit) {
  return std::string(value.string().value_or("").substr(0, limit));
}

Want read_want(bencode::Value value) {
  Want want;
  for (const bencode::Value item : value.items()) {
    want.n4 |= item.string() == "n4";
    want.n6 |= item.string() == "n6";
  }
  return want;
}

// The question, or the code of the error that is its answer.
std::variant<Question, std::int64_t> read_question(std::string_view method,
                                                   bencode::Value arguments) {
  if (method == "ping") return Question(Ping{});
  if (method == "find_node") {
    const auto target = read_id(arguments["target"]);
    if (!target) return kProtocolError;
    return Question(FindNode{*target, read_want(arguments["want"])});
  }
  if (method != "get_peers" && method != "announce_peer") return kMethodUnknown;
  const auto info_hash = read_id(arguments["info_hash"]);
  if (!info_hash) return kProtocolError;
  if (method == "get_peers") return Question(GetPeers{*info_hash, read_want(arguments["want"])});
  const bool implied_port = arguments["implied_port"].integer().value_or(0) != 0;
  const auto port = arguments["port"].integer(1, 65535);
  const auto token = arguments["token"].string();
  if ((!port && !implied_port) || !token || token->size() > kMaxToken) return kProtocolError;
  return Question(AnnouncePeer{*info_hash, static_cast<std::uint16_t>(port.value_or(0)),
                               implied_port, std::string(*token)});
}

std::variant<Query, Reply, Error, BadQuery> read_query(bencode::Value root) {
  const auto id = read_id(root["a"]["id"]);
  if (!id) return BadQuery{kProtocolError};
  const auto question = read_question(root["q"].string().value_or(""), root["a"]);
  if (const auto* code = std::get_if<std::int64_t>(&question)) return BadQuery{*code};
  return Query{*id, std::get<Question>(question), root["ro"].integer() == 1};
}

Result<Reply> read_reply(bencode::Value body) {
  const auto id = read_id(body["id"]);
  if (!id) return NetErrc::protocol_error;
  Reply reply{*id, {}, {}, {}};
  read_compact_nodes(body["nodes"].string().value_or(""), Family::ipv4, kMaxNodes, reply.nodes);
  read_compact_nodes(body["nodes6"].string().value_or(""), Family::ipv6, kMaxNodes, reply.nodes);
  for (const bencode::Value item : body["values"].items()) {
    if (reply.values.size() == kMaxValues) break;
    const auto peer = read_endpoint<Endpoint>(item.string().value_or(""));
    if (peer) reply.values.push_back(*peer);
  }
  const std::string_view token = body["token"].string().value_or("");
  if (token.size() <= kMaxToken) reply.token = token;  // part of one would be worth nothing
  return reply;
}

Error read_error(bencode::Value body) {
  Error error;
  for (const bencode::Value item : body.items()) {
    if (const auto code = item.integer()) error.code = *code;
    if (item.string()) error.text = read_text(item, kMaxErrorText);
  }
  return error;
}

// ---- Writing

bencode::List encode_want(Want want) {
  bencode::List list;
  if (want.n4) list.add("n4");
  if (want.n6) list.add("n6");
  return list;
}

struct QuestionWriter {  // returns the method's name, fills in its arguments
  bencode::Dictionary& arguments;
  std::string_view operator()(const Ping& /*ping*/) const { return "ping"; }
  std::string_view operator()(const FindNode& find) const {
    arguments.add("target", characters(find.target));
    if (find.want != Want{}) arguments.add("want", encode_want(find.want));
    return "find_node";
  }
  std::string_view operator()(const GetPeers& get) const {
    arguments.add("info_hash", characters(get.info_hash));
    if (get.want != Want{}) arguments.add("want", encode_want(get.want));
    return "get_peers";
  }
  std::string_view operator()(const AnnouncePeer& announce) const {
    if (announce.implied_port) arguments.add("implied_port", 1);
    arguments.add("info_hash", characters(announce.info_hash));
    arguments.add("port", announce.port);
    arguments.add("token", announce.token);
    return "announce_peer";
  }
};

void write(bencode::Dictionary& root, const Query& query) {
  bencode::Dictionary arguments;
  arguments.add("id", characters(query.id));
  const std::string_view method = std::visit(QuestionWriter{arguments}, query.question);
  root.add("a", arguments).add("q", method).add("y", "q");
  if (query.read_only) root.add("ro", 1);
}

void write(bencode::Dictionary& root, const Reply& reply) {
  bencode::Dictionary body;
  body.add("id", characters(reply.id));
  const std::string nodes = compact_nodes(reply.nodes, Family::ipv4);
  const std::string nodes6 = compact_nodes(reply.nodes, Family::ipv6);
  if (!nodes.empty()) body.add("nodes", nodes);
  if (!nodes6.empty()) body.add("nodes6", nodes6);
  if (!reply.token.empty()) body.add("token", reply.token);
  if (!reply.values.empty()) {
    bencode::List values;
    for (const Endpoint& peer : reply.values) {
      std::string record;
      append_endpoint(record, peer);
      values.add(record);
    }
    body.add("values", values);
  }
  root.add("r", body).add("y", "r");
}

void write(bencode::Dictionary& root, const Error& error) {
  root.add("e", bencode::List().add(error.code).add(error.text)).add("y", "e");
}

void write(bencode::Dictionary& root, const BadQuery& bad) {
  write(root, Error{bad.code, ""});
}

}  // namespace

std::string compact_nodes(std::span<const NodeContact> nodes, Family family) {
  std::string records;
  for (const NodeContact& node : nodes) {
    if (family_of(node.endpoint.address()) != family) continue;
    records += characters(node.id);
    append_endpoint(records, node.endpoint);
  }
  return records;
}

void read_compact_nodes(std::string_view records, Family family, std::size_t limit,
                        std::vector<NodeContact>& out) {
  const std::size_t stride = kIdSize + (family == Family::ipv4 ? kEndpoint4 : kEndpoint6);
  for (; records.size() >= stride && limit > 0; records.remove_prefix(stride), --limit) {
    NodeContact node;
    std::copy_n(records.begin(), kIdSize, reinterpret_cast<char*>(node.id.bytes.data()));
    const auto endpoint = read_endpoint<UdpEndpoint>(records.substr(kIdSize, stride - kIdSize));
    if (!endpoint || family_of(endpoint->address()) != family) continue;
    node.endpoint = *endpoint;
    out.push_back(node);
  }
}

Result<Message> decode(std::span<const std::byte> datagram) {
  if (datagram.size() > kMaxReceived) return NetErrc::protocol_error;
  // Unsorted keys are common here; nothing is hashed over these bytes.
  const auto document =
      bencode::Document::read(datagram, bencode::kMessageLimits, bencode::Mode::lenient);
  if (!document) return NetErrc::protocol_error;
  const bencode::Value root = document->root();
  const auto transaction = root["t"].string();
  if (!transaction || transaction->empty() || transaction->size() > kMaxTransaction) {
    return NetErrc::protocol_error;
  }
  Message message{std::string(*transaction), BadQuery{}, std::nullopt,
                  read_text(root["v"], kMaxVersion)};
  message.ip = read_endpoint<UdpEndpoint>(root["ip"].string().value_or(""));
  const auto kind = root["y"].string();
  if (kind == "q") {
    message.body = read_query(root);
  } else if (kind == "r") {
    const auto reply = read_reply(root["r"]);
    if (!reply) return reply.error();
    message.body = *reply;
  } else if (kind == "e") {
    message.body = read_error(root["e"]);
  } else {
    return NetErrc::protocol_error;
  }
  return message;
}

std::string encode(const Message& message) {
  bencode::Dictionary root;
  std::visit([&root](const auto& body) { write(root, body); }, message.body);
  if (message.ip) {
    std::string record;
    append_endpoint(record, *message.ip);
    root.add("ip", record);
  }
  root.add("t", message.transaction);
  if (!message.version.empty()) root.add("v", message.version);
  return root.encode();
}

}  // namespace swarmfs::net::krpc
