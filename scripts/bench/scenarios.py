"""A scenario: a network, seeds, a torrent, and what the reader does."""
import dataclasses
import os
from collections.abc import Callable

import workloads
from networks import Cable, Loopback
from swarm import TRACKER_PORT, Swarm, content, torrent

MIB = 1 << 20

# What a public swarm looks like: one-way delay in ms, Mbit/s, loss in %.
HOME = [(15, 40, 0), (40, 20, 0), (80, 8, 0), (25, 30, 0.1), (120, 4, 0.5)]
HOME_LINE = 100  # Mbit/s down


@dataclasses.dataclass
class Scenario:
    network: Callable
    seeds: int
    workload: Callable
    payload: str = "one-1G"
    piece: int = MIB
    version: str = "v1"
    options: dict = dataclasses.field(default_factory=dict)  # of the workload
    swarm: dict = dataclasses.field(default_factory=lambda: {"utp": False})

    def make(self, net):
        """(payload, torrent file), made once and kept."""
        payload = content(self.payload)
        return payload, torrent(payload, self.piece, self.version, f"http://{net.tracker_ip}:{TRACKER_PORT}/announce")

    def start_swarm(self, net, payload, torrent_file):
        return Swarm(net, self.seeds, torrent_file, os.path.dirname(payload), **self.swarm)


def home():
    return Cable(HOME, HOME_LINE)


def far():
    return Cable([(100, 100, 0)], HOME_LINE)


def lossy():
    return Cable([(30, 30, 1)], HOME_LINE)


SCENARIOS = {
    "loop-seq": Scenario(Loopback, 1, workloads.sequential),
    "loop-seq-8": Scenario(Loopback, 8, workloads.sequential),
    "loop-seq-v2": Scenario(Loopback, 1, workloads.sequential, version="v2"),
    "loop-seek-16m": Scenario(Loopback, 1, workloads.seek, piece=16 * MIB),
    "loop-reread": Scenario(Loopback, 1, workloads.reread),
    "home-seq": Scenario(home, 10, workloads.sequential, piece=2 * MIB, options={"limit": 128 * MIB}),
    "home-seek": Scenario(home, 10, workloads.seek, piece=2 * MIB),
    "home-seek-16m": Scenario(home, 10, workloads.seek, piece=16 * MIB, options={"count": 8}),
    "home-seek-16m-v2": Scenario(home, 10, workloads.seek, piece=16 * MIB, version="v2", options={"count": 8}),
    "home-play": Scenario(home, 10, workloads.play, piece=4 * MIB, options={"mbit": 8}),
    "home-play-4k": Scenario(home, 20, workloads.play, piece=8 * MIB, options={"mbit": 40}),
    "far-seq": Scenario(far, 4, workloads.sequential, piece=2 * MIB, options={"limit": 128 * MIB}),
    "lossy-utp": Scenario(lossy, 8, workloads.sequential, options={"limit": 64 * MIB}, swarm={"tcp": False}),
    "dead-seek": Scenario(home, 12, workloads.seek, piece=2 * MIB, swarm={"utp": False, "silent": 4}),
    "poison-seek": Scenario(home, 12, workloads.seek, piece=2 * MIB, swarm={"utp": False, "poison": 2}),
    "freeze": Scenario(Loopback, 0, workloads.freeze),
    "many-files": Scenario(Loopback, 1, workloads.many_files, payload="many-256M", piece=MIB // 4),
}
