// A simulated peer: real wire bytes, any kind of character. A host that accepts connections and
// serves the torrent as its PeerSpec says; by default a good seed like the ones in the wild:
// unchokes at once, answers first come first served, and has up to a watermark of blocks in its
// send buffer that no cancel can recall.
//
// Threads: one. Errors: none; what a peer does wrong is on purpose. Lifetime: SimPeer outlives the
// loop's last event.
#pragma once
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "tests/sim/sim_net.h"
#include "tests/sim/truth.h"
#include "tests/sim/wire.h"

namespace swarmfs::sim {

enum class Unchoke {
  at_once,    // as libtorrent with a free slot
  pulse_10s,  // as Transmission: only on a ten-second pulse
  flapping,   // chokes and unchokes every few seconds
  never,
};

enum class Crime {  // what a peer does out of protocol
  none,
  oversized_message,   // a length prefix of 2 GiB
  wrong_piece_index,   // a block of a piece that does not exist
  unrequested_blocks,  // right bytes that nobody asked for
  wrong_torrent,       // a handshake that names another info-hash
  garbage_greeting,    // not a handshake at all
  bad_bitfield,        // one byte too long
  late_bitfield,       // a second bitfield in the middle
  unknown_messages,    // ids nobody has heard of: to be ignored (BEP 3 is silent, every client
                       // ignores them)
  short_message,       // a request message of 3 bytes
  have_out_of_range,
};

enum class Metadata {  // what a peer does about ut_metadata (BEP 9)
  unknown,             // does not speak it
  serves,              // as libtorrent: answers for 160 KiB at once, the rest on a one-second tick
  silent,              // says it has it, and never answers
  rejects,
  garbles,     // serves wrong bytes
  wrong_size,  // claims a size that is not
};

struct PeerSpec {
  Link link{};
  SimNet::Dial dial = SimNet::Dial::answers;
  bool fast = true;      // speaks the fast extension
  bool extended = true;  // speaks the extension protocol, and so announces reqq
  std::uint32_t reqq = 500;
  double has = 1;                  // fraction of the pieces that it has
  bool lies_about_pieces = false;  // says it has all
  bool announces_slowly = false;   // have messages over the first seconds instead of a bitfield
  Unchoke unchoke = Unchoke::at_once;
  std::optional<std::uint32_t>
      silent_after{};   // blocks served; then requests are taken and never answered
  double rejects = 0;   // probability that a request is refused (dropped when not fast)
  double corrupts = 0;  // probability that a block is noise
  bool ignores_cancels = false;
  std::size_t watermark = 128 * 1024;  // bytes of blocks put in the send buffer ahead of the socket
  Duration service_delay{};            // its disk
  std::optional<Duration> hangs_up_after{};  // mean life of a connection
  // As a libtorrent seed: who is unchoked and interested and asks for nothing is dropped after it.
  std::optional<Duration> drops_idle_after{};
  Crime crime = Crime::none;
  bool silent_on_accept = false;  // accepts connections and says nothing
  Metadata metadata = Metadata::unknown;

  // Serves each thing it is asked for, truthfully and without breaking off.
  [[nodiscard]] bool honest() const;
  // ... and it has everything, unchokes at once, and never goes silent or away: a read may count on
  // it.
  [[nodiscard]] bool dependable() const;
};

class SimPeer {
 public:
  SimPeer(SimLoop& loop, SimNet& net, const Truth& truth, PeerSpec spec, Endpoint endpoint,
          std::uint64_t seed);
  ~SimPeer();
  SimPeer(const SimPeer&) = delete;
  SimPeer& operator=(const SimPeer&) = delete;
  [[nodiscard]] const PeerSpec& spec() const { return spec_; }
  [[nodiscard]] const Endpoint& endpoint() const { return endpoint_; }
  [[nodiscard]] bool has(std::uint32_t piece) const { return has_[piece]; }
  [[nodiscard]] std::uint32_t blocks_sent() const { return blocks_sent_; }
  [[nodiscard]] std::uint32_t blocks_corrupted() const { return blocks_corrupted_; }
  [[nodiscard]] std::size_t connections() const { return connections_; }
  [[nodiscard]] std::uint32_t metadata_sent() const { return metadata_sent_; }  // pieces of it

 private:
  class Connection;
  void accept(std::shared_ptr<Socket> socket);

  SimLoop& loop_;
  const Truth& truth_;
  PeerSpec spec_;
  Endpoint endpoint_;
  Rng rng_;
  std::vector<bool> has_;
  std::vector<std::shared_ptr<Connection>> open_;
  std::uint32_t blocks_sent_ = 0;
  std::uint32_t blocks_corrupted_ = 0;
  std::uint32_t metadata_sent_ = 0;
  std::size_t connections_ = 0;
};

}  // namespace swarmfs::sim
