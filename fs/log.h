// Where log lines and the status line go: stderr in the foreground, syslog in the background. Text
// from peers, trackers and torrents passes through here and comes out fit for a terminal.
//
// Threads: engine thread only. Memory: constant. Errors: none; a log that cannot be written is
// silent. Lifetime: a handle; copies share one log.
#pragma once
#include <memory>
#include <string>

#include "fs/options.h"

namespace swarmfs::fs {

class Log {
 public:
  [[nodiscard]] static Log to_stderr(LogLevel least);
  [[nodiscard]] static Log to_syslog(LogLevel least);

  void write(LogLevel level, const std::string& line) const;
  // As net/ and fuse_session log. 0: debug, 1: info, 2: warning.
  void operator()(int level, const std::string& line) const;
  // On a terminal: one line that is replaced by the next, and goes for log lines. Empty: none.
  void show_status(const std::string& line) const;
  [[nodiscard]] bool is_terminal() const;

 private:
  struct State;
  explicit Log(std::shared_ptr<State> state) : state_(std::move(state)) {}
  std::shared_ptr<State> state_;
};

}  // namespace swarmfs::fs
