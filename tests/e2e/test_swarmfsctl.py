"""swarmfsctl against caches of real mounts, live ones and ended ones, and against folders that nobody should trust."""
import hashlib
import json
import os
import pty
import re
import signal
import struct
import subprocess
import time

import libtorrent

from harness import FAILURE, KIB, MIB, SWARMFS, USAGE, Case, dying_with_us, read_all, until
from peers import HonestPeer

SWARMFSCTL = os.environ.get("SWARMFSCTL", os.path.join(os.path.dirname(SWARMFS), "swarmfsctl"))
INTERRUPTED = 128 + signal.SIGINT


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 & -(crc & 1))
    return crc ^ 0xFFFFFFFF


class CtlCase(Case):
    def setUp(self):
        super().setUp()
        self.cache = self.new_dir("cache")

    def ctl(self, *arguments, code=0, cache=None, timeout=30):
        """Runs `swarmfsctl cache ...` to its end, which must be with `code`; (stdout, stderr)."""
        command = [SWARMFSCTL, "cache", *arguments, "--cache-dir", cache or self.cache]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False)
        out, err = done.stdout.decode(), done.stderr.decode()
        self.assertEqual(done.returncode, code, f"{arguments}: {out}{err}")
        self.assertTrue(all(line.startswith("swarmfsctl: ") for line in err.splitlines()), err)
        return out, err

    def listed(self):
        """What list --json says, by name."""
        return {entry["name"]: entry for entry in json.loads(self.ctl("list", "--json")[0])}

    def live(self, torrent):
        return self.mount(torrent, peers=[HonestPeer(self, torrent).address], cache=self.cache)

    def keep(self, name, size=MIB, piece=64 * KIB):
        """A torrent that was mounted, read and unmounted: all of it is in the cache."""
        torrent = self.one_file(size, name=name, piece=piece)
        mount = self.live(torrent)
        self.assert_same_file(mount.file(), mount.source())
        mount.stop()
        return torrent

    def folder_of(self, torrent):
        return os.path.join(self.cache, torrent.info_hash.hex())

    def flip(self, torrent, offset):
        with open(os.path.join(self.folder_of(torrent), "data"), "r+b") as file:
            file.seek(offset)
            byte = file.read(1)[0]
            file.seek(offset)
            file.write(bytes([byte ^ 1]))


class Listing(CtlCase):
    def test_a_torrent_that_was_read_and_one_that_is_mounted(self):
        film = self.keep("film.bin", size=MIB + 5)
        album = self.one_file(2 * MIB, name="album.bin", piece=64 * KIB)
        mount = self.live(album)
        with open(mount.file(), "rb") as file:
            file.read(64 * KIB)
        entries = self.listed()
        self.assertEqual(set(entries), {"film.bin", "album.bin"})
        kept, mounted = entries["film.bin"], entries["album.bin"]
        self.assertEqual(kept["info_hash"], film.info_hash.hex())
        self.assertEqual((kept["size"], kept["pieces"], kept["kept_pieces"]), (MIB + 5, 17, 17))
        self.assertGreaterEqual(kept["disk_bytes"], MIB + 5)
        self.assertLess(abs(time.time() - kept["last_used"]), 300)
        self.assertEqual((kept["mounted"], kept["pid"], kept["problem"]), (False, None, None))
        self.assertEqual((mounted["mounted"], mounted["pid"]), (True, mount.process.pid))
        self.assertEqual(mounted["pieces"], 32)
        mount.stop()
        self.assertFalse(self.listed()["album.bin"]["mounted"])

    def test_an_ephemeral_mount_is_marked(self):
        film = self.one_file(MIB, name="film.bin", piece=64 * KIB)
        mount = self.mount(film, "--ephemeral", peers=[HonestPeer(self, film).address], cache=self.cache)
        self.assert_same_file(mount.file(), mount.source())
        entry = self.listed()["film.bin"]
        self.assertEqual((entry["ephemeral"], entry["mounted"], entry["pid"]), (True, True, mount.process.pid))
        self.assertRegex(self.ctl("list")[0], rf"mounted by {mount.process.pid}, ephemeral +film\.bin")
        self.ctl("remove", "film.bin", code=FAILURE)
        mount.stop()
        self.assertEqual(self.listed(), {})

    def test_the_text_names_what_it_shows(self):
        film = self.keep("film.bin")
        out, _ = self.ctl("list")
        head, line = out.splitlines()
        self.assertEqual(head.split("  ")[0], "INFO-HASH")
        self.assertTrue(line.startswith(film.info_hash.hex()))
        for word in ("1 MiB", "100%", "film.bin"):
            self.assertIn(word, line)

    def test_size_adds_up_what_du_counts(self):
        self.keep("a.bin")
        self.keep("b.bin", size=3 * MIB)
        size = json.loads(self.ctl("size", "--json")[0])
        du = int(self.command("du", "-s", "--block-size=1", self.cache).split()[0])
        self.assertEqual(size["total_bytes"], sum(entry["disk_bytes"] for entry in size["torrents"]))
        self.assertGreaterEqual(size["total_bytes"], 4 * MIB)
        self.assertLess(abs(du - size["total_bytes"]), 64 * KIB)  # folders, and what is not a torrent's
        self.assertGreater(size["free_bytes"], 0)
        out, _ = self.ctl("size")
        self.assertRegex(out, r"(?m)^ *3\.\d+ MiB .* b\.bin$|^ *3 MiB .* b\.bin$")
        self.assertRegex(out, r"(?m)2 torrents$")
        self.assertRegex(out, r"(?m) free$")

    def test_an_empty_cache_and_none(self):
        self.assertEqual(self.ctl("list", "--json")[0], "[]\n")
        self.assertEqual(self.ctl("list")[0], "the cache is empty\n")
        _, err = self.ctl("list", code=FAILURE, cache=os.path.join(self.dir, "none"))
        self.assertIn("No such file or directory", err)
        done = subprocess.run([SWARMFSCTL, "cache", "list"], capture_output=True, env=self.environment(), check=False)
        self.assertEqual((done.returncode, done.stdout), (0, b"the cache is empty\n"))

    def test_planted_folders_are_listed_and_harm_nothing(self):
        film = self.keep("film.bin")
        planted = [os.path.join(self.cache, digit * 40) for digit in "0123"]
        os.symlink(self.folder_of(film), planted[0])
        for path in planted[1:]:
            os.mkdir(path)
        os.mkfifo(os.path.join(planted[1], "metainfo"))
        os.symlink("/etc/passwd", os.path.join(planted[2], "metainfo"))
        os.symlink("/dev/zero", os.path.join(planted[3], "data"))
        entries = {entry["info_hash"]: entry for entry in json.loads(self.ctl("list", "--json", timeout=5)[0])}
        self.assertEqual(len(entries), 5)
        for digit in "012":
            self.assertTrue(entries[digit * 40]["problem"])
        self.assertIsNone(entries[film.info_hash.hex()]["problem"])
        self.ctl("list", timeout=5)
        self.ctl("verify", code=FAILURE, timeout=10)
        self.ctl("remove", "--all", code=FAILURE, timeout=10)  # the link is not ours
        self.assertEqual(os.listdir(self.cache).count("0" * 40), 1)
        self.assertFalse(any(os.path.lexists(path) for path in planted[1:]))
        self.assertTrue(os.path.exists("/etc/passwd"))


class Removing(CtlCase):
    def test_what_is_mounted_stays_and_the_others_go(self):
        film, album = self.keep("film.bin"), self.one_file(MIB, name="album.bin", piece=64 * KIB)
        mount = self.live(album)
        self.assert_same_file(mount.file(), mount.source())
        out, err = self.ctl("remove", "--all", code=FAILURE)
        self.assertIn("film.bin", out)
        self.assertIn(f"process {mount.process.pid} has it mounted", err)
        self.assertFalse(os.path.exists(self.folder_of(film)))
        self.assertTrue(os.path.exists(os.path.join(self.folder_of(album), "data")))
        self.assert_same_file(mount.file(), mount.source())
        mount.stop()
        self.ctl("remove", album.info_hash.hex()[:6])
        self.assertFalse(os.path.exists(self.folder_of(album)))

    def test_what_was_removed_can_be_mounted_again(self):
        film = self.keep("film.bin")
        answer = json.loads(self.ctl("remove", "film.bin", "--json")[0])
        self.assertEqual([(entry["removed"], entry["name"]) for entry in answer], [(True, "film.bin")])
        self.assertGreaterEqual(answer[0]["freed_bytes"], MIB)
        mount = self.live(film)
        self.assert_same_file(mount.file(), mount.source())

    def test_only_what_is_old(self):
        self.keep("film.bin")
        self.ctl("remove", "--all", "--older-than", "1d")
        self.assertIn("film.bin", self.listed())
        self.ctl("remove", "--all", "--older-than", "0s")
        self.assertEqual(self.listed(), {})

    def test_a_word_that_names_nothing_stops_nothing_else(self):
        self.keep("film.bin")
        _, err = self.ctl("remove", "nothing", "film.bin", code=FAILURE)
        self.assertIn("nothing: not in the cache", err)
        self.assertEqual(self.listed(), {})


class Verifying(CtlCase):
    def test_what_is_wrong_is_dropped_and_fetched_again(self):
        film = self.keep("film.bin")
        self.ctl("verify")
        self.flip(film, 5 * 64 * KIB + 77)
        out, _ = self.ctl("verify", "film.bin", code=FAILURE)
        self.assertIn("1 of 16 pieces", out)
        self.assertIn("dropped", out)
        self.assertEqual(self.listed()["film.bin"]["kept_pieces"], 15)
        self.ctl("verify")
        mount = self.live(film)
        self.assert_same_file(mount.file(), mount.source())
        mount.stop()
        self.assertEqual(self.listed()["film.bin"]["kept_pieces"], 16)
        [verdict] = json.loads(self.ctl("verify", "--json")[0])
        self.assertEqual((verdict["checked_pieces"], verdict["wrong_pieces"]), (16, 0))
        self.assertEqual(verdict["checked_bytes"], MIB)

    def test_only_what_was_dropped_is_asked_for(self):
        film = self.one_file(MIB, name="film.bin", piece=64 * KIB)
        peer = HonestPeer(self, film)
        for expected in (set(range(16)), {0, 7}):
            peer.requests.clear()
            mount = self.mount(film, peers=[peer.address], cache=self.cache)
            self.assert_same_file(mount.file(), mount.source())
            mount.stop()
            self.assertEqual({index for index, _, _ in peer.requests}, expected)
            self.flip(film, 0)
            self.flip(film, 8 * 64 * KIB - 1)
            self.ctl("verify", code=FAILURE)

    def test_a_live_mount_is_verified_and_not_touched(self):
        film = self.keep("film.bin")
        mount = self.live(film)
        self.flip(film, 9)
        resume = read_all(os.path.join(self.folder_of(film), "resume"))
        out, _ = self.ctl("verify", code=FAILURE)
        self.assertIn(f"process {mount.process.pid} has it mounted", out)
        self.assertEqual(read_all(os.path.join(self.folder_of(film), "resume")), resume)
        self.assert_same_file(mount.file(), mount.source())  # the mount finds out by itself

    def test_interrupted_it_ends_at_once_and_drops_what_it_found(self):
        piece, count = 16 * MIB, 4096  # 64 GiB of nothing, which takes half a minute
        info = {b"name": b"zeros", b"length": piece * count, b"piece length": piece}
        info[b"pieces"] = hashlib.sha1(b"\1" + bytes(piece - 1)).digest() + hashlib.sha1(bytes(piece)).digest() * (count - 1)
        info_hash = hashlib.sha1(libtorrent.bencode(info)).digest()
        folder = os.path.join(self.cache, info_hash.hex())
        os.mkdir(folder)
        with open(os.path.join(folder, "metainfo"), "wb") as file:
            file.write(libtorrent.bencode({b"info": info}))
        with open(os.path.join(folder, "data"), "wb") as file:
            file.truncate(piece * count)
        resume = b"swarmfsR" + struct.pack(">I", 1) + info_hash + struct.pack(">IQ", piece, piece * count)
        resume += b"\xff" * (count // 8) + struct.pack(">I", 29_000_000) + b"\x80\x20" + struct.pack(">H", 0)
        with open(os.path.join(folder, "resume"), "wb") as file:
            file.write(resume + struct.pack(">I", crc32c(resume)))
        self.assertEqual(self.listed()["zeros"]["kept_pieces"], count)
        screen, terminal = pty.openpty()
        self.addCleanup(os.close, screen)
        command = [SWARMFSCTL, "cache", "verify", "--cache-dir", self.cache]
        process = self.start(*command, stderr=terminal, stdout=subprocess.PIPE)
        os.close(terminal)
        seen = b""

        def shown():
            nonlocal seen
            seen += os.read(screen, 4096)
            return re.search(rb"[1-9]\d*% of 64 GiB, [\d.]+ .iB/s: zeros", seen)

        until(shown, "progress on the terminal")
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=2)
        self.assertEqual(process.returncode, INTERRUPTED)
        self.assertIn(b"interrupted", out)
        self.assertEqual(self.listed()["zeros"]["kept_pieces"], count - 1)


class CommandLine(CtlCase):
    def run_ctl(self, *arguments):
        done = subprocess.run([SWARMFSCTL, *arguments], capture_output=True, timeout=10, check=False)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def test_help_and_version(self):
        code, out, err = self.run_ctl("--help")
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(self.run_ctl(), (USAGE, "", out))
        code, out, _ = self.run_ctl("-V")
        self.assertEqual(code, 0)
        self.assertRegex(out, r"^swarmfsctl \d+\.\d+\.\d+\n$")

    def test_nonsense_is_one_line(self):
        for words in (["frob"], ["cache"], ["cache", "frob"], ["cache", "list", "--frob"], ["cache", "remove"]):
            code, out, err = self.run_ctl(*words)
            self.assertEqual((code, out), (USAGE, ""), words)
            self.assertRegex(err, r"^swarmfsctl: [^\n]+\n$")

    def test_it_needs_no_libfuse(self):
        self.assertNotIn("libfuse", self.command("ldd", SWARMFSCTL))
        self.assertIn("libfuse", self.command("ldd", SWARMFS))
