"""Promise 5, crash-safe: kill -9 at any moment of a download leads to no wrong byte, and loses at most what came in the
last five seconds. SWARMFS_CRASHES=100 for more of them, SWARMFS_SEED=N to repeat a run's choices. Moments that are
chosen, not random: test_crash_points.py."""
import os
import random
import threading
import time
import unittest

from harness import KIB, MIB, Case, force_unmount
from resume_file import claimed_pieces
from seeds import LibtorrentSeed

CRASHES = int(os.environ.get("SWARMFS_CRASHES", "5"))
LONGEST_LIFE = 9.0  # seconds until the kill
MAY_BE_LOST = 5.0  # seconds
RATE = 5 * MIB  # so that a download takes longer than that


class Download(threading.Thread):
    """Reads the file from start to end, and notes how far it was when."""

    def __init__(self, mount, begin, end):
        super().__init__(daemon=True)
        self.path, self.at, self.end, self.history = mount.file(), begin, end, []
        self.begin, self.wrong = begin, None
        with open(mount.source(), "rb") as file:
            self.truth = file.read()

    def run(self):
        try:
            with open(self.path, "rb", buffering=0) as file:
                file.seek(self.at)
                while self.at < self.end:
                    got = file.read(64 * KIB)
                    if not got:
                        return
                    if got != self.truth[self.at : self.at + len(got)]:
                        self.wrong = self.at
                    self.at += len(got)
                    self.history.append((time.monotonic(), self.at))
        except OSError:
            pass  # it was killed

    def read_before(self, moment):
        """Bytes from `begin` that were here then."""
        return max([at for when, at in self.history if when <= moment], default=self.begin) - self.begin


class Crash(Case):
    limit = 40 + CRASHES * 20

    def test_killed_at_any_moment(self):
        number = int(os.environ.get("SWARMFS_SEED", random.randrange(1 << 32)))
        print(f"(SWARMFS_SEED={number})", end=" ", flush=True)
        choice = random.Random(number)
        torrent = self.one_file(64 * MIB + 12345, piece=256 * KIB)
        seed = LibtorrentSeed(self, torrent, rate=RATE)
        cache = self.new_dir("cache")
        most_lost = 0.0
        for crash in range(CRASHES):
            with self.subTest(crash=crash, seed=number):
                # Sometimes a short life, in which everything happens for the first time.
                life = choice.uniform(0.05, 1.0) if choice.random() < 0.3 else choice.uniform(0.5, LONGEST_LIFE)
                begin = choice.randrange(torrent.size) // torrent.piece * torrent.piece
                most_lost = max(most_lost, self.crash(torrent, seed, cache, begin, life))
                self.check(torrent, cache)
            if choice.random() < 0.2:
                cache = self.new_dir("cache")
        print(f"({CRASHES} crashes, lost {most_lost:.1f} s at the most)", end=" ", flush=True)

    def crash(self, torrent, seed, cache, begin, life):
        """Downloads from `begin` and is killed after `life` seconds. Seconds of the download that are lost."""
        resume = os.path.join(cache, torrent.info_hash.hex(), "resume")
        mount = self.mount(torrent, peers=[seed.address], cache=cache)
        before = set(claimed_pieces(resume, torrent.pieces))
        reader = Download(mount, begin, torrent.size)
        reader.start()
        time.sleep(life)  # the moment is the input of this test
        mount.process.kill()
        killed = time.monotonic()
        mount.process.wait()
        force_unmount(mount.path)
        reader.join(10)
        self.assertFalse(reader.is_alive())
        self.assertIsNone(reader.wrong, "wrong bytes before the crash")
        after = set(claimed_pieces(resume, torrent.pieces))
        self.assertLessEqual(before - after, set(), "pieces of earlier runs are lost")
        first = begin // torrent.piece
        kept = first
        while kept in after:
            kept += 1
        kept_bytes = kept * torrent.piece - begin
        old = reader.read_before(killed - MAY_BE_LOST)
        self.assertGreaterEqual(kept_bytes, old // torrent.piece * torrent.piece, f"{old} bytes were here 5 s before the kill")
        lost_since = [when for when, at in reader.history if at - begin > kept_bytes]
        return killed - lost_since[0] if lost_since else 0.0

    def check(self, torrent, cache):
        """Whatever is claimed is there and right, though nobody is there to send it."""
        resume = os.path.join(cache, torrent.info_hash.hex(), "resume")
        pieces = claimed_pieces(resume, torrent.pieces)
        if not pieces:
            return
        mount = self.mount(torrent, "-o", "soft,timeo=3", cache=cache, allow_local=False)
        with open(mount.file(), "rb", buffering=0) as shown, open(mount.source(), "rb") as source:
            for piece in pieces:
                shown.seek(piece * torrent.piece)
                source.seek(piece * torrent.piece)
                want = source.read(torrent.piece)
                got = b""
                while len(got) < len(want):
                    got += shown.read(len(want) - len(got))
                self.assertEqual(got == want, True, f"piece {piece}")
        self.assertNotIn("cannot be used", mount.log())
        mount.stop()


if __name__ == "__main__":
    unittest.main()
