#include "net/pex.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <string_view>

#include "net/connect_policy.h"
#include "storage/bencode.h"

namespace swarmfs::net {
namespace bencode = storage::bencode;
namespace {

constexpr char kReachable = 0x10;  // BEP 11 flag: we connected to it
// Messages that came too early, before it is a flood.
constexpr std::uint32_t kMaxIgnored = 20;
// Addresses that one connection may bring us: a quarter of the address list.
constexpr std::size_t kMaxTakenOfOne = 500;

template <class Address>
void append(std::string& out, const Address& address, std::uint16_t port) {
  for (const unsigned char b : address.to_bytes()) out += static_cast<char>(b);
  out += static_cast<char>(port >> 8);
  out += static_cast<char>(port & 0xff);
}

struct Packed {  // "added" and "added6"
  std::string v4, v6;
};

Packed packed(const std::vector<Endpoint>& endpoints) {
  Packed text;
  for (const Endpoint& endpoint : endpoints) {
    if (endpoint.address().is_v4()) {
      append(text.v4, endpoint.address().to_v4(), endpoint.port());
    } else {
      append(text.v6, endpoint.address().to_v6(), endpoint.port());
    }
  }
  return text;
}

template <class Address>
void unpack(std::string_view text, std::vector<Endpoint>& out) {
  typename Address::bytes_type bytes;
  const std::size_t size = bytes.size() + 2;
  for (; text.size() >= size && out.size() < kMaxPexTaken; text.remove_prefix(size)) {
    std::transform(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(bytes.size()),
                   bytes.begin(), [](char c) { return static_cast<unsigned char>(c); });
    const auto high = static_cast<unsigned char>(text[bytes.size()]);
    const auto low = static_cast<unsigned char>(text[bytes.size() + 1]);
    const auto port = static_cast<std::uint16_t>(high << 8 | low);
    const Endpoint endpoint = normalised(Endpoint(Address(bytes), port));
    const bool shared = scope_of(endpoint.address()) == Scope::loopback;
    const bool known = std::any_of(out.begin(), out.end(), [&](const Endpoint& other) {
      return shared ? other == endpoint : other.address() == endpoint.address();
    });
    if (port != 0 && !known) out.push_back(endpoint);
  }
}

std::vector<Endpoint> unpacked(bencode::Value v4, bencode::Value v6) {
  std::vector<Endpoint> endpoints;
  unpack<asio::ip::address_v4>(v4.string().value_or(""), endpoints);
  unpack<asio::ip::address_v6>(v6.string().value_or(""), endpoints);
  return endpoints;
}

}  // namespace

std::vector<std::byte> encode(const PexMessage& message) {
  const Packed added = packed(message.added);
  const Packed dropped = packed(message.dropped);
  bencode::Dictionary dictionary;
  dictionary.add("added", added.v4);
  dictionary.add("added.f", std::string(added.v4.size() / 6, kReachable));
  dictionary.add("dropped", dropped.v4);
  if (!added.v6.empty()) {
    dictionary.add("added6", added.v6);
    dictionary.add("added6.f", std::string(added.v6.size() / 18, kReachable));
  }
  if (!dropped.v6.empty()) dictionary.add("dropped6", dropped.v6);
  const std::string text = dictionary.encode();
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

std::optional<PexMessage> decode_pex(std::span<const std::byte> payload) {
  if (payload.size() > kMaxPexMessage) return std::nullopt;
  const auto document =
      bencode::Document::read(payload, bencode::kMessageLimits, bencode::Mode::lenient);
  if (!document || !document->root().is(bencode::Type::dictionary)) return std::nullopt;
  const bencode::Value root = document->root();
  return PexMessage{unpacked(root["added"], root["added6"]),
                    unpacked(root["dropped"], root["dropped6"])};
}

PexInbox::Verdict PexInbox::on_message(TimePoint now) {
  if (last_) {
    const std::chrono::duration<double> passed = now - *last_;
    credit_ = std::min(kBurst, credit_ + passed / kPexInterval);
  }
  last_ = now;
  if (credit_ < 1) return ++ignored_ > kMaxIgnored ? Verdict::flood : Verdict::ignore;
  credit_ -= 1;
  return Verdict::take;
}

std::size_t PexInbox::take(std::size_t offered) {
  const std::size_t taken = std::min(offered, kMaxTakenOfOne - taken_);
  taken_ += taken;
  return taken;
}

std::optional<PexMessage> PexOutbox::next(const std::set<Endpoint>& connected) {
  PexMessage message;
  for (const Endpoint& endpoint : told_) {
    if (message.dropped.size() < kMaxPexSent && !connected.contains(endpoint))
      message.dropped.push_back(endpoint);
  }
  for (const Endpoint& endpoint : connected) {
    if (message.added.size() < kMaxPexSent && !told_.contains(endpoint))
      message.added.push_back(endpoint);
  }
  for (const Endpoint& endpoint : message.dropped) told_.erase(endpoint);
  told_.insert(message.added.begin(), message.added.end());
  if (message.added.empty() && message.dropped.empty()) return std::nullopt;
  return message;
}

bool may_tell(const Endpoint& told, const Endpoint& to) {
  const Scope scope = scope_of(told.address());
  return scope == Scope::global || scope >= scope_of(to.address());
}

}  // namespace swarmfs::net
