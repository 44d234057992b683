#include "fs/read_op.h"

#include <cassert>

namespace swarmfs::fs {

void ReadRequest::reply(const storage::ReadView& bytes, std::size_t exact) && {
  const bool right = bytes.size() == exact;
  assert(right && "the store and the file's size disagree");
  if (!right) return answer({}, FsErrc::wrong_size);
  answer(bytes.extents(), {});
}

void HeldRead::leave() {
  if (deadline) deadline->disarm();
  unlink();
  const std::function<void()> tell = std::move(on_answer);
  on_answer = nullptr;
  if (tell) tell();
}

void HeldRead::answer(const storage::ReadView& bytes) {
  if (request.answered()) return;
  leave();
  std::move(request).reply(bytes, static_cast<std::size_t>(range.size()));
  demand = {};
}

void HeldRead::answer(error_code ec) {
  if (request.answered()) return;
  leave();
  std::move(request).reply(ec);
  demand = {};
}

// Ends with bytes, with an error, or cancelled by whoever answered sooner; then nothing is left to
// say.
Task<void> read_op(std::unique_ptr<HeldRead> held, storage::PieceStore& store) {
  const Result<storage::ReadView> bytes = co_await store.read(held->range);
  if (bytes) {
    held->answer(*bytes);
  } else {
    held->answer(bytes.error());
  }
}

}  // namespace swarmfs::fs
