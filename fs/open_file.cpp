#include "fs/open_file.h"

#include <algorithm>

namespace swarmfs::fs {

storage::ByteRange OpenFile::clip(std::uint64_t offset, std::uint64_t size) const {
  if (offset >= file_.size()) return {file_.end, file_.end};
  const std::uint64_t begin = file_.begin + offset;
  return {begin, begin + std::min(size, file_.end - begin)};
}

std::optional<net::Wish> OpenFile::on_read(storage::ByteRange range) {
  const storage::ByteRange in_file{range.begin - file_.begin, range.end - file_.begin};
  const std::optional<Readahead::Plan> plan = readahead_.on_read(in_file, clock_.now());
  if (!plan) return std::nullopt;
  if (plan->range.empty())
    return net::Wish{{file_.begin, file_.begin}, net::Urgency::readahead, 0, reader_};
  return net::Wish{{file_.begin + plan->range.begin, file_.begin + plan->range.end},
                   net::Urgency::readahead,
                   plan->pace,
                   reader_};
}

storage::ByteRange OpenFile::window() const {
  const storage::ByteRange window = readahead_.window();
  return {file_.begin + window.begin, file_.begin + window.end};
}

void OpenFile::hold(HeldRead& read) {
  held_.push_back(read);
  readahead_.on_wait(clock_.now());
}

void OpenFile::on_answered() {
  readahead_.on_answer(clock_.now());
}

void OpenFile::linger(HeldRead& read) {
  if (lingering_.size() == kMaxLingering) lingering_.pop_front();
  const net::TimePoint until = clock_.now() + kLinger;
  lingering_.push_back({until, read.range, std::move(read.demand)});
  linger_.arm(lingering_.front().until);
}

bool OpenFile::asked_before(storage::ByteRange range) const {
  const auto within = [range](const Lingering& l) {
    return l.range.begin <= range.begin && range.end <= l.range.end;
  };
  return std::any_of(lingering_.begin(), lingering_.end(), within);
}

void OpenFile::withdraw() {
  readahead_.disarm();
  ahead_ = {};
  lingering_.clear();
  linger_.disarm();
}

void OpenFile::expire() {
  const net::TimePoint now = clock_.now();
  while (!lingering_.empty() && lingering_.front().until <= now) lingering_.pop_front();
  if (!lingering_.empty()) linger_.arm(lingering_.front().until);
}

}  // namespace swarmfs::fs
