// One open file (a handle): its reader's habit, the wishes that stand for it, and its READs that
// wait.
//
// Threads:  engine thread only.
// Memory:   constant, plus the lingering wishes (kMaxLingering) and the READs in the list (not
// owned). Errors:   none. Lifetime: its held READs must have been answered first; destruction
// withdraws every wish.
#pragma once
#include <boost/intrusive/list.hpp>
#include <cstdint>
#include <deque>
#include <optional>

#include "fs/file_tree.h"
#include "fs/read_op.h"
#include "fs/readahead.h"
#include "net/clock.h"
#include "net/swarm.h"
#include "storage/units.h"

namespace swarmfs::fs {

class OpenFile {
 public:
  // How long the wish of a READ that was given up (FsErrc::ask_again) stays in force. The kernel
  // asks again within microseconds if a reader waits; 2 s also bridge a reader that was stopped or
  // swapped.
  static constexpr net::Duration kLinger = std::chrono::seconds(2);
  // Wishes lingering on one handle; the oldest leaves. A reader has two or three READs in flight,
  // so this is for handles that many threads share.
  static constexpr std::size_t kMaxLingering = 64;

  // `reader`: what this handle's wishes are known by (net::Wish::reader).
  OpenFile(Inode inode, storage::ByteRange file, std::uint64_t max_readahead, net::Clock& clock,
           std::uint32_t reader = 0)
      : inode_(inode),
        reader_(reader),
        file_(file),
        readahead_(file.size(), max_readahead),
        clock_(clock),
        linger_(clock, [this] { expire(); }) {}

  [[nodiscard]] Inode inode() const { return inode_; }
  [[nodiscard]] std::uint32_t reader() const { return reader_; }
  // Torrent offsets of a READ; empty at or past the end of the file. Any numbers are safe.
  [[nodiscard]] storage::ByteRange clip(std::uint64_t offset, std::uint64_t size) const;

  // The reader asks for `range` (torrent offsets). Returns the readahead to put in force instead of
  // what is; an empty range: none. No value: no change.
  [[nodiscard]] std::optional<net::Wish> on_read(storage::ByteRange range);
  void set_readahead(net::Demand demand) { ahead_ = std::move(demand); }

  void hold(HeldRead& read);  // it waits; it leaves the list by itself
  void on_answered();         // one of the held ones was answered
  // Takes over the wish of a READ that is given up so that the kernel asks for less.
  void linger(HeldRead& read);
  // True when the kernel is asking again for part of a READ that was given up.
  [[nodiscard]] bool asked_before(storage::ByteRange range) const;
  void withdraw();  // no readahead, no lingering wish

  using HeldReads = boost::intrusive::list<HeldRead, boost::intrusive::constant_time_size<false>>;
  [[nodiscard]] HeldReads& held() { return held_; }
  [[nodiscard]] const Readahead& readahead() const { return readahead_; }
  [[nodiscard]] storage::ByteRange file() const { return file_; }  // torrent offsets
  // Where its reader is, with what is read ahead for it. Torrent offsets.
  [[nodiscard]] storage::ByteRange window() const;

 private:
  struct Lingering {
    net::TimePoint until;
    storage::ByteRange range;
    net::Demand demand;
  };
  void expire();

  Inode inode_;
  std::uint32_t reader_;
  storage::ByteRange file_;
  Readahead readahead_;
  net::Clock& clock_;
  net::Demand ahead_;
  std::deque<Lingering> lingering_;
  net::Timer linger_;
  HeldReads held_;
};

}  // namespace swarmfs::fs
