#include "tests/sim/scenario.h"

#include <algorithm>
#include <array>
#include <cstdio>

namespace swarmfs::sim {
namespace {

double quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1,
                         static_cast<std::size_t>(q * static_cast<double>(values.size())))];
}

void require_below(Row& row, const char* what, double value, double limit) {
  if (limit <= 0 || value <= limit) return;
  std::array<char, 120> line{};
  std::snprintf(line.data(), line.size(), "%s is %.2f, to reach: %.2f", what, value, limit);
  row.broken.emplace_back(line.data());
}

// What the runs of a scenario add up to.
struct Sums {
  std::vector<double> waits, ratios;  // ms; shares of the bound
  std::vector<double> jumps;          // ms
  double copied_mib = 0, seconds = 0;
  double received = 0, redundant = 0, unwanted = 0;
};

void add(Row& row, Sums& sums, const World& world) {
  for (const auto& reader : world.readers()) {
    for (const ReadResult& read : reader->results()) {
      ++row.reads;
      if (!read.took || *read.took == Duration{}) continue;  // it was there
      if (reader->spec().kind != ReaderSpec::Kind::seeks) continue;
      sums.waits.push_back(to_ms(*read.took));
      if (read.bound > Duration{}) sums.ratios.push_back(to_ms(*read.took) / to_ms(read.bound));
    }
    if (reader->spec().kind == ReaderSpec::Kind::copy)
      sums.copied_mib += static_cast<double>(reader->bytes_read()) / (1024 * 1024);
    row.stalls += reader->stalls();
    row.stalled_ms += to_ms(reader->stalled());
    const std::vector<Duration>& pictures = reader->pictures();
    for (std::size_t i = 0; i < pictures.size(); ++i) {
      if (i > 0) {
        sums.jumps.push_back(to_ms(pictures[i]));
      } else {
        row.open_ms = std::max(row.open_ms, to_ms(pictures[i]));
      }
    }
  }
  sums.seconds += to_seconds(world.took());
  sums.received += static_cast<double>(world.ledger().received());
  sums.redundant += static_cast<double>(world.ledger().redundant());
  sums.unwanted += static_cast<double>(world.ledger().unwanted());
}

void conclude(Row& row, const Sums& sums) {
  row.p50 = quantile(sums.waits, 0.5);
  row.p90 = quantile(sums.waits, 0.9);
  row.max = quantile(sums.waits, 1);
  row.ratio_p50 = quantile(sums.ratios, 0.5);
  row.ratio_p95 = quantile(sums.ratios, 0.95);
  row.jump_ms = quantile(sums.jumps, 0.5);
  row.mib_per_s = sums.copied_mib / std::max(sums.seconds, 1e-6);
  row.redundant = sums.redundant / std::max(sums.received, 1.0);
  row.unwanted = sums.unwanted / std::max(sums.received, 1.0);
}

void judge(Row& row, const Scenario& scenario) {
  require_below(row, "p50 in ms", row.p50, scenario.p50);
  require_below(row, "p90 in ms", row.p90, scenario.p90);
  require_below(row, "max in ms", row.max, scenario.max);
  require_below(row, "median ratio to the oracle", row.ratio_p50, scenario.ratio_p50);
  require_below(row, "p95 ratio to the oracle", row.ratio_p95, scenario.ratio_p95);
  require_below(row, "ms from open to picture", row.open_ms, scenario.open_ms);
  require_below(row, "median ms from jump to picture", row.jump_ms, scenario.jump_ms);
  require_below(row, "redundant share", row.redundant, scenario.redundant_share);
  require_below(row, "unwanted share", row.unwanted, scenario.unwanted_share);
  if (row.mib_per_s < scenario.least_mib_per_s) {
    row.broken.push_back(std::to_string(row.mib_per_s) +
                         " MiB/s, to reach: " + std::to_string(scenario.least_mib_per_s));
  }
  if (row.stalls > 0)
    row.broken.push_back("the picture stood still " + std::to_string(row.stalls) + " times");
}

void print_reads(const World& world) {
  for (std::size_t r = 0; r < world.readers().size(); ++r) {
    for (const ReadResult& read : world.readers()[r]->results()) {
      if (!read.took || *read.took == Duration{}) continue;
      std::printf("    reader %zu at %9.1f ms, piece %5llu: %8.1f ms, bound %8.1f ms, ratio %.2f\n",
                  r, to_ms(read.began.time_since_epoch() - 1h),
                  static_cast<unsigned long long>(read.range.begin / world.spec().piece_length),
                  to_ms(*read.took), to_ms(read.bound),
                  read.bound > Duration{} ? to_ms(*read.took) / to_ms(read.bound) : 0.0);
    }
  }
  const Ledger& l = world.ledger();
  std::printf(
      "    %.2f MB received, %.2f redundant, %.2f corrupt, %.2f unwanted, %llu requests, %llu "
      "cancels\n",
      static_cast<double>(l.received()) / 1e6, static_cast<double>(l.redundant()) / 1e6,
      static_cast<double>(l.corrupt()) / 1e6, static_cast<double>(l.unwanted()) / 1e6,
      static_cast<unsigned long long>(l.requests()), static_cast<unsigned long long>(l.cancels()));
  for (const auto& peer : world.peers())
    std::printf("    %s sent %u blocks\n", peer->endpoint().address().to_string().c_str(),
                peer->blocks_sent());
  for (const std::string& line : world.log()) std::printf("    log: %s\n", line.c_str());
}

}  // namespace

Row run_scenario(const Scenario& scenario, const Runs& runs) {
  Row row;
  row.name = scenario.name;
  Sums sums;
  for (std::uint64_t run = runs.seed; run < runs.seed + runs.count; ++run) {
    World world(scenario.make(run));
    if (runs.piece) world.follow(*runs.piece);
    world.run();
    add(row, sums, world);
    for (const std::string& what : world.violations())
      row.broken.push_back("seed " + std::to_string(run) + ": " + what);
    if (world.status().banned != scenario.bans) {
      row.broken.push_back(std::to_string(world.status().banned) + " addresses are banned, not " +
                           std::to_string(scenario.bans));
    }
    if (runs.verbose) print_reads(world);
  }
  conclude(row, sums);
  judge(row, scenario);
  return row;
}

std::string table_head() {
  return "scenario             reads   p50 ms   p90 ms   max ms  ratio p50  p95   MiB/s    open    "
         "jump  stalls  s  redundant  unwanted\n";
}

std::string table_line(const Row& row) {
  std::array<char, 200> line{};
  std::snprintf(
      line.data(), line.size(),
      "%-19s %6zu %8.0f %8.0f %8.0f %10.2f %4.2f %7.2f %7.0f %7.0f %7u %4.1f %9.1f%% %8.1f%%%s\n",
      row.name.c_str(), row.reads, row.p50, row.p90, row.max, row.ratio_p50, row.ratio_p95,
      row.mib_per_s, row.open_ms, row.jump_ms, row.stalls, row.stalled_ms / 1e3, row.redundant * 100, row.unwanted * 100,
      row.broken.empty() ? "" : "  MISSED");
  return line.data();
}

int run_scenarios(const std::string& name, const Runs& runs) {
  int missed = 0;
  bool found = false;
  std::printf("%s", table_head().c_str());
  for (const Scenario& scenario : scenarios()) {
    if (name != "all" && name != scenario.name) continue;
    found = true;
    const Row row = run_scenario(scenario, runs);
    std::printf("%s", table_line(row).c_str());
    for (const std::string& what : row.broken) std::printf("    %s\n", what.c_str());
    std::fflush(stdout);
    missed += row.broken.empty() ? 0 : 1;
  }
  if (!found) std::fprintf(stderr, "no scenario of that name: %s\n", name.c_str());
  return found && missed == 0 ? 0 : 1;
}

}  // namespace swarmfs::sim
