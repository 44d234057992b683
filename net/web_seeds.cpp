#include "net/web_seeds.h"

#include <algorithm>
#include <boost/asio/ip/address_v6.hpp>
#include <chrono>
#include <optional>
#include <utility>

#include "net/http_connection.h"
#include "net/web_seed.h"
#include "net/web_seed_files.h"
#include "storage/task_group.h"

namespace swarmfs::net {
namespace {

// How often a place at a host is looked for.
constexpr Duration kLookAgain = std::chrono::seconds(10);
constexpr std::uint32_t kMaxDoublings = 16;

struct Seed {
  HttpHop place;
  std::string name;   // its URL without credentials
  Endpoint endpoint;  // stands for it
  bool in_use = false;
  std::uint32_t failures = 0;  // in a row
  bool reported = false;       // its first failure
  TimePoint not_before{};
};

// An address that nobody has: of 100::/64, which leads nowhere (RFC 6666).
Endpoint stand_in(std::size_t number) {
  asio::ip::address_v6::bytes_type bytes{1};
  bytes[14] = static_cast<unsigned char>(number >> 8);
  bytes[15] = static_cast<unsigned char>(number);
  return {asio::ip::address_v6(bytes), 80};
}

Duration pause_after(std::uint32_t failures) {
  const auto pause = kFirstWebSeedPause * (1U << std::min(failures - 1, kMaxDoublings));
  return std::min<Duration>(pause, kLongestWebSeedPause);
}

}  // namespace

struct WebSeeds::State : std::enable_shared_from_this<WebSeeds::State> {
  explicit State(Parts p) : parts(std::move(p)), files(parts.metainfo), tasks(parts.executor) {}

  void add(const std::string& url);
  [[nodiscard]] Task<void> work();
  [[nodiscard]] Task<void> use(Seed& seed);
  [[nodiscard]] bool has_place(const Seed& seed) const;
  [[nodiscard]] Seed* next_due();
  void put_off(Seed& seed, const WebSeed& web, error_code why);

  Parts parts;
  WebSeedFiles files;
  std::vector<Seed> seeds;  // never grows after the constructor
  std::vector<std::shared_ptr<WebSeed>> at_work;
  std::size_t dialling = 0;
  bool stopping = false;
  storage::TaskGroup tasks;
};

void WebSeeds::State::add(const std::string& url) {
  const Result<HttpUrl> parsed = parse_http_url(url);
  if (!parsed) return parts.log(1, "a web seed is left out: " + parsed.error().message());
  Seed seed;
  seed.place = {.url = *parsed,
                .source = UrlSource::web_seed_list,
                .allow_local = parts.allow_local,
                .interface = parts.interface};
  seed.name = parsed->text();
  seed.endpoint = stand_in(seeds.size() + 1);
  seeds.push_back(std::move(seed));
}

bool WebSeeds::State::has_place(const Seed& seed) const {
  const auto of_host = std::count_if(seeds.begin(), seeds.end(), [&seed](const Seed& other) {
    return other.in_use && other.place.url.host == seed.place.url.host;
  });
  return static_cast<std::size_t>(of_host) < kMaxWebSeedsPerHost;
}

// The one that has waited longest, whether it is due or not; null: none is free.
Seed* WebSeeds::State::next_due() {
  Seed* next = nullptr;
  for (Seed& seed : seeds) {
    if (seed.in_use || parts.connections.is_banned(seed.endpoint) || !has_place(seed)) continue;
    if (next == nullptr || seed.not_before < next->not_before) next = &seed;
  }
  return next;
}

Task<void> WebSeeds::State::work() {
  const auto self = shared_from_this();
  while (true) {
    Seed* const seed = next_due();
    const TimePoint now = parts.clock.now();
    if (seed == nullptr) {
      co_await parts.clock.sleep(kLookAgain);
      continue;
    }
    if (seed->not_before > now) {
      co_await parts.clock.sleep(std::min<Duration>(seed->not_before - now, kLookAgain));
      continue;
    }
    seed->in_use = true;
    co_await use(*seed);
    seed->in_use = false;
  }
}

Task<void> WebSeeds::State::use(Seed& seed) {
  const auto web = std::make_shared<WebSeed>(parts.executor, parts.clock, files, seed.place);
  at_work.push_back(web);
  ++dialling;
  error_code why = co_await web->connect();
  --dialling;
  if (!why) {
    parts.connections.add_web_seed(web->stream(seed.endpoint), seed.name, web->first_byte_time());
    why = co_await web->serve();
  }
  std::erase(at_work, web);
  put_off(seed, *web, why);
}

void WebSeeds::State::put_off(Seed& seed, const WebSeed& web, error_code why) {
  if (stopping || parts.connections.is_banned(seed.endpoint)) return;
  if (web.delivered_blocks() > 0) seed.failures = 0;
  ++seed.failures;
  const Duration pause = std::max(pause_after(seed.failures), web.asked_pause());
  seed.not_before = parts.clock.now() + pause;
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(pause).count();
  parts.log(std::exchange(seed.reported, true) ? 0 : 1, "web seed " + seed.name + ": " +
                                                            why.message() + "; next try in " +
                                                            std::to_string(seconds) + " s");
}

WebSeeds::WebSeeds(Parts parts) : state_(std::make_shared<State>(std::move(parts))) {
  for (const std::string& url : state_->parts.urls) state_->add(url);
}

WebSeeds::~WebSeeds() = default;

void WebSeeds::start() {
  State& s = *state_;
  const std::size_t workers = std::min(s.seeds.size(), kMaxWebSeedsInUse);
  for (std::size_t i = 0; i < workers; ++i) s.tasks.spawn(s.work());
}

WebSeeds::Counts WebSeeds::counts() const {
  const State& s = *state_;
  const auto known = std::count_if(s.seeds.begin(), s.seeds.end(), [&s](const Seed& seed) {
    return !s.parts.connections.is_banned(seed.endpoint);
  });
  return {static_cast<std::size_t>(known), s.dialling};
}

Task<void> WebSeeds::stop() {
  const std::shared_ptr<State> s = state_;
  s->stopping = true;
  for (const std::shared_ptr<WebSeed>& web : s->at_work) web->close();
  s->tasks.cancel();
  co_await s->tasks.join();
}

}  // namespace swarmfs::net
