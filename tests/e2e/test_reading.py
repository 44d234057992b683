"""Any program reads right bytes, however it reads, from whoever seeds."""
import errno
import mmap
import os
import random
import sys
import threading
import unittest

from harness import KIB, MIB, Case, Torrent, read_all, until
from peers import BurstPeer, ChokingPeer, HonestPeer, MutePeer, RejectingPeer, SilentPeer, SlowPeer
from seeds import SEEDS, LibtorrentSeed
from trackers import Opentracker, ScriptedTracker


class WholeFile(Case):
    def compare_through_opentracker(self, kind, size=24 * MIB + 12345):
        """A seed and swarmfs find each other through opentracker; the file is compared from start to end."""
        bare = self.one_file(size)
        tracker = Opentracker(self, bare.info_hash)
        torrent = Torrent(bare.content, os.path.join(self.new_dir("t"), "t.torrent"), trackers=[tracker.url])
        options = {"announce": True} if kind is LibtorrentSeed else {}
        kind(self, torrent, **options)
        tracker.wait_for_seed(torrent.info_hash)
        mount = self.mount(torrent)
        self.assert_same_file(mount.file(), mount.source())
        mount.stop()

    def test_from_libtorrent_found_through_opentracker(self):
        self.compare_through_opentracker(SEEDS["libtorrent"])

    def test_from_transmission_found_through_opentracker(self):
        self.compare_through_opentracker(SEEDS["Transmission"], size=3 * MIB + 12345)  # it sends every half second only

    def test_from_aria2_found_through_opentracker(self):
        self.compare_through_opentracker(SEEDS["aria2"])

    def test_from_a_peer_named_on_the_command_line(self):
        torrent = self.one_file(8 * MIB)
        mount = self.mount(torrent, peers=[LibtorrentSeed(self, torrent).address])
        self.assert_same_file(mount.file(), mount.source())

    def test_from_all_kinds_at_once(self):
        torrent = self.one_file(48 * MIB + 1, piece=MIB)
        mount = self.mount(torrent, peers=[kind(self, torrent).address for kind in SEEDS.values()])
        self.assert_same_file(mount.file(), mount.source())

    def test_from_a_peer_that_knows_no_fast_extension(self):
        torrent = self.one_file(2 * MIB)
        mount = self.mount(torrent, peers=[HonestPeer(self, torrent, fast=False).address])
        self.assert_same_file(mount.file(), mount.source())

    def test_from_peers_that_have_different_parts(self):
        torrent = self.one_file(8 * MIB, piece=64 * KIB)
        peers = [HonestPeer(self, torrent, have=range(k, torrent.pieces, 3)).address for k in range(3)]
        mount = self.mount(torrent, peers=peers)
        self.assert_same_file(mount.file(), mount.source())


class Trackers(Case):
    def test_every_form_of_a_trackers_answer_leads_to_the_seed(self):
        for form in ("compact", "dictionary", "gzip"):
            with self.subTest(form):
                tracker = ScriptedTracker(self, form=form)
                torrent = self.one_file(MIB, trackers=[tracker.url])
                tracker.peers = [HonestPeer(self, torrent).address]
                mount = self.mount(torrent)
                self.assert_same_file(mount.file(), mount.source())
                mount.stop()

    def test_a_tracker_hears_started_once_and_stopped_at_the_end(self):
        tracker = ScriptedTracker(self)
        torrent = self.one_file(MIB, trackers=[tracker.url])
        tracker.peers = [HonestPeer(self, torrent).address]
        mount = self.mount(torrent)
        self.assert_same_file(mount.file(), mount.source())
        mount.stop()
        self.assertEqual([tracker.events()[0], tracker.events()[-1]], ["started", "stopped"])
        self.assertEqual(tracker.events().count("started"), 1)
        first, last = tracker.announces[0], tracker.announces[-1]
        self.assertEqual(first["info_hash"].encode("latin-1"), torrent.info_hash)
        self.assertEqual((first["left"], first["compact"]), (str(torrent.size), "1"))
        self.assertEqual((last["left"], int(last["downloaded"]) >= torrent.size), ("0", True))
        self.assertEqual(len({query["peer_id"] for query in tracker.announces}), 1)

    def test_a_dead_tracker_does_not_keep_a_living_one_waiting(self):
        living = ScriptedTracker(self)
        failing = ScriptedTracker(self, form=lambda query: (500, b"no"))
        torrent = self.one_file(MIB, trackers=["http://127.0.0.1:1/announce", failing.url, living.url])
        living.peers = [HonestPeer(self, torrent).address]
        mount = self.mount(torrent)
        self.assert_within(5, "the first bytes", lambda: self.assert_same_file(mount.file(), mount.source()))


class Patterns(Case):
    def mounted(self, torrent):
        return self.mount(torrent, peers=[LibtorrentSeed(self, torrent).address])

    def test_eight_threads_read_at_random_and_all_compare(self):
        torrent = self.one_file(32 * MIB + 777)
        mount, problems = self.mounted(torrent), []

        def read_at_random(seed):
            rng = random.Random(seed)
            shown, source = os.open(mount.file(), os.O_RDONLY), os.open(mount.source(), os.O_RDONLY)
            try:
                for _ in range(60):
                    size = rng.choice((1, 100, 4096, 16 * KIB, 100_000, 300_000))
                    at = rng.randrange(torrent.size + 1000)  # now and then past the end
                    if os.pread(shown, size, at) != os.pread(source, size, at):
                        problems.append(f"seed {seed}: {size} bytes at {at} differ")
            except OSError as error:
                problems.append(f"seed {seed}: {error}")
            finally:
                os.close(shown)
                os.close(source)

        threads = [threading.Thread(target=read_at_random, args=(seed,), daemon=True) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(self.limit)
            self.assertFalse(thread.is_alive())
        self.assertEqual(problems, [])

    def test_two_thousand_small_files(self):
        rng = random.Random(2000)
        sizes = {f"dir{k % 40:02}/file{k:04}.bin": rng.randrange(0, 24 * KIB) for k in range(2000)}
        torrent = self.folder(sizes)
        mount = self.mounted(torrent)
        listing = self.assert_within(1, "ls -lR", lambda: self.command("ls", "-lR", mount.path))
        self.assertEqual(listing.count(".bin\n"), 2000)
        shown = {}
        for folder, _, files in os.walk(os.path.join(mount.path, "album")):
            for name in files:
                path = os.path.join(folder, name)
                shown[os.path.relpath(path, os.path.join(mount.path, "album"))] = os.stat(path).st_size
        self.assertEqual(shown, sizes)
        for path in sorted(sizes):
            self.assertEqual(read_all(os.path.join(mount.path, "album", path)), read_all(os.path.join(torrent.content, path)), path)

    def test_mmap(self):
        torrent = self.one_file(4 * MIB + 100)
        mount = self.mounted(torrent)
        # In a process of its own: a page fault that waits holds Python's lock.
        self.command(
            sys.executable,
            "-c",
            "import mmap, sys\n"
            "files = [open(path, 'rb') for path in sys.argv[1:]]\n"
            "shown, source = (mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) for file in files)\n"
            "assert len(shown) == len(source)\n"
            "for at in [*range(0, len(source), 999_983), len(source) - 1]:\n"
            "    assert shown[at] == source[at], at\n"
            "assert shown[:] == source[:]\n",
            mount.file(),
            mount.source(),
        )

    def test_o_direct(self):
        torrent = self.one_file(2 * MIB + 1000)
        mount = self.mounted(torrent)
        shown = os.open(mount.file(), os.O_RDONLY | os.O_DIRECT)
        self.addCleanup(os.close, shown)
        buffer = mmap.mmap(-1, 128 * KIB)  # page-aligned
        self.addCleanup(buffer.close)
        source = read_all(mount.source())
        for at in (MIB, 0, 4096, torrent.size - torrent.size % 4096, torrent.size + 4096 - torrent.size % 4096):
            count = os.preadv(shown, [buffer], at)
            self.assertEqual(buffer[:count], source[at : at + 128 * KIB], f"at {at}")

    def test_cp_r_makes_an_equal_copy(self):
        torrent = self.folder({"a.bin": 3 * MIB + 1, "empty": 0, "b/c/d.txt": 17, "b/e.bin": 512 * KIB, "b/f": 1}, piece=128 * KIB)
        mount = self.mounted(torrent)
        copy = os.path.join(self.new_dir("copy"), "album")
        self.command("cp", "-r", os.path.join(mount.path, "album"), copy)
        self.command("diff", "-r", copy, torrent.content)

    def test_tar_does_not_take_missing_data_for_holes(self):
        torrent = self.folder({"a.bin": MIB, "b.bin": 5})
        mount = self.mounted(torrent)
        archive = os.path.join(self.new_dir("tar"), "x.tar")
        self.command("tar", "-cSf", archive, "-C", mount.path, "album")
        self.command("tar", "-xf", archive, "-C", os.path.dirname(archive))
        self.command("diff", "-r", os.path.join(os.path.dirname(archive), "album"), torrent.content)

    def test_a_file_that_ends_inside_a_piece(self):
        torrent = self.folder({"a": 100_001, "b": 1, "c": 70_000, "d": 262_144, "e": 3}, piece=64 * KIB)
        mount = self.mounted(torrent)
        for name in ("e", "c", "a", "d", "b"):
            shown, source = mount.file(f"album/{name}"), mount.source(f"album/{name}")
            size = os.path.getsize(source)
            self.assertEqual(os.stat(shown).st_size, size)
            with open(shown, "rb", buffering=0) as file:
                for at in (max(0, size - 10), size, size + 5000):
                    self.assertEqual(os.pread(file.fileno(), 100, at), read_all(source)[at : at + 100], f"{name} at {at}")
            self.assert_same_file(shown, source)

    def test_a_read_only_tree_refuses_to_be_changed(self):
        torrent = self.folder({"a": 10, "b/c": 10})
        mount = self.mount(torrent)
        album = os.path.join(mount.path, "album")
        self.assert_errno(errno.EROFS, os.open, os.path.join(album, "a"), os.O_WRONLY)
        self.assert_errno(errno.EROFS, os.open, os.path.join(album, "new"), os.O_WRONLY | os.O_CREAT)
        self.assert_errno(errno.EROFS, os.unlink, os.path.join(album, "a"))
        self.assert_errno(errno.EROFS, os.mkdir, os.path.join(album, "d"))
        self.assert_errno(errno.EROFS, os.rename, os.path.join(album, "a"), os.path.join(album, "z"))
        self.assert_errno(errno.EROFS, os.truncate, os.path.join(album, "a"), 0)
        self.assert_errno(errno.ENOENT, os.stat, os.path.join(album, "nothing"))
        self.assert_errno(errno.ENOTDIR, os.stat, os.path.join(album, "a", "x"))

    def test_a_second_read_needs_no_peer(self):
        torrent = self.one_file(4 * MIB)
        peer = HonestPeer(self, torrent)
        mount = self.mount(torrent, peers=[peer.address])
        self.assert_same_file(mount.file(), mount.source())
        peer.close()
        served = peer.served
        file = os.open(mount.file(), os.O_RDONLY)
        self.addCleanup(os.close, file)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)  # so that it is swarmfs that answers, not the page cache
        self.assert_same_file(mount.file(), mount.source())
        self.assertEqual(peer.served, served)

    def test_sendfile(self):
        torrent = self.one_file(MIB + 3)
        mount = self.mounted(torrent)
        target = os.path.join(self.new_dir("copy"), "it")
        with open(mount.file(), "rb") as shown, open(target, "wb") as out:
            at = 0
            while count := os.sendfile(out.fileno(), shown.fileno(), at, MIB):
                at += count
        self.assertEqual(read_all(target), read_all(mount.source()))


class PeersComeAndGo(Case):
    def read_in_thread(self, mount):
        """Starts comparing the whole file; (thread, progress in bytes as a list of one, problems)."""
        at, problems = [0], []

        def read():
            try:
                with open(mount.file(), "rb", buffering=0) as shown, open(mount.source(), "rb") as source:
                    while got := shown.read(64 * KIB):
                        if got != source.read(len(got)):
                            problems.append(f"wrong bytes at {at[0]}")
                            return
                        at[0] += len(got)
            except OSError as error:
                problems.append(str(error))

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        return thread, at, problems

    def test_a_peer_is_killed_in_the_middle_of_a_read(self):
        torrent = self.one_file(16 * MIB)
        doomed, other = (LibtorrentSeed(self, torrent, rate=4 * MIB) for _ in range(2))
        mount = self.mount(torrent, peers=[doomed.address, other.address])
        thread, at, problems = self.read_in_thread(mount)
        until(lambda: at[0] > 3 * MIB and doomed.uploaded() > MIB, "both to be at work")
        doomed.kill()
        self.assertLess(at[0], torrent.size, "it was all read before the peer was killed: this test shows nothing")
        # The rest takes the other peer 3.2 s.
        thread.join(8)
        self.assertFalse(thread.is_alive(), f"after 8 s at 4 MiB/s the read is at {at[0]}")
        self.assertEqual((problems, at[0]), ([], torrent.size))

    def test_the_only_peer_goes_and_another_comes(self):
        tracker = ScriptedTracker(self)
        torrent = self.one_file(8 * MIB, trackers=[tracker.url])
        first = HonestPeer(self, torrent, have=range(10))
        second = HonestPeer(self, torrent)
        mount = self.mount(torrent, peers=[first.address, second.address])
        thread, at, problems = self.read_in_thread(mount)
        until(lambda: at[0] > MIB, "the first bytes")
        first.close()
        thread.join(20)
        self.assertEqual((problems, at[0]), ([], torrent.size))

    def test_a_peer_that_answers_in_bursts_is_not_given_up(self):
        torrent = self.one_file(2 * MIB)
        mount = self.mount(torrent, peers=[BurstPeer(self, torrent).address])
        file = os.open(mount.file(), os.O_RDONLY)
        self.addCleanup(os.close, file)
        # 16 blocks of the piece, at worst four at first, then twice as many each half second
        self.assert_within(3.5, "the first bytes", lambda: os.pread(file, 4096, 0))

    def test_a_peer_that_answers_in_bursts_is_asked_for_more_in_each(self):
        torrent = self.one_file(8 * MIB)
        mount = self.mount(torrent, peers=[BurstPeer(self, torrent).address])
        # 512 blocks: 4, 8, 16, ... up to the 250 it takes at once are eight bursts
        self.assert_within(12, "reading from a bursty peer", lambda: self.assert_same_file(mount.file(), mount.source()))

    def test_a_silent_peer_does_not_hold_up_a_read(self):
        torrent = self.one_file(4 * MIB)
        silent = [SilentPeer(self, torrent, answers=k * 4) for k in range(3)]
        honest = HonestPeer(self, torrent)
        mount = self.mount(torrent, peers=[peer.address for peer in silent] + [honest.address])
        self.assert_within(10, "reading beside silent peers", lambda: self.assert_same_file(mount.file(), mount.source()))

    def test_a_rejecting_a_choking_a_mute_and_a_slow_peer_do_not_hold_up_a_read(self):
        torrent = self.one_file(4 * MIB)
        bad = [RejectingPeer(self, torrent), ChokingPeer(self, torrent), MutePeer(self, torrent), SlowPeer(self, torrent, rate=8 * KIB)]
        honest = HonestPeer(self, torrent)
        mount = self.mount(torrent, peers=[peer.address for peer in bad] + [honest.address])
        self.assert_within(10, "reading beside bad peers", lambda: self.assert_same_file(mount.file(), mount.source()))


if __name__ == "__main__":
    unittest.main()
