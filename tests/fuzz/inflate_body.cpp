// A compressed HTTP body. The first byte says how much may come of it.
#include "net/http.h"
#include "tests/fuzz/fuzz_target.h"

void swarmfs::fuzz::run(Bytes input) {
  if (input.empty()) return;
  const std::size_t most = std::size_t{1} << (std::to_integer<unsigned>(input[0]) % 17);
  const auto body = net::inflate_body(text_of(input.subspan(1)), most);
  if (body) require(body->size() <= most, "the limit of the body");
}
