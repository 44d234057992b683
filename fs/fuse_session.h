// The mount: one libfuse session served on the engine thread. The only unit that includes libfuse
// and makes errnos.
//
// Threads:  engine thread only; nothing in here blocks except mount and unmount themselves.
// Memory:   one request buffer (1 MiB); held READs belong to TorrentFs.
// Errors:   mount() says what libfuse or the kernel said; a served request's error goes to its
// reader. Lifetime: the TorrentFs outlives it. serve() must have ended before destruction.
#pragma once
#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "fs/torrent_fs.h"
#include "net/clock.h"
#include "storage/result.h"

namespace swarmfs::fs {

// Takes the topmost mount at `path` away, lazily; through fusermount3 when we may not ourselves.
void detach_mount(const std::string& path);
// On stdout: the versions of libfuse and of the kernel protocol it speaks.
void print_fuse_versions();

struct MountOptions {
  std::string mountpoint;          // absolute; the directory exists
  std::string fsname;              // first column of df and mount; any text
  bool allow_other = false;        // other users may look too
  bool debug = false;              // libfuse prints every request on stderr
  std::vector<std::string> extra;  // each one is passed to the kernel as -o TEXT
};

class FuseSession {
 public:
  // `log(level, line)`: level 0 debug, 1 info, 2 warning (as net::Swarm's); libfuse's own messages
  // too.
  using Log = std::function<void(int level, const std::string& line)>;

  // Mounts. The kernel's first request waits until serve() runs. On failure `*why` holds what
  // libfuse printed, joined to one line, and the code is the errno it left (or
  // FsErrc::mount_failed). Call after any fork.
  [[nodiscard]] static Result<std::unique_ptr<FuseSession>> mount(asio::any_io_executor executor,
                                                                  net::Clock& clock,
                                                                  const MountOptions& options,
                                                                  TorrentFs& fs, Log log,
                                                                  std::string* why);
  ~FuseSession();
  FuseSession(const FuseSession&) = delete;
  FuseSession& operator=(const FuseSession&) = delete;

  // Answers the kernel until the mount is gone: unmounted by someone, aborted, or after
  // request_stop(). When it returns, the mount is no longer there and TorrentFs is drained.
  [[nodiscard]] Task<void> serve();
  // For SIGTERM: every held READ is answered with an error, the mount is taken away (lazily, so
  // that open files do not stop it), serve() ends. Any number of times. Does not wait.
  void request_stop();
  [[nodiscard]] bool stopping() const;
  // After TorrentFs::attach(): the kernel drops what it remembers of the root. Not from within a
  // request (no operation of TorrentFs calls it).
  void root_changed();
  // True once the kernel's INIT was answered.
  [[nodiscard]] bool ready() const;

  struct State;  // known to fuse_session.cpp only

 private:
  explicit FuseSession(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace swarmfs::fs
