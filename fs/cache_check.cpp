#include "fs/cache_check.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <cerrno>
#include <cstring>
#include <memory>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "fs/small_file.h"
#include "storage/task_group.h"

namespace swarmfs::fs {
namespace {

using storage::ByteRange;
using storage::PieceIndex;
using storage::UniqueFd;

// One torrent's check. The lanes take pieces in order.
struct Check {
  storage::WorkerPool& workers;
  const std::function<void(CheckProgress)>& progress;
  const bool& stop;
  int folder;
  bool in_use;
  std::optional<PieceIndex> next;  // the first that no lane has taken
  storage::Metainfo metainfo;
  storage::Resume resume;
  CheckProgress bytes;
  std::vector<PieceIndex> wrong;
  CheckResult& result;
};

// All of `into`; false when that cannot be. Past the end of the file are zeros, as in a hole:
// padding is never written.
bool read_at(int fd, std::uint64_t offset, std::span<std::byte> into) {
  while (!into.empty()) {
    const ssize_t n = ::pread(fd, into.data(), into.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    if (n == 0) break;
    into = into.subspan(static_cast<std::size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
  std::fill(into.begin(), into.end(), std::byte{0});
  return true;
}

// A mount that needs room punches pieces out before it writes down that it did.
bool is_hole(int fd, ByteRange range) {
  const off_t data = ::lseek(fd, static_cast<off_t>(range.begin), SEEK_DATA);
  return data < 0 ? errno == ENXIO : static_cast<std::uint64_t>(data) >= range.end;
}

std::optional<PieceIndex> take_piece(Check& check) {
  const storage::Layout& layout = check.metainfo.layout;
  while (check.next && !check.resume.pieces.test(*check.next))
    check.next = layout.next(*check.next);
  const std::optional<PieceIndex> piece = check.next;
  if (piece) check.next = layout.next(*piece);
  return piece;
}

struct Verdict {
  bool complete = false;  // false: stopped before the end
  bool good = false;
};

Task<Verdict> hash_piece(Check& check, int fd, PieceIndex piece, std::span<std::byte> buffer) {
  ByteRange rest = check.metainfo.layout.range(piece);
  storage::Sha1 hasher;
  bool readable = fd >= 0;
  while (!rest.empty()) {
    if (check.stop) co_return Verdict{};
    const auto part = buffer.first(std::min<std::uint64_t>(buffer.size(), rest.size()));
    if (readable) {
      auto job = [fd, rest, part, &hasher, &readable] {
        readable = read_at(fd, rest.begin, part);
        if (readable) hasher.update(part);
      };
      co_await check.workers.run(job);
    }
    rest.begin += part.size();
    check.bytes.done += part.size();
    check.progress(check.bytes);
  }
  const bool good = readable && hasher.finish() == check.metainfo.piece_hashes[piece.value()];
  co_return Verdict{.complete = true, .good = good};
}

// With a file description of its own: the kernel reads ahead of each.
Task<void> run_lane(Check& check) {
  const UniqueFd data = open_folder_data(check.folder, O_RDONLY);
  if (data) ::posix_fadvise(data.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
  std::vector<std::byte> buffer(kCheckChunk);
  while (const std::optional<PieceIndex> piece = take_piece(check)) {
    const ByteRange range = check.metainfo.layout.range(*piece);
    const Verdict verdict = co_await hash_piece(check, data.get(), *piece, buffer);
    if (!verdict.complete) co_return;
    // Nobody needs it again soon, except a mount.
    if (data && !check.in_use) {
      ::posix_fadvise(data.get(), static_cast<off_t>(range.begin), static_cast<off_t>(range.size()),
                      POSIX_FADV_DONTNEED);
    }
    if (!verdict.good && check.in_use && data && is_hole(data.get(), range)) continue;
    ++check.result.checked_pieces;
    check.result.checked_bytes += range.size();
    if (!verdict.good) check.wrong.push_back(*piece);
  }
}

// What is claimed goes first: after a crash in between, nothing claims what is not there.
void drop(Check& check) {
  for (const PieceIndex piece : check.wrong) {
    check.resume.pieces.reset(piece);
    check.resume.last_used[piece.value()] = 0;
  }
  const int error = replace_file(check.folder, "resume", storage::encode_resume(check.resume));
  if (error != 0) {
    check.result.problem =
        "what is wrong could not be dropped: " + std::string(std::strerror(error));
    return;
  }
  check.result.dropped = true;
  const UniqueFd data = open_folder_data(check.folder, O_RDWR);
  for (const PieceIndex piece : check.wrong) {
    // A file system that cannot do this keeps the space until the torrent is removed.
    if (data) std::ignore = storage::punch_hole(data.get(), check.metainfo.layout.range(piece));
  }
}

std::uint64_t claimed_bytes(const storage::Resume& resume, const storage::Layout& layout) {
  std::uint64_t sum = 0;
  for (std::optional<PieceIndex> piece = layout.first_piece(); piece; piece = layout.next(*piece))
    if (resume.pieces.test(*piece)) sum += layout.piece_size(*piece);
  return sum;
}

Task<void> run_check(Check& check) {
  const auto executor = co_await asio::this_coro::executor;
  storage::TaskGroup lanes(executor);
  for (unsigned i = 0; i < kCheckLanes; ++i) lanes.spawn(run_lane(check));
  co_await lanes.join();
  std::sort(check.wrong.begin(), check.wrong.end());
  check.result.wrong_pieces = static_cast<std::uint32_t>(check.wrong.size());
  check.result.interrupted = check.stop && check.bytes.done < check.bytes.total;
  if (!check.wrong.empty() && !check.in_use) drop(check);
}

}  // namespace

Task<CheckResult> check_torrent(storage::WorkerPool& workers, int root, CachedTorrent torrent,
                                std::function<void(CheckProgress)> progress, const bool& stop) {
  CheckResult result{.torrent = std::move(torrent)};
  const UniqueFd folder = open_cache_folder(root, result.torrent.folder);
  const UniqueFd lock = folder ? take_folder_lock(folder.get()) : UniqueFd();
  const int lock_error = errno;
  if (!folder) {
    result.problem = std::strerror(lock_error);
    co_return result;
  }
  result.torrent.user = lock ? std::nullopt : find_lock_holder(folder.get());
  auto metainfo = load_folder_metainfo(folder.get(), result.torrent.info_hash);
  if (!metainfo) {
    result.problem = result.torrent.problem;
    co_return result;
  }
  auto resume = load_folder_resume(folder.get(), result.torrent.info_hash, metainfo->layout);
  if (!resume) {
    result.problem = resume_problem(resume.error());
    co_return result;
  }
  const CheckProgress all{.total = claimed_bytes(*resume, metainfo->layout)};
  Check check{.workers = workers,
              .progress = progress,
              .stop = stop,
              .folder = folder.get(),
              .in_use = !lock,
              .next = metainfo->layout.first_piece(),
              .metainfo = *std::move(metainfo),
              .resume = *std::move(resume),
              .bytes = all,
              .wrong = {},
              .result = result};
  co_await run_check(check);
  if (result.wrong_pieces > 0 && !lock && lock_error != EWOULDBLOCK)
    result.problem = "its lock cannot be had: " + std::string(std::strerror(lock_error));
  co_return result;
}

}  // namespace swarmfs::fs
