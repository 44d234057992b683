// A small swarm in virtual time around the picker, for its tests: peers with a rate, a delay and
// stalls, without sockets or a store.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <utility>

#include "net/piece_picker.h"

namespace swarmfs::net {

using namespace std::chrono_literals;
using storage::BlockId;
using storage::kBlockSize;
using storage::PieceIndex;
using Kind = PiecePicker::Order::Kind;
using Arrival = PiecePicker::Arrival;

// A swarm in virtual time. Peers answer in order at their rate; a cancelled block is rejected
// unless it is on its way.
class World {
 public:
  struct Far {
    double rate;
    Duration round_trip;
    TimePoint free_at{};
    TimePoint stalled_until{};  // nothing leaves it before
    struct Answer {
      TimePoint at;
      BlockId block;
    };
    std::deque<Answer> answers, rejects;
    std::uint64_t delivered = 0;
  };

  World(std::uint32_t pieces, std::uint32_t blocks_per_piece, std::size_t budget = 100'000)
      : layout(std::uint64_t{pieces} * blocks_per_piece * kBlockSize,
               blocks_per_piece * kBlockSize),
        picker(layout, budget) {}

  PeerKey seed(double rate, Duration round_trip) {
    storage::Bitfield all(layout.piece_count());
    all.set_all();
    return peer(rate, round_trip, all);
  }
  PeerKey peer(double rate, Duration round_trip, const storage::Bitfield& pieces) {
    const PeerKey key = next_key_++;
    picker.add_peer(key, round_trip, true);
    picker.limit_requests(key, 500);
    picker.on_bitfield(key, pieces);
    picker.on_unchoke(key);
    peers[key] = {rate, round_trip, {}, {}, {}, {}, 0};
    return key;
  }
  WishKey want(std::uint32_t first, std::uint32_t last, Urgency urgency = Urgency::now,
               double pace = 0) {
    return picker.want(
        {{layout.range(*layout.piece_at(first)).begin, layout.range(*layout.piece_at(last)).end},
         urgency,
         pace},
        now);
  }
  [[nodiscard]] bool has(std::uint32_t p) const { return verified.contains(p); }
  // From now on `key` sends nothing until `until`; what is on the wire still comes.
  void stall(PeerKey key, TimePoint until) {
    Far& far = peers.at(key);
    far.stalled_until = until;
    Duration late{};
    for (Far::Answer& answer : far.answers) {
      if (answer.at <= now + far.round_trip / 2) continue;
      if (late == Duration::zero()) late = std::max(late, until + far.round_trip / 2 - answer.at);
      answer.at += late;
    }
    far.free_at = std::max(far.free_at + late, until);
  }
  void run_for(Duration time) {
    run_until([] { return false; }, time);
  }
  bool run_until(const std::function<bool()>& done, Duration limit) {
    const TimePoint end = now + limit;
    while (true) {
      decide();
      if (done()) return true;
      std::optional<TimePoint> next = picker.next_wake(now);
      for (auto& [key, far] : peers) {
        for (const auto* queue : {&far.answers, &far.rejects}) {
          if (queue->empty()) continue;
          next = next ? std::min(*next, queue->front().at) : queue->front().at;
        }
      }
      if (!in_line_.empty()) {
        const TimePoint at = in_line_.front().second.at;
        next = next ? std::min(*next, at) : at;
      }
      if (!next || *next > end) break;
      now = std::max(now, *next);
      answer();
      leave_line();
    }
    now = end;
    answer();
    leave_line();
    decide();
    return done();
  }

  storage::Layout layout;
  PiecePicker picker;
  TimePoint now{1h};
  std::map<PeerKey, Far> peers;
  double line = 0;  // bytes per second that all peers share; 0: no limit
  std::set<std::uint32_t> verified;
  std::uint64_t requested = 0, wasted = 0, unrequested = 0;  // blocks
  std::map<std::uint32_t, TimePoint> first_asked;            // piece
  std::map<std::uint32_t, std::set<PeerKey>> asked_of;       // piece
  std::uint64_t cancels = 0;
  std::map<std::uint32_t, std::set<std::uint32_t>> received;  // blocks of pieces not complete
  std::function<void()> before_orders;
  std::function<void(std::span<const PiecePicker::Order>)> on_orders;

 private:
  void decide() {
    if (before_orders) before_orders();
    const auto orders = picker.schedule(now);
    if (on_orders) on_orders(orders);
    for (const auto& order : orders) {
      if (order.kind == Kind::forget) {
        received.erase(order.block.piece.value());
        continue;
      }
      Far& far = peers.at(order.peer);
      if (order.kind == Kind::request) {
        ++requested;
        first_asked.try_emplace(order.block.piece.value(), now);
        asked_of[order.block.piece.value()].insert(order.peer);
        const std::chrono::duration<double> service(layout.block_size(order.block) / far.rate);
        far.free_at = std::max({far.free_at, now + far.round_trip / 2, far.stalled_until}) +
                      std::chrono::duration_cast<Duration>(service);
        far.answers.push_back({far.free_at + far.round_trip / 2, order.block});
        continue;
      }
      ++cancels;
      on_cancel(far, order.block);
    }
  }
  // What has not begun to leave is taken out of the queue and rejected.
  void on_cancel(Far& far, BlockId id) {
    const auto service = std::chrono::duration_cast<Duration>(
        std::chrono::duration<double>(layout.block_size(id) / far.rate));
    const auto found = std::find_if(far.answers.begin(), far.answers.end(),
                                    [&](const Far::Answer& a) { return a.block == id; });
    if (found == far.answers.end() ||
        found->at - far.round_trip / 2 - service <= now + far.round_trip / 2)
      return;
    for (auto later = far.answers.erase(found); later != far.answers.end(); ++later)
      later->at -= service;
    far.free_at -= service;
    far.rejects.push_back({now + far.round_trip, id});
  }
  void answer() {
    for (auto& [key, far] : peers) {
      for (; !far.rejects.empty() && far.rejects.front().at <= now; far.rejects.pop_front())
        picker.on_reject(key, far.rejects.front().block, now);
      while (!far.answers.empty() && far.answers.front().at <= now) {
        const Far::Answer next = far.answers.front();
        far.answers.pop_front();
        pass_line(key, next);
      }
    }
  }
  // What all peers share takes one block after the other.
  void pass_line(PeerKey key, const Far::Answer& next) {
    if (line == 0) return arrive(key, peers.at(key), next.block);
    const std::chrono::duration<double> service(layout.block_size(next.block) / line);
    line_free_at_ =
        std::max(line_free_at_, next.at) + std::chrono::duration_cast<Duration>(service);
    in_line_.push_back({key, {line_free_at_, next.block}});
  }
  void leave_line() {
    while (!in_line_.empty() && in_line_.front().second.at <= now) {
      const auto [key, next] = in_line_.front();
      in_line_.pop_front();
      arrive(key, peers.at(key), next.block);
    }
  }
  void arrive(PeerKey key, Far& far, BlockId id) {
    far.delivered += layout.block_size(id);
    switch (picker.on_block(key, id, now)) {
      case Arrival::wanted: {
        auto& blocks = received[id.piece.value()];
        EXPECT_TRUE(blocks.insert(id.block).second) << "wanted twice";
        if (blocks.size() < layout.block_count(id.piece)) return;
        picker.on_piece_verified(id.piece);
        EXPECT_TRUE(verified.insert(id.piece.value()).second);
        received.erase(id.piece.value());
        return;
      }
      case Arrival::redundant:
        ++wasted;
        return;
      case Arrival::unrequested:
        ++unrequested;
        return;
    }
  }
  PeerKey next_key_ = 1;
  std::deque<std::pair<PeerKey, Far::Answer>> in_line_;
  TimePoint line_free_at_{};
};

// Lets all peers show what they can do.
inline void warm_up(World& swarm, std::uint32_t first, std::uint32_t last) {
  const WishKey wish = swarm.want(first, last, Urgency::readahead);
  swarm.run_for(3s);
  swarm.picker.withdraw(wish);
  swarm.run_for(2s);
}

}  // namespace swarmfs::net
