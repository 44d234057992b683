"""Trackers lead to peers: over UDP, over IPv6, and past trackers that are dead."""
import os
import unittest

from harness import MIB, Case, Torrent
from peers import HonestPeer
from seeds import HOST, LibtorrentSeed
from trackers import Opentracker, ScriptedTracker, ScriptedUdpTracker


class Udp(Case):
    def test_opentracker_over_udp_leads_to_a_seed_and_hears_us_come_and_go(self):
        bare = self.one_file(8 * MIB + 12345)
        tracker = Opentracker(self, bare.info_hash)
        torrent = Torrent(bare.content, os.path.join(self.new_dir("t"), "t.torrent"), trackers=[tracker.udp_url])
        LibtorrentSeed(self, torrent, announce=True)
        tracker.wait_for_seed(torrent.info_hash)
        mount = self.mount(torrent)
        self.assert_same_file(mount.file(), mount.source())
        self.assertEqual(tracker.count(torrent.info_hash, "incomplete"), 1, "swarmfs has not announced itself")
        mount.stop()
        self.assertEqual(tracker.count(torrent.info_hash, "incomplete"), 0, "swarmfs has not said goodbye")

    def test_what_a_tracker_hears(self):
        tracker = ScriptedUdpTracker(self)
        torrent = self.one_file(MIB, trackers=[tracker.url + "?key=a%20b"])
        tracker.peers = [(HOST, HonestPeer(self, torrent).port)]
        mount = self.mount(torrent, "--port", "12345")
        self.assert_same_file(mount.file(), mount.source())
        mount.stop()
        self.assertEqual(tracker.events(), ["started", "stopped"])
        first, last = tracker.announces
        self.assertEqual((first["info_hash"], first["left"], first["port"]), (torrent.info_hash, torrent.size, 12345))
        self.assertEqual((last["left"], last["peer_id"], last["key"]), (0, first["peer_id"], first["key"]))
        url_data = b"/announce?key=a%20b"
        self.assertEqual(first["options"], bytes([2, len(url_data)]) + url_data)

    def test_a_dead_udp_tracker_does_not_keep_a_living_one_waiting(self):
        dead, living = ScriptedUdpTracker(self, silent=True), ScriptedTracker(self)
        torrent = self.one_file(MIB, trackers=[dead.url, living.url])
        living.peers = [HonestPeer(self, torrent).address]
        mount = self.mount(torrent)
        self.assert_within(2, "the first bytes", lambda: self.assert_same_file(mount.file(), mount.source()))
        self.assertGreater(dead.heard, 0, "the dead one was never asked: this test shows nothing")
        self.assert_within(2, "unmounting", mount.stop)

    def test_a_tracker_on_this_host_is_asked_only_by_the_name_of_one(self):
        other, tracker = ScriptedUdpTracker(self), ScriptedUdpTracker(self)
        torrent = self.one_file(MIB, trackers=[f"udp://{other.name}/", f"udp://{other.name}/admin", tracker.url])
        tracker.peers = [(HOST, HonestPeer(self, torrent).port)]
        mount = self.mount(torrent, allow_local=False)
        self.assert_same_file(mount.file(), mount.source())
        self.assertEqual(other.heard, 0)


class IPv6(Case):
    HOST = "::1"

    def test_a_udp_tracker_and_a_peer(self):
        tracker = ScriptedUdpTracker(self, host=self.HOST)
        torrent = self.one_file(2 * MIB, trackers=[tracker.url])
        tracker.peers = [(self.HOST, HonestPeer(self, torrent, host=self.HOST).port)]
        mount = self.mount(torrent)
        self.assert_same_file(mount.file(), mount.source())
        mount.stop()
        self.assertEqual(tracker.events(), ["started", "stopped"])


if __name__ == "__main__":
    unittest.main()
