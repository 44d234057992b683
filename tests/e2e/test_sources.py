"""What may be mounted: a file, what comes on stdin, a URL; and links, as far as --check goes."""
import http.server
import os
import signal
import socket
import subprocess
import threading
import unittest

from harness import FAILURE, MIB, SWARMFS, USAGE, Case, is_live, mounts_at, read_all, until
from peers import HonestPeer
from seeds import HOST
from trackers import serve_http

HASH = "d2354010a3ca4ade5b7427bb093a62a3899ff381"


class WebServer:
    """Serves bytes by path. `waits`: paths whose body stops in the middle until `go_on` is set."""

    def __init__(self, case, pages):
        self.pages, self.waits, self.asked, self.go_on = pages, set(), [], threading.Event()
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                site.asked.append(self.path)
                status, headers, body = site.pages.get(self.path, (404, {}, b"<html>not here</html>"))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                half = len(body) // 2
                self.wfile.write(body[:half])
                self.wfile.flush()
                if self.path in site.waits:
                    site.go_on.wait(30)
                self.wfile.write(body[half:])

            def log_message(self, *_):
                pass

        self.port = serve_http(case, Handler)
        case.addCleanup(self.go_on.set)

    def url(self, path):
        return f"http://{HOST}:{self.port}{path}"


class Sources(Case):
    def setUp(self):
        super().setUp()
        self.torrent = self.one_file(MIB)
        self.bytes = read_all(self.torrent.file)
        self.web = WebServer(self, {"/it.torrent": (200, {}, self.bytes)})

    def assert_served(self, mountpoint):
        self.assert_same_file(os.path.join(mountpoint, "film.bin"), self.torrent.content)

    # -- URLs
    def test_a_url_is_mounted_also_a_local_one_because_the_user_typed_it(self):
        peer = HonestPeer(self, self.torrent)
        mount = self.mount(self.web.url("/it.torrent"), peers=[peer.address], allow_local=False)
        self.assert_served(mount.path)
        self.assertEqual(self.web.asked, ["/it.torrent"], "one download is enough")

    def test_a_url_is_mounted_in_the_background(self):
        peer, mountpoint = HonestPeer(self, self.torrent), self.new_dir("mnt")
        options = ["--cache-dir", self.new_dir("cache"), "--peer", peer.address]
        self.assertEqual(self.swarmfs(*options, self.web.url("/it.torrent"), mountpoint), (0, "", ""))
        self.assert_served(mountpoint)
        self.leave(mountpoint)

    def test_a_redirect_is_followed(self):
        self.web.pages["/download?id=7"] = (302, {"Location": "/it.torrent"}, b"")
        peer = HonestPeer(self, self.torrent)
        mount = self.mount(self.web.url("/download?id=7"), peers=[peer.address])
        self.assert_served(mount.path)

    def test_a_slow_server_is_waited_for(self):
        self.web.waits.add("/it.torrent")
        peer = HonestPeer(self, self.torrent)
        mount = self.mount(self.web.url("/it.torrent"), peers=[peer.address], wait=False)
        until(lambda: self.web.asked, "the request")
        self.assertIsNone(mount.process.poll())
        self.assertFalse(mount.is_mounted())
        self.web.go_on.set()
        until(lambda: is_live(mount.path), "the mount to come up")
        self.assert_served(mount.path)

    def test_control_c_ends_a_download(self):
        self.web.waits.add("/it.torrent")
        for number in (signal.SIGINT, signal.SIGTERM):
            self.web.asked.clear()
            mountpoint = self.new_dir("mnt")
            process = self.start(SWARMFS, "--cache-dir", self.new_dir("cache"), self.web.url("/it.torrent"), mountpoint)
            until(lambda: self.web.asked, "the request")
            process.send_signal(number)
            self.assertEqual(process.wait(2), -number)
            self.assertEqual(mounts_at(mountpoint), [])

    def test_every_failure_of_a_download_is_one_line(self):
        web, mountpoint = self.web, self.new_dir("mnt")
        web.pages.update({
            "/page": (200, {"Content-Type": "text/html"}, b"\n<!DOCTYPE html><html>download here</html>"),
            "/huge": (200, {}, b"d" * (10 * MIB + 1)),
            "/cut": (200, {}, self.bytes[: len(self.bytes) // 2]),
            "/magnet": (302, {"Location": f"magnet:?xt=urn:btih:{HASH}"}, b""),
            "/round": (302, {"Location": "/round"}, b""),
            "/login": (403, {}, b"<html>who are you?</html>"),
        })
        silent = socket.socket()  # bound, and listening to nobody
        self.addCleanup(silent.close)
        silent.bind((HOST, 0))
        for url, *said in (
            (web.url("/nothing.torrent"), "404", "check the URL"),
            (web.url("/page"), "web page"),
            (web.url("/huge"), "10 MiB"),
            (web.url("/cut"), "cut short"),
            (web.url("/magnet"), "magnet"),
            (web.url("/round"), "makes no sense"),
            (web.url("/login"), "403", "browser"),
            (f"http://{HOST}:{silent.getsockname()[1]}/it.torrent", "refused"),
            (web.url("/it.torrent").replace("http:", "https:"), "secure connection"),
            ("http://[::1/it.torrent", "not a valid URL"),
            ("ftp://192.0.2.1/it.torrent", "http or https"),
        ):
            with self.subTest(url):
                for how in (["--cache-dir", self.new_dir("cache")], ["--check"]):
                    where = [] if how == ["--check"] else [mountpoint]
                    self.refused(FAILURE, [url, *said], *how, url, *where)
                self.assertEqual(mounts_at(mountpoint), [])

    def test_a_mountpoint_that_cannot_be_is_said_before_the_download(self):
        nowhere = os.path.join(self.dir, "nowhere")
        self.refused(FAILURE, [nowhere], "--cache-dir", self.new_dir("cache"), self.web.url("/it.torrent"), nowhere)
        self.assertEqual(self.web.asked, [])

    # -- stdin
    def test_stdin_is_mounted(self):
        peer, mountpoint = HonestPeer(self, self.torrent), self.new_dir("mnt")
        command = [SWARMFS, "-f", "--cache-dir", self.new_dir("cache"), "--peer", peer.address, "-", mountpoint]
        process = self.start(*command, stdin=subprocess.PIPE, env=self.environment())
        half = len(self.bytes) // 2
        process.stdin.write(self.bytes[:half])
        process.stdin.flush()
        process.stdin.write(self.bytes[half:])
        process.stdin.close()
        until(lambda: is_live(mountpoint), "the mount to come up")
        self.assert_served(mountpoint)
        process.terminate()
        self.assertEqual(process.wait(5), 0)

    def test_stdin_is_mounted_in_the_background(self):
        peer, mountpoint = HonestPeer(self, self.torrent), self.new_dir("mnt")
        with open(self.torrent.file, "rb") as file:
            options = ["--cache-dir", self.new_dir("cache"), "--peer", peer.address]
            self.assertEqual(self.swarmfs(*options, "-", mountpoint, stdin=file), (0, "", ""))
        self.assert_served(mountpoint)
        self.leave(mountpoint)

    def test_stdin_that_is_no_torrent_is_one_line(self):
        mountpoint = self.new_dir("mnt")
        self.refused(FAILURE, ["stdin", "empty"], "--cache-dir", self.new_dir("cache"), "-", mountpoint)
        with open("/dev/zero", "rb") as endless:
            self.refused(FAILURE, ["stdin", "10 MiB"], "--check", "-", stdin=endless)
        with open(self.dir_file("page", b"<html></html>"), "rb") as page:
            self.refused(FAILURE, ["stdin", "web page"], "--check", "-", stdin=page)

    # -- what is told without mounting
    def test_check_says_the_same_of_a_file_of_stdin_and_of_a_url(self):
        from_file = self.swarmfs("--check", self.torrent.file)
        self.assertEqual(from_file[0], 0)
        self.assertIn(self.torrent.info_hash.hex(), from_file[1])
        self.assertEqual(self.swarmfs("--check", self.web.url("/it.torrent")), from_file)
        with open(self.torrent.file, "rb") as file:
            self.assertEqual(self.swarmfs("--check", "-", stdin=file), from_file)

    def test_check_tells_what_a_link_says(self):
        link = f"magnet:?xt=urn:btih:{HASH}&dn=Some+film&tr=udp%3A%2F%2Ft.example%3A1&x.pe=192.0.2.7:6881&so=0,2-4&xl=2048"
        code, out, err = self.swarmfs("--check", link)
        self.assertEqual((code, err), (0, ""))
        for said in (HASH, "Some film", "udp://t.example:1", "192.0.2.7:6881", "0, 2-4", "2 KiB"):
            self.assertIn(said, out)
        self.assertIn(HASH, self.swarmfs("--check", HASH)[1])

    def test_links_that_are_wrong_or_only_v2_are_one_line(self):
        mountpoint = self.new_dir("mnt")
        for link, *said in (
            ("magnet:?dn=film", "names no torrent"),
            ("magnet:?xt=urn:btih:123", "40 hex digits"),
            ("magnet:?xt=urn:btmh:1220" + "ab" * 32, "v2-only", "not supported yet", "urn:btih:"),
            ("ab" * 32, "v2-only", "not supported yet"),
            (HASH[1:], "this has 39"),
        ):
            with self.subTest(link):
                for how in (["--cache-dir", self.new_dir("cache")], ["--check"]):
                    where = [] if how == ["--check"] else [mountpoint]
                    self.refused(FAILURE, [link, *said], *how, link, *where)
        self.refused(USAGE, ["quotes"], f"magnet:?xt=urn:btih:{HASH}")  # what a shell leaves of an unquoted one

    def dir_file(self, name, content):
        path = os.path.join(self.dir, name)
        with open(path, "wb") as file:
            file.write(content)
        return path

    def leave(self, mountpoint):
        self.command("umount", mountpoint)
        self.assertEqual(mounts_at(mountpoint), [])


if __name__ == "__main__":
    unittest.main()
