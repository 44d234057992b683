#!/usr/bin/python3
"""What a mount that nobody reads sends and receives, with libtorrent seeds: bytes a second on the reader's device, headers included.
idle.py [MINUTES] [SEEDS]

The mount reads one piece, rests for 90 s, and is watched from then on; then it reads another piece, whose time says how warm
its peers are. No DHT: what that costs is measured in the simulator (tests/sim/dht_test.cpp).
"""
import os
import sys
import time

from networks import Cable
from scenarios import HOME, HOME_LINE, MIB
from subjects import Mount, open_largest
from swarm import SEED_PORT, Swarm, content, torrent


def traffic():
    with open("/proc/net/dev", encoding="ascii") as file:
        rows = [line.replace(":", " ").split() for line in file][2:]
    return sum(int(row[1]) + int(row[9]) for row in rows if row[0] != "lo")


def timed_read(file, at):
    began = time.monotonic()
    file.pread(4096, at)
    return time.monotonic() - began


def main():
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    seeds = int(sys.argv[2]) if len(sys.argv) > 2 else 10
    payload = content("one-64M")
    with Cable(HOME, HOME_LINE) as net:
        torrent_file = torrent(payload, MIB, "v1", "http://nobody.invalid/announce")
        net.enter_reader()
        flags = ["--no-dht", "--no-lsd"]
        for k in range(1, seeds + 1):
            flags += ["--peer", f"{net.seed_ip(k)}:{SEED_PORT}"]
        with Swarm(net, seeds, torrent_file, os.path.dirname(payload), utp=False):
            with Mount("swarmfs", net, torrent_file, payload, flags) as mount:
                file, source = open_largest(mount, True)
                time.sleep(2)
                first = timed_read(file, 8 * MIB)
                time.sleep(90)
                before, began = traffic(), time.monotonic()
                time.sleep(60 * minutes)
                rate = (traffic() - before) / (time.monotonic() - began)
                second = timed_read(file, 40 * MIB)
                file.close()
                source.close()
    print(f"{seeds} seeds, {minutes:g} minutes idle: {rate:.0f} B/s; a read took {first * 1e3:.0f} ms before and {second * 1e3:.0f} ms after")


if __name__ == "__main__":
    main()
