// Puts --prefetch into wishes: what is wanted in the background, as long as the cache has room for
// it without giving anything up.
//
// Threads: engine thread only. Memory: one wish a run of files. Errors: none. Lifetime: what is
// called outlives it; its wishes end with it.
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "net/swarm.h"
#include "storage/units.h"

namespace swarmfs::fs {

// `ranges` in order, those that touch or overlap as one, without empty ones.
[[nodiscard]] std::vector<storage::ByteRange> joined(std::vector<storage::ByteRange> ranges);

class Prefetcher {
 public:
  struct Parts {
    std::function<net::Demand(net::Wish)> want;
    std::function<std::vector<storage::ByteRange>()> files;  // what is to be fetched
    std::function<bool(storage::ByteRange)> is_there;
    // Spare bytes of the cache below which nothing more is fetched: what is on its way has to fit.
    std::uint64_t margin;
  };
  explicit Prefetcher(Parts parts) : parts_(std::move(parts)) {}

  // The cache has room for so many bytes.
  void on_spare(std::uint64_t bytes);
  // Files may have been opened, closed or completed. Call now and then.
  void look();
  [[nodiscard]] bool active() const { return !demands_.empty(); }

 private:
  Parts parts_;
  bool room_ = false;
  std::vector<storage::ByteRange> wanted_;
  std::vector<net::Demand> demands_;
};

}  // namespace swarmfs::fs
