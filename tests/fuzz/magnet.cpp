// Magnet links and bare info-hashes.
#include "storage/magnet.h"

#include "storage/name_cleaning.h"
#include "tests/fuzz/fuzz_target.h"

void swarmfs::fuzz::run(Bytes input) {
  using namespace storage;
  const auto magnet = parse_magnet(text_of(input));
  if (!magnet) return;
  require(input.size() <= kMaxMagnetSize, "the limit of a link");
  require(magnet->info_hash || magnet->v2_hash, "a hash");
  require(magnet->name.size() <= kMaxNameSize && is_printable(magnet->name) &&
              magnet->name.find('/') == std::string::npos,
          "a clean name");
  require(magnet->peers.size() <= kMaxMagnetPeers, "the limit of peers");
  for (const auto& [host, port] : magnet->peers) require(port != 0 && !host.empty(), "a peer");
  require(magnet->selected.size() <= kMaxSelectedRanges, "the limit of ranges");
  std::uint64_t next = 0;
  for (const FileRange& range : magnet->selected) {
    require(range.first <= range.last && range.first >= next, "ranges sorted and apart");
    next = std::uint64_t{range.last} + 2;  // ranges that touch are one
  }
  for (const auto* list : {&magnet->trackers, &magnet->web_seeds, &magnet->warnings}) {
    for (const std::string& line : *list) require(is_printable(line), "one line");
  }
}
