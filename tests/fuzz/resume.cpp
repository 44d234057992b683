// What a cache remembers between runs. The checksum would stop nearly all of it, so it is made
// right first.
#include "storage/resume.h"

#include <algorithm>
#include <vector>

#include "storage/crc32c.h"
#include "tests/fuzz/fuzz_target.h"

void swarmfs::fuzz::run(Bytes input) {
  using namespace storage;
  std::vector<std::byte> sealed(input.begin(), input.end());
  const std::uint32_t crc = crc32c(sealed);
  for (const int shift : {24, 16, 8, 0}) sealed.push_back(static_cast<std::byte>(crc >> shift));
  const Result<Resume> resume = parse_resume(sealed);
  if (!resume) return;
  require(resume->last_used.size() == resume->pieces.size(), "a time for each piece");
  require(resume->peers.size() <= kMaxResumePeers, "few peers");
  require(sealed.size() <= max_resume_size(resume->pieces.size()), "a bounded file");
  require(encode_resume(*resume) == sealed, "one value has one form");
}
