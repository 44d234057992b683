"""What every end-to-end test stands on: content, torrents, the mounted program, and a watchdog.

Nothing here waits for ever. A test that takes longer than its `limit` has its mounts aborted and its daemons
killed, which frees whoever is blocked on them; the test then fails with the daemon's log and all stacks.
"""
import errno
import faulthandler
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import libtorrent

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
SWARMFS = os.path.abspath(os.environ.get("SWARMFS", os.path.join(ROOT, "build/dev/swarmfs")))
DATA = os.path.join(ROOT, "tests/data")

# Numbers of read, pread64, preadv, preadv2 on x86-64, then on arm64.
READ_CALLS = ("0", "17", "295", "327", "63", "67", "69", "286")

KIB = 1 << 10
MIB = 1 << 20

USAGE, FAILURE = 2, 1  # exit codes

# What must never appear in a log: the words of the C++ run time and of the sanitizers.
ALARMING = ("terminate called", "Assertion", "AddressSanitizer", "ThreadSanitizer", "runtime error:", "LeakSanitizer")


def until(condition, what, seconds=15):
    """Polls `condition` and returns its first true value; fails when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s in vain: {what}")
        time.sleep(0.005)


# ---------------------------------------------------------------- content and torrents
def write_random(path, size, seed=None):
    """`size` bytes that are always the same for the same seed (default: the file's name)."""
    rng = random.Random(seed or os.path.basename(path))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        while size > 0:
            file.write(rng.randbytes(min(size, MIB)))
            size -= MIB
    return path


def read_all(path):
    with open(path, "rb") as file:
        return file.read()


class Torrent:
    """A .torrent over `content` (a file or a folder), which lies in `save`."""

    def __init__(self, content, file, piece=256 * KIB, trackers=(), creation_date=None, private=False, web_seeds=()):
        self.content, self.save, self.name, self.file = content, os.path.dirname(content), os.path.basename(content), file
        storage = libtorrent.file_storage()
        libtorrent.add_files(storage, content)
        create = libtorrent.create_torrent(storage, piece, libtorrent.create_torrent.v1_only)
        for tier, url in enumerate(trackers):
            create.add_tracker(url, tier)
        create.set_priv(private)
        libtorrent.set_piece_hashes(create, self.save)
        entry = create.generate()
        entry.pop(b"creation date", None)
        if web_seeds:
            entry[b"url-list"] = list(web_seeds)
        if creation_date is not None:
            entry[b"creation date"] = creation_date
        with open(file, "wb") as out:
            out.write(libtorrent.bencode(entry))
        info = libtorrent.torrent_info(file)
        self.info_hash = info.info_hashes().v1.to_bytes()
        self.piece, self.pieces, self.size = piece, info.num_pieces(), info.total_size()
        self.files = [info.files().file_path(k) for k in range(info.num_files())]
        self.offset = {path: info.files().file_offset(k) for k, path in enumerate(self.files)}
        self.info = libtorrent.bencode(entry[b"info"])

    def bytes_at(self, begin, length):
        """Bytes by torrent offset, from the content on disk."""
        out = b""
        for path in self.files:
            size = os.path.getsize(os.path.join(self.save, path))
            low, high = max(begin, self.offset[path]), min(begin + length, self.offset[path] + size)
            if low < high:
                with open(os.path.join(self.save, path), "rb") as file:
                    file.seek(low - self.offset[path])
                    out += file.read(high - low)
        return out

    def pieces_of(self, path, begin=0, end=None):
        """Indices of the pieces under a range of one file."""
        offset = self.offset[path]
        end = os.path.getsize(os.path.join(self.save, path)) if end is None else end
        return range((offset + begin) // self.piece, (offset + end - 1) // self.piece + 1)


# ---------------------------------------------------------------- processes and mounts
def dying_with_us(number, command):
    """The command, wrapped so that it gets this signal when the test's own process is killed. Its pid stays the process's."""
    return ["setpriv", "--pdeathsig", number, *command]


def mounts_at(path):
    """File system types mounted at `path`, the topmost last."""
    path = os.path.realpath(path)
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        rows = [line.split() for line in file]
    return [row[row.index("-") + 1] for row in rows if row[4] == path]


def is_live(path):
    """Mounted, and somebody answers."""
    try:
        return bool(mounts_at(path)) and os.statvfs(path).f_namemax > 0
    except OSError:
        return False


def blocked_reading(pid, path):
    """True when the process sits in a read of `path`."""
    try:
        with open(f"/proc/{pid}/syscall", encoding="utf-8") as file:
            call = file.read().split()
        return call[0] in READ_CALLS and os.readlink(f"/proc/{pid}/fd/{int(call[1], 16)}") == path
    except (OSError, IndexError):
        return False


def ended(pid):
    """True when the process is gone or only its exit status is left."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rsplit(")", 1)[1].split()[0] in "ZX"
    except OSError:
        return True


def force_unmount(path):
    """Whatever is mounted at `path` goes, and whoever is blocked on it with it."""
    for _ in range(8):
        if not mounts_at(path):
            return
        subprocess.run(["umount", "-f", path], stderr=subprocess.DEVNULL, timeout=10, check=False)
        if mounts_at(path):
            subprocess.run(["umount", "-l", path], stderr=subprocess.DEVNULL, timeout=10, check=False)


class Mount:
    """The program in the foreground on a mountpoint of its own."""

    def __init__(self, case, torrent, *options, peers=(), mountpoint=None, cache=None, allow_local=True, wait=True,
                 discovery=False, host=None, environment=None):
        self.case, self.torrent = case, torrent
        self.path = mountpoint or case.new_dir("mnt")
        self.cache = cache or case.new_dir("cache")
        self.log_path = os.path.join(case.new_dir("log"), "log")
        command = [SWARMFS, "-f", "--cache-dir", self.cache, "--log-level", "debug"]
        command += [] if discovery else ["--no-dht", "--no-lsd"]  # nothing leaves this machine
        command += ["--allow-local"] if allow_local else []
        for peer in peers:
            command += ["--peer", peer]
        command += [*options, getattr(torrent, "file", torrent), self.path]
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                dying_with_us("TERM", [*(host.prefix if host else []), *command]),  # host: of a Lan
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**case.environment(), **(environment or {})},
                start_new_session=True,
            )
        case.addCleanup(self.clean_up)
        case.on_stuck(self.abort)
        if wait:
            until(lambda: is_live(self.path) or self.process.poll() is not None, "the mount to come up")
            case.assertIsNone(self.process.returncode, f"swarmfs ended while starting:\n{self.log()}")

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def file(self, relative=None):
        """The path in the mount of a torrent's file, named as in the torrent (default: its only file)."""
        return os.path.join(self.path, relative or self.torrent.files[0])

    def source(self, relative=None):
        return os.path.join(self.torrent.save, relative or self.torrent.files[0])

    def is_mounted(self):
        return bool(mounts_at(self.path))

    def stop(self, seconds=5):
        """SIGTERM. Returns how long it took until the program had ended; it must have unmounted and ended well."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.wait(seconds)
        took = time.monotonic() - started
        self.case.assertFalse(self.is_mounted(), "SIGTERM left the mount behind")
        self.case.assertEqual(self.process.returncode, 0, self.log())
        return took

    def wait(self, seconds=5):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"swarmfs did not end within {seconds} s") from None

    def abort(self):
        """Frees everybody, at any cost."""
        if self.process.poll() is None:
            self.process.kill()
        force_unmount(self.path)

    def clean_up(self):
        alive = self.process.poll() is None
        if alive and not self.case.stuck:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.case.problems.append("swarmfs did not end within 5 s of SIGTERM at the end of the test")
        self.abort()
        self.process.wait(5)
        log = self.log()
        self.case.logs.append(log)
        if self.process.returncode < 0 and -self.process.returncode in (signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS):
            self.case.problems.append(f"swarmfs died of signal {-self.process.returncode}")
        for word in ALARMING:
            if word in log:
                self.case.problems.append(f"the log says: {word}")


class Case(unittest.TestCase):
    """A test with a scratch folder, a watchdog, and logs that are shown when it fails."""

    limit = 60  # seconds one test may take

    def run(self, result=None):
        self.logs, self.problems, self._on_stuck, self.stuck = [], [], [], False
        before = len(result.failures) + len(result.errors) if result else 0
        out = super().run(result)
        if result and len(result.failures) + len(result.errors) > before:
            for log in self.logs:
                sys.stderr.write("---- log of swarmfs (its end)\n" + "\n".join(log.splitlines()[-60:]) + "\n")
        return out

    def setUp(self):
        if not os.path.exists("/dev/fuse"):
            self.fail("/dev/fuse is missing: these tests mount, and do not pretend to have")
        if not os.access(SWARMFS, os.X_OK):
            self.fail(f"no program at {SWARMFS}: build it, or set SWARMFS")
        self.dir = os.path.realpath(tempfile.mkdtemp(prefix="swarmfs-e2e-"))
        self.addCleanup(self._last)  # runs after every other clean-up
        self._watchdog = threading.Timer(self.limit, self._bite)
        self._watchdog.daemon = True
        self._watchdog.start()

    def _bite(self):
        self.stuck = True
        sys.stderr.write(f"\nwatchdog: {self.id()} takes longer than {self.limit} s\n")
        faulthandler.dump_traceback(all_threads=True)
        for free in list(self._on_stuck):
            try:
                free()
            except Exception as error:  # the next one must still be freed
                sys.stderr.write(f"watchdog: {error}\n")
        last_resort = threading.Timer(20, lambda: os._exit(70))
        last_resort.daemon = True
        last_resort.start()
        self.addCleanup(last_resort.cancel)

    def _last(self):
        self._watchdog.cancel()
        for name in os.listdir(self.dir):
            force_unmount(os.path.join(self.dir, name))
        shutil.rmtree(self.dir, ignore_errors=True)
        if self.stuck:
            self.problems.append(f"took longer than {self.limit} s")
        if self.problems:
            self.fail("; ".join(self.problems))

    def on_stuck(self, free):
        self._on_stuck.append(free)

    # -- making things
    def new_dir(self, name):
        path, k = os.path.join(self.dir, name), 1
        while os.path.exists(path):
            k += 1
            path = os.path.join(self.dir, f"{name}{k}")
        os.mkdir(path)
        return path

    def environment(self):
        return {**os.environ, "HOME": self.dir, "XDG_CACHE_HOME": os.path.join(self.dir, "xdg-cache"), "LC_ALL": "C.UTF-8"}

    def one_file(self, size, name="film.bin", **torrent):
        path = write_random(os.path.join(self.new_dir("content"), name), size)
        return Torrent(path, os.path.join(self.new_dir("torrents"), "it.torrent"), **torrent)

    def folder(self, sizes, name="album", **torrent):
        """A torrent over a folder; `sizes` maps paths in it to bytes."""
        root = os.path.join(self.new_dir("content"), name)
        for path, size in sizes.items():
            write_random(os.path.join(root, path), size, seed=path)
        return Torrent(root, os.path.join(self.new_dir("torrents"), "it.torrent"), **torrent)

    def mount(self, torrent, *options, **kw):
        return Mount(self, torrent, *options, **kw)

    def swarmfs(self, *arguments, timeout=20, stdin=subprocess.DEVNULL):
        """Runs the program to its end; (exit code, stdout, stderr)."""
        try:
            done = subprocess.run(
                [SWARMFS, *arguments], stdin=stdin, capture_output=True, timeout=timeout, env=self.environment(), check=False
            )
        except subprocess.TimeoutExpired:
            self.fail(f"swarmfs {' '.join(arguments)} did not end within {timeout} s")
        return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")

    def refused(self, code, names, *arguments, **kw):
        """Runs swarmfs, which must fail with `code` and one line on stderr that contains each of `names`; the line."""
        got, out, err = self.swarmfs(*arguments, **kw)
        self.assertEqual(got, code, f"exit code of {arguments}; stderr: {err}")
        self.assertEqual(out, "")
        lines = err.splitlines()
        self.assertEqual(len(lines), 1, f"stderr of {arguments}: {err}")
        for name in names:
            self.assertIn(name, lines[0])
        self.assertTrue(lines[0].isprintable(), lines[0])
        self.assertRegex(lines[0], r"^swarmfs: ")
        return lines[0]

    def command(self, *command, timeout=20, ok=True):
        """Runs another program to its end; its stdout."""
        process = self.start(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.fail(f"{' '.join(command)} did not end within {timeout} s")
        if ok:
            self.assertEqual(process.returncode, 0, err.decode(errors="replace"))
        return out.decode(errors="replace")

    def start(self, *command, **kw):
        """Starts another program, which does not outlive the test."""
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(dying_with_us("KILL", command), **{**quiet, **kw})
        process.args = command
        self.addCleanup(self._reap, process)
        return process

    def _reap(self, process):
        if process.poll() is None:
            process.kill()
        try:
            process.wait(5)
            for pipe in filter(None, (process.stdin, process.stdout, process.stderr)):
                pipe.close()
        except subprocess.TimeoutExpired:
            self.problems.append(f"{process.args[0]} could not be killed (pid {process.pid})")

    # -- asserting things
    def assert_same_file(self, shown, source):
        """Reads `shown` from start to end and compares every byte."""
        with open(shown, "rb", buffering=0) as left, open(source, "rb") as right:
            at = 0
            while True:
                got = left.read(256 * KIB)
                if got != right.read(len(got) or 1):
                    self.fail(f"{shown}: wrong bytes, or a wrong end, in the {len(got)} bytes at {at}")
                if not got:
                    return
                at += len(got)

    def assert_errno(self, number, call, *arguments):
        with self.assertRaises(OSError) as raised:
            call(*arguments)
        self.assertEqual(errno.errorcode[raised.exception.errno], errno.errorcode[number])

    def assert_within(self, seconds, what, call):
        """Runs `call`, which must not take longer; returns what it returned."""
        started = time.monotonic()
        value = call()
        took = time.monotonic() - started
        self.assertLess(took, seconds, what)
        return value
