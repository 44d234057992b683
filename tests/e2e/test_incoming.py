"""Peers that come to us: nobody tells swarmfs of the seed, the seed is told of swarmfs."""
import os
import socket
import unittest

from harness import MIB, Case, until
from seeds import LibtorrentSeed, free_port

FLOOD = 300  # well beyond the 64 places for those who have not said who they are


def listens(port):
    """Without connecting."""
    with open("/proc/net/tcp", encoding="ascii") as file:
        rows = [line.split() for line in file][1:]
    return any(row[3] == "0A" and int(row[1].split(":")[1], 16) == port for row in rows)


class Incoming(Case):
    def waiting_mount(self, torrent):
        port = free_port()
        mount = self.mount(torrent, "--port", str(port))
        until(lambda: listens(port), "the mount to listen")
        return mount, port

    def test_a_seed_that_comes_to_us_is_read_from(self):
        torrent = self.one_file(3 * MIB)
        mount, port = self.waiting_mount(torrent)
        seed = LibtorrentSeed(self, torrent)
        seed.connect_to(port)
        self.assert_same_file(mount.file(), mount.source())
        self.assertGreaterEqual(seed.uploaded(), torrent.size)
        self.assertIn("127.0.0.1 came to us", mount.log())

    def test_a_magnet_is_filled_by_a_seed_that_comes_to_us(self):
        torrent = self.one_file(3 * MIB)
        torrent.file = "magnet:?xt=urn:btih:" + torrent.info_hash.hex()
        mount, port = self.waiting_mount(torrent)
        torrent.file = os.path.join(self.dir, "torrents", "it.torrent")
        LibtorrentSeed(self, torrent).connect_to(port)
        until(lambda: os.listdir(mount.path), "the files to appear")
        self.assert_same_file(mount.file(), mount.source())

    def test_a_flood_of_silent_connections_keeps_no_seed_out(self):
        torrent = self.one_file(3 * MIB)
        mount, port = self.waiting_mount(torrent)
        seed = LibtorrentSeed(self, torrent)
        silent = []
        for _ in range(FLOOD):
            silent.append(socket.create_connection(("127.0.0.1", port)))
            self.addCleanup(silent[-1].close)
        seed.connect_to(port)
        self.assert_same_file(mount.file(), mount.source())
        held = len(os.listdir(f"/proc/{mount.process.pid}/fd"))
        self.assertLess(held, 64 + 60, "silent connections are not kept")

    def test_a_port_that_is_taken_is_no_reason_to_fail(self):
        torrent = self.one_file(MIB)
        first, port = self.waiting_mount(torrent)
        second = self.mount(torrent, "--port", str(port))
        until(lambda: f"TCP port {port} is taken: using " in second.log(), "the log to say so")
        self.assertTrue(first.is_mounted() and second.is_mounted())


if __name__ == "__main__":
    unittest.main()
