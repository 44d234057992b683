// ut_metadata at work (BEP 9): fetches the info dictionary from the peers that we are connected to,
// and gives it to those that ask once it is there.
//
// Threads: engine thread only. Memory: MetadataFetch's until it is there, then its bytes, and
// kMaxQueued numbers a peer. Errors: none; a peer that floods us is disconnected, one that is
// proven to lie is banned. Lifetime: the connections outlive it; destroying it ends it at once.
#pragma once
#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "net/clock.h"
#include "net/connections.h"
#include "net/metadata_fetch.h"

namespace swarmfs::net {

class MetadataExchange {
 public:
  // Bytes whose SHA-1 is the info-hash.
  using Found = std::function<void(std::vector<std::byte> metadata)>;

  MetadataExchange(asio::any_io_executor executor, Clock& clock, Connections& connections);
  ~MetadataExchange();
  MetadataExchange(const MetadataExchange&) = delete;
  MetadataExchange& operator=(const MetadataExchange&) = delete;

  // Asks peers until `found` has been called, once, in a turn of its own.
  void fetch(const storage::InfoHash& info_hash, Found found);
  [[nodiscard]] MetadataFetch::Progress progress() const;
  // From now on peers can have it. Too much for any peer (over kMaxMetadataSize): they cannot.
  void serve(std::vector<std::byte> metadata);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace swarmfs::net
