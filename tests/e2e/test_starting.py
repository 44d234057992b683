"""Starting, going to the background, telling what a torrent holds."""
import os
import signal
import subprocess
import unittest

from harness import KIB, MIB, ROOT, SWARMFS, Case, ended, force_unmount, is_live, mounts_at, until
from peers import HonestPeer
from seeds import LibtorrentSeed
from trackers import ScriptedTracker


class Starting(Case):
    def daemon_of(self, mountpoint):
        """The pid of the swarmfs in the background that serves `mountpoint`."""
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    arguments = file.read().split(b"\0")
                if os.path.realpath(os.fsdecode(arguments[0])) == os.path.realpath(SWARMFS) and os.fsencode(mountpoint) in arguments:
                    return int(pid)
            except OSError:
                pass
        return None

    def in_background(self, *arguments, mountpoint, cwd=None):
        """Starts it without -f; when the parent has ended, the mount must work. The daemon's pid."""
        self.addCleanup(self.stop_daemon, mountpoint)
        done = subprocess.run(
            [SWARMFS, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=20, env=self.environment(), cwd=cwd, check=False
        )
        live = is_live(mountpoint)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"", b""))
        self.assertTrue(live, "the parent ended before the mount worked")
        return self.daemon_of(arguments[-1])

    def stop_daemon(self, mountpoint):
        pid = self.daemon_of(mountpoint) or self.daemon_of(os.path.basename(mountpoint))
        if pid:
            os.kill(pid, signal.SIGKILL)
        force_unmount(mountpoint)

    def test_the_parent_ends_when_the_mount_works(self):
        torrent = self.one_file(MIB)
        peer, mountpoint = HonestPeer(self, torrent), self.new_dir("mnt")
        options = ["--allow-local", "--cache-dir", self.new_dir("cache"), "--peer", peer.address]
        pid = self.in_background(*options, torrent.file, mountpoint, mountpoint=mountpoint)
        self.assert_same_file(os.path.join(mountpoint, "film.bin"), torrent.content)
        self.assertEqual(os.readlink(f"/proc/{pid}/cwd"), "/")
        self.assertEqual({os.readlink(f"/proc/{pid}/fd/{k}") for k in (0, 1, 2)}, {"/dev/null"})
        self.assertEqual(os.getsid(pid), pid)
        os.kill(pid, signal.SIGTERM)
        until(lambda: ended(pid), "the daemon to end")
        self.assertEqual(mounts_at(mountpoint), [])

    def test_relative_paths_work_in_the_background(self):
        torrent = self.one_file(MIB)
        peer, mountpoint = HonestPeer(self, torrent), self.new_dir("mnt")
        os.mkdir(os.path.join(self.dir, "here"))
        os.link(torrent.file, os.path.join(self.dir, "here", "x.torrent"))
        options = ["--allow-local", "--cache-dir", "cache", "--peer", peer.address]
        self.in_background(*options, "x.torrent", "../mnt", mountpoint=mountpoint, cwd=os.path.join(self.dir, "here"))
        self.assert_same_file(os.path.join(mountpoint, "film.bin"), torrent.content)
        self.assertTrue(os.listdir(os.path.join(self.dir, "here", "cache")))

    def test_the_background_does_not_hold_the_callers_pipe(self):
        # $(swarmfs ...) in a script must come back.
        torrent, mountpoint = self.one_file(64 * KIB), self.new_dir("mnt")
        self.addCleanup(self.stop_daemon, mountpoint)
        out = self.command(
            "sh", "-c", 'x=$("$@" 2>&1); echo "back: $x"', "sh", SWARMFS, "--cache-dir", self.new_dir("cache"), torrent.file, mountpoint
        )
        self.assertEqual(out, "back: \n")

    def test_help_and_version(self):
        for option in ("-h", "--help"):
            code, out, err = self.swarmfs(option)
            self.assertEqual((code, err), (0, ""))
            for said in ("MOUNTPOINT", "--peer", "--cache-dir", "--check", "-f"):
                self.assertIn(said, out)
        for option in ("-V", "--version"):
            code, out, err = self.swarmfs(option)
            self.assertEqual((code, err), (0, ""))
            self.assertRegex(out, r"swarmfs.* \d+\.\d+")
            self.assertRegex(out, r"(?i)fuse.* \d+\.\d+")

    def test_check_tells_what_a_torrent_holds(self):
        trackers = ["http://tracker.example/announce", "http://other.example:81/announce"]
        torrent = self.folder({"a.bin": 123_456, "sub/b.txt": 7}, piece=64 * KIB, trackers=trackers)
        code, out, err = self.swarmfs("--check", torrent.file)
        self.assertEqual((code, err), (0, ""))
        for said in ("album", torrent.info_hash.hex(), "a.bin", "121 KiB", "sub/b.txt", "7 B", "123463", *trackers):
            self.assertIn(said, out)
        self.assertRegex(out, r"\b64(\.0)? KiB")

    def test_options_under_o_as_fstab_gives_them(self):
        torrent = self.one_file(MIB)
        peer = HonestPeer(self, torrent)
        mount = self.mount(torrent, "-o", f"_netdev,nofail,noauto,x-systemd.automount,peer={peer.address}")
        self.assert_same_file(mount.file(), mount.source())

    def test_the_default_cache_is_under_xdg_cache_home(self):
        torrent, mountpoint = self.one_file(MIB), self.new_dir("mnt")
        peer = HonestPeer(self, torrent)
        self.in_background("--allow-local", "--peer", peer.address, torrent.file, mountpoint, mountpoint=mountpoint)
        self.assert_same_file(os.path.join(mountpoint, "film.bin"), torrent.content)
        self.assertEqual(sorted(os.listdir(os.path.join(self.dir, "xdg-cache", "swarmfs"))), sorted([torrent.info_hash.hex(), "budget"]))

    def test_soft_mounts_give_up_after_their_time(self):
        torrent = self.one_file(MIB)
        mount = self.mount(torrent, "-o", "soft,timeo=1")
        code = self.start("cat", mount.file()).wait(10)
        self.assertEqual(code, 1)


class Readme(Case):
    def test_the_two_commands_it_names_exist(self):
        with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
            text = file.read()
        for script in ("scripts/demo", "scripts/test"):
            self.assertIn(script, text)
            self.assertTrue(os.access(os.path.join(ROOT, script), os.X_OK))


class Bounded(Case):
    """Promise 4: memory, descriptors and threads have caps."""

    def status(self, pid, field):
        with open(f"/proc/{pid}/status", encoding="utf-8") as file:
            return int(next(line.split()[1] for line in file if line.startswith(field)))

    def test_reading_a_large_file_takes_bounded_memory_and_few_threads(self):
        torrent = self.one_file(384 * MIB, piece=MIB)
        mount = self.mount(torrent, peers=[LibtorrentSeed(self, torrent).address])
        self.assert_same_file(mount.file(), mount.source())
        self.assertLess(self.status(mount.process.pid, "VmHWM:"), 128 * KIB)  # the unit is KiB
        self.assertLess(self.status(mount.process.pid, "Threads:"), 16)

    def test_descriptors_do_not_leak(self):
        torrent = self.folder({f"f{k}": 1000 for k in range(50)})
        mount = self.mount(torrent, peers=[HonestPeer(self, torrent).address])
        count = lambda: len(os.listdir(f"/proc/{mount.process.pid}/fd"))
        self.read_each(mount)
        before = count()
        for _ in range(5):
            self.read_each(mount)
        self.assertLessEqual(count(), before)

    def read_each(self, mount):
        for path in mount.torrent.files:
            self.assert_same_file(mount.file(path), mount.source(path))

    def test_a_tracker_that_names_ten_thousand_peers_changes_little(self):
        tracker = ScriptedTracker(self)
        torrent = self.one_file(MIB, trackers=[tracker.url])
        peer = HonestPeer(self, torrent)
        tracker.peers = [f"127.77.{k // 250}.{k % 250 + 1}:9" for k in range(10_000)]
        mount = self.mount(torrent, peers=[peer.address])
        self.assert_same_file(mount.file(), mount.source())
        self.assertLess(len(os.listdir(f"/proc/{mount.process.pid}/fd")), 250)
        self.assertLess(self.status(mount.process.pid, "VmHWM:"), 128 * KIB)


if __name__ == "__main__":
    unittest.main()
