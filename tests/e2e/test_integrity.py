"""Promise 1, integrity: no byte reaches a reader before its hash has been checked in this process.
Promise 5, crash-safe: kill -9 anywhere never leads to a wrong byte."""
import contextlib
import os
import threading
import unittest

from harness import KIB, MIB, Case, blocked_reading, until
from peers import CorruptPeer, HonestPeer, OneBadBytePeer, OversizedPeer
from seeds import LibtorrentSeed


class Integrity(Case):
    def test_a_corrupting_peer_beside_an_honest_one(self):
        torrent = self.one_file(8 * MIB + 5)
        corrupt, honest = CorruptPeer(self, torrent), LibtorrentSeed(self, torrent)
        mount = self.mount(torrent, peers=[corrupt.address, honest.address])
        self.assert_same_file(mount.file(), mount.source())
        mount.stop()

    def test_one_wrong_byte_in_a_block_is_enough(self):
        torrent = self.one_file(4 * MIB)
        liars = [OneBadBytePeer(self, torrent) for _ in range(2)]
        honest = HonestPeer(self, torrent)
        mount = self.mount(torrent, peers=[*(liar.address for liar in liars), honest.address])
        self.assert_same_file(mount.file(), mount.source())

    def test_a_corrupting_peer_is_banned(self):
        torrent = self.one_file(16 * MIB)
        corrupt, honest = CorruptPeer(self, torrent), HonestPeer(self, torrent)
        mount = self.mount(torrent, peers=[corrupt.address, honest.address])
        self.assert_same_file(mount.file(), mount.source())
        self.assertLess(corrupt.served, torrent.size // 4, "it went on serving noise")
        self.assertLessEqual(corrupt.connections, 2, "it was dialled again and again")

    def test_with_only_a_corrupting_peer_a_reader_gets_nothing_and_waits(self):
        torrent = self.one_file(MIB)
        corrupt = CorruptPeer(self, torrent)
        mount = self.mount(torrent, peers=[corrupt.address])
        copy = os.path.join(self.new_dir("copy"), "it")
        reader = self.start("dd", f"if={mount.file()}", f"of={copy}", "bs=4096")
        until(lambda: corrupt.served >= torrent.piece and blocked_reading(reader.pid, mount.file()), "noise to have been received")
        self.assertEqual(os.path.getsize(copy), 0)
        reader.kill()
        mount.stop()

    def test_a_peer_that_breaks_the_protocol_is_dropped(self):
        torrent = self.one_file(4 * MIB)
        broken, honest = OversizedPeer(self, torrent), HonestPeer(self, torrent)
        mount = self.mount(torrent, peers=[broken.address, honest.address])
        self.assert_same_file(mount.file(), mount.source())


class CrashSafe(Case):
    def test_killed_while_writing_and_mounted_again_it_shows_right_bytes(self):
        torrent = self.one_file(24 * MIB)
        seed, cache = LibtorrentSeed(self, torrent), self.new_dir("shared-cache")
        for part in (3, 9, 17):  # MiB after which it is killed
            mount = self.mount(torrent, peers=[seed.address], cache=cache)
            shown = os.open(mount.file(), os.O_RDONLY)
            try:
                for at in range(0, part * MIB, 256 * KIB):
                    self.assertEqual(os.pread(shown, 256 * KIB, at), torrent.bytes_at(at, 256 * KIB))
                mount.process.kill()
                mount.wait()
            finally:
                with contextlib.suppress(OSError):  # closing a file of a dead mount says so
                    os.close(shown)
            mount.abort()
        mount = self.mount(torrent, peers=[seed.address], cache=cache)
        self.assert_same_file(mount.file(), mount.source())

    def test_what_somebody_did_to_the_cache_between_two_mounts_never_shows(self):
        torrent = self.one_file(8 * MIB)
        seed, cache = LibtorrentSeed(self, torrent), self.new_dir("shared-cache")
        mount = self.mount(torrent, peers=[seed.address], cache=cache)
        self.assert_same_file(mount.file(), mount.source())
        mount.stop()
        spoilt = 0
        for folder, _, files in os.walk(cache):
            for name in files:
                path = os.path.join(folder, name)
                if os.path.getsize(path) >= torrent.size:
                    with open(path, "r+b") as file:
                        for at in range(0, torrent.size, 300_000):
                            file.seek(at)
                            file.write(b"spoilt")
                    spoilt += 1
        self.assertEqual(spoilt, 1, "the cache's data file")
        mount = self.mount(torrent, peers=[seed.address], cache=cache)
        self.assert_same_file(mount.file(), mount.source())

    def test_what_somebody_does_to_the_cache_under_a_living_mount_costs_only_a_download(self):
        torrent = self.one_file(4 * MIB)
        seed, cache = LibtorrentSeed(self, torrent), self.new_dir("shared-cache")
        mount = self.mount(torrent, peers=[seed.address], cache=cache)
        self.assert_same_file(mount.file(), mount.source())
        readers = [threading.Thread(target=self.assert_same_file, args=(mount.file(), mount.source())) for _ in range(4)]
        for folder, _, files in os.walk(cache):
            for name in files:
                path = os.path.join(folder, name)
                if os.path.getsize(path) >= torrent.size:
                    os.truncate(path, 0)
        with open(mount.file(), "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(20)
            self.assertFalse(reader.is_alive())
        self.assert_same_file(mount.file(), mount.source())


if __name__ == "__main__":
    unittest.main()
