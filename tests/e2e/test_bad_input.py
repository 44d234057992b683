"""Every bad input gets one clear line that names the thing, and the right exit code; nothing stays mounted."""
import csv
import os
import re
import subprocess
import unittest

from harness import DATA, FAILURE, KIB, MIB, SWARMFS, USAGE, Case, is_live, mounts_at, until
from trackers import ScriptedTracker


def torrent_cases():
    """(file, verdict, outcome) of tests/data/torrents.tsv."""
    with open(os.path.join(DATA, "torrents.tsv"), encoding="utf-8") as file:
        for row in csv.reader((line for line in file if not line.startswith("#")), delimiter="\t", quoting=csv.QUOTE_NONE):
            yield row[0], row[1], row[2]


class BadInput(Case):
    def options(self):
        return ["-f", "--allow-local", "--cache-dir", self.new_dir("cache")]

    def test_each_kind_of_broken_torrent(self):
        mountpoint, cases = self.new_dir("mnt"), 0
        for file, verdict, outcome in torrent_cases():
            if verdict != "invalid":
                continue
            cases += 1
            with self.subTest(file, outcome=outcome):
                self.refused(FAILURE, [file], *self.options(), os.path.join(DATA, "torrents", file), mountpoint)
                self.assertEqual(mounts_at(mountpoint), [])
        self.assertGreater(cases, 30, "the table was not read")

    def test_check_says_the_same_without_mounting(self):
        for file, verdict, outcome in torrent_cases():
            with self.subTest(file, outcome=outcome):
                path = os.path.join(DATA, "torrents", file)
                if verdict == "invalid":
                    self.refused(FAILURE, [file], "--check", path)
                else:
                    code, out, err = self.swarmfs("--check", path)
                    if code == FAILURE and "v2" in err:
                        continue  # not served yet, and it says so
                    self.assertEqual((code, "Traceback" in out), (0, False), err)
                    self.assertFalse(re.search(r"[^\n\t\x20-\x7e\u00a0-\U0010ffff]", out), "control characters on the terminal")

    def test_a_torrent_that_is_missing_a_folder_or_unreadable(self):
        mountpoint = self.new_dir("mnt")
        self.refused(FAILURE, ["nothing.torrent", "No such file"], *self.options(), os.path.join(self.dir, "nothing.torrent"), mountpoint)
        self.refused(FAILURE, ["adir", "directory"], *self.options(), self.new_dir("adir"), mountpoint)

    def test_a_torrent_that_is_too_large_is_not_read(self):
        path = os.path.join(self.dir, "huge.torrent")
        with open(path, "wb") as file:
            file.write(b"d4:info")
            file.truncate(1 << 40)
        self.refused(FAILURE, ["huge.torrent"], *self.options(), path, self.new_dir("mnt"), timeout=5)

    def test_a_torrent_that_is_a_fifo_or_a_device_does_not_hang(self):
        path = os.path.join(self.dir, "fifo.torrent")
        os.mkfifo(path)
        self.refused(FAILURE, ["fifo.torrent"], *self.options(), path, self.new_dir("mnt"), timeout=5)
        self.refused(FAILURE, ["/dev/zero"], *self.options(), "/dev/zero", self.new_dir("mnt"), timeout=5)

    def test_a_mountpoint_that_is_missing_a_file_or_not_empty(self):
        torrent = self.one_file(64 * KIB)
        missing = os.path.join(self.dir, "nowhere")
        self.refused(FAILURE, [missing], *self.options(), torrent.file, missing)
        plain = os.path.join(self.dir, "plain")
        with open(plain, "w", encoding="ascii"):
            pass
        self.refused(FAILURE, [plain, "directory"], *self.options(), torrent.file, plain)
        full = self.new_dir("full")
        os.mkdir(os.path.join(full, "something"))
        self.refused(FAILURE, [full, "empty"], *self.options(), torrent.file, full)

    def test_a_mountpoint_that_is_mounted_already(self):
        torrent, other = self.one_file(64 * KIB), self.one_file(64 * KIB, name="other.bin")
        mount = self.mount(torrent)
        self.refused(FAILURE, [mount.path, "mounted"], *self.options(), other.file, mount.path)
        self.assertEqual(len(mounts_at(mount.path)), 1)
        self.assertTrue(is_live(mount.path), "the first mount was harmed")

    def test_the_same_torrent_twice_with_the_same_cache(self):
        torrent = self.one_file(64 * KIB)
        mount = self.mount(torrent)
        second = self.new_dir("mnt")
        self.refused(FAILURE, [], "-f", "--allow-local", "--cache-dir", mount.cache, torrent.file, second)
        self.assertEqual(mounts_at(second), [])
        self.assertTrue(is_live(mount.path), "the first mount was harmed")

    def test_two_torrents_share_a_cache_folder(self):
        torrent, other = self.one_file(64 * KIB), self.one_file(64 * KIB, name="other.bin")
        mount = self.mount(torrent)
        self.mount(other, cache=mount.cache)

    def test_a_cache_folder_that_cannot_be_made_or_written(self):
        torrent, mountpoint = self.one_file(64 * KIB), self.new_dir("mnt")
        plain = os.path.join(self.dir, "plain")
        with open(plain, "w", encoding="ascii"):
            pass
        self.refused(FAILURE, [plain], "-f", "--cache-dir", plain, torrent.file, mountpoint)
        self.refused(FAILURE, ["/proc/nothing"], "-f", "--cache-dir", "/proc/nothing", torrent.file, mountpoint)
        read_only = self.new_dir("read-only")
        subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", read_only], check=True)
        self.addCleanup(subprocess.run, ["umount", read_only], check=True)
        self.refused(FAILURE, [read_only, "Read-only"], "-f", "--cache-dir", read_only, torrent.file, mountpoint)

    def test_a_cache_folder_inside_the_mountpoint(self):
        torrent, mountpoint = self.one_file(64 * KIB), self.new_dir("mnt")
        for cache in (mountpoint, os.path.join(mountpoint, "deep", "cache")):
            with self.subTest(cache):
                self.refused(FAILURE, [mountpoint], "-f", "--cache-dir", cache, torrent.file, mountpoint)
                self.assertEqual(os.listdir(mountpoint), [])
        link = os.path.join(self.dir, "link")
        os.symlink(mountpoint, link)
        self.refused(FAILURE, [], "-f", "--cache-dir", os.path.join(link, "cache"), torrent.file, mountpoint)

    def test_usage(self):
        torrent, mountpoint = self.one_file(64 * KIB), self.new_dir("mnt")
        for arguments in (
            [],
            [torrent.file],
            [torrent.file, mountpoint, "too", "much"],
            ["--no-such-option", torrent.file, mountpoint],
            ["-o", "no_such_option", torrent.file, mountpoint],
            ["--port", "70000", torrent.file, mountpoint],
            ["--port", "x", torrent.file, mountpoint],
            ["--peer", "no-port", torrent.file, mountpoint],
            ["--peer", "127.0.0.1:0", torrent.file, mountpoint],
            ["--log-level", "loudest", torrent.file, mountpoint],
        ):
            with self.subTest(arguments=arguments):
                self.refused(USAGE, [], *arguments)
        self.assertEqual(mounts_at(mountpoint), [])

    def test_no_dev_fuse(self):
        torrent, mountpoint = self.one_file(64 * KIB), self.new_dir("mnt")
        # A mount namespace of its own, in which /dev is empty but for null.
        script = 'mount -t tmpfs none /dev && : > /dev/null && exec "$@"'
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", script, "sh", SWARMFS, *self.options(), torrent.file, mountpoint],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=20, env=self.environment(), check=False,
        )
        lines = done.stderr.decode().splitlines()
        self.assertEqual((done.returncode, len(lines)), (FAILURE, 1), lines)
        self.assertIn("/dev/fuse", lines[0])

    def test_failing_in_the_background_tells_the_one_who_started_it(self):
        torrent = self.one_file(64 * KIB)
        full = self.new_dir("full")
        os.mkdir(os.path.join(full, "something"))
        self.refused(FAILURE, [full, "empty"], "--cache-dir", self.new_dir("cache"), torrent.file, full)
        broken = os.path.join(DATA, "torrents", "pieces_19.torrent")
        self.refused(FAILURE, ["pieces_19"], "--cache-dir", self.new_dir("cache"), broken, self.new_dir("mnt"))


class Contained(Case):
    """Promise 6: a torrent can make us touch nothing outside the mount and the cache."""

    def test_hostile_names_stay_inside_the_mount(self):
        for file, verdict, outcome in torrent_cases():
            if verdict != "valid":
                continue
            path = os.path.join(DATA, "torrents", file)
            if self.swarmfs("--check", path)[0] != 0:
                continue  # test_check_says_the_same_without_mounting has its opinion on that
            with self.subTest(file, outcome=outcome):
                cache = self.new_dir("cache")
                mount = self.mount(path, cache=cache)
                names = []
                for folder, folders, files in os.walk(mount.path, onerror=self.raise_it):
                    for name in folders + files:
                        found = os.path.join(folder, name)
                        info = os.lstat(found)
                        self.assertLessEqual(len(os.fsencode(name)), 255)
                        self.assertTrue(os.path.realpath(found).startswith(mount.path + "/"), found)
                        names.append((info.st_dev, info.st_ino))
                self.assertTrue(names, "an empty mount")
                self.assertEqual(len(names), len(set(names)))
                mount.stop()
                for folder, _, files in os.walk(cache):
                    for name in files:
                        self.assertRegex(name, r"^[a-z.]+$", "names in the cache never come from a torrent")

    def raise_it(self, error):
        raise error

    def test_a_tracker_url_that_aims_at_a_local_service_is_not_called(self):
        service, tracker = ScriptedTracker(self), ScriptedTracker(self)
        torrent = self.one_file(MIB, trackers=[f"http://127.0.0.1:{service.port}/admin?erase=all", tracker.url])
        self.mount(torrent, allow_local=False)
        until(lambda: tracker.paths, "the announce to the tracker whose path is one")
        self.assertEqual(service.paths, [])

    def test_a_tracker_cannot_redirect_us_to_a_local_service(self):
        service = ScriptedTracker(self)
        tracker = ScriptedTracker(self)
        tracker.reply = lambda query: (302, b"", {"Location": f"http://127.0.0.1:{service.port}/admin"})
        torrent = self.one_file(MIB, trackers=[tracker.url])
        self.mount(torrent, allow_local=False)
        until(lambda: tracker.paths, "the announce")
        # The redirect would follow on the same turn; a second announce elsewhere shows that it had time.
        self.assertEqual(service.paths, [])


if __name__ == "__main__":
    unittest.main()
