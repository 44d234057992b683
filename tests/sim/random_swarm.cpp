#include "tests/sim/random_swarm.h"

#include <algorithm>
#include <array>
#include <sstream>

namespace swarmfs::sim {
namespace {

constexpr std::uint64_t kKiB = 1024;
constexpr std::uint64_t kMiB = 1024 * kKiB;

// Duplicates a correct engine may cause in any 10 s: its hedging budget is 3 % of what it received
// (10 % while a reader is stalled) on top of a burst of 64 blocks.
constexpr double kRedundantShare = 0.10;
constexpr std::uint64_t kRedundantBurst = 64 * kKiB * 16;

constexpr std::size_t kLargePool = 4096;  // 64 MiB: holds all of any of these torrents

template <class T, std::size_t N>
T one_of(Rng& rng, const std::array<T, N>& choices) {
  return choices[rng.below(N)];
}

Link random_link(Rng& rng) {
  Link link;
  link.delay = rng.duration(1ms, 150ms);
  // Rates are spread evenly over their order of magnitude, from 40 KB/s to 10 MB/s.
  link.rate = 40e3 * static_cast<double>(1U << rng.below(8)) * rng.real(1, 2);
  if (rng.chance(0.3)) link.jitter = rng.duration(1ms, 60ms);
  return link;
}

PeerSpec dependable_peer(Rng& rng) {
  PeerSpec peer;
  peer.link.delay = rng.duration(5ms, 80ms);
  peer.link.rate = rng.real(0.5e6, 5e6);
  peer.fast = rng.chance(0.8);
  peer.extended = rng.chance(0.9);
  return peer;
}

void spoil(PeerSpec& peer, Rng& rng) {
  switch (rng.below(14)) {
    case 0:
      peer.silent_after = static_cast<std::uint32_t>(rng.below(40));
      break;
    case 1:
      peer.unchoke = Unchoke::pulse_10s;
      break;
    case 2:
      peer.unchoke = Unchoke::flapping;
      break;
    case 3:
      peer.unchoke = Unchoke::never;
      break;
    case 4:
      peer.rejects = rng.chance(0.5) ? 1 : rng.real(0.05, 0.5);
      break;
    case 5:
      peer.corrupts = rng.chance(0.5) ? 1 : rng.real(0.02, 0.3);
      break;
    case 6:
      peer.has = rng.real(0, 0.9);
      break;
    case 7:
      peer.has = rng.real(0, 0.9);
      peer.lies_about_pieces = true;
      break;
    case 8:
      peer.ignores_cancels = true;
      break;
    case 9:
      peer.hangs_up_after = rng.duration(300ms, 10s);
      break;
    case 10:
      peer.crime = static_cast<Crime>(rng.between(1, 10));
      break;
    case 11:
      peer.dial = rng.chance(0.5) ? SimNet::Dial::refuses : SimNet::Dial::never_answers;
      break;
    case 12:
      peer.silent_on_accept = true;
      break;
    default:
      peer.has = rng.real(0, 0.9);
      peer.announces_slowly = true;
      break;
  }
}

PeerSpec random_peer(Rng& rng, bool hostile) {
  PeerSpec peer;
  peer.link = random_link(rng);
  peer.fast = rng.chance(0.8);
  peer.extended = rng.chance(0.8);
  peer.reqq = one_of(rng, std::array<std::uint32_t, 4>{8, 50, 250, 2000});
  peer.watermark = one_of(rng, std::array<std::size_t, 3>{16 * kKiB, 128 * kKiB, 500 * kKiB});
  if (rng.chance(0.3)) peer.service_delay = rng.duration(1ms, 50ms);
  if (hostile || rng.chance(0.6)) spoil(peer, rng);
  if (rng.chance(hostile ? 0.5 : 0.15)) spoil(peer, rng);
  return peer;
}

ReaderSpec random_reader(Rng& rng, std::uint64_t total) {
  ReaderSpec reader;
  reader.kind = one_of(rng, std::array{ReaderSpec::Kind::copy, ReaderSpec::Kind::play,
                                       ReaderSpec::Kind::seeks, ReaderSpec::Kind::probe});
  if (rng.chance(0.5)) reader.start = rng.duration(0ms, 4s);
  reader.from = rng.below(total);
  reader.bytes = rng.between(1, rng.chance(0.5) ? kMiB : 6 * kMiB);
  reader.bitrate = rng.real(0.2e6, 2e6);
  reader.count = static_cast<std::uint32_t>(rng.between(1, 12));
  reader.size = static_cast<std::uint32_t>(
      one_of(rng, std::array<std::uint64_t, 4>{4 * kKiB, 64 * kKiB, 128 * kKiB, 100'003}));
  if (rng.chance(0.3)) reader.pause = rng.duration(1ms, 2s);
  if (rng.chance(0.3)) reader.impatience = rng.real(0.1, 0.8);
  if (reader.kind == ReaderSpec::Kind::copy || reader.kind == ReaderSpec::Kind::play) {
    reader.size = static_cast<std::uint32_t>(std::max<std::uint64_t>(reader.size, 64 * kKiB));
  }
  return reader;
}

DiskSpec random_disk(Rng& rng) {
  DiskSpec disk;
  if (rng.chance(0.5)) disk.latency = rng.duration(0ms, 30ms);
  if (rng.chance(0.5)) disk.cached = rng.real();
  if (rng.chance(0.2)) disk.full_after = rng.below(3 * kMiB);
  if (rng.chance(0.2)) disk.fails_on_call = static_cast<std::uint32_t>(rng.between(1, 10));
  if (rng.chance(0.15)) disk.read_errors = rng.real(0, 0.3);
  if (rng.chance(0.1)) disk.short_reads = rng.real(0, 0.3);
  return disk;
}

// An earlier run, a disk that fails now and then, and somebody who takes pieces out of the cache.
void random_cache(WorldSpec& spec, Rng& rng) {
  if (!spec.disk) return;
  DiskSpec& disk = *spec.disk;
  for (std::uint32_t* const fault :
       {&disk.write_fault, &disk.read_fault, &disk.sync_fault, &disk.punch_fault}) {
    if (rng.chance(0.1)) *fault = static_cast<std::uint32_t>(rng.between(1, 20));
  }
  if (rng.chance(0.4)) spec.leftover = {rng.real(), rng.chance(0.5) ? 1 : rng.real()};
  if (rng.chance(0.3)) spec.evict_every = rng.duration(5ms, 500ms);
}

void random_torrent(WorldSpec& spec, Rng& rng) {
  spec.piece_length = static_cast<std::uint32_t>(
      one_of(rng, std::array<std::uint64_t, 7>{16 * kKiB, 32 * kKiB, 64 * kKiB, 256 * kKiB,
                                               512 * kKiB, kMiB, 48 * kKiB}));
  spec.total = rng.between(1, rng.chance(0.5) ? 3 * kMiB : 12 * kMiB);
  if (rng.chance(0.2)) {
    const std::uint64_t begin = rng.below(spec.total);
    spec.pads.push_back({begin, std::min(spec.total, begin + rng.between(1, 200 * kKiB))});
  }
}

}  // namespace

WorldSpec random_swarm(std::uint64_t seed) {
  Rng rng(seed);
  WorldSpec spec;
  spec.seed = seed;
  random_torrent(spec, rng);
  spec.horizon = 240s;
  const bool hostile = rng.chance(0.3);  // nobody but the dependable one is quite right
  const std::uint64_t others = rng.below(rng.chance(0.2) ? 20 : 8);
  for (std::uint64_t i = 0; i < others; ++i) spec.peers.push_back(random_peer(rng, hostile));
  const auto place = static_cast<std::ptrdiff_t>(rng.below(spec.peers.size() + 1));
  spec.peers.insert(spec.peers.begin() + place, dependable_peer(rng));
  const std::uint64_t readers = rng.between(1, rng.chance(0.2) ? 8 : 3);
  for (std::uint64_t i = 0; i < readers; ++i)
    spec.readers.push_back(random_reader(rng, spec.total));
  if (rng.chance(0.4)) spec.line_rate = rng.real(1e6, 12.5e6);
  if (rng.chance(0.7)) spec.disk = random_disk(rng);
  // Room for what may be open at once: a piece for each reader and its next one, beside what the
  // swarm never promises to open pieces (8 MiB, its kReservedBlocks).
  const std::uint64_t blocks_per_piece = (spec.piece_length + 16 * kKiB - 1) / (16 * kKiB);
  const std::uint64_t least = 2 * (readers + 1) * blocks_per_piece + 512 + 16;
  spec.pool_blocks = static_cast<std::size_t>(rng.chance(0.3) ? least : kLargePool);
  if (rng.chance(0.5)) spec.warm_up = rng.duration(0s, 3s);
  random_cache(spec, rng);
  return spec;
}

std::string describe(const WorldSpec& spec) {
  std::ostringstream out;
  out << spec.total << " bytes in pieces of " << spec.piece_length << ", " << spec.pads.size()
      << " pads, pool " << spec.pool_blocks << " blocks, line " << spec.line_rate / 1e6
      << " MB/s, warm-up " << to_ms(spec.warm_up) << " ms\n";
  if (spec.disk) {
    const DiskSpec& d = *spec.disk;
    out << "disk: latency " << to_ms(d.latency) << " ms, cached " << d.cached << ", read errors "
        << d.read_errors << ", short reads " << d.short_reads;
    if (d.full_after) out << ", full after " << *d.full_after;
    if (d.fails_on_call) out << ", fails on call " << *d.fails_on_call;
    out << ", each n-th write " << d.write_fault << ", read " << d.read_fault << ", sync "
        << d.sync_fault << ", punch " << d.punch_fault << " fails";
    if (spec.leftover)
      out << ", left " << spec.leftover->claimed << ", right " << spec.leftover->right;
    out << ", evicts every " << to_ms(spec.evict_every) << " ms";
    out << '\n';
  }
  for (std::size_t i = 0; i < spec.peers.size(); ++i) {
    const PeerSpec& p = spec.peers[i];
    out << "peer 10.9.0." << i + 1 << ": " << to_ms(p.link.delay) << " ms, " << p.link.rate / 1e6
        << " MB/s" << (p.dependable() ? ", dependable" : "") << (p.fast ? "" : ", not fast")
        << ", reqq " << p.reqq << ", has " << p.has;
    if (p.lies_about_pieces) out << ", lies about pieces";
    if (p.announces_slowly) out << ", announces slowly";
    if (p.unchoke != Unchoke::at_once) out << ", unchoke kind " << static_cast<int>(p.unchoke);
    if (p.silent_after) out << ", silent after " << *p.silent_after;
    if (p.silent_on_accept) out << ", silent on accept";
    if (p.rejects > 0) out << ", rejects " << p.rejects;
    if (p.corrupts > 0) out << ", corrupts " << p.corrupts;
    if (p.ignores_cancels) out << ", ignores cancels";
    if (p.hangs_up_after) out << ", hangs up after " << to_ms(*p.hangs_up_after) << " ms";
    if (p.dial != SimNet::Dial::answers) out << ", dial kind " << static_cast<int>(p.dial);
    if (p.crime != Crime::none) out << ", crime " << static_cast<int>(p.crime);
    out << '\n';
  }
  for (const ReaderSpec& r : spec.readers) {
    out << "reader kind " << static_cast<int>(r.kind) << " at " << to_ms(r.start) << " ms: from "
        << r.from << ", " << r.bytes << " bytes, " << r.count << " of " << r.size << ", impatience "
        << r.impatience << '\n';
  }
  return out.str();
}

Outcome run_random_swarm(std::uint64_t seed) {
  const WorldSpec spec = random_swarm(seed);
  World world(spec);
  world.run();
  Outcome outcome;
  outcome.violations = world.violations();
  outcome.log = world.log();
  outcome.trace = world.trace();
  outcome.received = world.ledger().received();
  outcome.redundant = world.ledger().redundant();
  outcome.corrupt = world.ledger().corrupt();
  for (const auto& reader : world.readers()) outcome.reads += reader->results().size();
  // 15: duplicates stay within the budget. A piece that failed, could not be read back, or had to
  // make room in a small pool is fetched again: not counted.
  const auto is_liar = [](const PeerSpec& peer) { return peer.corrupts > 0; };
  const auto liars = std::count_if(spec.peers.begin(), spec.peers.end(), is_liar);
  if (liars == 0 && !spec.disk && spec.pool_blocks == kLargePool &&
      world.ledger().most_redundant(kRedundantShare) > kRedundantBurst) {
    outcome.violations.push_back("within 10 s, " +
                                 std::to_string(world.ledger().most_redundant(kRedundantShare)) +
                                 " bytes beyond 10 % were redundant");
  }
  // 12: only those are banned who can have sent wrong bytes or broken the protocol.
  const auto may_be_banned = [](const PeerSpec& peer) {
    return peer.corrupts > 0 || peer.crime != Crime::none;
  };
  const auto suspects = std::count_if(spec.peers.begin(), spec.peers.end(), may_be_banned);
  if (world.status().banned > static_cast<std::size_t>(suspects)) {
    outcome.violations.push_back(std::to_string(world.status().banned) +
                                 " addresses are banned, but only " + std::to_string(suspects) +
                                 " peers did anything to deserve it");
  }
  return outcome;
}

}  // namespace swarmfs::sim
