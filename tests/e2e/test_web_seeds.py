"""Web seeds (BEP 19): a torrent's bytes from web servers, alone and beside peers."""
import os
import random
import unittest
import urllib.parse

from harness import KIB, MIB, Case, until
from seeds import LibtorrentSeed
from webserver import WebServer, make_certificate

ODD_NAMES = {
    "a b.bin": 300 * KIB,
    "100%#1?.bin": 70 * KIB,
    "Übergrößen/naïve & co;=+.txt": 5,
    "leer.txt": 0,
    "%41/[x]{y}|z.bin": 700 * KIB,
}


class WebSeedCase(Case):
    def served_file(self, size, url=None, **server):
        """(torrent, server): one file that lies at its URL."""
        web = WebServer(self, self.one_file(size).save, **server)
        return self.one_file(size, web_seeds=[web.url(url or "/film.bin")]), web

    def served_folder(self, sizes, **server):
        web = WebServer(self, self.folder(sizes).save, **server)
        return self.folder(sizes, web_seeds=[web.url()]), web

    def assert_all_read(self, mount):
        for path in mount.torrent.files:
            self.assert_same_file(mount.file(path), mount.source(path))

    def read_at(self, mount, offset, size):
        with open(mount.file(), "rb", buffering=0) as shown:
            shown.seek(offset)
            got = shown.read(size)
        with open(mount.source(), "rb") as source:
            source.seek(offset)
            self.assertEqual(got, source.read(size))


class OnlySource(WebSeedCase):
    def test_one_file_is_read_in_few_requests(self):
        torrent, web = self.served_file(20 * MIB)
        mount = self.mount(torrent)
        self.assert_same_file(mount.file(), mount.source())
        self.assertLess(len(web.requests), 20 * MIB // (128 * KIB), "a request for every few blocks")
        self.assertTrue(all(span for _, span in web.requests))
        self.assertEqual(web.sent, 20 * MIB)
        self.assertLess(mount.stop(), 2.0)

    def test_a_folder_with_odd_names_is_read(self):
        torrent, web = self.served_folder(ODD_NAMES)
        self.assert_all_read(self.mount(torrent))
        asked = {urllib.parse.unquote(path) for path, _ in web.requests}
        self.assertEqual(asked, {"/album/" + path for path, size in ODD_NAMES.items() if size})

    def test_only_what_is_read_is_asked_for(self):
        torrent, web = self.served_file(64 * MIB)
        mount = self.mount(torrent)
        self.read_at(mount, 40 * MIB, 4096)
        self.assertLessEqual(web.sent, 2 * torrent.piece)

    def test_a_seek_does_not_wait_for_what_was_asked_before(self):
        torrent, web = self.served_file(64 * MIB, delay=0.05)
        mount = self.mount(torrent)
        rng = random.Random(7)
        for _ in range(10):
            at = rng.randrange(64 * MIB - 4096)
            self.assert_within(2.0, "a seek", lambda at=at: self.read_at(mount, at, 4096))
        self.assertLess(web.sent, 10 * 3 * torrent.piece)

    def test_a_server_without_ranges_gives_small_files(self):
        torrent, _ = self.served_folder({"a.txt": 10 * KIB, "b.txt": 600 * KIB, "c.txt": 3}, ranges=False)
        self.assert_all_read(self.mount(torrent))

    def test_a_busy_server_is_asked_again(self):
        torrent, web = self.served_file(MIB, answers=[(503, {"Retry-After": "1"}), (500, {})])
        mount = self.mount(torrent)
        self.assert_same_file(mount.file(), mount.source())
        self.assertIn("the server cannot answer now; next try in 2 s", mount.log())

    def test_redirects_are_followed(self):
        elsewhere = WebServer(self, self.one_file(2 * MIB).save)
        torrent, web = self.served_file(2 * MIB, answers=[(302, {"Location": elsewhere.url("/film.bin")})] * 5)
        mount = self.mount(torrent)
        self.assert_same_file(mount.file(), mount.source())
        self.assertEqual((len(web.requests), web.sent, elsewhere.sent), (1, 0, 2 * MIB))

    def test_the_reason_for_waiting_names_no_peers_when_the_server_is_gone(self):
        torrent, web = self.served_file(MIB)
        web.stop()
        mount = self.mount(torrent)
        self.start("cat", mount.file())
        until(lambda: "waiting for data: 1 peer known, none reached" in mount.log(), "the reason in the log")

    def test_without_leave_no_server_on_this_host_is_asked(self):
        torrent, web = self.served_file(MIB)
        mount = self.mount(torrent, allow_local=False)
        until(lambda: "address refused" in mount.log(), "the reason in the log")
        self.assertEqual(web.requests, [])

    def test_no_web_seeds(self):
        torrent, web = self.served_file(MIB)
        mount = self.mount(torrent, "--no-web-seeds")
        self.start("cat", mount.file())
        until(lambda: "waiting for data: no peers known" in mount.log(), "the reason in the log")
        self.assertEqual(web.requests, [])


class OverTls(WebSeedCase):
    trusted = None

    def environment(self):
        return {**super().environment(), **({"SSL_CERT_FILE": self.trusted} if self.trusted else {})}

    def test_a_server_that_can_prove_who_it_is(self):
        self.trusted = make_certificate(self)
        torrent, web = self.served_file(8 * MIB, certificate=self.trusted)
        mount = self.mount(torrent)
        self.assert_same_file(mount.file(), mount.source())
        self.assertEqual(web.sent, 8 * MIB)

    def test_one_that_cannot_is_no_use(self):
        torrent, web = self.served_file(MIB, certificate=make_certificate(self))
        mount = self.mount(torrent)
        self.start("cat", mount.file())
        until(lambda: "certificate verify failed" in mount.log(), "the reason in the log")
        self.assertEqual(web.requests, [])


class BesideOthers(WebSeedCase):
    def test_a_liar_is_banned_by_its_url_and_the_bytes_are_right(self):
        size = 32 * MIB
        save = self.one_file(size).save
        liar, good = WebServer(self, save, lies=True), WebServer(self, save)
        torrent = self.one_file(size, web_seeds=[liar.url("/film.bin"), good.url("/film.bin")])
        mount = self.mount(torrent, peers=[LibtorrentSeed(self, torrent).address])
        self.assert_same_file(mount.file(), mount.source())
        banned = [line for line in mount.log().splitlines() if "banned" in line]
        self.assertEqual(len(banned), 1, banned)
        self.assertIn(liar.url("/film.bin") + " banned: sent corrupt data", banned[0])
        self.assertLess(liar.sent, size // 4)

    def test_one_that_drips_delays_nobody(self):
        size = 8 * MIB
        web = WebServer(self, self.one_file(size).save, step=100, pause=0.1)
        torrent = self.one_file(size, web_seeds=[web.url("/film.bin")])
        mount = self.mount(torrent, peers=[LibtorrentSeed(self, torrent).address])
        self.assert_within(10.0, "the file", lambda: self.assert_same_file(mount.file(), mount.source()))
        self.assertLess(web.sent, MIB)

    def test_files_that_a_server_lacks_come_from_others(self):
        sizes = {"a.bin": 2 * MIB, "b.bin": 2 * MIB, "c.bin": 2 * MIB}
        web = WebServer(self, self.folder(sizes).save)
        os.unlink(os.path.join(web.root, "album", "b.bin"))
        torrent = self.folder(sizes, web_seeds=[web.url()])
        mount = self.mount(torrent, peers=[LibtorrentSeed(self, torrent, rate=4 * MIB).address])
        self.assert_all_read(mount)
        self.assertGreater(web.sent, MIB)

    def test_a_link_names_web_seeds(self):
        torrent, web = self.served_file(4 * MIB)
        seed = LibtorrentSeed(self, torrent)
        link = f"magnet:?xt=urn:btih:{torrent.info_hash.hex()}&ws={urllib.parse.quote(web.url('/film.bin'), '')}"
        cache = self.new_dir("shared-cache")
        mount = self.mount(link, peers=[seed.address], cache=cache)
        shown = os.path.join(mount.path, "film.bin")
        until(lambda: os.path.exists(shown), "the files to appear")
        seed.kill()
        self.assert_same_file(shown, os.path.join(torrent.save, "film.bin"))
        self.assertGreater(web.sent, MIB)
        mount.stop()


if __name__ == "__main__":
    unittest.main()
