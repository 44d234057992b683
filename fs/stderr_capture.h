// Catches what a program that we start (fusermount3) writes to our stderr.
//
// Threads: none but the caller's may write to stderr meanwhile. Memory: an anonymous file. Errors:
// when it cannot be set up, stderr stays as it is and finish() is empty. Lifetime: one use.
#pragma once
#include <string>

#include "storage/disk.h"

namespace swarmfs::fs {

class StderrCapture {
 public:
  StderrCapture();
  ~StderrCapture() { finish(); }
  StderrCapture(const StderrCapture&) = delete;
  StderrCapture& operator=(const StderrCapture&) = delete;

  // Gives stderr back. What was written, its lines joined by "; ", at most kMaxCapture bytes.
  std::string finish();

  static constexpr std::size_t kMaxCapture = 1024;  // a complaint is a line or two

 private:
  storage::UniqueFd file_;
  storage::UniqueFd before_;
};

}  // namespace swarmfs::fs
