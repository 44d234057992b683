"""Peers on the local network (BEP 14): a Transmission on another host of the same cable, which nothing but LSD names."""
import json
import os
import sys
import time
import unittest

from harness import MIB, Case
from lan import Lan


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


if __name__ == "__main__":
    unittest.main()
