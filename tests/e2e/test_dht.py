"""Peers from the DHT alone: a magnet link, 30 libtorrent nodes on loopback addresses, and one seed that only they know."""
import os
import subprocess
import sys
import time
import unittest

from harness import MIB, Case, until

NODES = 30

# One process with all the nodes; the last one seeds. Prints "ready ADDRESS:PORT" of the first when the seed is announced.
SWARM = r"""
import sys, time
import libtorrent as lt
torrent_file, save, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
def node(i, others):
    return lt.session({
        "listen_interfaces": f"127.0.0.{i + 2}:0", "enable_dht": True, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
        "dht_bootstrap_nodes": ",".join(others), "dht_restrict_routing_ips": False, "dht_restrict_search_ips": False,
        "dht_enforce_node_id": False, "dht_ignore_dark_internet": False, "allow_multiple_connections_per_ip": True,
        "alert_mask": lt.alert.category_t.all_categories, "dht_upload_rate_limit": 10000000, "dht_block_ratelimit": 100000, "dht_extended_routing_table": True, "dht_announce_interval": 1,
    })
nodes = []
for i in range(count):
    nodes.append(node(i, [f"127.0.0.{j + 2}:{s.listen_port()}" for j, s in list(enumerate(nodes))[:1]]))
deadline = time.monotonic() + 20
while min(s.status().dht_nodes for s in nodes) < 3 and time.monotonic() < deadline:
    for i, s in enumerate(nodes):
        for j in (0, i // 2, i - 1): s.add_dht_node((f"127.0.0.{j + 2}", nodes[j].listen_port()))
    time.sleep(0.5)
params = lt.add_torrent_params()
params.ti, params.save_path = lt.torrent_info(torrent_file), save
params.flags |= lt.torrent_flags.seed_mode
params.flags &= ~lt.torrent_flags.auto_managed & ~lt.torrent_flags.paused
seed = nodes[-1].add_torrent(params)
info_hash = params.ti.info_hash()
known = 0
while not known and time.monotonic() < deadline:
    seed.force_dht_announce()
    nodes[1].dht_get_peers(info_hash)
    time.sleep(0.3)
    for alert in nodes[1].pop_alerts():
        if isinstance(alert, lt.dht_get_peers_reply_alert): known += alert.num_peers()
print("ready" if known else "nobody knows the seed", f"127.0.0.2:{nodes[0].listen_port()}", flush=True)
sys.stdin.read()
"""


class Dht(Case):
    limit = 90

    def test_a_magnet_whose_seed_only_the_dht_knows(self):
        torrent = self.one_file(4 * MIB)
        swarm = self.start(
            sys.executable, "-c", SWARM, torrent.file, torrent.save, str(NODES),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        state, address = swarm.stdout.readline().rsplit(" ", 1)
        self.assertEqual(state, "ready")
        link = "magnet:?xt=urn:btih:" + torrent.info_hash.hex()
        began = time.monotonic()
        mount = self.mount(link, "--no-lsd", "--dht-bootstrap", address.strip(), discovery=True)
        until(lambda: os.listdir(mount.path), "the files to appear", 20)
        path = os.path.join(mount.path, os.listdir(mount.path)[0])
        with open(path, "rb") as file:
            first = file.read(16384)
        took = time.monotonic() - began
        self.assertEqual(first, torrent.bytes_at(0, 16384))
        print(f"first verified byte after {took:.2f} s", file=sys.stderr)
        self.assertLess(took, 2.0)

        cache = mount.cache
        mount.stop()
        self.assertTrue(os.path.exists(os.path.join(cache, "dht")), "what the DHT knew is kept")


if __name__ == "__main__":
    unittest.main()
