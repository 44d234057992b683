// What our DHT node knows, kept between runs for all torrents: the file `dht` in the cache's root.
// With it a lookup begins among hundreds of nodes instead of at a router.
//
// Threads: any; it blocks on the disk. Memory: the file. Errors: load: none, what cannot be read is
// nothing remembered; save: an errno. When several processes save, the last one stays.
#pragma once
#include <string>

#include "net/dht_state.h"

namespace swarmfs::fs {

[[nodiscard]] net::DhtState load_dht_state(const std::string& cache_root);
// Zero or an errno.
[[nodiscard]] int save_dht_state(const std::string& cache_root, const net::DhtState& state);

}  // namespace swarmfs::fs
