#!/usr/bin/python3
"""How fast whole downloads go without any filesystem: the ceiling that other engines reach on the same swarm.
engines.py SCENARIO SECONDS [libtorrent|libtorrent-seq|aria2][,...]"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

from lab_dir import LAB_DIR, TAG
from scenarios import SCENARIOS

CLIENT = """
import libtorrent as lt, sys, time, json
torrent, folder, seconds, sequential, listen = sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4] == "1", sys.argv[5]
off = {name: False for name in ("enable_dht", "enable_lsd", "enable_upnp", "enable_natpmp", "enable_outgoing_utp")}
session = lt.session({"listen_interfaces": listen + ":7881", **off})
add = lt.add_torrent_params(); add.ti = lt.torrent_info(torrent); add.save_path = folder
if sequential: add.flags |= lt.torrent_flags.sequential_download
began = time.time(); handle = session.add_torrent(add)
while time.time() - began < seconds and not handle.status().is_seeding: time.sleep(.05)
status = handle.status(); took = time.time() - began
print(json.dumps({"mib_s": status.total_payload_download / took / 2**20, "seconds": took, "peers": status.num_peers}))
"""


def libtorrent(net, torrent, folder, seconds, sequential):
    command = ["/usr/bin/python3", "-c", CLIENT, torrent, folder, str(seconds), "1" if sequential else "0", net.reader_ip]
    done = subprocess.run(net.prefix("reader") + command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def aria2(net, torrent, folder, seconds):
    options = ["-q", "--enable-dht=false", "--bt-enable-lpd=false", "--seed-time=0", "--file-allocation=none", "-d", folder]
    began = time.time()
    subprocess.run(net.prefix("reader") + ["timeout", str(seconds), "aria2c", *options, torrent], check=False)
    took = time.time() - began
    paths = [os.path.join(where, name) for where, _, names in os.walk(folder) for name in names]
    return {"mib_s": sum(os.stat(path).st_blocks * 512 for path in paths) / took / 2**20, "seconds": took}


def measure(name, seconds, engine):
    scenario = SCENARIOS[name]
    with scenario.network() as net:
        payload, torrent = scenario.make(net)
        folder = tempfile.mkdtemp(dir=LAB_DIR, prefix=f"run-{TAG}-engine-")
        try:
            with scenario.start_swarm(net, payload, torrent):
                before = os.times()
                if engine == "aria2":
                    figures = aria2(net, torrent, folder, seconds)
                else:
                    figures = libtorrent(net, torrent, folder, seconds, engine.endswith("-seq"))
                after = os.times()
            user, system = after.children_user - before.children_user, after.children_system - before.children_system
            print(name, engine, {**figures, "client_cpu_s": round(user + system, 2)}, flush=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    for wanted in (sys.argv[3] if len(sys.argv) > 3 else "libtorrent").split(","):
        measure(sys.argv[1], float(sys.argv[2]), wanted)
