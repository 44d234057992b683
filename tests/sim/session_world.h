// A real TorrentSession between simulated peers, knowing no more than the info-hash at its start.
#pragma once
#include <gtest/gtest.h>

#include <boost/asio/ip/address_v4.hpp>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "net/torrent_session.h"
#include "storage/task_group.h"
#include "storage/worker_pool.h"
#include "tests/sim/sim_net.h"
#include "tests/sim/sim_peer.h"
#include "tests/sim/truth.h"

namespace swarmfs::sim {

class SessionWorld : public testing::Test {
 protected:
  static constexpr std::uint64_t kTotal = 4 * 1024 * 1024;
  static constexpr std::uint32_t kPiece = 256 * 1024;

  // `filler`: bytes that make the metainfo larger.
  explicit SessionWorld(std::size_t filler = 0)
      : truth_(storage::Layout(kTotal, kPiece), 5, filler),
        net_(loop_, mbit(100), 7),
        tasks_(loop_.executor()),
        workers_(loop_.executor(), 0) {}
  ~SessionWorld() override { stop(); }

  // Before start().
  SimPeer& add(const PeerSpec& spec) {
    const auto number = static_cast<std::uint32_t>(peers_.size()) + 1;
    const Endpoint endpoint(asio::ip::address_v4(0x0a090000U + number), 6881);
    peers_.push_back(std::make_unique<SimPeer>(loop_, net_, truth_, spec, endpoint, number));
    return *peers_.back();
  }
  void start(std::function<void(std::span<const std::byte>)> on_metadata = {}) {
    session_.emplace(net::TorrentSession::Parts{.executor = loop_.executor(),
                                                .clock = loop_.clock(),
                                                .dialer = net_.dialer(),
                                                .info_hash = truth_.info_hash(),
                                                .metainfo = std::nullopt,
                                                .trackers = {},
                                                .hashers = workers_,
                                                .disk = nullptr,
                                                .peers = {},
                                                .log = [](int, const std::string&) {},
                                                .on_metadata = std::move(on_metadata)});
    std::vector<Endpoint> all;
    for (const auto& peer : peers_) all.push_back(peer->endpoint());
    session_->add_peers(all, net::PeerSource::tracker);
    session_->start();
  }
  // Reads and compares; when it was done, or nothing within the limit.
  std::optional<TimePoint> read(storage::ByteRange range, Duration limit = 60s) {
    read_at_.reset();
    tasks_.spawn(read(this, range));
    loop_.run_until([this] { return read_at_.has_value(); }, loop_.now() + limit);
    return read_at_;
  }
  void stop() {
    if (!session_) return;
    bool stopped = false;
    tasks_.spawn(stop_session(this, stopped));
    EXPECT_TRUE(loop_.run_until([&] { return stopped; }, loop_.now() + 60s));
    tasks_.cancel();
    loop_.settle();
    session_.reset();
    loop_.settle();
    peers_.clear();
    loop_.settle();
  }

  SimLoop loop_;
  Truth truth_;
  SimNet net_;
  std::vector<std::unique_ptr<SimPeer>> peers_;
  storage::TaskGroup tasks_;
  storage::WorkerPool workers_;
  std::optional<net::TorrentSession> session_;

 private:
  static Task<void> read(SessionWorld* self, storage::ByteRange range) {
    const net::Demand demand = self->session_->want({range});
    const Result<storage::ReadView> view = co_await self->session_->store().read(range);
    if (!view) co_return;  // stopped while it waited
    std::vector<std::byte> bytes;
    for (const auto& extent : view.value().extents()) {
      bytes.insert(bytes.end(), extent.begin(), extent.end());
    }
    EXPECT_TRUE(self->truth_.matches(range.begin, bytes));
    self->read_at_ = self->loop_.now();
  }
  static Task<void> stop_session(SessionWorld* self, bool& stopped) {
    co_await self->session_->stop();
    stopped = true;
  }

  std::optional<TimePoint> read_at_;
};

}  // namespace swarmfs::sim
