#include "fs/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/sinks/syslog_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>

#include "fs/terminal_text.h"

namespace swarmfs::fs {
namespace {

// A hostile swarm must not fill the disk through the log. Usual is a few lines a minute.
constexpr std::uint32_t kMaxLinesPerPeriod = 200;
constexpr auto kPeriod = std::chrono::seconds(60);
constexpr std::size_t kMaxLineSize = 2048;

// Moves to the first column and clears the line (ECMA-48 EL).
constexpr const char* kClearLine = "\r\033[K";

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return spdlog::level::debug;
    case LogLevel::info:
      return spdlog::level::info;
    case LogLevel::warning:
      return spdlog::level::warn;
    case LogLevel::error:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

}  // namespace

struct Log::State {
  std::shared_ptr<spdlog::logger> logger;
  bool terminal = false;
  std::string line;    // of the status, as it was given
  std::string status;  // as it is shown
  std::chrono::steady_clock::time_point period_began{};
  std::uint32_t lines = 0;
  std::uint64_t dropped = 0;

  // False when the period has had its share. Debug lines were asked for, all of them.
  bool admit(LogLevel level) {
    if (level == LogLevel::debug || logger->should_log(spdlog::level::debug)) return true;
    const auto now = std::chrono::steady_clock::now();
    if (now - period_began >= kPeriod) {
      period_began = now;
      lines = 0;
      if (dropped > 0) logger->warn("{} lines were too many and not logged", dropped);
      dropped = 0;
    }
    if (++lines <= kMaxLinesPerPeriod) return true;
    ++dropped;
    return false;
  }
};

Log Log::to_stderr(LogLevel least) {
  auto state = std::make_shared<State>();
  auto sink = std::make_shared<spdlog::sinks::stderr_sink_st>();
  state->logger = std::make_shared<spdlog::logger>("swarmfs", std::move(sink));
  state->terminal = ::isatty(STDERR_FILENO) == 1;
  state->logger->set_pattern("%Y-%m-%d %H:%M:%S.%e %l: %v");
  state->logger->set_level(to_spdlog(least));
  return Log(std::move(state));
}

Log Log::to_syslog(LogLevel least) {
  auto state = std::make_shared<State>();
  auto sink =
      std::make_shared<spdlog::sinks::syslog_sink_st>("swarmfs", LOG_PID, LOG_DAEMON, false);
  state->logger = std::make_shared<spdlog::logger>("swarmfs", std::move(sink));
  state->logger->set_level(to_spdlog(least));
  return Log(std::move(state));
}

void Log::write(LogLevel level, const std::string& line) const {
  if (!state_->logger->should_log(to_spdlog(level)) || !state_->admit(level)) return;
  if (!state_->status.empty()) std::fputs(kClearLine, stderr);
  state_->logger->log(to_spdlog(level), printable(std::string_view(line).substr(0, kMaxLineSize)));
  if (!state_->status.empty()) std::fputs(state_->status.c_str(), stderr);
}

void Log::operator()(int level, const std::string& line) const {
  write(level <= 0 ? LogLevel::debug : level == 1 ? LogLevel::info : LogLevel::warning, line);
}

void Log::show_status(const std::string& line) const {
  if (!state_->terminal || line == state_->line) return;
  state_->line = line;
  // A terminal may wrap when its last column is written.
  state_->status = fitting(line, terminal_columns(STDERR_FILENO) - 1);
  std::fputs(kClearLine, stderr);
  std::fputs(state_->status.c_str(), stderr);
  std::fflush(stderr);
}

bool Log::is_terminal() const {
  return state_->terminal;
}

}  // namespace swarmfs::fs
