// The error codes of fs/. fuse_session turns them into errnos, in one function.
#pragma once
#include "storage/result.h"

namespace swarmfs::fs {

enum class FsErrc {
  not_found = 1,      // no such inode or name
  not_a_directory,    // a directory was asked for
  is_a_directory,     // a file was asked for
  read_only,          // opened for writing
  bad_handle,         // a handle that is not open
  too_many_open,      // kMaxOpenFiles
  too_many_waiting,   // kMaxHeldReads
  no_such_attribute,  // a user. attribute we do not have
  unsupported,        // an attribute outside user.
  ask_again,          // a READ of several pages was given up: the kernel asks for the page it needs
  flushed,            // the handle was closed by the reader that waited
  interrupted,        // the reader got a signal that ends it
  draining,           // the mount is going away
  timed_out,     // soft mount: nothing came in `timeo`; or the kernel's own request timeout is near
  wrong_size,    // a bug: a reply of another length than the kernel may be given
  mount_failed,  // libfuse said why
};

const boost::system::error_category& fs_category();
inline error_code make_error_code(FsErrc e) {
  return {static_cast<int>(e), fs_category()};
}

}  // namespace swarmfs::fs

template <>
struct boost::system::is_error_code_enum<swarmfs::fs::FsErrc> : std::true_type {};
