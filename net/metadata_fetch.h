// The metainfo's info dictionary, fetched from peers (BEP 9): whom to ask for which piece of it,
// until a whole has come that matches the info-hash. Peers and answers go in, questions come out.
//
// Peers may disagree on its size, and lie: each size that somebody claims is a candidate of its
// own, fetched from those that claim it, so that a lie only holds up its own candidate. Within a
// candidate the pieces are striped over all its peers, late ones asked twice. A whole that does not
// match is fetched again from one peer at a time, until one tells the truth; the liars are known
// then.
//
// Threads: engine thread; pure (no sockets, `now` is given). Memory: candidates under work claim at
// most kMaxFetchedBytes together, and hold what has come of that. Errors: protocol_error for a
// flood of answers that nobody asked for.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "net/blame.h"
#include "net/clock.h"
#include "net/error.h"
#include "net/metadata_message.h"
#include "net/open_piece.h"
#include "net/stream.h"
#include "storage/hash.h"

namespace swarmfs::net {

// The largest candidate there is and another one beside it: a liar cannot crowd out the truth.
inline constexpr std::size_t kMaxFetchedBytes = 2 * std::size_t{kMaxMetadataSize};

class MetadataFetch {
 public:
  struct Ask {
    PeerKey peer;
    std::uint32_t piece;
  };
  struct Progress {
    std::uint64_t bytes = 0;            // that came, not checked
    std::optional<std::uint64_t> size;  // as most peers claim; empty: none has said
  };

  explicit MetadataFetch(const storage::InfoHash& info_hash);
  ~MetadataFetch();
  MetadataFetch(const MetadataFetch&) = delete;
  MetadataFetch& operator=(const MetadataFetch&) = delete;

  // -- peers that take ut_metadata. `size`: what it claims; empty: nothing. May come again.
  void on_peer(PeerKey key, const Endpoint& endpoint, Duration round_trip,
               std::optional<std::uint32_t> size, TimePoint now);
  void on_gone(PeerKey key);
  [[nodiscard]] error_code on_data(PeerKey key, const MetadataMessage& data, TimePoint now);
  void on_reject(PeerKey key, std::uint32_t piece, TimePoint now);

  // -- decisions
  // What to ask now. Valid until the next call.
  [[nodiscard]] std::span<const Ask> schedule(TimePoint now);
  // When schedule() should run without an event; empty: not before one.
  [[nodiscard]] std::optional<TimePoint> next_wake(TimePoint now) const;

  // -- results
  [[nodiscard]] bool done() const { return !metadata_.empty(); }
  // Bytes whose SHA-1 is the info-hash; empty until done().
  [[nodiscard]] std::vector<std::byte> take_metadata() { return std::move(metadata_); }
  // Peers that are proven to have sent wrong bytes, since the last call.
  [[nodiscard]] std::vector<Endpoint> take_liars() { return std::exchange(liars_, {}); }
  [[nodiscard]] Progress progress() const;

 private:
  struct Source;
  struct Candidate;
  class Attempt;

  void join(PeerKey key, Source& source, std::uint32_t size, TimePoint now);
  void leave(PeerKey key, Source& source);
  void set_aside(PeerKey key, Source& source);
  [[nodiscard]] std::vector<Candidate*> ranked() const;
  void share_memory(TimePoint now);
  void begin(Candidate& candidate, TimePoint now);
  void change_sole_peer(Candidate& candidate, TimePoint now);
  void on_whole(Candidate& candidate);
  void convict(const Endpoint& endpoint);
  void probe(TimePoint now);

  storage::InfoHash info_hash_;
  std::map<PeerKey, std::unique_ptr<Source>> sources_;
  std::map<std::uint32_t, std::unique_ptr<Candidate>> candidates_;  // by size
  std::uint64_t next_order_ = 0;
  std::vector<Ask> asks_;
  std::vector<std::byte> metadata_;
  std::vector<Endpoint> liars_;
};

}  // namespace swarmfs::net
