#include "fs/stderr_capture.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>

namespace swarmfs::fs {

StderrCapture::StderrCapture() : file_(::memfd_create("stderr", MFD_CLOEXEC)) {
  if (!file_) return;
  std::fflush(stderr);
  before_ = storage::UniqueFd(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
  if (before_) ::dup2(file_.get(), STDERR_FILENO);
}

std::string StderrCapture::finish() {
  if (!before_) return {};
  std::fflush(stderr);
  ::dup2(before_.get(), STDERR_FILENO);
  before_ = storage::UniqueFd();

  std::string text(kMaxCapture, '\0');
  const ssize_t size = ::pread(file_.get(), text.data(), text.size(), 0);
  text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  std::string joined;
  for (const char c : text) {
    if (c == '\n') {
      joined += "; ";
    } else {
      joined += c;
    }
  }
  if (joined.ends_with("; ")) joined.resize(joined.size() - 2);
  return joined;
}

}  // namespace swarmfs::fs
