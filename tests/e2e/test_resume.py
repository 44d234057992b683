"""What a mount leaves in the cache is there for the next one, at once and without a peer, and still right: whatever
happened to the files meanwhile, a reader gets the truth or waits."""
import hashlib
import os
import random
import shutil
import struct
import time
import unittest

import libtorrent

from harness import FAILURE, KIB, MIB, Case, read_all, until
from resume_file import crc32c
from seeds import LibtorrentSeed

AT_ONCE = 1.0  # seconds; generous to a machine with two busy cores


class ResumeCase(Case):
    def setUp(self):
        super().setUp()
        self.seed_number = random.randrange(1 << 32)
        print(f"(seed {self.seed_number})", end=" ", flush=True)
        self.random = random.Random(self.seed_number)

    def downloaded(self, torrent, cache, **kw):
        """`torrent` is in `cache`, all of it, and nobody is there to fetch it from again."""
        seed = LibtorrentSeed(self, torrent)
        mount = self.mount(torrent, peers=[seed.address], cache=cache, **kw)
        self.assert_all_read(mount)
        mount.stop()
        seed.kill()

    def assert_all_read(self, mount):
        for path in mount.torrent.files:
            self.assert_same_file(mount.file(path), mount.source(path))

    def in_cache(self, torrent, cache, name):
        return os.path.join(cache, torrent.info_hash.hex(), name)

    def flip_bit(self, path, at=None):
        with open(path, "r+b") as file:
            size = os.path.getsize(path)
            at = self.random.randrange(size) if at is None else at
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 1 << self.random.randrange(8)]))
        return at


class Remount(ResumeCase):
    def test_everything_is_there_at_once_without_a_peer(self):
        torrent, cache = self.folder({"a.bin": 9 * MIB + 1, "b/c.bin": 5 * MIB, "d.txt": 5}, piece=MIB), self.new_dir("cache")
        self.downloaded(torrent, cache)
        started = time.monotonic()
        mount = self.mount(torrent, cache=cache)
        self.assertEqual(sorted(os.listdir(os.path.join(mount.path, "album"))), ["a.bin", "b", "d.txt"])
        self.assertLess(time.monotonic() - started, AT_ONCE)
        self.assertEqual(os.stat(mount.file("album/a.bin")).st_blocks, -(-(9 * MIB + 1) // 512))
        self.assertEqual(os.getxattr(mount.path, "user.swarmfs.complete"), b"1")
        self.assert_all_read(mount)
        self.assertNotIn("cannot be used", mount.log())
        mount.stop()
        self.assert_all_read(self.mount(torrent, cache=cache))

    def test_a_part_is_there_and_the_rest_is_fetched(self):
        torrent, cache = self.one_file(16 * MIB, piece=MIB), self.new_dir("cache")
        seed = LibtorrentSeed(self, torrent)
        mount = self.mount(torrent, peers=[seed.address], cache=cache)
        with open(mount.file(), "rb", buffering=0) as file:
            file.seek(4 * MIB)
            file.read(100)
        mount.stop()
        first = seed.uploaded()
        mount = self.mount(torrent, peers=[seed.address], cache=cache)
        self.assert_all_read(mount)
        self.assertGreater(first, 0)
        self.assertLessEqual(seed.uploaded(), torrent.size, "something was fetched twice")

    def test_a_magnet_needs_nobody_either(self):
        torrent, cache = self.one_file(3 * MIB), self.new_dir("cache")
        self.downloaded(torrent, cache)
        torrent.file = "magnet:?xt=urn:btih:" + torrent.info_hash.hex()
        self.assert_all_read(self.mount(torrent, cache=cache))

    def test_peers_that_delivered_are_dialled_again(self):
        torrent, cache = self.one_file(8 * MIB, piece=256 * KIB), self.new_dir("cache")
        seed = LibtorrentSeed(self, torrent)
        mount = self.mount(torrent, peers=[seed.address], cache=cache)
        with open(mount.file(), "rb") as file:
            file.read(1)
        mount.stop()
        self.assert_all_read(self.mount(torrent, cache=cache))  # nobody names a peer

    def test_peers_of_a_private_torrent_are_not_remembered(self):
        torrent, cache = self.one_file(MIB, private=True), self.new_dir("cache")
        self.downloaded(torrent, cache)
        self.assertEqual(read_all(self.in_cache(torrent, cache, "resume"))[-6:-4], b"\0\0")

    def test_verify_checks_all_before_it_mounts(self):
        torrent, cache = self.one_file(8 * MIB, piece=256 * KIB), self.new_dir("cache")
        self.downloaded(torrent, cache)
        self.flip_bit(self.in_cache(torrent, cache, "data"))
        mount = self.mount(torrent, "--verify", cache=cache)
        self.assertIn("checked the cache: 32 pieces, 1 damaged and dropped", mount.log())
        self.assertIn("] 50 %", mount.log())
        self.assertEqual(os.stat(mount.file()).st_blocks, (8 * MIB - 256 * KIB) // 512)

    def test_after_a_kill_the_next_mount_takes_the_cache_over(self):
        torrent, cache = self.one_file(2 * MIB), self.new_dir("cache")
        seed = LibtorrentSeed(self, torrent)
        mount = self.mount(torrent, peers=[seed.address], cache=cache)
        self.assert_all_read(mount)
        until(lambda: os.path.exists(self.in_cache(torrent, cache, "resume")), "the resume file", 10)
        mount.abort()
        seed.kill()
        self.assert_all_read(self.mount(torrent, cache=cache))


def leb128(value):
    out = b""
    while value >= 0x80:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


class Large(ResumeCase):
    def test_fifty_gibibytes_are_there_at_once(self):
        piece, pieces = 4 * MIB, 12800
        info = libtorrent.bencode(
            {b"length": piece * pieces, b"name": b"huge.bin", b"piece length": piece, b"pieces": hashlib.sha1(bytes(piece)).digest() * pieces}
        )
        file = os.path.join(self.new_dir("torrents"), "it.torrent")
        with open(file, "wb") as out:
            out.write(b"d4:info" + info + b"e")
        cache = self.new_dir("cache")
        folder = os.path.join(cache, hashlib.sha1(info).hexdigest())
        os.mkdir(folder)
        with open(os.path.join(folder, "data"), "wb") as data:
            data.truncate(piece * pieces)
        resume = b"swarmfsR" + struct.pack(">I", 1) + hashlib.sha1(info).digest() + struct.pack(">IQ", piece, piece * pieces)
        resume += b"\xff" * (pieces // 8) + struct.pack(">I", 29000000) + leb128(pieces) + struct.pack(">H", 0)
        with open(os.path.join(folder, "resume"), "wb") as out:
            out.write(resume + struct.pack(">I", crc32c(resume)))

        started = time.monotonic()
        mount = self.mount(file, cache=cache, wait=False)
        shown = os.path.join(mount.path, "huge.bin")
        while not os.path.exists(shown):
            self.assertLess(time.monotonic() - started, 20)
        listed = time.monotonic()
        with open(shown, "rb", buffering=0) as huge:
            huge.seek(33 * piece + 100)
            self.assertEqual(huge.read(1), b"\0")
        read = time.monotonic()
        print(f"(ls after {listed - started:.3f} s, the first byte {read - listed:.3f} s later)", end=" ", flush=True)
        self.assertEqual(os.stat(shown).st_blocks, piece * pieces // 512)
        # 0.1 s each on an idle machine.
        self.assertLess(listed - started, AT_ONCE)
        self.assertLess(read - listed, AT_ONCE)


class Corruption(ResumeCase):
    """One bit anywhere, or worse."""

    limit = 120

    def damaged(self, torrent, cache, name, seed):
        """One bit of the file is flipped; a mount with a seed shows the truth. What the log says."""
        at = self.flip_bit(self.in_cache(torrent, cache, name))
        mount = self.mount(torrent, peers=[seed.address], cache=cache)
        with self.subTest(file=name, at=at, seed=self.seed_number):
            self.assert_all_read(mount)
        log = mount.log()
        mount.stop()
        return log

    def setUp(self):
        super().setUp()
        self.torrent, self.cache = self.one_file(3 * MIB + 77, piece=64 * KIB), self.new_dir("cache")
        self.downloaded(self.torrent, self.cache)
        self.peer = LibtorrentSeed(self, self.torrent)

    def test_in_the_data(self):
        for _ in range(8):
            log = self.damaged(self.torrent, self.cache, "data", self.peer)
            self.assertEqual(log.count("cannot be used"), 1, log)

    def test_in_the_resume(self):
        for _ in range(8):
            log = self.damaged(self.torrent, self.cache, "resume", self.peer)
            self.assertEqual(log.count("/resume: "), 1, log)

    def test_in_the_metainfo(self):
        magnet = "magnet:?xt=urn:btih:" + self.torrent.info_hash.hex()
        self.torrent.file = magnet
        for _ in range(6):
            at = self.flip_bit(self.in_cache(self.torrent, self.cache, "metainfo"))
            mount = self.mount(self.torrent, peers=[self.peer.address], cache=self.cache)
            until(lambda mount=mount: os.listdir(mount.path), "the files to appear")
            with self.subTest(at=at, seed=self.seed_number):
                self.assert_all_read(mount)
            mount.stop()

    def test_of_all_three_at_once(self):
        for _ in range(4):
            for name in ("data", "metainfo"):
                self.flip_bit(self.in_cache(self.torrent, self.cache, name))
            self.damaged(self.torrent, self.cache, "resume", self.peer)

    def test_worse_things(self):
        data = self.in_cache(self.torrent, self.cache, "data")
        good = read_all(data)
        noise = self.random.randbytes(len(good))
        swapped = good[64 * KIB : 128 * KIB] + good[: 64 * KIB] + good[128 * KIB :]
        for what, content in (
            ("empty", b""),
            ("cut", good[: len(good) // 2 + 3]),
            ("zeros", bytes(len(good))),
            ("noise", noise),
            ("longer", good + noise),
            ("swapped", swapped),
        ):
            with open(data, "wb") as file:
                file.write(content)
            mount = self.mount(self.torrent, peers=[self.peer.address], cache=self.cache)
            with self.subTest(what):
                self.assert_all_read(mount)
                self.assertLess(mount.log().count("warning"), 12, mount.log())
                self.assertEqual("longer than the torrent" in mount.log(), what == "longer")
            mount.stop()
        os.remove(data)
        self.assert_all_read(self.mount(self.torrent, peers=[self.peer.address], cache=self.cache))

    def test_garbage_in_the_resume(self):
        resume = self.in_cache(self.torrent, self.cache, "resume")
        good = read_all(resume)
        for content in (b"", b"garbage", good[:-1], good + b"\0", good[:11] + b"\2" + good[12:], os.urandom(300)):
            with open(resume, "wb") as file:
                file.write(content)
            mount = self.mount(self.torrent, peers=[self.peer.address], cache=self.cache)
            self.assert_all_read(mount)
            self.assertEqual(mount.log().count("/resume: "), 1, mount.log())
            mount.stop()

    def test_something_else_in_the_place_of_the_data(self):
        data = self.in_cache(self.torrent, self.cache, "data")
        mount = self.new_dir("mnt")
        arguments = ["-f", "--no-dht", "--no-lsd", "--cache-dir", self.cache, self.torrent.file, mount]
        precious = os.path.join(self.new_dir("precious"), "it")
        shutil.copy(data, precious)
        before = read_all(precious)
        os.remove(data)
        os.symlink(precious, data)
        self.refused(FAILURE, ["/data: is a symbolic link", "remove it"], *arguments)
        os.remove(data)
        os.mkdir(data)
        self.refused(FAILURE, ["/data: is a directory", "remove it"], *arguments)
        self.assertEqual(read_all(precious), before)


if __name__ == "__main__":
    unittest.main()
