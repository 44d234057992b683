// --verify: hashes all that the cache holds of a torrent, before it is mounted.
//
// Threads: engine thread; the work is the store's. Memory: constant. Errors: what is wrong is
// missing afterwards. Lifetime: the store and `stop` outlive it; it is not to be cancelled.
#pragma once
#include <boost/asio/any_io_executor.hpp>
#include <cstdint>
#include <functional>
#include <string>

#include "storage/piece_store.h"
#include "storage/result.h"

namespace swarmfs::fs {

struct VerifyProgress {
  std::uint32_t done = 0;  // pieces
  std::uint32_t bad = 0;   // of them
  std::uint32_t total = 0;
  bool operator==(const VerifyProgress&) const = default;
};

// `progress` is called when the percentage changes, and at the end. Ends soon after `stop` is true.
[[nodiscard]] Task<VerifyProgress> verify_cache(asio::any_io_executor executor,
                                                storage::PieceStore& store,
                                                std::function<void(VerifyProgress)> progress,
                                                const bool& stop);

[[nodiscard]] unsigned percent(VerifyProgress progress);
// "checking the cache [#####     ]  52 %, 3 pieces damaged"
[[nodiscard]] std::string progress_bar(VerifyProgress progress);

}  // namespace swarmfs::fs
