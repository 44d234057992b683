#include "tests/sim/sim_peer.h"

#include <algorithm>

namespace swarmfs::sim {
namespace {

constexpr Duration kPulse = 10s;
constexpr Duration kKeepAlive = 100s;
// libtorrent's ut_metadata.
constexpr std::size_t kMetadataWatermark = 160 * 1024;
constexpr Duration kMetadataTick = 1s;

struct Asked {
  std::uint32_t index, begin, length;
  TimePoint ready;  // when its disk has it
  bool operator==(const Asked& o) const {
    return index == o.index && begin == o.begin && length == o.length;
  }
};

}  // namespace

bool PeerSpec::honest() const {
  return corrupts == 0 && crime == Crime::none && !lies_about_pieces && !silent_after &&
         !silent_on_accept;
}

bool PeerSpec::dependable() const {
  return honest() && dial == SimNet::Dial::answers && has >= 1 && unchoke == Unchoke::at_once &&
         rejects == 0 && !hangs_up_after;
}

// One connection's side of the peer. Kept alive by the events that mention it; deaf once it is
// closed.
class SimPeer::Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(SimPeer& peer, std::shared_ptr<Socket> socket)
      : peer_(peer), spec_(peer.spec_), socket_(std::move(socket)) {}

  void start() {
    splitter_.on_handshake = [this](const wire::Handshake& h) { greet(h); };
    splitter_.on_message = [this](std::uint8_t id, std::span<const std::byte> body) {
      receive(id, body);
    };
    socket_->on_readable([this] { readable(); });
    socket_->on_writable([this] { serve(); });
    if (!spec_.silent_on_accept) keep_alive();
    if (spec_.hangs_up_after) {
      const double mean = to_seconds(*spec_.hangs_up_after);
      after(seconds_of(peer_.rng_.real(0.2, 1.8) * mean), [this] { close(); });
    }
  }
  [[nodiscard]] bool closed() const { return socket_ == nullptr; }
  void close() {
    if (closed()) return;
    socket_->close();
    socket_ = nullptr;
    queue_.clear();
  }

 private:
  void after(Duration delay, std::function<void()> what) {
    SimClock& clock = peer_.loop_.clock();
    clock.schedule(clock.now() + delay, [self = shared_from_this(), what = std::move(what)] {
      if (!self->closed()) what();
    });
  }
  void keep_alive() {
    after(kKeepAlive, [this] {
      wire::put_u32(out_, 0);
      flush();
      if (!closed()) keep_alive();
    });
  }
  void readable() {
    const auto self = shared_from_this();
    const std::vector<std::byte> bytes = socket_->read_all();
    if (!spec_.silent_on_accept) splitter_.feed(bytes);
    if (!closed() && socket_->at_end()) close();
  }

  void greet(const wire::Handshake& theirs);
  void announce_pieces();
  void commit_crime();
  void receive(std::uint8_t id, std::span<const std::byte> body);
  void on_extended(std::span<const std::byte> body);
  void serve_metadata(bool now);
  void put_metadata(std::uint32_t piece);
  void on_interested();
  void watch_idle();
  void flap();
  void set_choke(bool choke);
  void on_request(const Asked& asked);
  void on_cancel(const Asked& asked);
  void refuse(const Asked& asked);
  bool may_serve();
  void serve();
  void put_block(const Asked& asked);
  void flush();

  SimPeer& peer_;
  const PeerSpec& spec_;
  std::shared_ptr<Socket> socket_;
  wire::Splitter splitter_;
  bool fast_ = false;
  bool choked_ = true;
  TimePoint last_request_{};  // or unchoke
  bool interested_ = false;
  bool serve_armed_ = false;
  std::deque<Asked> queue_;
  std::deque<std::uint32_t> metadata_queue_;
  std::uint8_t metadata_id_ = 0;  // theirs
  wire::Bytes out_;
  std::size_t out_at_ = 0;
};

void SimPeer::Connection::greet(const wire::Handshake& theirs) {
  fast_ = spec_.fast && theirs.fast;
  if (spec_.crime == Crime::garbage_greeting) {
    for (int i = 0; i < 200; ++i) out_.push_back(static_cast<std::byte>(peer_.rng_.below(256)));
    return flush();
  }
  wire::Handshake ours{peer_.truth_.info_hash(), spec_.fast, spec_.extended};
  if (spec_.crime == Crime::wrong_torrent) ours.info_hash.bytes[0] ^= std::byte{1};
  wire::put_handshake(out_, ours, peer_.endpoint_.address().to_v4().to_uint());
  announce_pieces();
  if (spec_.extended && theirs.extended) {
    auto size = static_cast<std::uint32_t>(peer_.truth_.info().size());
    if (spec_.metadata == Metadata::unknown) size = 0;
    if (spec_.metadata == Metadata::wrong_size) size = size * 2 + 1;
    wire::put_extended_handshake(out_, spec_.reqq, size);
  }
  flush();
  if (spec_.crime != Crime::none) after(peer_.rng_.duration(100ms, 3s), [this] { commit_crime(); });
}

void SimPeer::Connection::announce_pieces() {
  const std::uint32_t count = peer_.truth_.layout().piece_count();
  const auto says = [this](std::uint32_t piece) {
    return spec_.lies_about_pieces || peer_.has_[piece];
  };
  std::uint32_t all = 0;
  for (std::uint32_t p = 0; p < count; ++p) all += says(p) ? 1 : 0;
  if (spec_.announces_slowly) {
    if (fast_) wire::put(out_, wire::kHaveNone);
    for (std::uint32_t p = 0; p < count; ++p) {
      if (!says(p)) continue;
      after(peer_.rng_.duration(0s, 3s), [this, p] {
        wire::put(out_, wire::kHave, {p});
        flush();
      });
    }
    return;
  }
  if (fast_ && all == count && spec_.crime != Crime::bad_bitfield)
    return wire::put(out_, wire::kHaveAll);
  if (fast_ && all == 0) return wire::put(out_, wire::kHaveNone);
  if (all == 0) return;  // without the fast extension an empty bitfield is left out
  wire::Bytes bits((count + 7) / 8 + (spec_.crime == Crime::bad_bitfield ? 1 : 0));
  for (std::uint32_t p = 0; p < count; ++p) {
    if (says(p)) bits[p / 8] |= static_cast<std::byte>(0x80U >> (p % 8));
  }
  wire::put_body(out_, wire::kBitfield, bits);
}

void SimPeer::Connection::commit_crime() {
  const std::uint32_t count = peer_.truth_.layout().piece_count();
  const std::byte three[3] = {};
  switch (spec_.crime) {
    case Crime::oversized_message:
      wire::put_u32(out_, 0x80000000U);
      break;
    case Crime::wrong_piece_index: {
      wire::Bytes body(8 + 1024);
      body[0] = std::byte{0x7f};
      wire::put_body(out_, wire::kPiece, body);
      break;
    }
    case Crime::unrequested_blocks:
      for (int i = 0; i < 8; ++i)
        put_block({static_cast<std::uint32_t>(peer_.rng_.below(count)), 0, 1024, {}});
      break;
    case Crime::late_bitfield:
      wire::put_body(out_, wire::kBitfield, wire::Bytes((count + 7) / 8));
      break;
    case Crime::unknown_messages:
      wire::put_body(out_, static_cast<wire::Id>(99), wire::Bytes(500));
      wire::put_body(out_, static_cast<wire::Id>(200), {});
      break;
    case Crime::short_message:
      wire::put_body(out_, wire::kRequest, three);
      break;
    case Crime::have_out_of_range:
      wire::put(out_, wire::kHave, {count + 7});
      break;
    default:
      break;
  }
  flush();
}

void SimPeer::Connection::receive(std::uint8_t id, std::span<const std::byte> body) {
  if (closed()) return;
  if (id == wire::kInterested) {
    interested_ = true;
    on_interested();
  } else if (id == wire::kNotInterested) {
    interested_ = false;
    set_choke(true);
  } else if ((id == wire::kRequest || id == wire::kCancel) && body.size() == 12) {
    const Asked asked{wire::get_u32(body, 0), wire::get_u32(body, 4), wire::get_u32(body, 8),
                      peer_.loop_.clock().now() + spec_.service_delay};
    id == wire::kRequest ? on_request(asked) : on_cancel(asked);
  } else if (id == wire::kExtended && !body.empty() && spec_.metadata != Metadata::unknown) {
    on_extended(body);
  }
}

void SimPeer::Connection::on_extended(std::span<const std::byte> body) {
  const auto text = body.subspan(1);
  if (body[0] == std::byte{0}) {
    metadata_id_ = static_cast<std::uint8_t>(wire::find_integer(text, "11:ut_metadatai", 0));
    return;
  }
  const bool request = wire::find_integer(text, "8:msg_typei", 9) == 0;
  if (body[0] != std::byte{wire::kMetadataId} || !request || metadata_id_ == 0) return;
  const std::uint32_t piece = wire::find_integer(text, "5:piecei", 0);
  if (spec_.metadata == Metadata::silent) return;
  if (spec_.metadata == Metadata::rejects) {
    wire::put_metadata(out_, metadata_id_, 2, piece, 0, {});
    return flush();
  }
  metadata_queue_.push_back(piece);
  serve_metadata(metadata_queue_.size() == 1);
}

// At once while there is room (`now`); what does not fit waits for the tick.
void SimPeer::Connection::serve_metadata(bool now) {
  flush();
  while (now && !metadata_queue_.empty() && out_.size() - out_at_ < kMetadataWatermark) {
    put_metadata(metadata_queue_.front());
    metadata_queue_.pop_front();
    flush();
  }
  if (now && !metadata_queue_.empty()) after(kMetadataTick, [this] { serve_metadata(true); });
}

void SimPeer::Connection::put_metadata(std::uint32_t piece) {
  const std::vector<std::byte>& info = peer_.truth_.info();
  const std::size_t begin = std::size_t{piece} * storage::kBlockSize;
  std::size_t total = info.size();
  if (spec_.metadata == Metadata::wrong_size) total = total * 2 + 1;
  if (begin >= total) return;
  wire::Bytes data(std::min<std::size_t>(storage::kBlockSize, total - begin));
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = info[(begin + i) % info.size()];
  if (spec_.metadata == Metadata::garbles) data[0] ^= std::byte{1};
  wire::put_metadata(out_, metadata_id_, 1, piece, static_cast<std::uint32_t>(total), data);
  ++peer_.metadata_sent_;
}

void SimPeer::Connection::on_interested() {
  if (!choked_) return;
  SimClock& clock = peer_.loop_.clock();
  switch (spec_.unchoke) {
    case Unchoke::at_once:
      return set_choke(false);
    case Unchoke::never:
      return;
    case Unchoke::pulse_10s: {
      // The pulse of each host has a phase of its own.
      const Duration phase(
          static_cast<std::int64_t>(mix(peer_.endpoint_.address().to_v4().to_uint()) % 10'000'000));
      const Duration since = (clock.now().time_since_epoch() + phase) % kPulse;
      return after(kPulse - since, [this] {
        if (interested_) set_choke(false);
      });
    }
    case Unchoke::flapping:
      return flap();
  }
}

void SimPeer::Connection::watch_idle() {
  if (!spec_.drops_idle_after || choked_) return;
  const Duration idle = peer_.loop_.clock().now() - last_request_;
  if (idle >= *spec_.drops_idle_after) return close();
  after(*spec_.drops_idle_after - idle, [this] { watch_idle(); });
}

void SimPeer::Connection::flap() {
  set_choke(!choked_);
  after(peer_.rng_.duration(500ms, 5s), [this] { flap(); });
}

void SimPeer::Connection::set_choke(bool choke) {
  if (choke == choked_) return;
  choked_ = choke;
  if (!choke) {
    last_request_ = peer_.loop_.clock().now();
    watch_idle();
  }
  wire::put(out_, choke ? wire::kChoke : wire::kUnchoke);
  if (choke) {
    // BEP 6: a choke refuses nothing by itself, each request is answered. Without it, a choke
    // forgets them.
    const std::deque<Asked> dropped = std::exchange(queue_, {});
    for (const Asked& asked : dropped) refuse(asked);
  }
  flush();
}

void SimPeer::Connection::refuse(const Asked& asked) {
  if (fast_) wire::put(out_, wire::kReject, {asked.index, asked.begin, asked.length});
}

void SimPeer::Connection::on_request(const Asked& asked) {
  last_request_ = peer_.loop_.clock().now();
  const std::uint32_t count = peer_.truth_.layout().piece_count();
  if (asked.index >= count) return close();
  if (choked_ || !peer_.has_[asked.index] || peer_.rng_.chance(spec_.rejects)) {
    refuse(asked);
    return flush();
  }
  if (queue_.size() >= spec_.reqq) {  // as libtorrent does
    refuse(asked);
    return flush();
  }
  queue_.push_back(asked);
  serve();
}

void SimPeer::Connection::on_cancel(const Asked& asked) {
  if (spec_.ignores_cancels) return;
  const auto found = std::find(queue_.begin(), queue_.end(), asked);
  if (found == queue_.end()) return;  // already on its way
  queue_.erase(found);
  refuse(asked);
  flush();
}

bool SimPeer::Connection::may_serve() {
  if (closed() || queue_.empty() || out_.size() - out_at_ >= spec_.watermark) return false;
  if (spec_.silent_after && peer_.blocks_sent_ >= *spec_.silent_after) return false;
  const TimePoint now = peer_.loop_.clock().now();
  if (queue_.front().ready <= now) return true;
  if (!serve_armed_) {
    serve_armed_ = true;
    after(queue_.front().ready - now, [this] {
      serve_armed_ = false;
      serve();
    });
  }
  return false;
}

void SimPeer::Connection::serve() {
  flush();
  while (may_serve()) {
    const Asked asked = queue_.front();
    queue_.pop_front();
    put_block(asked);
    flush();
  }
}

void SimPeer::Connection::put_block(const Asked& asked) {
  const storage::Layout& layout = peer_.truth_.layout();
  const std::uint64_t offset = std::uint64_t{asked.index} * layout.piece_length() + asked.begin;
  if (asked.length > storage::kBlockSize || offset + asked.length > layout.total_size())
    return close();
  wire::put_u32(out_, 9 + asked.length);
  out_.push_back(static_cast<std::byte>(wire::kPiece));
  wire::put_u32(out_, asked.index);
  wire::put_u32(out_, asked.begin);
  const std::size_t at = out_.size();
  out_.resize(at + asked.length);
  const std::span<std::byte> payload = std::span(out_).subspan(at);
  peer_.truth_.fill(offset, payload);
  ++peer_.blocks_sent_;
  if (peer_.rng_.chance(spec_.corrupts)) {
    ++peer_.blocks_corrupted_;
    for (std::byte& b : payload) b ^= static_cast<std::byte>(1 + peer_.rng_.below(255));
  }
}

void SimPeer::Connection::flush() {
  if (closed()) return;
  while (out_at_ < out_.size()) {
    const std::size_t n = socket_->write(std::span<const std::byte>(out_).subspan(out_at_));
    if (n == 0) break;
    out_at_ += n;
  }
  if (out_at_ == out_.size() || out_at_ > 256 * 1024) {
    out_.erase(out_.begin(), out_.begin() + static_cast<std::ptrdiff_t>(out_at_));
    out_at_ = 0;
  }
}

SimPeer::SimPeer(SimLoop& loop, SimNet& net, const Truth& truth, PeerSpec spec, Endpoint endpoint,
                 std::uint64_t seed)
    : loop_(loop),
      truth_(truth),
      spec_(spec),
      endpoint_(std::move(endpoint)),
      rng_(seed),
      has_(truth.layout().piece_count()) {
  for (std::size_t i = 0; i < has_.size(); ++i) has_[i] = rng_.chance(spec_.has);
  net.add_host(endpoint_, spec_.link, spec_.dial,
               [this](std::shared_ptr<Socket> socket) { accept(std::move(socket)); });
}

SimPeer::~SimPeer() {
  for (const std::shared_ptr<Connection>& connection : open_) connection->close();
}

void SimPeer::accept(std::shared_ptr<Socket> socket) {
  ++connections_;
  std::erase_if(open_, [](const std::shared_ptr<Connection>& c) { return c->closed(); });
  open_.push_back(std::make_shared<Connection>(*this, std::move(socket)));
  open_.back()->start();
}

}  // namespace swarmfs::sim
