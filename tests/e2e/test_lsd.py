"""Peers on the local network (BEP 14): a Transmission on another host of the same cable, which nothing but LSD names."""
import json
import os
import sys
import time
import unittest

from harness import MIB, Case
from lan import Lan

# Ends when a datagram to the group (BEP 14) names the torrent.
WAIT_FOR_ANNOUNCEMENT = """
import socket, sys
group = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
group.bind(("239.192.152.143", 6771))
group.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton("239.192.152.143") + socket.inet_aton("10.77.0.1"))
while sys.argv[1] not in group.recv(1500).decode("latin-1").lower(): pass
"""


class LocalNetwork(Case):
    limit = 90

    def transmission(self, host, torrent):
        """Seeds `torrent`, known to nobody: it announces itself on the local network three to four seconds later."""
        config, watched = self.new_dir("transmission"), self.new_dir("watched")
        os.link(torrent.file, os.path.join(watched, "it.torrent"))
        settings = {
            "lpd-enabled": True,
            "dht-enabled": False,
            "pex-enabled": False,
            "utp-enabled": False,
            "port-forwarding-enabled": False,
            "rpc-enabled": False,
            "watch-dir": watched,
            "watch-dir-enabled": True,
            "download-dir": torrent.save,
        }
        with open(os.path.join(config, "settings.json"), "w", encoding="utf-8") as file:
            json.dump(settings, file)
        with open(os.path.join(config, "log"), "wb") as log:
            return self.start(*host.prefix, "transmission-daemon", "-f", "-g", config, stdout=log, stderr=log)

    def test_the_seed_next_door_is_found_without_being_named(self):
        lan = Lan(self)
        torrent = self.one_file(3 * MIB)
        mount = self.mount(torrent, "--no-dht", "--no-pex", host=lan.ours, allow_local=False, discovery=True)
        began = time.monotonic()
        self.transmission(lan.theirs, torrent)
        self.assert_same_file(mount.file(), mount.source())
        print(f"read {time.monotonic() - began:.1f} s after Transmission's start", file=sys.stderr)

    def test_the_seed_that_was_there_first_hears_us_and_comes(self):
        lan = Lan(self)
        torrent = self.one_file(3 * MIB)
        listener = self.start(*lan.ours.prefix, sys.executable, "-c", WAIT_FOR_ANNOUNCEMENT, torrent.info_hash.hex())
        self.transmission(lan.theirs, torrent)
        self.assertEqual(listener.wait(30), 0)  # its next announcement is minutes away
        began = time.monotonic()
        mount = self.mount(torrent, "--no-dht", "--no-pex", host=lan.ours, allow_local=False, discovery=True)
        self.assert_same_file(mount.file(), mount.source())
        print(f"read {time.monotonic() - began:.1f} s after our start", file=sys.stderr)
        self.assertIn(f"{lan.theirs.address} came to us", mount.log())


if __name__ == "__main__":
    unittest.main()
