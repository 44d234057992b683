"""Promise 2, never frozen: metadata answers from memory, blocked reads block nobody else, and ^C, closing,
umount and SIGTERM always work at once. Nobody seeds the data that these readers wait for."""
import errno
import os
import signal
import subprocess
import sys
import time
import unittest

from harness import KIB, MIB, Case, blocked_reading, is_live, mounts_at, until
from peers import HonestPeer, SilentPeer, SlowPeer

AT_ONCE = 1.0  # seconds, for what is answered from memory: generous to a machine with two busy cores
FATAL_SIGNAL = 0.1  # ^C where the reader leaves SIGINT alone: the kernel frees it
HANDLED_SIGNAL = 1.5  # ^C where the reader handles SIGINT itself: only an answered read frees it
TERMINATE = 1.0  # SIGTERM of the daemon until it has unmounted and ended


class Blocked(Case):
    """What a test with blocked readers needs."""

    def mounted(self, peers=()):
        """A mount of a folder with one file whose pieces are had (by the peer) and a large one that nobody has."""
        torrent = self.folder({"present.bin": 2 * MIB, "sub/absent.bin": 64 * MIB})
        peer = HonestPeer(self, torrent, have=torrent.pieces_of("album/present.bin"))
        mount = self.mount(torrent, peers=[peer.address, *peers])
        self.present, self.absent = mount.file("album/present.bin"), mount.file("album/sub/absent.bin")
        return mount

    def blocked(self, *command):
        """A process that has come to wait in a read."""
        reader = self.start(*command)
        until(lambda: blocked_reading(reader.pid, self.absent) or reader.poll() is not None, f"{command[0]} to block")
        self.assertIsNone(reader.poll(), f"{command[0]} was to block")
        return reader

    def tail(self, at=1):
        """Leaves SIGINT alone."""
        return self.blocked("tail", "-c", f"+{at * MIB + 1}", self.absent)

    def dd(self, at=1):
        """Handles SIGINT itself."""
        return self.blocked("dd", f"if={self.absent}", "bs=64k", f"skip={at * 16}", "count=1")

    def assert_ends_within(self, seconds, process, what):
        started = time.monotonic()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            self.fail(f"{what}: not even after 10 s")
        self.assertLess(time.monotonic() - started, seconds, what)

    def assert_alive(self, mount):
        """Everything that needs no network works, at once."""
        listing = self.assert_within(AT_ONCE, "ls -lR", lambda: self.command("ls", "-lR", mount.path))
        self.assertIn("absent.bin", listing)
        self.assert_within(AT_ONCE, "df", lambda: self.command("df", mount.path))
        self.assert_within(AT_ONCE, "stat", lambda: os.stat(self.absent))
        self.assert_within(AT_ONCE, "a lookup of nothing", lambda: self.assert_errno(errno.ENOENT, os.stat, self.absent + "x"))
        self.assert_within(AT_ONCE, "open and close", lambda: os.close(os.open(self.absent, os.O_RDONLY)))
        self.assert_within(AT_ONCE, "getxattr", lambda: os.getxattr(self.absent, "user.swarmfs.complete"))

    def read_present(self, mount):
        """Reads through swarmfs, not from the page cache."""
        file = os.open(self.present, os.O_RDONLY)
        try:
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(file)
        self.assert_same_file(self.present, mount.source("album/present.bin"))


class NeverFrozen(Blocked):
    def test_a_hundred_blocked_readers_block_nobody_else(self):
        mount = self.mounted()
        self.read_present(mount)
        readers = [self.start(*command) for k in range(50) for command in (
            ("tail", "-c", f"+{k * MIB + 1}", self.absent),
            ("dd", f"if={self.absent}", "bs=64k", f"skip={k * 16 + 8}", "count=1"),
        )]
        until(lambda: all(blocked_reading(reader.pid, self.absent) for reader in readers), "all of them to block", 20)
        self.assert_alive(mount)
        self.assert_within(AT_ONCE, "a read of what is present", lambda: self.read_present(mount))
        self.assertTrue(all(reader.poll() is None for reader in readers), "a reader got something that nobody has")
        readers[0].send_signal(signal.SIGINT)
        self.assert_ends_within(FATAL_SIGNAL, readers[0], "^C of tail")
        readers[1].send_signal(signal.SIGINT)
        self.assert_ends_within(HANDLED_SIGNAL, readers[1], "^C of dd")
        self.assertLess(mount.stop(), TERMINATE)
        for reader in readers:
            self.assert_ends_within(AT_ONCE, reader, "a reader of a mount that went away")

    def test_no_peer_at_all(self):
        torrent = self.one_file(MIB)
        mount = self.mount(torrent)
        self.absent = mount.file()
        reader = self.blocked("cat", self.absent)
        self.assertEqual(os.stat(self.absent).st_size, MIB)
        reader.kill()
        self.assert_ends_within(AT_ONCE, reader, "SIGKILL of cat")
        self.assertLess(mount.stop(), TERMINATE)

    def test_interrupting_a_reader_that_leaves_the_signal_alone(self):
        mount = self.mounted()
        reader = self.tail()
        reader.send_signal(signal.SIGINT)
        self.assert_ends_within(FATAL_SIGNAL, reader, "^C of tail")
        self.assertEqual(reader.returncode, -signal.SIGINT)
        self.assert_alive(mount)

    def test_interrupting_a_reader_that_handles_the_signal(self):
        mount = self.mounted()
        reader = self.dd()
        reader.send_signal(signal.SIGINT)
        self.assert_ends_within(HANDLED_SIGNAL, reader, "^C of dd")
        self.assert_alive(mount)

    def test_a_signal_that_ends_nothing_does_not_fail_a_read(self):
        # Go programs get SIGURG all the time; a read that fails with EINTR would break them.
        mount = self.mounted()
        code = (
            "import mmap, os, signal, sys\n"
            "signal.signal(signal.SIGURG, lambda *_: None)\n"
            "signal.siginterrupt(signal.SIGURG, True)\n"
            "file = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECT)\n"
            "os.preadv(file, [mmap.mmap(-1, 4096)], 0)\n"
        )
        reader = self.blocked(sys.executable, "-c", code, self.absent)
        for _ in range(20):
            reader.send_signal(signal.SIGURG)
            time.sleep(0.01)
        self.assertIsNone(reader.poll(), "SIGURG failed its read")
        self.assert_alive(mount)

    def test_killing_a_reader(self):
        mount = self.mounted()
        for reader in (self.tail(), self.dd()):
            reader.kill()
            self.assert_ends_within(AT_ONCE, reader, "SIGKILL")
        self.assert_alive(mount)

    def test_killing_a_reader_with_o_direct(self):
        mount = self.mounted()
        for number in (signal.SIGKILL, signal.SIGTERM):
            reader = self.blocked("dd", f"if={self.absent}", "iflag=direct", "bs=64k", "skip=9", "count=1")
            reader.send_signal(number)
            self.assert_ends_within(AT_ONCE, reader, f"signal {number} of a reader with O_DIRECT")
        self.assert_alive(mount)

    def test_killing_a_reader_in_a_page_fault(self):
        mount = self.mounted()
        code = (
            "import mmap, sys\n"
            "with open(sys.argv[1], 'rb') as file: memory = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)\n"
            "print('mapped', flush=True)\n"
            "memory[5000000]\n"
        )
        reader = self.start(sys.executable, "-c", code, self.absent, stdout=subprocess.PIPE)
        reader.stdout.readline()
        until(lambda: sleeping_in_kernel(reader.pid), "the page fault")
        reader.kill()
        self.assert_ends_within(AT_ONCE, reader, "SIGKILL in a page fault")
        self.assert_alive(mount)

    def test_closing_a_file_that_another_thread_waits_for(self):
        mount = self.mounted()
        code = (
            "import os, sys, threading\n"
            "file = os.open(sys.argv[1], os.O_RDONLY)\n"
            "threading.Thread(target=os.pread, args=(file, 100, 0), daemon=True).start()\n"
            "input()\nos.close(file)\nos._exit(0)\n"
        )
        player = self.start(sys.executable, "-c", code, self.absent, stdin=subprocess.PIPE)
        until(lambda: any_thread_reads(player.pid, self.absent), "its thread to block")
        player.stdin.write(b"\n")
        player.stdin.flush()
        self.assert_ends_within(AT_ONCE, player, "closing and leaving")
        self.assert_alive(mount)

    def test_a_killed_reader_stops_wanting(self):
        torrent = self.one_file(8 * MIB, piece=2 * MIB)
        peer = SlowPeer(self, torrent, rate=256 * KIB)
        mount = self.mount(torrent, peers=[peer.address])
        self.absent = mount.file()
        reader = self.tail(2)
        until(lambda: len(peer.requests) > 4, "it to be served")
        reader.kill()
        reader.wait(5)
        asked = lambda: len(peer.requests)
        until(lambda: self.unchanged_for(1.0, asked), "the requests to end", 20)
        self.assertLess(asked(), torrent.piece // (16 * KIB) // 2, "the piece of a reader that is gone was fetched all the same")

    def unchanged_for(self, seconds, count):
        before, since = count(), time.monotonic()
        while count() == before and time.monotonic() < since + seconds:
            time.sleep(0.01)
        return count() == before


class Unmounting(Blocked):
    def test_fusermount_u(self):
        mount = self.mounted()
        self.read_present(mount)
        self.command("fusermount3", "-u", mount.path)
        self.assertEqual(mount.wait(), 0)

    def test_fusermount_u_with_a_reader_inside_is_refused_and_harms_nothing(self):
        mount = self.mounted()
        reader = self.tail()
        done = subprocess.run(["fusermount3", "-u", mount.path], stderr=subprocess.DEVNULL, timeout=10, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIsNone(reader.poll())
        self.assert_alive(mount)

    def test_fusermount_u_right_after_a_reader_was_killed(self):
        mount = self.mounted()
        reader = self.tail()
        reader.kill()
        reader.wait(5)
        self.command("fusermount3", "-u", mount.path)
        self.assertEqual(mount.wait(), 0)

    def test_fusermount_uz_frees_blocked_readers_and_ends_the_daemon(self):
        mount = self.mounted()
        readers = [self.tail(), self.dd()]
        self.command("fusermount3", "-uz", mount.path)
        self.assertFalse(mount.is_mounted())
        for reader in readers:
            self.assert_ends_within(3, reader, "a reader after a lazy umount")
        self.assertEqual(mount.wait(), 0)

    def test_umount_f(self):
        mount = self.mounted()
        reader = self.tail()
        subprocess.run(["umount", "-f", mount.path], stderr=subprocess.DEVNULL, timeout=10, check=False)
        self.assert_ends_within(AT_ONCE, reader, "a reader after umount -f")
        mount.wait()

    def test_sigterm_and_sigint_unmount_at_once(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number):
                mount = self.mounted()
                readers = [self.tail(), self.dd()]
                mount.process.send_signal(number)
                self.assert_ends_within(TERMINATE, mount.process, f"signal {number}")
                self.assertEqual((mount.process.returncode, mount.is_mounted()), (0, False))
                for reader in readers:
                    self.assert_ends_within(AT_ONCE, reader, "a reader")

    def test_sigterm_with_a_peer_that_never_answers(self):
        torrent = self.one_file(4 * MIB)
        peer = SilentPeer(self, torrent)
        mount = self.mount(torrent, peers=[peer.address])
        self.absent = mount.file()
        reader = self.tail()
        until(lambda: peer.requests, "a request")
        self.assertLess(mount.stop(), TERMINATE)
        self.assert_ends_within(AT_ONCE, reader, "a reader")

    def test_sighup_does_not_end_it(self):
        mount = self.mounted()
        mount.process.send_signal(signal.SIGHUP)
        self.read_present(mount)
        self.assertIsNone(mount.process.poll())

    def test_sigkill_of_the_daemon_and_mounting_over_the_dead_mount(self):
        mount = self.mounted()
        reader = self.tail()
        mount.process.kill()
        mount.wait()
        self.assert_ends_within(AT_ONCE, reader, "a reader of a dead mount")
        self.assertTrue(mount.is_mounted(), "nothing left to clean: this test shows nothing")
        self.assert_errno(errno.ENOTCONN, os.statvfs, mount.path)
        peer = HonestPeer(self, mount.torrent)
        again = self.mount(mount.torrent, peers=[peer.address], mountpoint=mount.path, cache=mount.cache)
        self.assertEqual(len(mounts_at(mount.path)), 1, "it was mounted over, not cleaned")
        self.read_present(again)
        again.stop()

    def test_mounting_unmounting_and_mounting_again(self):
        torrent = self.one_file(MIB)
        peer = HonestPeer(self, torrent)
        path, cache = self.new_dir("mnt"), self.new_dir("cache")
        for _ in range(5):
            mount = self.mount(torrent, peers=[peer.address], mountpoint=path, cache=cache)
            self.assert_same_file(mount.file(), mount.source())
            mount.stop()
            self.assertFalse(is_live(path))


def sleeping_in_kernel(pid):
    """Sleeping, and not in a system call: a page fault."""
    try:
        with open(f"/proc/{pid}/syscall", encoding="utf-8") as file:
            return file.read().split()[0] == "-1"
    except OSError:
        return False


def any_thread_reads(pid, path):
    return any(blocked_reading(thread, path) for thread in os.listdir(f"/proc/{pid}/task"))


if __name__ == "__main__":
    unittest.main()
