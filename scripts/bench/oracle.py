#!/usr/bin/python3
"""What a good scheduler can reach on a seek scenario: fetches whole pieces from its seeds with a small scheduler driven by
predicted arrival; no verification, no filesystem, no v2. A bound to hold our figures against, not a design.
oracle.py SCENARIO [COUNT] [--know]      --know tells it each seed's true rate; without, it learns the rates as it goes

The rule that matters most in it: a block is never given to a peer because that peer has room. If the best predicted arrival
is through a peer whose pipeline is full, the block waits for that peer."""
import asyncio
import os
import random
import struct
import sys
import time

import libtorrent as lt

from scenarios import SCENARIOS
from swarm import SEED_PORT

BLOCK = 16384
FIRST_RATE = 1e6  # bytes/s assumed of a peer that has not shown its own yet
QUEUE_SLACK = 0.15  # seconds of queue beyond the round trip before a peer counts as full
HEDGE_GAIN = 0.05  # seconds that a second copy of a block must win
SMALL_REST = 64  # blocks missing below which hedging is worth its search


class Peer:
    def __init__(self, ip, rate=None):
        self.ip, self.known = ip, rate is not None
        self.rate, self.rtt = rate or FIRST_RATE, 0.05
        self.asked = {}  # offset -> (when, bytes queued then)
        self.queued, self.unchoked, self.writer, self.last_arrival = 0, False, None, None

    def eta(self):
        """Seconds until one more block would be here."""
        return self.rtt + (self.queued + BLOCK) / self.rate

    def is_full(self):
        return self.queued >= max(4 * BLOCK, self.rate * (self.rtt + QUEUE_SLACK))

    def on_arrival(self, offset, now):
        if offset not in self.asked:
            return
        when, queued = self.asked.pop(offset)
        self.queued -= BLOCK
        if self.known:
            return
        if self.last_arrival and now - self.last_arrival < 1:
            self.rate += 0.08 * (min(BLOCK / max(now - self.last_arrival, 1e-4), 2e7) - self.rate)
        self.last_arrival = now if self.queued else None
        if queued <= 2 * BLOCK:
            self.rtt = min(self.rtt * 1.01, now - when)


class Scheduler:
    def __init__(self, peers, info_hash, size, piece):
        self.peers, self.info_hash, self.size, self.piece = peers, info_hash, size, piece
        self.want = []  # offsets not asked for, in order
        self.missing = set()  # offsets not here
        self.complete = asyncio.Event()

    def send(self, peer, kind, offset):
        index, begin = divmod(offset, self.piece)
        peer.writer.write(struct.pack(">IBIII", 13, kind, index, begin, min(BLOCK, self.size - offset)))

    def request(self, peer, offset):
        peer.queued += BLOCK
        peer.asked[offset] = (time.monotonic(), peer.queued)
        self.send(peer, 6, offset)

    def assign(self):
        ready = [peer for peer in self.peers if peer.unchoked]
        while self.want and ready:
            best = min(ready, key=Peer.eta)
            if best.is_full():
                return  # hold the block back: waiting for the best peer is sooner than asking a worse one
            self.request(best, self.want.pop(0))
        if self.missing and len(self.missing) <= SMALL_REST:
            for peer in sorted(ready, key=Peer.eta):
                self.hedge(peer)

    def hedge(self, peer):
        """Gives `peer` a copy of the block with the worst predicted finish, where it would win."""
        now, worst, finish = time.monotonic(), None, 0.0
        for offset in self.missing:
            owners = [other for other in self.peers if offset in other.asked]
            if len(owners) == 1 and owners[0] is not peer:
                when, queued = owners[0].asked[offset]
                predicted = max(when + owners[0].rtt + queued / owners[0].rate, now + 0.02)
                if predicted > finish:
                    worst, finish = offset, predicted
        if worst is not None and now + peer.eta() < finish - HEDGE_GAIN:
            self.request(peer, worst)

    def on_block(self, peer, offset):
        peer.on_arrival(offset, time.monotonic())
        if offset in self.missing:
            self.missing.discard(offset)
            for other in self.peers:
                if other.asked.pop(offset, None):
                    other.queued -= BLOCK
                    self.send(other, 8, offset)
            if not self.missing:
                self.complete.set()
        self.assign()

    async def talk(self, peer):
        try:
            began = time.monotonic()
            reader, peer.writer = await asyncio.open_connection(peer.ip, SEED_PORT, limit=1 << 20)
            peer.rtt = time.monotonic() - began
            fast = bytes([0, 0, 0, 0, 0, 0, 0, 4])
            interested = struct.pack(">IB", 1, 2)
            peer.writer.write(b"\x13BitTorrent protocol" + fast + self.info_hash + b"-OR0001-" + os.urandom(12) + interested)
            await reader.readexactly(68)
            while True:
                length = struct.unpack(">I", await reader.readexactly(4))[0]
                message = await reader.readexactly(length)
                if message[:1] == b"\x01":
                    peer.unchoked = True
                    self.assign()
                elif message[:1] == b"\x07":
                    index, begin = struct.unpack(">II", message[1:9])
                    self.on_block(peer, index * self.piece + begin)
        except (OSError, asyncio.IncompleteReadError):
            peer.unchoked = False

    async def fetch(self, piece):
        first, end = piece * self.piece, min((piece + 1) * self.piece, self.size)
        self.complete.clear()
        self.want = list(range(first, end, BLOCK))
        self.missing = set(self.want)
        self.assign()
        await asyncio.wait_for(self.complete.wait(), 60)


async def seeks(name, net, count, torrent, size, know):
    scenario = SCENARIOS[name]
    info_hash = lt.torrent_info(torrent).info_hashes().v1.to_bytes()
    # A TCP stream carries about 93 % of its link's rate as payload here.
    rates = [net.profile(k)[1] * 1e6 / 8 * 0.93 if know and hasattr(net, "profile") else None for k in range(1, scenario.seeds + 1)]
    peers = [Peer(net.seed_ip(k + 1), rate) for k, rate in enumerate(rates)]
    scheduler = Scheduler(peers, info_hash, size, scenario.piece)

    async def tick():
        while True:
            await asyncio.sleep(0.01)
            scheduler.assign()

    tasks = [asyncio.create_task(scheduler.talk(peer)) for peer in peers] + [asyncio.create_task(tick())]
    began = time.monotonic()
    while sum(peer.unchoked for peer in peers) < len(peers) / 2:
        await asyncio.sleep(0.005)
    print(f"half of the peers unchoked after {time.monotonic() - began:.3f} s")
    rng, latencies = random.Random(7), []  # the same offsets as the seek workload's
    for _ in range(count):
        at = rng.randrange(0, (size - 65536) >> 14) << 14
        began = time.monotonic()
        await scheduler.fetch(at // scenario.piece)
        latencies.append(time.monotonic() - began)
    for task in tasks:
        task.cancel()
    latencies.sort()
    p50, p90 = latencies[len(latencies) // 2], latencies[int(len(latencies) * 0.9)]
    print(f"{name} oracle p50={p50:.3f} p90={p90:.3f} max={latencies[-1]:.3f} total={sum(latencies):.2f}")


def main():
    arguments = [argument for argument in sys.argv[1:] if argument != "--know"]
    name, count = arguments[0], int(arguments[1]) if len(arguments) > 1 else 24
    with SCENARIOS[name].network() as net:
        payload, torrent = SCENARIOS[name].make(net)
        with SCENARIOS[name].start_swarm(net, payload, torrent):
            net.enter_reader()
            work = seeks(name, net, count, torrent, os.stat(payload).st_size, "--know" in sys.argv)
            asyncio.run(asyncio.wait_for(work, 200))


if __name__ == "__main__":
    main()
