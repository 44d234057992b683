"""What stat, df, listxattr and scanners see."""
import errno
import os
import stat
import time
import unittest

from harness import KIB, MIB, Case, until
from peers import HonestPeer


class Attributes(Case):
    def mounted(self, **torrent):
        torrent = self.folder({"a.bin": 3 * MIB + 10, "empty": 0, "sub/b.bin": MIB, "sub/c": 1}, **torrent)
        self.peer = HonestPeer(self, torrent)
        return self.mount(torrent, peers=[self.peer.address])

    def read(self, path):
        with open(path, "rb") as file:
            return len(file.read())

    def test_modes_sizes_and_links(self):
        mount = self.mounted()
        for path, size in (("album/a.bin", 3 * MIB + 10), ("album/empty", 0), ("album/sub/c", 1)):
            info = os.stat(mount.file(path))
            self.assertEqual((stat.S_ISREG(info.st_mode), stat.S_IMODE(info.st_mode) & 0o222), (True, 0), path)
            self.assertEqual((info.st_size, info.st_nlink, info.st_blksize), (size, 1, 4096), path)
        for path in ("", "album", "album/sub"):
            info = os.stat(os.path.join(mount.path, path))
            self.assertEqual((stat.S_ISDIR(info.st_mode), stat.S_IMODE(info.st_mode)), (True, 0o555), path)
        self.assertEqual(os.listdir(mount.path), ["album"])
        self.assertEqual(sorted(os.listdir(mount.file("album"))), ["a.bin", "empty", "sub"])

    def test_mount_options(self):
        mount = self.mounted()
        with open("/proc/self/mounts", encoding="utf-8") as file:
            row = next(line.split() for line in file if line.split()[1] == mount.path)
        self.assertEqual(row[2], "fuse.swarmfs")
        for option in ("ro", "nosuid", "nodev", "noatime"):
            self.assertIn(option, row[3].split(","))

    def test_st_blocks_grows_with_what_is_present(self):
        mount = self.mounted()
        path = mount.file("album/a.bin")
        before = os.stat(path).st_blocks
        self.assertTrue(1 <= before < 100, before)
        self.assertEqual(os.stat(mount.file("album/empty")).st_blocks, 0)
        file = os.open(path, os.O_RDONLY)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)
        os.pread(file, 4096, MIB)
        os.close(file)
        middle = until(lambda: (blocks := os.stat(path).st_blocks) > before and blocks, "st_blocks to grow")
        self.assertLess(middle * 512, 3 * MIB)
        self.read(path)
        until(lambda: os.stat(path).st_blocks * 512 >= 3 * MIB + 10, "st_blocks to be whole")

    def test_df_shows_progress(self):
        mount = self.mounted()
        before = os.statvfs(mount.path)
        total = before.f_blocks * before.f_frsize
        self.assertTrue(4 * MIB <= total <= 4 * MIB + 64 * KIB, total)
        self.assertGreaterEqual(before.f_bfree, before.f_blocks - 1)
        self.assertEqual(before.f_namemax, 255)
        self.read(mount.file("album/sub/b.bin"))
        use = lambda: int(self.command("df", "--output=pcent", mount.path).split()[1].rstrip("%"))
        self.assertTrue(20 <= use() <= 60, use())
        for path in mount.torrent.files:
            self.read(mount.file(path))
        self.assertEqual((os.statvfs(mount.path).f_bavail, use()), (0, 100))

    def test_xattrs(self):
        mount = self.mounted()
        path = mount.file("album/a.bin")
        get = lambda name: os.getxattr(path, f"user.swarmfs.{name}").decode()
        self.assertEqual(get("infohash"), mount.torrent.info_hash.hex())
        self.assertEqual((float(get("progress")), get("complete")), (0.0, "0"))
        self.assertEqual(os.getxattr(mount.path, "user.swarmfs.infohash").decode(), mount.torrent.info_hash.hex())
        self.assertLessEqual({f"user.swarmfs.{name}" for name in ("infohash", "progress", "complete")}, set(os.listxattr(path)))
        file = os.open(path, os.O_RDONLY)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)
        os.pread(file, 4096, MIB)
        os.close(file)
        self.assertTrue(0 < float(get("progress")) < 50, get("progress"))
        self.read(path)
        self.assertEqual((float(get("progress")), get("complete")), (100.0, "1"))
        self.assert_errno(errno.ENODATA, os.getxattr, path, "user.nothing")
        self.assert_errno(errno.EOPNOTSUPP, os.getxattr, path, "security.selinux")

    def test_mtime_is_the_creation_date(self):
        mount = self.mounted(creation_date=1234567890)
        for path in (mount.path, *(mount.file(file) for file in mount.torrent.files)):
            self.assertEqual(os.stat(path).st_mtime, 1234567890)

    def test_mtime_is_the_same_in_every_mount(self):
        first = self.mounted()
        path = first.file("album/a.bin")
        before = os.stat(path)
        first.stop()
        # Every second has a different mtime for a program that takes the time of the mount.
        until(lambda: time.time() > before.st_mtime + 1.1, "the clock to go on")
        second = self.mount(first.torrent, peers=[self.peer.address], mountpoint=first.path, cache=first.cache)
        after = os.stat(second.file("album/a.bin"))
        self.assertEqual((after.st_mtime, after.st_ino), (before.st_mtime, before.st_ino))


if __name__ == "__main__":
    unittest.main()
