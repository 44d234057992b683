"""--prefetch: what nobody reads comes all the same, but never more than the cache has room for."""
import os
import time
import unittest

from harness import KIB, MIB, Case, until
from seeds import LibtorrentSeed

PIECE = 256 * KIB


def progress(path):
    return os.getxattr(path, "user.swarmfs.progress").decode()


class Prefetch(Case):
    def album(self):
        torrent = self.folder({"a.bin": 4 * MIB, "b.bin": 4 * MIB, "c.bin": 4 * MIB}, piece=PIECE)
        return torrent, LibtorrentSeed(self, torrent)

    def test_none_is_the_default(self):
        torrent, seed = self.album()
        mount = self.mount(torrent, peers=[seed.address])
        until(lambda: "connected" in mount.log() or mount.log(), "it to be at work")
        with open(mount.file("album/a.bin"), "rb") as file:
            file.read(1)
        time.sleep(2)  # twice as long as it takes to notice that a file is open
        self.assertLess(seed.uploaded(), 2 * MIB)

    def test_torrent_fetches_everything(self):
        torrent, seed = self.album()
        mount = self.mount(torrent, "--prefetch=torrent", peers=[seed.address])
        until(lambda: progress(mount.path) == "100.00", "all of it to come")
        self.assertLess(seed.uploaded(), 13 * MIB)
        seed.kill()
        for name in ("a.bin", "b.bin", "c.bin"):
            self.assert_same_file(mount.file(f"album/{name}"), mount.source(f"album/{name}"))

    def test_file_fetches_the_whole_of_what_is_open(self):
        torrent, seed = self.album()
        mount = self.mount(torrent, "-o", "prefetch=file", peers=[seed.address])
        with open(mount.file("album/b.bin"), "rb"):
            until(lambda: progress(mount.file("album/b.bin")) == "100.00", "all of the file to come")
        self.assertLess(seed.uploaded(), 5 * MIB, "and nothing else")

    def test_it_stops_when_the_cache_is_full(self):
        torrent = self.one_file(128 * MIB, piece=PIECE)
        seed = LibtorrentSeed(self, torrent)
        mount = self.mount(torrent, "--prefetch=torrent", "--cache-size", "96M", peers=[seed.address])
        until(lambda: seed.uploaded() > 32 * MIB, "it to begin", 20)
        settled = 0

        def still():
            nonlocal settled
            time.sleep(0.5)
            before, settled = settled, seed.uploaded()
            return settled == before

        until(still, "it to stop", 20)
        self.assertLess(settled, 96 * MIB)
        time.sleep(1.5)
        self.assertEqual(seed.uploaded(), settled, "nothing is given up to fetch more")
        self.assert_same_file(mount.file(), mount.source())


if __name__ == "__main__":
    unittest.main()
