"""What goes wrong with the cache directory under a live mount costs caching, and no read: every byte is right, the user is told
in one line, and unmounting works. The same for a clock that is wrong, and for a process without descriptors."""
import errno
import hashlib
import os
import shutil
import subprocess
import time
import types
import unittest

from faults import Faults
from harness import MIB, Case, is_live, read_all, until
from resume_file import claimed_pieces
from seeds import LibtorrentSeed

PIECE = MIB
YEAR = 365 * 24 * 3600

# A reader that has the whole file mapped: what cannot be had of it is SIGBUS.
MAPPED = """
import hashlib, mmap, sys
with open(sys.argv[1], "rb") as file:
    print(hashlib.sha1(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)).hexdigest())
"""


class WhileMounted(Case):
    def torrent_and_seed(self, size):
        torrent = self.one_file(size, piece=PIECE)
        return torrent, LibtorrentSeed(self, torrent)

    def mounted(self, size, cache=None, **kw):
        torrent, seed = self.torrent_and_seed(size)
        return torrent, self.mount(torrent, peers=[seed.address], cache=cache or self.new_dir("cache"), **kw)

    def with_faults(self, size):
        cache = self.new_dir("cache")
        faults = Faults(self, cache)
        return (*self.mounted(size, cache=cache, environment=faults.environment), faults)

    def forget_pages(self, mount):
        """What the kernel has of the file is dropped: the next read comes to the program."""
        with open(mount.file(), "rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def read_all_of_it(self, mount):
        self.forget_pages(mount)
        self.assert_same_file(mount.file(), mount.source())

    def read_at(self, mount, at, size):
        with open(mount.file(), "rb", buffering=0) as shown, open(mount.source(), "rb") as source:
            shown.seek(at)
            source.seek(at)
            while size > 0:
                got = shown.read(min(size, MIB))
                self.assertEqual(got == source.read(len(got)), True, f"at {shown.tell()}")
                size -= len(got)

    def warnings(self, mount):
        return [line for line in mount.log().splitlines() if " warning: " in line]

    def assert_one_warning(self, mount, *words):
        lines = self.warnings(mount)
        self.assertEqual(len(lines), 1, lines)
        for word in words:
            self.assertIn(word, lines[0])

    def claimed(self, torrent, cache):
        return claimed_pieces(os.path.join(cache, torrent.info_hash.hex(), "resume"), torrent.pieces)

    def data(self, torrent, mount):
        return os.path.join(mount.cache, torrent.info_hash.hex(), "data")

    # -- nothing can be written
    def assert_survives_writes_that_fail(self, error):
        torrent, mount, faults = self.with_faults(40 * PIECE)
        self.read_at(mount, 0, 2 * PIECE)
        until(lambda: len(self.claimed(torrent, mount.cache)) >= 2, "these two to be written down")
        faults.set("fail_writes", error)
        self.read_at(mount, 0, 30 * PIECE)
        self.read_all_of_it(mount)
        until(lambda: self.warnings(mount), "the warning")
        time.sleep(2.5)  # the next time that the resume file is due
        self.assert_one_warning(mount, "cannot write to the cache (" + os.strerror(error))
        self.assertTrue(is_live(mount.path))
        mount.stop()
        self.assert_one_warning(mount)
        # What had been written is still there, and nothing is claimed that is not.
        faults.clear("fail_writes")
        again = self.mount(torrent, "-o", "soft,timeo=3", cache=mount.cache, allow_local=False)
        for piece in self.claimed(torrent, mount.cache):
            self.read_at(again, piece * PIECE, PIECE)
        self.assertEqual(self.warnings(again), [])

    def test_the_disk_becomes_read_only(self):
        self.assert_survives_writes_that_fail(errno.EROFS)

    def test_the_disk_breaks(self):
        self.assert_survives_writes_that_fail(errno.EIO)

    def test_the_quota_is_used_up(self):
        self.assert_survives_writes_that_fail(errno.EDQUOT)

    def test_the_disk_is_mended(self):
        torrent, mount, faults = self.with_faults(40 * PIECE)
        faults.set("fail_writes", errno.EROFS)
        self.read_at(mount, 0, 10 * PIECE)
        until(lambda: self.warnings(mount), "the warning")
        faults.clear("fail_writes")
        self.read_at(mount, 20 * PIECE, 20 * PIECE)
        mount.stop()
        self.assert_one_warning(mount)
        self.assertLessEqual(set(range(22, 40)), set(self.claimed(torrent, mount.cache)), "what came afterwards is kept")

    def test_the_disk_is_full(self):
        disk = self.new_dir("disk")
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4M", "tmpfs", disk], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", disk], check=False)
        _, mount = self.mounted(80 * PIECE, cache=disk)
        self.read_all_of_it(mount)
        self.read_all_of_it(mount)
        until(lambda: self.warnings(mount), "the warning, which comes when a write is tried", 10)
        mount.stop()
        self.assert_one_warning(mount, "the cache is full")

    def test_files_may_not_grow(self):
        torrent, seed = self.torrent_and_seed(30 * PIECE)
        limited = types.SimpleNamespace(prefix=["prlimit", "--fsize=2000000"])
        mount = self.mount(torrent, peers=[seed.address], host=limited)
        self.read_all_of_it(mount)
        self.read_all_of_it(mount)
        mount.stop()
        self.assert_one_warning(mount, "cannot write to the cache (" + os.strerror(errno.EFBIG))

    # -- what was written is gone, or cannot be read
    def test_the_disk_cannot_be_read(self):
        _, mount, faults = self.with_faults(80 * PIECE)
        self.read_all_of_it(mount)
        faults.set("fail_reads", errno.EIO)
        self.read_all_of_it(mount)
        self.assertIn("cannot be used (" + os.strerror(errno.EIO), self.warnings(mount)[0])
        self.assertLessEqual(len(self.warnings(mount)), 2, "the first, and perhaps the tenth")
        faults.clear("fail_reads")
        self.read_all_of_it(mount)
        mount.stop()

    def test_the_file_is_cut_short(self):
        torrent, mount = self.mounted(80 * PIECE)
        self.read_all_of_it(mount)
        os.truncate(self.data(torrent, mount), 5 * PIECE + 3)
        self.read_all_of_it(mount)
        self.read_all_of_it(mount)
        mount.stop()
        self.assert_one_warning(mount, "shorter")

    def test_the_file_is_cut_short_under_a_mapping(self):
        torrent, mount = self.mounted(80 * PIECE)
        self.read_all_of_it(mount)
        self.forget_pages(mount)
        os.truncate(self.data(torrent, mount), 0)
        shown = self.command("/usr/bin/python3", "-c", MAPPED, mount.file()).strip()
        self.assertEqual(shown, hashlib.sha1(read_all(mount.source())).hexdigest())
        mount.stop()
        self.assert_one_warning(mount, "shorter")

    def test_the_folder_is_deleted(self):
        _, mount = self.mounted(12 * PIECE)
        self.read_at(mount, 0, PIECE)
        shutil.rmtree(mount.cache)
        self.read_all_of_it(mount)
        until(lambda: self.warnings(mount), "the warning", 10)
        mount.stop()
        self.assert_one_warning(mount, "cannot be written down")

    # -- descriptors and time
    def test_there_are_hardly_any_descriptors(self):
        torrent, seed = self.torrent_and_seed(6 * PIECE)
        mount = self.mount(torrent, peers=[seed.address] + [f"127.0.0.{k}:9" for k in range(2, 60)])
        self.read_at(mount, 0, 1)
        used = len(os.listdir(f"/proc/{mount.process.pid}/fd"))
        subprocess.run(["prlimit", f"--nofile={used}:{used}", "--pid", str(mount.process.pid)], check=True)
        self.read_all_of_it(mount)
        self.assertTrue(is_live(mount.path))
        mount.stop()
        self.assertLessEqual(len(self.warnings(mount)), 1, self.warnings(mount))

    def test_there_are_few_descriptors_from_the_start(self):
        torrent, seed = self.torrent_and_seed(12 * PIECE)
        few = types.SimpleNamespace(prefix=["prlimit", "--nofile=40:40"])
        strangers = [f"127.0.0.{k}:9" for k in range(2, 60)]
        mount = self.mount(torrent, peers=[seed.address, *strangers], host=few)
        self.read_all_of_it(mount)
        self.assertTrue(is_live(mount.path))
        mount.stop()
        self.assertLessEqual(len(self.warnings(mount)), 1, self.warnings(mount))

    def test_the_clock_jumps(self):
        torrent, mount, faults = self.with_faults(50 * PIECE)
        for turn, jump in enumerate((10 * YEAR, -10 * YEAR, -70 * YEAR, 100 * YEAR, 0)):  # 2106 is where 32 bits end
            faults.set("clock", jump)
            self.read_at(mount, 10 * turn * PIECE, 10 * PIECE)
            time.sleep(2.1)  # so that the resume file is written by that clock
        mount.stop()
        self.assertEqual(self.warnings(mount), [])
        self.assertEqual(self.claimed(torrent, mount.cache), list(range(torrent.pieces)))
        again = self.mount(torrent, cache=mount.cache)
        self.read_all_of_it(again)
        self.assertEqual(self.warnings(again), [])

    def test_the_clock_is_wrong_from_the_start(self):
        torrent, seed = self.torrent_and_seed(3 * PIECE)
        cache = self.new_dir("cache")
        for jump in (-70 * YEAR, 100 * YEAR, 0):
            faults = Faults(self, cache)
            faults.set("clock", jump)
            mount = self.mount(torrent, peers=[seed.address], cache=cache, environment=faults.environment)
            self.read_all_of_it(mount)
            self.assertGreater(os.stat(mount.file()).st_mtime, 0)
            mount.stop()
            self.assertEqual(self.warnings(mount), [])


if __name__ == "__main__":
    unittest.main()
