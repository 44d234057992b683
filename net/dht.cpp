#include "net/dht.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "net/connect_policy.h"
#include "net/dht_harvest.h"
#include "net/dht_lookup.h"
#include "net/dht_node.h"
#include "net/krpc.h"
#include "net/name_lookup.h"
#include "storage/task_group.h"

namespace swarmfs::net {
namespace {

// Torrents searched for at one time.
constexpr std::size_t kMaxDhtSearches = 100;
// Nodes of our table that a search starts from: enough that neither those which died since matter
// nor those that lie. Measured on 1,000 nodes of which a third poison, 3,000 lookups in 100 worlds
// (with a credit of 3, net/dht_lookup): from 16 known nodes 62 found no peer and 26 announced to
// nobody true, from 32 43 and 2, from 64 40 and 2, all with 38 messages.
constexpr std::size_t kStartNodes = 64;
// One look at what is due: a search, a node to check. A table of 200 nodes to be checked every 15
// minutes needs one each 4.5 seconds.
constexpr Duration kTick = std::chrono::seconds(2);
// Tries to get into the DHT while nobody answers: doubled each time.
constexpr Duration kFirstJoinPause = std::chrono::seconds(2);
constexpr Duration kMaxJoinPause = std::chrono::minutes(5);

Duration join_pause(std::size_t failures) {
  return std::min(kFirstJoinPause * (1 << std::min<std::size_t>(failures, 10)), kMaxJoinPause);
}

}  // namespace

std::vector<storage::HostPort> default_dht_routers() {
  return {{"router.bittorrent.com", 6881},
          {"dht.transmissionbt.com", 6881},
          {"dht.libtorrent.org", 25401},
          {"router.utorrent.com", 6881}};
}

struct Dht::State {
  // Getting into the DHT of one family.
  struct Side {
    explicit Side(Family f) : family(f) {}
    Family family;
    bool joined = false;        // found our neighbours
    std::uint64_t joining = 0;  // the run that looks for them; 0: none
    std::size_t failures = 0;   // in a row
    TimePoint next_join{};
  };
  struct Search {
    Search(DhtSearchRequest r, bool allow_local) : request(std::move(r)), harvest(allow_local) {}
    DhtSearchRequest request;
    DhtHarvest harvest;  // of this pass
    DhtPass pass;
    TimePoint began{};
    std::size_t open_runs = 0;
    std::size_t in_a_row = 0;  // passes with the same outcome
    bool found_last = false;
    bool unheard = false;       // nobody answered the last pass
    std::set<Family> families;  // that it went through
    TimePoint next_pass{};
  };
  // One lookup at work.
  struct Run {
    Family family;
    DhtLookup lookup;
    std::shared_ptr<Search> search;  // null: for our neighbours
  };
  using Runs = std::map<std::uint64_t, std::shared_ptr<Run>>;

  explicit State(Parts p);
  [[nodiscard]] DhtNode::Parts node_parts();

  void start();
  void end();
  void tick();
  [[nodiscard]] TimePoint now() const { return parts.clock.now(); }
  void log(int level, const std::string& line) const {
    if (parts.log) parts.log(level, line);
  }
  [[nodiscard]] Side& side_of(Family family) { return family == Family::ipv4 ? ipv4 : ipv6; }

  // -- getting in
  void join(Side& side);
  void end_join(const Run& run);
  void on_first_node(Family family);
  static Task<void> find_entrances(State* self, storage::HostPort router);
  void add_entrance(const UdpEndpoint& endpoint);
  void add_node(const UdpEndpoint& endpoint);

  // -- lookups
  std::uint64_t start_run(Family family, const NodeId& target, std::shared_ptr<Search> search,
                          bool through_entrances);
  void pump(std::uint64_t id);
  void pump_all();
  void arm_pump();
  [[nodiscard]] krpc::Question question_of(const Run& run) const;
  bool ask_for(std::uint64_t id, const Run& run, const UdpEndpoint& to);
  void on_answer(std::uint64_t id, const std::weak_ptr<Search>& search, const UdpEndpoint& from,
                 const DhtQueries::Outcome& outcome);
  void on_reply(Run& run, const UdpEndpoint& from, const krpc::Reply& reply);
  void end_run(std::uint64_t id);

  // -- searches
  std::uint64_t add_search(DhtSearchRequest request);
  void begin_pass(const std::shared_ptr<Search>& search);
  void join_pass(const std::shared_ptr<Search>& search, Family family);
  void announce(const Run& run, Search& search);
  void end_pass(const std::shared_ptr<Search>& search);
  void search_through(Family family);
  void end_search(std::uint64_t id);

  Parts parts;
  SecretRandom random;
  DhtNode node;
  Side ipv4{Family::ipv4};
  Side ipv6{Family::ipv6};
  Runs runs;
  std::map<std::uint64_t, std::shared_ptr<Search>> searches;
  std::uint64_t next_number = 1;
  bool running = false;
  std::size_t names_looked_up = 0;  // at present
  Timer tick_timer;
  Timer pump_timer;
  storage::TaskGroup lookups;
};

Dht::State::State(Parts p)
    : parts(std::move(p)),
      random(parts.seed),
      node(node_parts()),
      tick_timer(parts.clock, [this] { tick(); }),
      pump_timer(parts.clock, [this] { pump_all(); }),
      lookups(parts.executor) {
  if (!parts.look_up) {
    parts.look_up = [](std::string host, std::uint16_t port) {
      return net::look_up(std::move(host), port);
    };
  }
}

DhtNode::Parts Dht::State::node_parts() {
  return {.clock = parts.clock,
          .udp = parts.udp,
          .random = random,
          .external = *parts.external,
          .saved = parts.saved,
          .allow_local = parts.allow_local,
          .first_node = [this](Family family) { on_first_node(family); },
          .moved = [this](Family family) { side_of(family).joined = false; },
          .log = [this](int level, const std::string& line) { log(level, line); }};
}

// ---- Life

void Dht::State::start() {
  running = true;
  node.start();
  tick();
}

void Dht::State::end() {
  running = false;
  node.stop();
  tick_timer.disarm();
  pump_timer.disarm();
  runs.clear();
  searches.clear();
  lookups.cancel();
}

void Dht::State::tick() {
  tick_timer.arm(now() + kTick);
  for (Side* side : {&ipv4, &ipv6}) {
    if (!node.usable(side->family)) continue;
    const bool lost = node.good_count(side->family) == 0;
    if ((lost || !side->joined) && side->joining == 0 && now() >= side->next_join) join(*side);
    if (!lost) node.keep_fresh(side->family);
  }
  const auto all = searches;  // a pass may end searches
  for (const auto& [id, search] : all) {
    if (search->open_runs == 0 && now() >= search->next_pass) begin_pass(search);
  }
}

// ---- Getting in

// Looks for our neighbours through the nodes that we have; when there is none, or none of them
// answered last time, through the routers.
void Dht::State::join(Side& side) {
  side.next_join = now() + join_pause(side.failures);
  const bool nobody = node.table(side.family).size() == 0;
  const bool ask_routers = nobody || side.failures > 0;
  if (nobody && node.entrances(side.family).empty()) {
    ++side.failures;
  } else {
    side.joining = start_run(side.family, node.table(side.family).own(), nullptr, ask_routers);
    pump(side.joining);
  }
  if (!ask_routers || names_looked_up > 0) return;
  // Last: a name that is an address may be found at once, and lead back here.
  names_looked_up = parts.bootstrap.size();
  for (const storage::HostPort& router : parts.bootstrap)
    lookups.spawn(find_entrances(this, router));
}

void Dht::State::end_join(const Run& run) {
  Side& side = side_of(run.family);
  side.joining = 0;
  const std::size_t nodes = node.good_count(side.family);
  if (nodes == 0) {
    if (side.failures++ == 0) log(1, "DHT: no node answers; trying again");
    return;
  }
  if (!side.joined) {
    log(1, std::string("DHT (") + (side.family == Family::ipv4 ? "IPv4" : "IPv6") + "): joined, " +
               std::to_string(nodes) + " nodes answered");
  }
  side.failures = 0;
  // Our id may have changed meanwhile (BEP 42): those were not our neighbours.
  side.joined = run.lookup.target() == node.table(side.family).own();
}

void Dht::State::on_first_node(Family family) {
  Side& side = side_of(family);
  side.failures = 0;
  if (!side.joined && side.joining == 0) join(side);
  search_through(family);
}

Task<void> Dht::State::find_entrances(State* self, storage::HostPort router) {
  Task<Result<std::vector<Endpoint>>> looking = self->parts.look_up(router.host, router.port);
  const Result<std::vector<Endpoint>> found = co_await std::move(looking);
  --self->names_looked_up;
  if (!found) {
    self->log(0, "DHT: " + router.host + ": " + found.error().message());
    co_return;
  }
  for (const Endpoint& endpoint : *found) {
    const Endpoint plain = normalised(endpoint);
    self->add_entrance({plain.address(), plain.port()});
  }
}

void Dht::State::add_entrance(const UdpEndpoint& endpoint) {
  const Family family = family_of(endpoint.address());
  if (!node.add_entrance(endpoint) || !node.usable(family)) return;
  Side& side = side_of(family);
  if (side.joining != 0) {
    runs.at(side.joining)->lookup.add_entrance(endpoint);
    pump(side.joining);
  } else if (node.good_count(family) == 0) {
    join(side);
  }
  search_through(family);
}

void Dht::State::add_node(const UdpEndpoint& endpoint) {
  if (!running || !node.may_ask(endpoint)) return;
  const Side& side = side_of(family_of(endpoint.address()));
  if (side.joining != 0) {
    runs.at(side.joining)->lookup.add_entrance(endpoint);
    pump(side.joining);
    return;
  }
  const NodeId& own = node.table(side.family).own();
  node.ask(endpoint, krpc::FindNode{own, node.want_of(side.family)},
           [this](const DhtQueries::Outcome& outcome) {
             if (outcome.reply == nullptr) return;
             for (const NodeContact& named : outcome.reply->nodes) node.probe(named);
           });
}

// ---- Lookups

std::uint64_t Dht::State::start_run(Family family, const NodeId& target,
                                    std::shared_ptr<Search> search, bool through_entrances) {
  const RoutingTable& table = node.table(family);
  const auto run =
      std::make_shared<Run>(Run{family, DhtLookup(target, table.own()), std::move(search)});
  for (const NodeContact& known : table.closest(target, kStartNodes)) {
    run->lookup.add_known(known);
  }
  if (through_entrances) {
    for (const UdpEndpoint& entrance : node.entrances(family)) run->lookup.add_entrance(entrance);
  }
  const std::uint64_t id = next_number++;
  runs.emplace(id, run);
  return id;
}

// Asks whom the run wants to ask now, and ends it when it is over.
void Dht::State::pump(std::uint64_t id) {
  const auto at = runs.find(id);
  if (at == runs.end()) return;
  const std::shared_ptr<Run> run = at->second;
  while (const auto to = run->lookup.next(now(), node.patience())) {
    if (!ask_for(id, *run, *to)) run->lookup.on_silent(*to);
  }
  if (run->lookup.finished(now())) end_run(id);
  arm_pump();
}

void Dht::State::pump_all() {
  std::vector<std::uint64_t> ids;
  for (const auto& [id, run] : runs) ids.push_back(id);
  for (const std::uint64_t id : ids) pump(id);
}

void Dht::State::arm_pump() {
  std::optional<TimePoint> next;
  for (const auto& [id, run] : runs) {
    const auto event = run->lookup.next_event(now());
    if (event && (!next || *event < *next)) next = event;
  }
  if (next) {
    pump_timer.arm(*next);
  } else {
    pump_timer.disarm();
  }
}

krpc::Question Dht::State::question_of(const Run& run) const {
  if (run.search != nullptr) return krpc::GetPeers{run.lookup.target(), {}};
  return krpc::FindNode{run.lookup.target(), node.want_of(run.family)};
}

bool Dht::State::ask_for(std::uint64_t id, const Run& run, const UdpEndpoint& to) {
  if (run.search != nullptr) ++run.search->pass.messages;
  // Peers are welcome also when the lookup has ended without this node.
  const std::weak_ptr<Search> search = run.search;
  return node.ask(to, question_of(run), [this, id, search, to](const DhtQueries::Outcome& outcome) {
    on_answer(id, search, to, outcome);
  });
}

void Dht::State::on_answer(std::uint64_t id, const std::weak_ptr<Search>& of,
                           const UdpEndpoint& from, const DhtQueries::Outcome& outcome) {
  const auto at = runs.find(id);
  if (at != runs.end() && outcome.reply == nullptr) at->second->lookup.on_silent(from);
  if (at != runs.end() && outcome.reply != nullptr) on_reply(*at->second, from, *outcome.reply);
  const std::shared_ptr<Search> search = of.lock();
  if (search != nullptr && outcome.reply != nullptr) {
    const std::vector<Endpoint> peers = search->harvest.take(outcome.reply->values);
    const auto found = search->request.found;  // it may end the search
    if (!peers.empty() && found) found(peers);
  }
  pump(id);
}

void Dht::State::on_reply(Run& run, const UdpEndpoint& from, const krpc::Reply& reply) {
  if (run.search != nullptr) ++run.search->pass.responded;
  std::vector<NodeContact> nodes;
  for (const NodeContact& named : reply.nodes) {
    if (family_of(named.endpoint.address()) != run.family) {
      node.probe(named);  // for the other family's young table
    } else if (node.may_ask(named.endpoint)) {
      nodes.push_back(named);
    }
  }
  run.lookup.on_reply(from, reply.id, nodes, reply.token);
}

void Dht::State::end_run(std::uint64_t id) {
  const auto ended = runs.extract(id);
  if (ended.empty()) return;
  const std::shared_ptr<Run> run = ended.mapped();
  if (run->search == nullptr) {
    end_join(*run);
    return;
  }
  announce(*run, *run->search);
  if (--run->search->open_runs == 0) end_pass(run->search);
}

// ---- Searches

std::uint64_t Dht::State::add_search(DhtSearchRequest request) {
  const std::uint64_t id = next_number++;
  const auto search = std::make_shared<Search>(std::move(request), parts.allow_local);
  searches.emplace(id, search);
  if (running) begin_pass(search);
  return id;
}

void Dht::State::begin_pass(const std::shared_ptr<Search>& search) {
  search->began = now();
  search->pass = {};
  search->harvest.clear();
  search->families.clear();
  search->unheard = true;
  search->next_pass = now() + kFirstFruitlessPause;
  search->open_runs = 1;  // ours: the pass does not end before both families are in it
  for (const Family family : {Family::ipv4, Family::ipv6}) join_pass(search, family);
  --search->open_runs;
  if (search->open_runs == 0 && !search->families.empty()) end_pass(search);
}

void Dht::State::join_pass(const std::shared_ptr<Search>& search, Family family) {
  const bool nobody = node.table(family).size() == 0;
  if (!node.usable(family) || (nobody && node.entrances(family).empty())) return;
  search->families.insert(family);
  ++search->open_runs;
  pump(start_run(family, search->request.info_hash, search, nobody));
}

// Tells the closest nodes that we are a peer (BEP 5).
void Dht::State::announce(const Run& run, Search& search) {
  if (!search.request.announce_port) return;
  const std::uint16_t port = *search.request.announce_port;
  for (const DhtLookup::Closest& closest : run.lookup.closest()) {
    if (closest.token.empty()) continue;
    const krpc::AnnouncePeer announce{run.lookup.target(), port, false, closest.token};
    if (!node.ask(closest.node.endpoint, announce, {})) continue;
    ++search.pass.messages;
    ++search.pass.announced;
  }
}

void Dht::State::end_pass(const std::shared_ptr<Search>& search) {
  DhtPass& pass = search->pass;
  pass.took = now() - search->began;
  pass.peers = search->harvest.size();
  const bool found = pass.peers > 0;
  search->in_a_row = found == search->found_last ? search->in_a_row + 1 : 1;
  search->found_last = found;
  search->unheard = pass.responded == 0;
  // Spread, so that the searches of many torrents do not stay in step.
  const Duration pause = pause_after(search->in_a_row, found);
  const auto spread = random.below(static_cast<std::uint64_t>(pause.count()) / 10);
  search->next_pass = now() + pause - Duration(spread);
  log(0, "DHT: " + std::to_string(pass.peers) + " peers of " + search->request.info_hash.hex() +
             " from " + std::to_string(pass.responded) + " nodes");
  const auto done = search->request.pass_done;  // it may end the search
  if (done) done(DhtPass(pass));
}

// Somebody of this family can be asked now: for searches that could not, and for those that nobody
// has answered.
void Dht::State::search_through(Family family) {
  const auto all = searches;
  for (const auto& [id, search] : all) {
    const bool missed = !search->families.contains(family);
    if (search->open_runs == 0 && (missed || search->unheard)) {
      begin_pass(search);
    } else if (missed) {
      join_pass(search, family);
    }
  }
}

void Dht::State::end_search(std::uint64_t id) {
  const auto ended = searches.extract(id);
  if (ended.empty()) return;
  const std::shared_ptr<Search> search = ended.mapped();
  std::erase_if(runs, [&search](const auto& entry) { return entry.second->search == search; });
  search->request.found = {};
}

// ---- The face

Dht::Dht(Parts parts) : state_(std::make_shared<State>(std::move(parts))) {}

Dht::~Dht() = default;

void Dht::start() {
  state_->start();
}

void Dht::add_node(const UdpEndpoint& endpoint) {
  const Endpoint plain = normalised(Endpoint(endpoint.address(), endpoint.port()));
  state_->add_node({plain.address(), plain.port()});
}

DhtSearch Dht::search(DhtSearchRequest request) {
  if (state_->searches.size() >= kMaxDhtSearches) return {};
  const std::uint64_t id = state_->add_search(std::move(request));
  return DhtSearch([weak = std::weak_ptr(state_), id] {
    if (const auto state = weak.lock()) state->end_search(id);
  });
}

NodeId Dht::id() const {
  return state_->node.table(Family::ipv4).own();
}

DhtState Dht::save() const {
  return state_->node.save();
}

DhtStatus Dht::status() const {
  DhtStatus status;
  status.good_nodes6 = state_->node.good_count(Family::ipv6);
  status.good_nodes = state_->node.good_count(Family::ipv4) + status.good_nodes6;
  status.bootstrapped = state_->ipv4.joined || state_->ipv6.joined;
  status.reachable = state_->node.reachable();
  status.searches = state_->searches.size();
  status.stored_peers = state_->node.stored_peers();
  return status;
}

Task<void> Dht::stop() {
  const std::shared_ptr<State> state = state_;
  state->end();
  co_await state->lookups.join();
}

}  // namespace swarmfs::net
