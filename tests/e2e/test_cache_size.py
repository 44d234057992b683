"""--cache-size and --min-free: what is kept on disk stays below them while data comes in, and nobody who reads notices."""
import contextlib
import os
import subprocess
import threading
import time
import unittest

from harness import MIB, Case, Mount, until
from seeds import LibtorrentSeed

PIECE = MIB // 4


def du(path):
    """Bytes on disk of all that is below `path`."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512
    return total


class HighWater:
    """The most that `measure` ever said while this was open, sampled all the time."""

    def __init__(self, measure):
        self.measure, self.most, self.samples = measure, 0, 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while not self.over.is_set():
            self.most = max(self.most, self.measure())
            self.samples += 1
            time.sleep(0.002)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


class CacheSize(Case):
    def film(self, size, name="film.bin"):
        torrent = self.one_file(size, name=name, piece=PIECE)
        return torrent, LibtorrentSeed(self, torrent)

    def small_disk(self, size):
        path = self.new_dir("disk")
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", path], check=False)
        return path

    def forget_pages(self, mount):
        """What the kernel has of the film is dropped: the next read comes to the program."""
        fd = os.open(mount.file(), os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)

    def assert_within(self, water, limit):
        self.assertGreater(water.samples, 20)
        self.assertLess(water.most, limit, f"{water.most / MIB:.1f} MiB")

    def test_the_limit_holds_while_a_film_streams_through(self):
        torrent, seed = self.film(192 * MIB)
        mount = self.mount(torrent, "--cache-size", "32M", peers=[seed.address])
        with HighWater(lambda: du(mount.cache)) as water:
            self.assert_same_file(mount.file(), mount.source())
        self.assert_within(water, 32 * MIB + 2 * PIECE)
        self.assertGreater(water.most, 24 * MIB, "the room that there is, is used")

    def test_what_left_is_fetched_again_and_what_stayed_is_not(self):
        torrent, seed = self.film(96 * MIB)
        mount = self.mount(torrent, "--cache-size", "32M", peers=[seed.address])
        self.assert_same_file(mount.file(), mount.source())
        self.forget_pages(mount)
        before = seed.uploaded()
        with open(mount.file(), "rb", buffering=0) as film, open(mount.source(), "rb") as source:
            for at in (94 * MIB, 90 * MIB, 0):  # the last that was read, and a head that is pinned
                film.seek(at)
                source.seek(at)
                self.assertEqual(film.read(PIECE), source.read(PIECE))
        self.assertEqual(seed.uploaded(), before, "they were there")
        self.forget_pages(mount)
        self.assert_same_file(mount.file(), mount.source())
        self.assertGreater(seed.uploaded() - before, 48 * MIB, "most of it had left")

    def test_two_mounts_on_one_cache_hold_it_together(self):
        (one, seed_one), (two, seed_two) = self.film(96 * MIB), self.film(96 * MIB, name="other.bin")
        first = self.mount(one, "--cache-size", "32M", peers=[seed_one.address])
        second = self.mount(two, "--cache-size", "32M", peers=[seed_two.address], cache=first.cache)
        with HighWater(lambda: du(first.cache)) as water:
            reader = threading.Thread(target=self.assert_same_file, args=(first.file(), first.source()))
            reader.start()
            self.assert_same_file(second.file(), second.source())
            reader.join()
        self.assert_within(water, 32 * MIB + 2 * PIECE)

    def test_a_torrent_that_nobody_has_mounted_gives_its_room_first(self):
        (old, seed_old), (new, seed_new) = self.film(24 * MIB, name="old.bin"), self.film(24 * MIB)
        first = self.mount(old, "--cache-size", "32M", peers=[seed_old.address])
        self.assert_same_file(first.file(), first.source())
        first.stop()
        second = self.mount(new, "--cache-size", "32M", peers=[seed_new.address], cache=first.cache)
        with HighWater(lambda: du(first.cache)) as water:
            self.assert_same_file(second.file(), second.source())
            until(lambda: du(os.path.join(first.cache, new.info_hash.hex())) > 23 * MIB, "all of the new one to be kept")
        self.assert_within(water, 32 * MIB + 2 * PIECE)
        # And what is left of the old one is still right.
        again = self.mount(old, "--cache-size", "32M", peers=[seed_old.address], cache=first.cache)
        self.assert_same_file(again.file(), again.source())

    def test_the_disk_keeps_free_what_it_is_told_to(self):
        torrent, seed = self.film(96 * MIB)
        disk = self.small_disk("64M")
        mount = self.mount(torrent, "--min-free", "24M", peers=[seed.address], cache=disk)

        def used():
            info = os.statvfs(disk)
            return (info.f_blocks - info.f_bavail) * info.f_frsize

        with HighWater(used) as water:
            self.assert_same_file(mount.file(), mount.source())
        self.assert_within(water, 40 * MIB + 2 * PIECE)
        with open(os.path.join(disk, "somebody else's"), "wb") as file:  # fills what was left free
            file.write(bytes(20 * MIB))
        until(lambda: used() < 41 * MIB, "the cache to make room for others")

    def test_a_full_disk_costs_caching_and_no_read(self):
        torrent, seed = self.film(64 * MIB)
        disk = self.small_disk("24M")
        with open(os.path.join(disk, "ballast"), "wb") as file:
            file.write(bytes(8 * MIB))
        mount = self.mount(torrent, "--min-free", "1", peers=[seed.address], cache=disk)
        with open(mount.file(), "rb", buffering=0) as film, open(mount.source(), "rb") as source:
            self.assertEqual(film.read(PIECE), source.read(PIECE))
            with contextlib.suppress(OSError), open(os.path.join(disk, "more ballast"), "wb", buffering=0) as file:
                while file.write(bytes(MIB)):  # until ENOSPC
                    pass
            self.assertEqual(film.read(PIECE), source.read(PIECE))
        self.assert_same_file(mount.file(), mount.source())
        self.assertLess(mount.log().count("warning"), 10, "one line, and not one a piece")


if __name__ == "__main__":
    unittest.main()
