"""The seeds, trackers and hostile peers are what they say they are: checked without the program under test."""
import os
import struct
import time
import unittest

import libtorrent

import harness
import peers
from harness import KIB, MIB, Case, read_all, until
from seeds import SEEDS, LibtorrentSeed
from trackers import Opentracker, ScriptedTracker


class HarnessTest(Case):
    def setUp(self):
        self.program, harness.SWARMFS = harness.SWARMFS, "/bin/true"  # not needed here
        super().setUp()

    def tearDown(self):
        harness.SWARMFS = self.program

    def download(self, torrent, peer=None):
        """The content as a foreign client, libtorrent, gets it: from `peer`, or from the torrent's trackers."""
        target = self.new_dir("download")
        off = {name: False for name in ("enable_dht", "enable_lsd", "enable_upnp", "enable_natpmp", "enable_outgoing_utp")}
        session = libtorrent.session({"listen_interfaces": "127.0.0.1:0", "alert_mask": 0, "stop_tracker_timeout": 1, "allow_multiple_connections_per_ip": True, **off})
        add = libtorrent.add_torrent_params()
        add.ti, add.save_path = libtorrent.torrent_info(torrent.file), target
        handle = session.add_torrent(add)
        if peer:
            handle.connect_peer(("127.0.0.1", peer.port))
        until(lambda: handle.status().is_seeding, "the download", 20)
        session.remove_torrent(handle)
        return os.path.join(target, torrent.name)

    def test_every_kind_of_seed_serves_its_content(self):
        torrent = self.one_file(MIB + 7)
        for name, kind in SEEDS.items():
            with self.subTest(name):
                self.assertEqual(read_all(self.download(torrent, kind(self, torrent))), read_all(torrent.content))

    def test_the_scripted_tracker_gives_out_its_peers_in_every_form(self):
        for form in ("compact", "dictionary", "gzip"):
            with self.subTest(form):
                tracker = ScriptedTracker(self, form=form)
                torrent = self.one_file(100 * KIB, trackers=[tracker.url])
                tracker.peers = [peers.HonestPeer(self, torrent).address]
                self.assertEqual(read_all(self.download(torrent)), read_all(torrent.content))
                self.assertEqual(tracker.events()[0], "started")

    def test_the_metadata_peer_gives_a_foreign_client_the_torrent(self):
        torrent = self.one_file(MIB)
        peer, target = peers.MetadataPeer(self, torrent), self.new_dir("download")
        off = {name: False for name in ("enable_dht", "enable_lsd", "enable_upnp", "enable_natpmp", "enable_outgoing_utp")}
        session = libtorrent.session({"listen_interfaces": "127.0.0.1:0", "alert_mask": 0, **off})
        add = libtorrent.parse_magnet_uri("magnet:?xt=urn:btih:" + torrent.info_hash.hex())
        add.save_path = target
        handle = session.add_torrent(add)
        handle.connect_peer(("127.0.0.1", peer.port))
        until(lambda: handle.status().is_seeding, "the download", 20)
        self.assertEqual(read_all(os.path.join(target, torrent.name)), read_all(torrent.content))
        session.remove_torrent(handle)

    def test_opentracker_brings_a_seed_and_a_client_together(self):
        content = self.one_file(MIB)
        tracker = Opentracker(self, content.info_hash)
        torrent = harness.Torrent(content.content, os.path.join(self.new_dir("t"), "t.torrent"), trackers=[tracker.url])
        LibtorrentSeed(self, torrent, announce=True)
        tracker.wait_for_seed(torrent.info_hash)
        self.assertEqual(read_all(self.download(torrent)), read_all(content.content))

    def test_a_libtorrent_seed_counts_what_it_sent_and_holds_its_rate(self):
        torrent = self.one_file(2 * MIB)
        seed = LibtorrentSeed(self, torrent, rate=MIB)
        self.assertEqual(seed.uploaded(), 0)
        started = time.monotonic()
        self.download(torrent, seed)
        self.assertGreater(time.monotonic() - started, 0.5)
        self.assertGreaterEqual(seed.uploaded(), 2 * MIB)

    def test_the_honest_peer_serves_a_foreign_client(self):
        torrent = self.folder({"a": 300 * KIB + 1, "b/c": 5, "d": 90 * KIB}, piece=32 * KIB)
        peer = peers.HonestPeer(self, torrent)
        copy = self.download(torrent, peer)
        self.command("diff", "-r", copy, torrent.content)

    def client(self, kind, **kw):
        torrent = self.one_file(256 * KIB, piece=64 * KIB)
        peer = kind(self, torrent, **kw)
        client = peers.Client(self, peer, torrent)
        self.assertEqual(client.next(), (peers.BITFIELD, b"\xf0"))
        return torrent, peer, client

    def test_hostile_peers_are_hostile(self):
        for kind in (peers.CorruptPeer, peers.OneBadBytePeer):
            with self.subTest(kind.__name__):
                torrent, _, client = self.client(kind)
                self.assertEqual(client.next()[0], peers.UNCHOKE)
                client.request(1, 0, 16 * KIB)
                what, payload = client.next()
                self.assertEqual((what, len(payload)), (peers.PIECE, 8 + 16 * KIB))
                self.assertNotEqual(payload[8:], torrent.bytes_at(64 * KIB, 16 * KIB))

    def test_a_silent_peer_falls_silent_after_its_answers(self):
        _, peer, client = self.client(peers.SilentPeer, answers=1)
        client.next()
        client.request(0, 0, 16 * KIB)
        client.request(0, 16 * KIB, 16 * KIB)
        self.assertEqual(client.next()[0], peers.PIECE)
        client.connection.settimeout(0.2)
        self.assertRaises(TimeoutError, client.next)
        self.assertEqual(len(peer.requests), 2)

    def test_a_rejecting_peer_rejects(self):
        _, _, client = self.client(peers.RejectingPeer)
        client.next()
        client.request(2, 16 * KIB, 16 * KIB)
        self.assertEqual(client.next(), (peers.REJECT, struct.pack(">III", 2, 16 * KIB, 16 * KIB)))

    def test_a_slow_peer_is_slow(self):
        _, _, client = self.client(peers.SlowPeer, rate=64 * KIB)
        client.next()
        started = time.monotonic()
        client.request(0, 0, 16 * KIB)
        self.assertEqual(client.next()[0], peers.PIECE)
        self.assertGreater(time.monotonic() - started, 0.2)

    def test_a_bursty_peer_answers_in_bursts(self):
        torrent, _, client = self.client(peers.BurstPeer, pulse=0.2)
        client.next()
        for block in range(3):
            client.request(1, block * 16 * KIB, 16 * KIB)
        times = []
        for block in range(3):
            what, payload = client.next()
            times.append(time.monotonic())
            self.assertEqual((what, payload[8:]), (peers.PIECE, torrent.bytes_at(64 * KIB + block * 16 * KIB, 16 * KIB)))
        self.assertLess(times[2] - times[0], 0.1)

    def test_a_watchdog_ends_a_test_that_hangs(self):
        class Hangs(HarnessTest):
            limit = 0.2

            def runTest(self):
                reader = self.start("sleep", "60")
                self.on_stuck(reader.kill)
                reader.wait()

        result = unittest.TestResult()
        started = time.monotonic()
        stderr = os.dup(2)
        with open(os.devnull, "wb") as null:
            os.dup2(null.fileno(), 2)
            try:
                Hangs().run(result)
            finally:
                os.dup2(stderr, 2)
                os.close(stderr)
        self.assertLess(time.monotonic() - started, 5)
        self.assertIn("took longer than", result.failures[0][1])


if __name__ == "__main__":
    unittest.main()
