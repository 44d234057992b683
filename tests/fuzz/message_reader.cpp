// A peer's stream, arriving in reads of any size: the reader must say what a slow and simple one
// does. The first eight bytes choose the reads.
#include "net/message_reader.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>

#include "tests/fuzz/fuzz_target.h"

namespace swarmfs::fuzz {
namespace {

using namespace net;

constexpr std::uint32_t kMaxMessage = 3 * storage::kBlockSize;

struct Heard {
  std::vector<std::string> events;
  bool failed = false;
};

std::string block_event(std::uint32_t index, std::uint32_t begin, std::uint32_t length,
                        std::string_view bytes) {
  return "block " + std::to_string(index) + " " + std::to_string(begin) + " " +
         std::to_string(length) + " " + std::string(bytes);
}
std::string message_event(const Message& message) {
  std::vector<std::byte> wire;
  encode(message, wire);
  return std::string(text_of(wire));
}

// All of the stream is there.
Heard read_simply(Bytes stream) {
  Heard heard;
  while (stream.size() >= kLengthPrefixSize) {
    const std::uint32_t length = read_u32(stream.first<4>());
    stream = stream.subspan(kLengthPrefixSize);
    if (length > kMaxMessage) heard.failed = true;
    if (heard.failed || stream.size() < length) break;
    const auto message = decode(stream.first(length));
    stream = stream.subspan(length);
    heard.failed = !message;
    if (!message) break;
    if (const Piece* piece = std::get_if<Piece>(&*message)) {
      const auto size = static_cast<std::uint32_t>(piece->data.size());
      heard.events.push_back(block_event(
          piece->index, piece->begin, size,
          size <= storage::kBlockSize ? text_of(piece->data) : std::string_view("lost")));
    } else {
      heard.events.push_back(message_event(*message));
    }
  }
  return heard;
}

Heard read_in_parts(Bytes stream, std::span<const std::byte, 8> parts) {
  Heard heard;
  static storage::BlockPool pool(2 * kMaxPredicted);  // its memory is made once
  {
    MessageReader reader(pool, kMaxMessage,
                         {[&heard](const Message& message) {
                            heard.events.push_back(message_event(message));
                            return error_code();
                          },
                          [&heard](std::uint32_t index, std::uint32_t begin, std::uint32_t length,
                                   storage::Block block) {
                            const auto bytes =
                                block ? text_of(block.bytes()).substr(0, length) : "lost";
                            heard.events.push_back(block_event(index, begin, length, bytes));
                            return error_code();
                          }});
    for (std::size_t turn = 0; !stream.empty() && !heard.failed; ++turn) {
      // 0 to 63 says bytes, more says thousands: reads within headers, and reads of many blocks.
      const auto part = std::to_integer<std::size_t>(parts[turn % parts.size()]);
      const std::size_t room = part < 64 ? part : (part - 63) * 1024;
      if (part == 0) {  // a wait in which nothing came
        (void)reader.prepare(kMaxPredicted);
        reader.release();
      }
      std::size_t moved = 0;
      for (const asio::mutable_buffer& into : reader.prepare(part % (kMaxPredicted + 1))) {
        const std::size_t n =
            std::min({into.size(), std::max<std::size_t>(room, 1) - moved, stream.size()});
        if (n > 0) std::memcpy(into.data(), stream.data(), n);
        stream = stream.subspan(n);
        moved += n;
      }
      heard.failed = bool(reader.commit(moved));
    }
  }
  require(pool.in_use() == 0, "every block is given back");
  return heard;
}

}  // namespace

void run(Bytes input) {
  if (input.size() < 8) return;
  const Heard simple = read_simply(input.subspan(8));
  const Heard heard = read_in_parts(input.subspan(8), input.first<8>());
  require(simple.events == heard.events, "the same messages however they arrive");
  require(simple.failed == heard.failed, "and the same end");
}

}  // namespace swarmfs::fuzz
