"""A magnet link: the mount is live and empty at once, is filled when the metadata has come from peers, and is there
at once the next time."""
import errno
import hashlib
import os
import signal
import subprocess
import types
import unittest

import libtorrent

from harness import KIB, MIB, SWARMFS, Case, dying_with_us, force_unmount, mounts_at, read_all, until
from peers import HonestPeer, LyingMetadataPeer, MetadataPeer, RejectingMetadataPeer, SilentMetadataPeer, WrongSizeMetadataPeer
from seeds import LibtorrentSeed, free_port

AT_ONCE = 1.0  # seconds, for what is answered from memory: generous to a machine with two busy cores


class Link:
    """A magnet link, in the place of the .torrent: the same files, the same truth."""

    def __init__(self, torrent, *more):
        self.file = "&".join(["magnet:?xt=urn:btih:" + torrent.info_hash.hex(), *more])
        self.save, self.files = torrent.save, torrent.files


def forged(**info):
    """What a peer needs of a torrent whose info dictionary is this."""
    info = libtorrent.bencode({key.replace("_", " ").encode(): value for key, value in info.items()})
    return types.SimpleNamespace(info=info, info_hash=hashlib.sha1(info).digest(), pieces=1, save="", files=[])


class MagnetCase(Case):
    def album(self):
        return self.folder({"a.bin": 300 * KIB, "b/c.bin": 700 * KIB, "d.txt": 5})

    def wait_for_files(self, mount, seconds=15):
        until(lambda: os.listdir(mount.path), "the files to appear", seconds)

    def assert_all_read(self, mount):
        for path in mount.torrent.files:
            self.assert_same_file(mount.file(path), mount.source(path))

    def background(self, *arguments, mountpoint):
        """Starts it without -f. What it said is in .communicate()."""
        self.addCleanup(force_unmount, mountpoint)
        command = [SWARMFS, "--cache-dir", self.new_dir("cache"), "--allow-local", *arguments, mountpoint]
        process = subprocess.Popen(
            dying_with_us("TERM", command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment(),
            start_new_session=True,
        )
        self.addCleanup(self._reap, process)
        return process

    def said(self, process, seconds=10):
        """(exit code, stderr) of a process that ends by itself."""
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.fail(f"it did not end within {seconds} s")
        self.assertEqual(out, b"")
        return process.returncode, err.decode()


class LiveAndEmpty(MagnetCase):
    def test_everything_answers_before_the_metadata_is_there(self):
        torrent = self.album()
        mount = self.mount(Link(torrent))
        name = os.path.join(mount.path, "album")
        self.assertEqual(self.assert_within(AT_ONCE, "ls", lambda: self.command("ls", "-la", mount.path)).count("\n"), 3)
        self.assert_within(AT_ONCE, "a lookup", lambda: self.assert_errno(errno.ENOENT, os.stat, name))
        self.assertEqual(self.start("cat", name).wait(AT_ONCE), 1)
        status = os.statvfs(mount.path)
        self.assertEqual((status.f_blocks, status.f_bfree, status.f_files), (0, 0, 0))
        self.assertEqual(os.getxattr(mount.path, "user.swarmfs.infohash").decode(), torrent.info_hash.hex())
        until(lambda: "waiting for the metadata: no peers known" in mount.log(), "the reason in the log")
        self.assertLess(mount.stop(), 2.0)

    def test_those_who_look_see_the_files_at_once(self):
        torrent = self.album()
        peer = MetadataPeer(self, torrent, held=True)
        mount = self.mount(Link(torrent), peers=[peer.address])
        until(lambda: peer.metadata_requests, "the metadata to be asked for")
        name = os.path.join(mount.path, "album")
        before = os.stat(mount.path).st_mtime
        held_open = os.open(mount.path, os.O_RDONLY)
        self.addCleanup(os.close, held_open)
        self.assertEqual(os.listdir(held_open), [])
        # One that sits in the empty directory, one that lists it again and again, one that asks for a name.
        shell = lambda script, **kw: self.start("sh", "-c", script, **kw)
        watchers = [
            shell("while ! ls -d album; do :; done", cwd=mount.path),
            shell(f'while [ -z "$(ls {mount.path})" ]; do :; done'),
            shell(f"while ! cat {name}/d.txt; do :; done"),
        ]
        for _ in range(200):
            self.assert_errno(errno.ENOENT, os.stat, name)
            self.assertEqual(os.listdir(mount.path), [])
        self.assertTrue(all(watcher.poll() is None for watcher in watchers))
        peer.release()
        self.wait_for_files(mount)
        for watcher in watchers:
            self.assertEqual(watcher.wait(5), 0, watcher.args)
        self.assertEqual(os.listdir(held_open), ["album"])
        self.assertEqual(os.stat(mount.path).st_nlink, 3)
        self.assertEqual(os.stat(mount.path).st_mtime, before)
        self.assertEqual(os.statvfs(mount.path).f_blocks, -(-torrent.size // 4096))
        self.assert_all_read(mount)

    def test_the_status_says_that_no_peer_was_reached(self):
        mount = self.mount(Link(self.album()), peers=[f"127.0.0.1:{free_port()}"])
        until(lambda: "waiting for the metadata: 1 peer known, none reached" in mount.log(), "the reason in the log")

    def test_the_status_says_that_nobody_offers_metadata(self):
        torrent = self.album()
        mount = self.mount(Link(torrent), peers=[HonestPeer(self, torrent).address])
        until(lambda: "waiting for the metadata: 1 peer connected, none offers it" in mount.log(), "the reason in the log")


class Filled(MagnetCase):
    def test_a_link_and_one_seed_are_enough(self):
        torrent = self.album()
        mount = self.mount(Link(torrent, "dn=whatever"), peers=[LibtorrentSeed(self, torrent).address])
        self.wait_for_files(mount)
        self.assert_all_read(mount)
        mount.stop()

    def test_a_bare_info_hash_is_enough(self):
        torrent = self.one_file(MIB)
        link = Link(torrent)
        link.file = torrent.info_hash.hex().upper()
        mount = self.mount(link, peers=[LibtorrentSeed(self, torrent).address])
        self.wait_for_files(mount)
        self.assert_all_read(mount)

    def test_metadata_of_many_parts(self):
        torrent = self.folder({f"{k:03}/{'x' * 200}.bin": 1 + k for k in range(400)}, piece=16 * KIB)
        self.assertGreater(len(torrent.info), 5 * 16384)
        mount = self.mount(Link(torrent), peers=[LibtorrentSeed(self, torrent).address])
        self.wait_for_files(mount)
        self.assertEqual(len(os.listdir(os.path.join(mount.path, "album"))), 400)
        for path in torrent.files[::40]:
            self.assert_same_file(mount.file(path), mount.source(path))

    def test_the_peer_that_the_link_names(self):
        torrent = self.album()
        mount = self.mount(Link(torrent, "x.pe=" + LibtorrentSeed(self, torrent).address))
        self.wait_for_files(mount)
        self.assert_all_read(mount)

    def test_a_link_leads_to_no_local_service(self):
        torrent = self.album()
        peer = MetadataPeer(self, torrent)
        mount = self.mount(Link(torrent, "x.pe=" + peer.address), allow_local=False)
        until(lambda: "waiting for the metadata: no peers known" in mount.log(), "the reason in the log")
        self.assertEqual(peer.connections, 0)

    def test_the_link_selects_files(self):
        torrent = self.album()
        k = torrent.files.index("album/b/c.bin")
        mount = self.mount(Link(torrent, f"so={k},77"), peers=[LibtorrentSeed(self, torrent).address])
        self.wait_for_files(mount)
        self.assertEqual(os.listdir(os.path.join(mount.path, "album")), ["b"])
        self.assert_same_file(mount.file("album/b/c.bin"), mount.source("album/b/c.bin"))
        self.assertEqual(os.statvfs(mount.path).f_blocks, -(-700 * KIB // 4096))
        self.assertIn("so=77", mount.log())

    def test_a_selection_of_nothing_shows_all(self):
        torrent = self.album()
        mount = self.mount(Link(torrent, "so=40-50"), peers=[LibtorrentSeed(self, torrent).address])
        self.wait_for_files(mount)
        self.assert_all_read(mount)
        self.assertIn("all are shown", mount.log())


class TheNextMount(MagnetCase):
    def mounted_once(self):
        """(torrent, its link, the cache that an earlier mount of the link left)."""
        torrent = self.album()
        seed = LibtorrentSeed(self, torrent)
        mount = self.mount(Link(torrent), peers=[seed.address])
        self.wait_for_files(mount)
        mount.stop()
        seed.kill()
        return torrent, Link(torrent), mount.cache

    def kept(self, torrent, cache):
        return os.path.join(cache, torrent.info_hash.hex(), "metainfo")

    def test_needs_no_peer(self):
        torrent, link, cache = self.mounted_once()
        mount = self.mount(link, cache=cache)  # is live; nobody is there to fill it
        names = self.assert_within(0.3, "ls", lambda: os.listdir(mount.path))
        self.assertEqual(names, ["album"])
        self.assertEqual(sorted(os.listdir(os.path.join(mount.path, "album"))), ["a.bin", "b", "d.txt"])

    def test_keeps_the_time_of_the_first(self):
        torrent, link, cache = self.mounted_once()
        with open(os.path.join(cache, torrent.info_hash.hex(), "added"), "w", encoding="ascii") as file:
            file.write("1234567890\n")
        mount = self.mount(link, cache=cache)
        self.assertEqual(os.stat(mount.path).st_mtime, 1234567890)

    def test_what_is_kept_is_a_torrent_file(self):
        torrent, _, cache = self.mounted_once()
        code, out, err = self.swarmfs("--check", self.kept(torrent, cache))
        self.assertEqual((code, err), (0, ""))
        self.assertIn(torrent.info_hash.hex(), out)
        self.assertEqual(os.stat(self.kept(torrent, cache)).st_mode & 0o777, 0o600)

    def test_garbage_in_the_cache_is_fetched_again(self):
        torrent, link, cache = self.mounted_once()
        good = read_all(self.kept(torrent, cache))
        for bad in (b"", b"garbage", good[: len(good) // 2], good.replace(b"a.bin", b"b.bin")):
            with open(self.kept(torrent, cache), "wb") as file:
                file.write(bad)
            mount = self.mount(link, cache=cache, peers=[MetadataPeer(self, torrent).address])
            self.wait_for_files(mount)
            self.assert_all_read(mount)
            mount.stop()
            self.assertEqual(read_all(self.kept(torrent, cache)), good)

    def test_a_link_to_a_torrent_that_was_mounted_from_its_file(self):
        torrent = self.one_file(MIB, creation_date=1_600_000_000)
        mount = self.mount(torrent)
        mount.stop()
        again = self.mount(Link(torrent), cache=mount.cache)
        self.assertEqual(os.listdir(again.path), ["film.bin"])
        self.assertEqual(os.stat(again.path).st_mtime, 1_600_000_000)


class Waiting(MagnetCase):
    """-o wait_metadata"""

    def test_returns_when_the_files_are_there(self):
        torrent = self.album()
        peer, mountpoint = MetadataPeer(self, torrent, held=True), self.new_dir("mnt")
        process = self.background("-o", "wait_metadata", "--peer", peer.address, Link(torrent).file, mountpoint=mountpoint)
        until(lambda: peer.metadata_requests, "the metadata to be asked for")
        self.assertIsNone(process.poll(), "it was to wait")
        peer.release()
        self.assertEqual(self.said(process), (0, ""))
        self.assertEqual(os.listdir(mountpoint), ["album"])

    def test_in_the_foreground_it_is_mounted_only_then(self):
        torrent = self.album()
        peer = MetadataPeer(self, torrent, held=True)
        mount = self.mount(Link(torrent), "-o", "wait_metadata=50", peers=[peer.address])
        until(lambda: peer.metadata_requests, "the metadata to be asked for")
        self.assertNotIn("mounted on", mount.log())
        peer.release()
        until(lambda: "mounted on" in mount.log(), "it to be mounted")
        self.assertEqual(os.listdir(mount.path), ["album"])
        mount.stop()

    def test_a_torrent_file_has_nothing_to_wait_for(self):
        mount = self.mount(self.album(), "-o", "wait_metadata=1")
        until(lambda: "mounted on" in mount.log(), "it to be mounted")

    def test_gives_up_when_the_time_is_over(self):
        silent = SilentMetadataPeer(self, self.album())
        reasons = {
            (): "no peers known",
            ("--peer", f"127.0.0.1:{free_port()}"): "1 peer known, none reached",
            ("--peer", silent.address): "1 peer connected",
        }
        for options, why in reasons.items():
            mountpoint = self.new_dir("mnt")
            process = self.background("-o", "wait_metadata=2", *options, Link(silent.torrent).file, mountpoint=mountpoint)
            code, said = self.said(process)
            self.assertEqual(code, 1, said)
            self.assertRegex(said, rf"^swarmfs: {silent.torrent.info_hash.hex()}: gave up after 2 s of waiting for the metadata: {why}[^\n]*\n$")
            self.assertEqual(mounts_at(mountpoint), [])

    def test_gives_up_in_the_foreground_too(self):
        mount = self.mount(Link(self.album()), "-o", "wait_metadata=1", wait=False)
        self.assertEqual(mount.wait(5), 1)
        self.assertFalse(mount.is_mounted())
        self.assertEqual(mount.log().count("gave up after 1 s of waiting for the metadata: no peers known"), 1)

    def test_control_c_ends_the_wait(self):
        link, mountpoint = Link(self.album()), self.new_dir("mnt")
        for number in (signal.SIGINT, signal.SIGTERM):
            process = self.background("-o", "wait_metadata", link.file, mountpoint=mountpoint)
            until(lambda: mounts_at(mountpoint), "the wait to begin")
            process.send_signal(number)
            code, said = self.said(process, 5)
            self.assertEqual((code, said), (1, "swarmfs: stopped before the metadata was there\n"))
            self.assertEqual(mounts_at(mountpoint), [])

    def test_control_c_ends_the_wait_in_the_foreground(self):
        mount = self.mount(Link(self.album()), "-o", "wait_metadata")
        mount.process.send_signal(signal.SIGINT)
        self.assertEqual(mount.wait(5), 1)
        self.assertFalse(mount.is_mounted())


class BadMetadata(MagnetCase):
    def test_a_liar_beside_a_good_one(self):
        torrent = self.folder({f"{k:03}/{'x' * 200}.bin": 1 for k in range(200)}, piece=16 * KIB)
        for liar in (LyingMetadataPeer, SilentMetadataPeer, RejectingMetadataPeer):
            with self.subTest(liar.__name__):
                bad, good = liar(self, torrent), MetadataPeer(self, torrent, held=True)
                mount = self.mount(Link(torrent), peers=[bad.address, good.address])
                until(lambda: bad.metadata_requests, "the liar to be asked")
                good.release()
                self.wait_for_files(mount, 30)
                self.assertEqual(len(os.listdir(os.path.join(mount.path, "album"))), 200)
                mount.stop()

    def test_sizes_that_cannot_be(self):
        torrent = self.album()
        for claimed in (0, -1, 1, 16384, 8 * MIB + 1, 1 << 31, (1 << 63) - 1):
            with self.subTest(claimed):
                bad, good = WrongSizeMetadataPeer(self, torrent, claimed), MetadataPeer(self, torrent, held=True)
                mount = self.mount(Link(torrent), peers=[bad.address, good.address])
                until(lambda: bad.connections, "the liar to be met")
                good.release()
                self.wait_for_files(mount, 30)
                mount.stop()

    def test_metadata_that_is_no_torrent_ends_the_mount_with_a_word(self):
        torrent = forged(name=b"x", length=5, piece_length=0, pieces=b"p" * 20)
        peer = MetadataPeer(self, torrent, have=())
        link = Link(torrent)
        why = torrent.info_hash.hex() + ": not a torrent that can be mounted: "
        foreground = self.mount(link, peers=[peer.address], wait=False)
        self.assertEqual(foreground.wait(10), 1)
        self.assertEqual(foreground.log().count(why), 1, foreground.log())
        self.assertFalse(foreground.is_mounted())
        mountpoint = self.new_dir("mnt")
        code, said = self.said(self.background("-o", "wait_metadata", "--peer", peer.address, link.file, mountpoint=mountpoint))
        self.assertEqual(code, 1)
        self.assertRegex(said, rf"^swarmfs: {why}[^\n]+\n$")
        self.assertEqual(mounts_at(mountpoint), [])

    def test_in_the_background_it_unmounts(self):
        torrent = forged(name=b"x", length=5, piece_length=0, pieces=b"p" * 20)
        peer, mountpoint = MetadataPeer(self, torrent, held=True, have=()), self.new_dir("mnt")
        process = self.background("--peer", peer.address, Link(torrent).file, mountpoint=mountpoint)
        self.assertEqual(self.said(process), (0, ""))
        self.assertEqual(os.listdir(mountpoint), [])
        peer.release()
        until(lambda: not mounts_at(mountpoint), "the mount to go")


if __name__ == "__main__":
    unittest.main()
