"""--ephemeral: what a mount fetched is gone when the mount is, whatever ended it."""
import os
import signal
import unittest

from harness import KIB, MIB, Case
from peers import HonestPeer


class Ephemeral(Case):
    def folders(self, cache):
        return [name for name in os.listdir(cache) if os.path.isdir(os.path.join(cache, name))]

    def reading(self, torrent, cache, *options):
        """A mount whose film was read from start to end."""
        peer = HonestPeer(self, torrent)
        mount = self.mount(torrent, *options, peers=[peer.address], cache=cache)
        self.assert_same_file(mount.file(), mount.source())
        return mount

    def test_nothing_is_left_after_unmounting(self):
        torrent, cache = self.one_file(2 * MIB), self.new_dir("cache")
        mount = self.reading(torrent, cache, "--ephemeral")
        self.assertEqual(len(self.folders(cache)), 1, "while it lives, the cache is on disk")
        mount.stop()
        self.assertEqual(self.folders(cache), [])

    def test_what_a_crash_left_goes_at_the_next_start_of_anything(self):
        torrent, other, cache = self.one_file(2 * MIB), self.one_file(256 * KIB, name="b"), self.new_dir("cache")
        crashed = self.reading(torrent, cache, "--ephemeral")
        crashed.process.send_signal(signal.SIGKILL)
        crashed.process.wait(5)
        left = self.folders(cache)
        self.assertEqual(len(left), 1)
        self.reading(other, cache)
        self.assertEqual(self.folders(cache), [other.info_hash.hex()])

    def test_a_living_one_is_left_alone_by_others(self):
        torrent, other, cache = self.one_file(2 * MIB), self.one_file(256 * KIB, name="b"), self.new_dir("cache")
        living = self.reading(torrent, cache, "--ephemeral")
        self.reading(other, cache, "--ephemeral")
        self.assertEqual(len(self.folders(cache)), 2)
        os.posix_fadvise(os.open(living.file(), os.O_RDONLY), 0, 0, os.POSIX_FADV_DONTNEED)
        self.assert_same_file(living.file(), living.source())

    def test_what_was_kept_before_stays(self):
        torrent, cache = self.one_file(2 * MIB), self.new_dir("cache")
        self.reading(torrent, cache).stop()
        kept = self.folders(cache)
        self.reading(torrent, cache, "--ephemeral").stop()
        self.assertEqual(self.folders(cache), kept)
        self.assertIn("metainfo", os.listdir(os.path.join(cache, kept[0])))

    def test_the_same_torrent_twice_is_refused_and_both_kinds_at_once_are_not(self):
        torrent, cache = self.one_file(256 * KIB), self.new_dir("cache")
        self.reading(torrent, cache, "--ephemeral")
        self.refused(1, ["already in use", "--cache-dir"], "-f", "--cache-dir", cache, "--ephemeral", torrent.file, self.new_dir("mnt"))
        self.reading(torrent, cache)


if __name__ == "__main__":
    unittest.main()
