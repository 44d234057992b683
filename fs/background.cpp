#include "fs/background.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string_view>

#include "fs/terminal_text.h"

namespace swarmfs::fs {
namespace {

using SteadyClock = std::chrono::steady_clock;

// A start that takes longer says what it waits for.
constexpr auto kQuietStart = std::chrono::seconds(1);
constexpr auto kRedraw = std::chrono::milliseconds(200);
constexpr unsigned kProbeSeconds = 10;
// Lines of the child longer than this are cut.
constexpr std::size_t kMaxWord = 4096;

// What the child says: one of these, its text, a newline.
constexpr char kWaiting = 'w';
constexpr char kPatience = 'p';
constexpr char kLive = 'l';
constexpr char kFailed = '0';  // plus the exit code

constexpr long kFuseMagic = 0x65735546;  // FUSE_SUPER_MAGIC of Linux, which has no header for it

// SIGINT and SIGTERM to the parent are meant for the mount. The child has a session of its own, so
// the terminal does not reach it.
volatile sig_atomic_t forward_to = 0;
void forward(int signal) {
  if (forward_to > 0) ::kill(static_cast<pid_t>(forward_to), signal);
}

void set_handler(int signal, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  ::sigaction(signal, &action, nullptr);  // no SA_RESTART: poll() is to return
}

void redirect_to_null(std::initializer_list<int> descriptors) {
  const storage::UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (const int fd : descriptors) {
    if (null) ::dup2(null.get(), fd);
  }
}

// The waiting side.
class Parent {
 public:
  Parent(pid_t child, storage::UniqueFd pipe, std::string mountpoint,
         std::chrono::milliseconds deadline)
      : child_(child),
        pipe_(std::move(pipe)),
        mountpoint_(std::move(mountpoint)),
        deadline_(deadline) {}

  int wait() {
    while (true) {
      if (const std::optional<int> code = take_lines()) return finish(*code);
      const auto waited = SteadyClock::now() - began_;
      if (!patient_ && waited >= deadline_) return give_up();
      show(waited >= kQuietStart);
      pollfd waiting{pipe_.get(), POLLIN, 0};
      const int ready = ::poll(&waiting, 1, static_cast<int>(kRedraw.count()));
      if (ready > 0 && !receive()) return finish(child_ended());
    }
  }

 private:
  bool receive() {
    std::array<char, 512> part{};
    const ssize_t n = ::read(pipe_.get(), part.data(), part.size());
    if (n < 0 && errno == EINTR) return true;
    if (n <= 0 || received_.size() > kMaxWord) return false;
    received_.append(part.data(), static_cast<std::size_t>(n));
    return true;
  }

  // The exit code, once it is known.
  std::optional<int> take_lines() {
    for (std::size_t end = received_.find('\n'); end != std::string::npos;
         end = received_.find('\n')) {
      const std::string line = received_.substr(0, end);
      received_.erase(0, end + 1);
      if (line.starts_with(kWaiting)) {
        waiting_for_ = line.substr(1);
      } else if (line.starts_with(kPatience)) {
        patient_ = true;
      } else if (line.starts_with(kLive)) {
        return probe();
      } else if (!line.empty()) {
        show(false);
        return complain({line.substr(1), line[0] - kFailed});
      }
    }
    return std::nullopt;
  }

  int probe() {
    struct statfs info {};
    ::alarm(kProbeSeconds);  // ends us; nothing else would, were the mount to hang
    const bool answered = ::statfs(mountpoint_.c_str(), &info) == 0;
    const int error = answered ? EINVAL : errno;  // somebody else's file system, if any
    ::alarm(0);
    if (answered && info.f_type == kFuseMagic) return 0;
    show(false);
    ::kill(child_, SIGTERM);
    return complain({mountpoint_ + ": mounted, but it does not answer: " + std::strerror(error)});
  }

  int child_ended() {
    int status = 0;
    while (::waitpid(child_, &status, 0) < 0 && errno == EINTR) {
    }
    show(false);
    if (WIFSIGNALED(status)) {
      const int signal = WTERMSIG(status);
      if (signal == SIGINT || signal == SIGTERM) return kExitFailure;  // as the user wanted
      return complain(
          {std::string("the background process was ended by a signal: ") + ::strsignal(signal)});
    }
    if (WEXITSTATUS(status) == 0) return complain({"stopped before the mount was there"});
    return complain({"the background process ended without a word", WEXITSTATUS(status)});
  }

  int give_up() {
    show(false);
    ::kill(child_, SIGTERM);
    const std::string what = waiting_for_.empty() ? "" : " (" + waiting_for_ + ")";
    return finish(complain({mountpoint_ + ": the mount did not come up within " +
                            std::to_string(deadline_ / std::chrono::seconds(1)) + " s" + what +
                            "; run with -f to see why"}));
  }

  int finish(int code) {
    show(false);
    return code;
  }

  // The line that says what we are waiting for, on a terminal.
  void show(bool on) {
    if (::isatty(STDERR_FILENO) != 1 || (!on && !shown_)) return;
    std::fputs("\r\033[K", stderr);
    if (on) {
      const auto waited =
          std::chrono::duration_cast<std::chrono::seconds>(SteadyClock::now() - began_);
      const std::string line = "swarmfs: starting, " + std::to_string(waited.count()) +
                               " s: waiting for " + waiting_for_;
      // A terminal may wrap when its last column is written.
      std::fputs(fitting(line, terminal_columns(STDERR_FILENO) - 1).c_str(), stderr);
    }
    std::fflush(stderr);
    shown_ = on;
  }

  pid_t child_;
  storage::UniqueFd pipe_;
  std::string mountpoint_;
  std::chrono::milliseconds deadline_;
  std::string received_;
  std::string waiting_for_;
  bool shown_ = false;
  bool patient_ = false;
  SteadyClock::time_point began_ = SteadyClock::now();
};

// A daemon: nobody's terminal, nobody's folder, nobody's open files.
storage::UniqueFd become_daemon(storage::UniqueFd pipe) {
  ::setsid();
  ::umask(0077);
  if (::chdir("/") != 0) std::_Exit(kExitFailure);
  redirect_to_null({STDIN_FILENO, STDOUT_FILENO});
  // What we inherited would stay open for ever otherwise, and whoever waits for its end waits too.
  constexpr int kPipe = STDERR_FILENO + 1;
  if (pipe.get() != kPipe) {
    ::dup3(pipe.get(), kPipe, O_CLOEXEC);
    pipe = storage::UniqueFd(kPipe);
  }
  ::close_range(kPipe + 1, ~0U, 0);
  return pipe;
}

}  // namespace

void StartReport::tell(char kind, const std::string& text) {
  if (!pipe_) return;
  std::string line = kind + text;
  for (char& c : line) {
    if (c == '\n') c = ' ';
  }
  line += '\n';
  // Shorter than PIPE_BUF, or nobody cares: the parent is gone and we live on.
  if (::write(pipe_.get(), line.data(), line.size()) < 0) return;
}

void StartReport::waiting_for(const std::string& what) {
  // A parent that is stopped (^Z) reads nothing; we must not wait for it.
  pollfd room{pipe_.get(), POLLOUT, 0};
  if (!pipe_ || what == told_ || ::poll(&room, 1, 0) != 1) return;
  told_ = what;
  tell(kWaiting, what);
}

void StartReport::take_your_time() {
  tell(kPatience, "");
}

void StartReport::live() {
  if (!pipe_) return;
  redirect_to_null({STDERR_FILENO});
  tell(kLive, "");
  pipe_ = storage::UniqueFd();
}

int StartReport::failed(const Complaint& complaint) {
  if (!pipe_) return complain(complaint);
  tell(static_cast<char>(kFailed + complaint.exit_code), complaint.line);
  return complaint.exit_code;
}

void open_standard_descriptors() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (::fcntl(fd, F_GETFD) == -1) static_cast<void>(::open("/dev/null", O_RDWR));  // takes `fd`
  }
}

int complain(const Complaint& complaint) {
  std::fprintf(stderr, "swarmfs: %s\n", printable(complaint.line).c_str());
  return complaint.exit_code;
}

std::variant<int, StartReport> go_to_background(const std::string& mountpoint,
                                                std::chrono::milliseconds deadline) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return complain({std::string("cannot go to the background: ") + std::strerror(errno)});
  }
  storage::UniqueFd read_end(ends[0]);
  storage::UniqueFd write_end(ends[1]);
  // Signals wait until there is a child to forward them to.
  sigset_t forwarded, before;
  sigemptyset(&forwarded);
  sigaddset(&forwarded, SIGINT);
  sigaddset(&forwarded, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &forwarded, &before);
  const pid_t child = ::fork();
  if (child == 0) {
    set_handler(SIGINT, SIG_DFL);
    set_handler(SIGTERM, SIG_DFL);
    ::sigprocmask(SIG_SETMASK, &before, nullptr);
    read_end = storage::UniqueFd();
    return StartReport(become_daemon(std::move(write_end)));
  }
  const int error = errno;
  if (child > 0) {
    forward_to = child;
    set_handler(SIGINT, forward);
    set_handler(SIGTERM, forward);
  }
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  if (child < 0) return complain({std::string("cannot fork: ") + std::strerror(error)});
  write_end = storage::UniqueFd();
  return Parent(child, std::move(read_end), mountpoint, deadline).wait();
}

}  // namespace swarmfs::fs
