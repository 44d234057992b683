"""Promise 3, only what is read: nothing is downloaded that nobody asked for, beyond a bounded readahead."""
import os
import time
import unittest

from harness import KIB, MIB, Case, until
from peers import HonestPeer
from seeds import LibtorrentSeed

QUIET = 1.0  # seconds without a request after which we call it idle


class OnlyWhatIsRead(Case):
    def pread(self, path, size, at, random_access=False):
        file = os.open(path, os.O_RDONLY)
        try:
            if random_access:
                os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)  # no readahead of the kernel's
            return os.pread(file, size, at)
        finally:
            os.close(file)

    def settled(self, count):
        """count() once it has not moved for QUIET seconds: the only way to see that nothing more comes."""
        value, since = count(), time.monotonic()
        while time.monotonic() - since < QUIET:
            time.sleep(0.02)
            if count() != value:
                value, since = count(), time.monotonic()
        return value

    def test_a_mount_that_nobody_reads_downloads_nothing(self):
        torrent = self.folder({"a.mkv": 4 * MIB, "b/c.txt": 100})
        seed, peer = LibtorrentSeed(self, torrent), HonestPeer(self, torrent)
        mount = self.mount(torrent, peers=[seed.address, peer.address])
        until(lambda: peer.connections, "the connection")
        self.command("ls", "-lR", mount.path)
        self.command("df", mount.path)
        os.close(os.open(mount.file("album/a.mkv"), os.O_RDONLY))
        self.assertEqual(self.settled(lambda: seed.uploaded() + len(peer.requests)), 0)

    def test_64_kib_read_at_random_downloads_its_pieces(self):
        torrent = self.one_file(32 * MIB, piece=MIB)
        seed = LibtorrentSeed(self, torrent)
        mount = self.mount(torrent, peers=[seed.address])
        at = 7 * MIB + 300 * KIB
        self.assertEqual(self.pread(mount.file(), 64 * KIB, at, random_access=True), torrent.bytes_at(at, 64 * KIB))
        self.assertLessEqual(self.settled(seed.uploaded), MIB)
        at = 20 * MIB - 32 * KIB  # in two pieces
        self.assertEqual(self.pread(mount.file(), 64 * KIB, at, random_access=True), torrent.bytes_at(at, 64 * KIB))
        self.assertLessEqual(self.settled(seed.uploaded), 3 * MIB)

    def test_64_kib_read_by_a_plain_program_downloads_its_piece(self):
        torrent = self.one_file(32 * MIB, piece=MIB)
        seed = LibtorrentSeed(self, torrent)
        mount = self.mount(torrent, peers=[seed.address])
        self.assertEqual(self.pread(mount.file(), 64 * KIB, 7 * MIB + 300 * KIB), torrent.bytes_at(7 * MIB + 300 * KIB, 64 * KIB))
        self.assertLessEqual(self.settled(seed.uploaded), MIB)

    def test_a_probe_of_head_and_tail_stays_cheap(self):
        torrent = self.one_file(64 * MIB, piece=256 * KIB)
        peer = HonestPeer(self, torrent)
        mount = self.mount(torrent, peers=[peer.address])
        self.pread(mount.file(), 512 * KIB, 0)
        self.pread(mount.file(), 64 * KIB, torrent.size - 64 * KIB)
        # 512 KiB, the kernel's 128 KiB of readahead, and the tail: no readahead of ours yet
        self.assertLessEqual(self.settled(lambda: peer.served), 6 * 256 * KIB)

    def test_readahead_is_bounded_and_stops_with_its_reader(self):
        torrent = self.one_file(256 * MIB, piece=MIB)
        seed = LibtorrentSeed(self, torrent)
        mount = self.mount(torrent, peers=[seed.address])
        with open(mount.file(), "rb", buffering=0) as file:
            for _ in range(64):
                file.read(64 * KIB)
            while_open = self.settled(seed.uploaded)
        self.assertLess(while_open, 128 * MIB, "4 MiB were read")
        self.assertEqual(self.settled(seed.uploaded), while_open, "it goes on after its reader has left")

    def test_a_file_beside_the_one_that_is_read_is_left_alone(self):
        torrent = self.folder({"a.bin": 8 * MIB, "b.bin": 8 * MIB})
        peer = HonestPeer(self, torrent)
        mount = self.mount(torrent, peers=[peer.address])
        self.assert_same_file(mount.file("album/a.bin"), mount.source("album/a.bin"))
        self.settled(lambda: len(peer.requests))
        asked = {index for index, _, _ in peer.requests}
        self.assertEqual(asked, set(torrent.pieces_of("album/a.bin")))

    def test_an_honest_peer_is_asked_for_each_block_once(self):
        torrent = self.one_file(8 * MIB)
        peer = HonestPeer(self, torrent)
        mount = self.mount(torrent, peers=[peer.address])
        self.assert_same_file(mount.file(), mount.source())
        self.assertEqual(len(peer.requests), len(set(peer.requests)))


if __name__ == "__main__":
    unittest.main()
