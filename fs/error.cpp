#include "fs/error.h"

#include <string>

namespace swarmfs::fs {
namespace {

class FsCategory final : public boost::system::error_category {
 public:
  const char* name() const noexcept override { return "fs"; }
  std::string message(int value) const override {
    switch (static_cast<FsErrc>(value)) {
      case FsErrc::not_found:
        return "no such file or directory";
      case FsErrc::not_a_directory:
        return "not a directory";
      case FsErrc::is_a_directory:
        return "is a directory";
      case FsErrc::read_only:
        return "read-only file system";
      case FsErrc::bad_handle:
        return "the file is not open";
      case FsErrc::too_many_open:
        return "too many open files in this mount";
      case FsErrc::too_many_waiting:
        return "too many reads wait for data";
      case FsErrc::no_such_attribute:
        return "no such attribute";
      case FsErrc::unsupported:
        return "not supported";
      case FsErrc::ask_again:
        return "given up so that the kernel asks for less";
      case FsErrc::flushed:
        return "the reader closed the file";
      case FsErrc::interrupted:
        return "interrupted";
      case FsErrc::draining:
        return "the mount is going away";
      case FsErrc::timed_out:
        return "timed out";
      case FsErrc::wrong_size:
        return "a reply of the wrong size";
      case FsErrc::mount_failed:
        return "cannot mount";
    }
    return "unknown file system error";
  }
};

}  // namespace

const boost::system::error_category& fs_category() {
  static const FsCategory category;
  return category;
}

}  // namespace swarmfs::fs
