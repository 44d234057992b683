#include "fs/idle_torrents.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <tuple>
#include <vector>

#include "fs/cache_folder.h"
#include "fs/cache_usage.h"
#include "fs/small_file.h"
#include "storage/eviction.h"
#include "storage/metainfo_limits.h"
#include "storage/resume.h"

namespace swarmfs::fs {
namespace {

using storage::PieceIndex;
using storage::UniqueFd;

struct Idle {
  std::string path;
  std::uint32_t last_used;  // Unix minutes; 0: nobody knows
};

std::optional<storage::Resume> load_resume(int folder) {
  const std::vector<std::byte> bytes =
      read_whole(folder, "resume", storage::max_resume_size(storage::kMaxPieces));
  Result<storage::Resume> resume = storage::parse_resume(bytes);
  if (!resume) return std::nullopt;
  return *std::move(resume);
}

std::vector<Idle> find_idle(const std::string& root) {
  std::vector<Idle> idle;
  for (const std::string& name : cache_folders(root)) {
    const std::string path = root + "/" + name;
    const UniqueFd folder = open_folder(path);
    if (!folder) continue;
    if (disk_bytes(folder.get(), "data") == 0 || !try_folder_lock(folder.get())) continue;
    const std::optional<storage::Resume> resume = load_resume(folder.get());
    std::uint32_t last = 0;
    if (resume && !resume->last_used.empty())
      last = *std::max_element(resume->last_used.begin(), resume->last_used.end());
    idle.push_back({path, last});
  }
  std::stable_sort(idle.begin(), idle.end(),
                   [](const Idle& a, const Idle& b) { return a.last_used < b.last_used; });
  return idle;
}

// False when it could not be written.
bool save_resume(int folder, const storage::Resume& resume) {
  return replace_file(folder, "resume", storage::encode_resume(resume)) == 0;
}

void give_up_pieces(int folder, int data, storage::Resume resume, std::uint64_t bytes) {
  const storage::Layout layout(resume.total_size, resume.piece_length);
  std::vector<storage::UseTime> used;
  for (const std::uint32_t minutes : resume.last_used) used.push_back(storage::use_time(minutes));
  const std::vector<PieceIndex> leaving = storage::first_to_leave(
      {.layout = layout, .stored = resume.pieces, .last_used = used}, bytes);
  for (const PieceIndex piece : leaving) {
    resume.pieces.reset(piece);
    resume.last_used[piece.value()] = 0;
  }
  const bool saved = save_resume(folder, resume);
  for (const PieceIndex piece : leaving)
    std::ignore = storage::punch_hole(data, layout.range(piece));
  // A full disk may have had no room for it before. What is claimed and not there is found out when
  // it is read.
  if (!saved) save_resume(folder, resume);
}

// Of one torrent; bytes freed.
std::uint64_t give_up(const std::string& path, std::uint64_t bytes) {
  const UniqueFd folder = open_folder(path);
  if (!folder) return 0;
  const UniqueFd lock = try_folder_lock(folder.get());
  const UniqueFd data = open_folder_data(folder.get(), O_RDWR);
  if (!lock || !data) return 0;
  const std::uint64_t before = disk_bytes(folder.get(), "data");
  std::optional<storage::Resume> resume = load_resume(folder.get());
  if (!resume || resume->pieces.none()) {
    if (::ftruncate(data.get(), 0) != 0) return 0;
  } else {
    give_up_pieces(folder.get(), data.get(), *std::move(resume), bytes);
  }
  const std::uint64_t after = disk_bytes(folder.get(), "data");
  return before - std::min(before, after);
}

}  // namespace

std::uint64_t give_up_idle(const std::string& root, std::uint64_t bytes) {
  std::uint64_t freed = 0;
  for (const Idle& torrent : find_idle(root)) {
    if (freed >= bytes) break;
    freed += give_up(torrent.path, bytes - freed);
  }
  return freed;
}

}  // namespace swarmfs::fs
