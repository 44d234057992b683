// Is this a place to mount on, and may we? Clears a dead mount of an earlier swarmfs, and nothing
// else.
//
// Threads: any, before the engine starts: these block on the disk, and on the file system that is
// mounted there. Memory: one /proc file. Errors: a Complaint that names the path.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "fs/complaint.h"
#include "storage/result.h"

namespace swarmfs::fs {

// Absolute and without symbolic links, also when a dead mount is there.
[[nodiscard]] OrComplaint<std::string> find_mountpoint(const std::string& given);

// Makes sure that `path`, from find_mountpoint(), is an empty directory of ours to mount on. True
// when a dead mount of ours was in the way and has been taken away.
[[nodiscard]] OrComplaint<bool> ready_mountpoint(const std::string& path);

// /dev/fuse is there and usable; for ordinary users also fusermount3 and the leave for allow_other.
[[nodiscard]] OrComplaint<void> check_may_mount(bool allow_other);

// We would read through our own mount, for ever: the torrent file or the cache in the mountpoint,
// or the mountpoint in the cache. Paths absolute and without symbolic links.
[[nodiscard]] OrComplaint<void> check_apart(const std::string& mountpoint,
                                            const std::string& torrent, const std::string& cache);

// What went wrong in FuseSession::mount, and what to do. `said`: libfuse's words.
[[nodiscard]] Complaint explain_mount_failure(const std::string& mountpoint, error_code ec,
                                              std::string_view said);

// -- pure parts
// True for `folder` itself too. Both absolute and normal.
[[nodiscard]] bool is_inside(std::string_view path, std::string_view folder);
// True when the text of /etc/fuse.conf lets ordinary users say allow_other.
[[nodiscard]] bool lets_allow_other(std::string_view fuse_conf);

}  // namespace swarmfs::fs
