#include "net/dht_tokens.h"

#include <algorithm>

namespace swarmfs::net {
namespace {

std::string keyed_hash(std::span<const std::byte> secret, const asio::ip::address& address,
                       const NodeId& info_hash) {
  storage::Sha1 hash;
  hash.update(secret);
  const auto add = [&hash](const auto& bytes) { hash.update(std::as_bytes(std::span(bytes))); };
  if (address.is_v4()) {
    add(address.to_v4().to_bytes());
  } else {
    add(address.to_v6().to_bytes());
  }
  hash.update(info_hash.bytes);
  const storage::Sha1Digest digest = hash.finish();
  return {reinterpret_cast<const char*>(digest.bytes.data()), kTokenSize};
}

}  // namespace

DhtTokens::DhtTokens(SecretRandom& random, TimePoint now) : random_(random), made_(now) {
  random_.fill(current_);
  random_.fill(previous_);
}

void DhtTokens::rotate(TimePoint now) {
  // After a long silence both secrets are old.
  for (int i = 0; i < 2 && now - made_ >= kTokenSecretAge; ++i) {
    previous_ = current_;
    random_.fill(current_);
    made_ += kTokenSecretAge;
  }
  if (now - made_ >= kTokenSecretAge) made_ = now;
}

std::string DhtTokens::make(const asio::ip::address& address, const NodeId& info_hash,
                            TimePoint now) {
  rotate(now);
  return keyed_hash(current_, address, info_hash);
}

bool DhtTokens::accepts(std::string_view token, const asio::ip::address& address,
                        const NodeId& info_hash, TimePoint now) {
  rotate(now);
  return token == keyed_hash(current_, address, info_hash) ||
         token == keyed_hash(previous_, address, info_hash);
}

}  // namespace swarmfs::net
