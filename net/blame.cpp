#include "net/blame.h"

#include <algorithm>
#include <utility>

namespace swarmfs::net {

std::set<Endpoint> Blame::on_corrupt(storage::PieceIndex piece, std::vector<Sent> blocks) {
  std::set<Endpoint> senders;
  for (const Sent& block : blocks) {
    if (block.sender != Endpoint()) senders.insert(block.sender);
  }
  if (senders.size() == 1) return senders;
  records_.push_back({piece, std::move(blocks)});
  if (records_.size() > kMaxRecords) records_.pop_front();
  return {};
}

bool Blame::remembers(storage::PieceIndex piece) const {
  return std::any_of(records_.begin(), records_.end(),
                     [&](const Record& r) { return r.piece == piece; });
}

std::set<Endpoint> Blame::on_verified(storage::PieceIndex piece,
                                      const std::vector<storage::Sha1Digest>& truth) {
  std::set<Endpoint> liars;
  for (const Record& record : records_) {
    if (record.piece != piece) continue;
    for (std::size_t i = 0; i < std::min(truth.size(), record.blocks.size()); ++i) {
      const Sent& sent = record.blocks[i];
      if (sent.sender != Endpoint() && sent.digest != truth[i]) liars.insert(sent.sender);
    }
  }
  std::erase_if(records_, [&](const Record& r) { return r.piece == piece; });
  return liars;
}

}  // namespace swarmfs::net
