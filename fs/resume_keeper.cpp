#include "fs/resume_keeper.h"

#include <cstring>
#include <memory>
#include <optional>
#include <utility>

namespace swarmfs::fs {

using storage::PieceIndex;

ResumeKeeper::ResumeKeeper(Parts parts)
    : parts_(std::move(parts)), last_used_(parts_.known.last_used) {
  parts_.store.on_used([this](PieceIndex piece) {
    last_used_[piece.value()] = parts_.now();
    if (parts_.used) parts_.used(piece);
  });
}

ResumeKeeper::~ResumeKeeper() {
  parts_.store.on_used(nullptr);
}

Task<void> ResumeKeeper::run() {
  while (true) {
    co_await parts_.clock.sleep(kResumeInterval);
    co_await update();
  }
}

Task<void> ResumeKeeper::update() {
  if (parts_.store.file_changes() != written_changes_) co_await write();
}

Task<void> ResumeKeeper::finish() {
  co_await write();
}

Task<void> ResumeKeeper::write() {
  auto resume = std::make_shared<storage::Resume>(parts_.known);
  resume->pieces = parts_.store.in_file();  // before the sync begins
  const std::uint64_t changes = parts_.store.file_changes();
  if (const error_code ec = co_await parts_.disk.sync()) {
    parts_.store.doubt_file();
    co_return fail(ec.message());
  }
  const storage::Layout& layout = parts_.store.layout();
  for (auto piece = std::optional(layout.first_piece()); piece; piece = layout.next(*piece)) {
    std::uint32_t& time = last_used_[piece->value()];
    // Not read yet, but not to be the first to go either.
    if (time == 0 && resume->pieces.test(*piece)) time = parts_.now();
    resume->last_used[piece->value()] = resume->pieces.test(*piece) ? time : 0;
  }
  resume->peers = parts_.peers();
  auto error = std::make_shared<int>(0);
  auto job = [save = parts_.save, resume, error] { *error = save(*resume); };
  co_await parts_.workers.run(std::move(job));
  if (*error != 0) co_return fail(std::strerror(*error));
  written_changes_ = changes;
  failed_ = false;
}

void ResumeKeeper::fail(const std::string& why) {
  // A broken disk is one warning, and the store may have given it.
  if (failed_ || parts_.store.write_failed()) return;
  failed_ = true;
  parts_.warn("what the cache holds cannot be written down (" + why +
              "); it is lost for the next mount unless that works later");
}

}  // namespace swarmfs::fs
