#include "fs/dht_file.h"

#include <cerrno>
#include <cstddef>
#include <span>

#include "fs/small_file.h"

namespace swarmfs::fs {
namespace {

constexpr const char* kName = "dht";
// Both families' nodes are 400 x (26 + 38) bytes.
constexpr std::size_t kMaxFile = 64 * 1024;

}  // namespace

net::DhtState load_dht_state(const std::string& cache_root) {
  const storage::UniqueFd folder = open_folder(cache_root);
  if (!folder) return {};
  return net::decode_dht_state(read_whole(folder.get(), kName, kMaxFile));
}

int save_dht_state(const std::string& cache_root, const net::DhtState& state) {
  const storage::UniqueFd folder = open_folder(cache_root);
  if (!folder) return errno;
  const std::string bytes = net::encode_dht_state(state);
  return replace_file(folder.get(), kName, std::as_bytes(std::span(bytes)));
}

}  // namespace swarmfs::fs
