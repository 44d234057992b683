// Messages of ut_metadata (BEP 9).
#include <algorithm>

#include "net/metadata_message.h"
#include "tests/fuzz/fuzz_target.h"

void swarmfs::fuzz::run(Bytes input) {
  using namespace net;
  const auto message = decode_metadata(input);
  if (!message) return;
  require(message->piece < kMaxMetadataPieces, "a piece that can be");
  require(message->data.size() <= kMetadataPiece, "the limit of a piece");
  if (message->total_size) {
    require(*message->total_size > 0 && *message->total_size <= kMaxMetadataSize,
            "a size that can be");
  }
  const auto written = encode(*message);
  const auto again = decode_metadata(written);
  require(again && again->type == message->type && again->piece == message->piece &&
              again->total_size == message->total_size &&
              std::equal(again->data.begin(), again->data.end(), message->data.begin(),
                         message->data.end()),
          "what was written is read again");
}
