// wire: a long cable between two network namespaces, for kernels without netem.
// Opens two TUN devices and carries packets between them with a delay, a rate and a loss that
// depend on the far (seed-side) address, so that one cable stands for many different peers.
//
//   wire DEV_A DEV_B --default DELAY_MS,RATE_MBIT,LOSS_PCT
//        [--peer IPV4=DELAY_MS,RATE_MBIT,LOSS_PCT]... [--down RATE_MBIT]
//
// DEV_A is the reader's end, DEV_B the seeds' end. DELAY is one way, RATE 0 is unlimited, --down
// caps the sum of all traffic to the reader: its access line. Says "ready" when both devices exist.
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <queue>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace {

using SteadyClock = std::chrono::steady_clock;
using std::chrono::nanoseconds;

constexpr auto kBuffer = std::chrono::milliseconds(100);  // of each link, then tail drop
constexpr std::size_t kMaxPacket = 65536;
constexpr int kBatch = 256;  // packets taken from one end before the other end's turn
constexpr std::size_t kIpv4Header = 20;

volatile std::sig_atomic_t stop_requested = 0;

struct Profile {
  double delay_ms = 0, mbit = 0, loss = 0;
};

struct Packet {
  SteadyClock::time_point due;
  std::uint64_t number;
  std::vector<char> bytes;
  bool to_reader;
  bool operator<(const Packet& other) const {  // the priority queue's top is the earliest
    return due != other.due ? due > other.due : number > other.number;
  }
};

// One direction of one link.
struct Lane {
  Profile profile;
  SteadyClock::time_point free_at{};

  // When a packet of `size` bytes that enters at `at` has left; false: the buffer is full.
  bool pass(double mbit, std::size_t size, SteadyClock::time_point& at) {
    if (mbit <= 0) return true;
    const auto start = std::max(at, free_at);
    if (start - at > kBuffer) return false;
    free_at =
        start + nanoseconds(static_cast<std::int64_t>(static_cast<double>(size) * 8e3 / mbit));
    at = free_at;
    return true;
  }
};

int open_tun(const char* name) {
  const int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
  ifreq request{};
  std::strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0) {
    std::perror(name);
    std::exit(1);
  }
  return fd;
}

Profile parse(const std::string& text) {
  Profile profile;
  if (std::sscanf(text.c_str(), "%lf,%lf,%lf", &profile.delay_ms, &profile.mbit, &profile.loss) !=
      3) {
    std::fprintf(stderr, "wire: not DELAY,RATE,LOSS: %s\n", text.c_str());
    std::exit(2);
  }
  return profile;
}

class Wire {
 public:
  Wire(int reader_end, int seeds_end) : reader_end_(reader_end), seeds_end_(seeds_end) {}

  void set_default(Profile profile) { default_ = profile; }
  void set_down(double mbit) { down_ = mbit; }
  void set_peer(const std::string& text) {
    const auto equals = text.find('=');
    in_addr address{};
    if (equals == std::string::npos || inet_aton(text.substr(0, equals).c_str(), &address) == 0) {
      std::fprintf(stderr, "wire: not IPV4=DELAY,RATE,LOSS: %s\n", text.c_str());
      std::exit(2);
    }
    peers_[address.s_addr] = parse(text.substr(equals + 1));
  }

  void run() {
    while (stop_requested == 0) {
      wait();
      deliver();
    }
    std::fprintf(stderr, "wire: moved %llu dropped %llu\n", moved_, dropped_);
  }

 private:
  void wait() {
    timespec timeout{1, 0};
    if (!queue_.empty()) {
      const nanoseconds left = queue_.top().due - SteadyClock::now();
      const std::int64_t count = std::max<std::int64_t>(0, left.count());
      timeout = {count / 1'000'000'000, count % 1'000'000'000};
    }
    pollfd ends[2] = {{reader_end_, POLLIN, 0}, {seeds_end_, POLLIN, 0}};
    ppoll(ends, 2, &timeout, nullptr);
    if (ends[0].revents & POLLIN) take(reader_end_, false);
    if (ends[1].revents & POLLIN) take(seeds_end_, true);
  }

  void take(int fd, bool to_reader) {
    for (int k = 0; k < kBatch; ++k) {
      const ssize_t got = read(fd, buffer_.data(), buffer_.size());
      if (got < static_cast<ssize_t>(kIpv4Header)) return;
      if ((buffer_[0] >> 4) == 4) enter(static_cast<std::size_t>(got), to_reader);
    }
  }

  void enter(std::size_t size, bool to_reader) {
    std::uint32_t far = 0;  // source or destination address of the IPv4 header
    std::memcpy(&far, &buffer_[to_reader ? 12 : 16], sizeof far);
    const auto [it, fresh] = lanes_.try_emplace({far, to_reader});
    Lane& lane = it->second;
    if (fresh) {
      const auto peer = peers_.find(far);
      lane.profile = peer == peers_.end() ? default_ : peer->second;
    }
    auto depart = SteadyClock::now();
    if ((lane.profile.loss > 0 && percent_(random_) < lane.profile.loss) ||
        !lane.pass(lane.profile.mbit, size, depart) ||
        (to_reader && !access_.pass(down_, size, depart))) {
      ++dropped_;
      return;
    }
    const nanoseconds delay(static_cast<std::int64_t>(lane.profile.delay_ms * 1e6));
    queue_.push({depart + delay, next_number_++,
                 std::vector<char>(buffer_.data(), buffer_.data() + size), to_reader});
  }

  void deliver() {
    const auto now = SteadyClock::now();
    while (!queue_.empty() && queue_.top().due <= now) {
      const Packet& packet = queue_.top();
      const int fd = packet.to_reader ? reader_end_ : seeds_end_;
      if (write(fd, packet.bytes.data(), packet.bytes.size()) > 0) {
        ++moved_;
      } else {
        ++dropped_;
      }
      queue_.pop();
    }
  }

  int reader_end_, seeds_end_;
  Profile default_;
  double down_ = 0;
  std::map<std::uint32_t, Profile> peers_;
  std::map<std::pair<std::uint32_t, bool>, Lane> lanes_;
  Lane access_;
  std::priority_queue<Packet> queue_;
  std::uint64_t next_number_ = 0;
  unsigned long long moved_ = 0, dropped_ = 0;
  std::vector<char> buffer_ = std::vector<char>(kMaxPacket);
  std::mt19937_64 random_{42};
  std::uniform_real_distribution<> percent_{0, 100};
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr,
                 "usage: wire DEV_A DEV_B --default D,R,L [--peer IPV4=D,R,L]... [--down R]\n");
    return 2;
  }
  std::signal(SIGTERM, [](int) { stop_requested = 1; });
  std::signal(SIGINT, [](int) { stop_requested = 1; });
  const int reader_end = open_tun(argv[1]);
  Wire wire(reader_end, open_tun(argv[2]));
  for (int k = 3; k + 1 < argc; k += 2) {
    const std::string option = argv[k];
    if (option == "--default") {
      wire.set_default(parse(argv[k + 1]));
    } else if (option == "--peer") {
      wire.set_peer(argv[k + 1]);
    } else if (option == "--down") {
      wire.set_down(std::atof(argv[k + 1]));
    } else {
      std::fprintf(stderr, "wire: no such option: %s\n", option.c_str());
      return 2;
    }
  }
  std::puts("ready");
  std::fflush(stdout);
  wire.run();
}
