#include "fs/cache_verify.h"

#include <cstddef>
#include <optional>

#include "storage/piece_check.h"
#include "storage/task_group.h"

namespace swarmfs::fs {
namespace {

using storage::PieceIndex;

constexpr std::size_t kBarWidth = 30;

std::string pieces(std::uint32_t count) {
  return std::to_string(count) + (count == 1 ? " piece" : " pieces");
}

struct Verify {
  storage::PieceStore& store;
  std::function<void(VerifyProgress)> progress;
  storage::Bitfield claimed;
  std::optional<PieceIndex> next;
  const bool& stop;
  VerifyProgress now;
};

// One of a few: takes the next piece until there is none.
Task<void> lane(Verify& verify) {
  while (verify.next && !verify.stop) {
    const PieceIndex piece = *verify.next;
    verify.next = verify.store.layout().next(piece);
    if (!verify.claimed.test(piece)) continue;
    co_await verify.store.check(piece);
    const unsigned before = percent(verify.now);
    ++verify.now.done;
    if (!verify.store.verified().test(piece)) ++verify.now.bad;
    if (percent(verify.now) != before) verify.progress(verify.now);
  }
}

}  // namespace

unsigned percent(VerifyProgress progress) {
  if (progress.total == 0) return 100;
  return static_cast<unsigned>(std::uint64_t{progress.done} * 100 / progress.total);
}

Task<VerifyProgress> verify_cache(asio::any_io_executor executor, storage::PieceStore& store,
                                  std::function<void(VerifyProgress)> progress, const bool& stop) {
  Verify verify{store, std::move(progress), store.in_file(), store.layout().first_piece(), stop,
                {}};
  // What was read before it was asked for is known already.
  for (auto piece = verify.next; piece; piece = store.layout().next(*piece)) {
    if (store.verified().test(*piece)) verify.claimed.reset(*piece);
  }
  verify.now.total = verify.claimed.count();
  storage::TaskGroup lanes(executor);
  for (std::size_t i = 0; i < storage::kMaxChecks; ++i) lanes.spawn(lane(verify));
  co_await lanes.join();
  verify.progress(verify.now);
  co_return verify.now;
}

std::string progress_bar(VerifyProgress progress) {
  const unsigned share = percent(progress);
  const std::size_t filled = kBarWidth * share / 100;
  std::string line = "checking the cache [" + std::string(filled, '#') +
                     std::string(kBarWidth - filled, ' ') + "] " + std::to_string(share) + " %";
  if (progress.bad > 0) line += ", " + pieces(progress.bad) + " damaged";
  return line;
}

}  // namespace swarmfs::fs
