"""Promise 5, crash-safe, at each point where it could break: swarmfs is killed at one system call after another that changes
the cache directory, and the power is cut between any two of them. Afterwards nothing is claimed that is not there and right,
what was written down before is still claimed, and the next mount shows the truth.

SWARMFS_SEED=N repeats what a run chose; SWARMFS_CUTS=N tries so many states of the disk for each moment."""
import contextlib
import os
import random
import shutil
import unittest

from faults import Faults
from harness import KIB, MIB, Case, force_unmount, is_live, read_all, until
from power_cut import Recording
from resume_file import claimed_pieces, claims_in, is_whole
from seeds import LibtorrentSeed

CUTS = int(os.environ.get("SWARMFS_CUTS", "10"))
REMOUNT_EVERY = 8  # moments
PIECE = 64 * KIB


class CrashPoints(Case):
    limit = 60 + 6 * CUTS

    def setUp(self):
        super().setUp()
        self.number = int(os.environ.get("SWARMFS_SEED", random.randrange(1 << 32)))
        print(f"(SWARMFS_SEED={self.number})", end=" ", flush=True)
        self.choice = random.Random(self.number)
        self.use(self.one_file(8 * PIECE + 1234, piece=PIECE))
        self.half = self.new_dir("half")  # a cache that has the first half of it, written down
        self.live(self.half, 4 * PIECE)

    def use(self, torrent, **seed):
        self.torrent, self.seed = torrent, LibtorrentSeed(self, torrent, **seed)
        self.truth = read_all(os.path.join(torrent.save, torrent.name))

    def live(self, cache, size, *options, faults=None):
        """A mount from start to end, in which the first `size` bytes are read. Whether it was killed."""
        mount = self.mount(
            self.torrent, *options, peers=[self.seed.address], cache=cache, wait=False, environment=faults and faults.environment
        )
        until(lambda: is_live(mount.path) or mount.process.poll() is not None, "the mount to come up, or to be killed")
        with contextlib.suppress(OSError), open(mount.file(), "rb", buffering=0) as file:
            for at in range(0, size, PIECE):
                got = file.read(min(PIECE, size - at))
                self.assertEqual(got == self.truth[at : at + len(got)], True, "wrong bytes before the crash")
        if mount.process.poll() is None:
            mount.process.terminate()
        mount.wait(10)
        killed = mount.process.returncode == -9
        if killed:
            force_unmount(mount.path)
            self.at = mount.log().splitlines()[-1]
        else:
            self.assertEqual(mount.process.returncode, 0, mount.log())
        return killed

    def copy(self, cache):
        copied = os.path.join(self.new_dir("copy"), "cache")
        shutil.copytree(cache, copied)
        return copied

    def in_cache(self, cache, name):
        return os.path.join(cache, self.torrent.info_hash.hex(), name)

    def claimed(self, cache):
        return set(claimed_pieces(self.in_cache(cache, "resume"), self.torrent.pieces))

    def is_right(self, data, piece):
        truth = self.truth[piece * PIECE : (piece + 1) * PIECE]
        return data[piece * PIECE : piece * PIECE + len(truth)] == truth

    def assert_next_mount_is_right(self, cache, *options):
        """And it can be used as if nothing had happened. Its log."""
        mount = self.mount(self.torrent, *options, peers=[self.seed.address], cache=cache)
        self.assert_same_file(mount.file(), mount.source())
        mount.stop()
        return mount.log()


class KilledAtACall(CrashPoints):
    def at_each_call(self, check, cache, *options, how=""):
        """For each call at which a mount of a copy of `cache` is killed: check(copy)."""
        crashes = 0
        for n in range(1, 1000):
            copied = self.copy(cache)
            faults = Faults(self, copied)
            faults.set("kill_at", f"{n} {how}")
            if not self.live(copied, self.torrent.size, *options, faults=faults):
                print(f"({crashes} crashes)", end=" ", flush=True)
                self.assertGreater(crashes, 15, "the calls are seen at all")
                return
            crashes += 1
            with self.subTest(at=self.at, how=how):
                check(copied)

    def assert_claims_hold(self, cache, before):
        after = self.claimed(cache)
        self.assertLessEqual(before, after, "what had been written down is lost")
        data = read_all(self.in_cache(cache, "data")) if after else b""
        for piece in after:
            self.assertTrue(self.is_right(data, piece), f"piece {piece} is claimed, and is not there")
        self.assertNotIn("cannot be used", self.assert_next_mount_is_right(cache))
        self.assertEqual(self.claimed(cache), set(range(self.torrent.pieces)))

    def test_of_the_first_mount(self):
        self.at_each_call(lambda cache: self.assert_claims_hold(cache, set()), self.new_dir("cache"))

    def test_of_a_mount_that_finds_a_half(self):
        before = self.claimed(self.half)
        self.assertGreaterEqual(len(before), 4)
        self.at_each_call(lambda cache: self.assert_claims_hold(cache, before), self.half)

    def test_in_the_middle_of_it(self):
        before = self.claimed(self.half)
        self.at_each_call(lambda cache: self.assert_claims_hold(cache, before), self.half, how="half")

    def test_while_pieces_leave(self):
        self.use(self.one_file(24 * MIB, piece=2 * MIB))
        full, size = self.new_dir("full"), ("--cache-size", "16M")
        self.live(full, 14 * MIB, *size)
        # A piece that left may still be claimed: it is hashed before anybody reads it.
        self.at_each_call(lambda cache: self.assert_next_mount_is_right(cache, *size), full, *size)


class PowerCut(CrashPoints):
    def claims(self, state, cache):
        resume = self.in_cache(cache, "resume")
        if resume not in state:
            return set()
        self.assertTrue(is_whole(state[resume]), "half a resume file")
        return set(claims_in(state[resume], self.torrent.pieces))

    def recorded(self, cache):
        recording, faults = Recording(cache), Faults(self, cache)
        faults.set("record", "")
        self.assertFalse(self.live(cache, self.torrent.size, faults=faults))
        recording.read(faults.path("record"))
        self.assertGreater(len(recording.lines), 25, "the calls are seen at all")
        return recording

    def assert_survives(self, cache, recording):
        for moment in range(len(recording.lines) + 1):
            promised = self.claims(recording.after_cut(moment), cache)
            states = [recording.after_cut(moment, self.choice) for _ in range(CUTS)]
            with self.subTest(before=recording.lines[moment : moment + 1], moment=moment):
                for state in states:
                    claims = self.claims(state, cache)
                    self.assertLessEqual(promised, claims, "what had been written down is lost")
                    for piece in claims:
                        self.assertTrue(self.is_right(state[self.in_cache(cache, "data")], piece), f"claimed piece {piece}")
                if moment % REMOUNT_EVERY == 0:
                    made = self.new_dir("cut")
                    recording.make(states[0], made)
                    self.assertNotIn("cannot be used", self.assert_next_mount_is_right(made))
        self.assertEqual(promised, set(range(self.torrent.pieces)), "in the end all of it is safe")

    def test_in_the_first_mount(self):
        cache = self.new_dir("cache")
        self.assert_survives(cache, self.recorded(cache))

    def test_in_a_mount_that_finds_a_half(self):
        self.assert_survives(self.half, self.recorded(self.half))

    def test_while_pieces_come_and_are_written_down(self):
        self.use(self.one_file(40 * PIECE, piece=PIECE), rate=600 * KIB)  # takes longer than from one resume to the next
        cache = self.new_dir("cache")
        recording = self.recorded(cache)
        self.seed = LibtorrentSeed(self, self.torrent)
        self.assert_survives(cache, recording)


if __name__ == "__main__":
    unittest.main()
