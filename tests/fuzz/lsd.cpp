// Announcements to the local network (BEP 14).
#include <algorithm>

#include "net/lsd_message.h"
#include "tests/fuzz/fuzz_target.h"

void swarmfs::fuzz::run(Bytes input) {
  using namespace net;
  const auto announce = parse_lsd(input);
  if (!announce) return;
  require(announce->port != 0, "a port");
  require(!announce->info_hashes.empty(), "an info-hash");
  require(announce->info_hashes.size() * 50 < input.size(), "no more info-hashes than were sent");
  require(announce->cookie.size() <= kMaxLsdCookie, "a short cookie");
  require(announce->cookie.find_first_of("\r\n") == std::string::npos, "a cookie is in one line");
  auto fitting = *announce;
  constexpr const char* kGroup = "[ff15::efc0:988f]:6771";
  fitting.info_hashes.resize(
      std::min(fitting.info_hashes.size(), lsd_capacity(kGroup, fitting.cookie)));
  const std::string written = encode_lsd(fitting, kGroup);
  require(written.size() <= kMaxLsdMessage, "what we write can be read");
  require(parse_lsd(bytes_of(written)) == fitting, "what was written is read again");
}
