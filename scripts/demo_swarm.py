#!/usr/bin/python3
"""The demo's swarm: demo_swarm.py FOLDER makes FOLDER/content/sample and FOLDER/sample.torrent, serves them from a libtorrent
seed behind a small tracker, both on 127.0.0.1, says "ready", and goes on until it is killed."""
import http.server
import os
import random
import signal
import sys
import time

import libtorrent

HOST = "127.0.0.1"
MIB = 1 << 20


def make_content(root):
    os.makedirs(os.path.join(root, "photos"))
    with open(os.path.join(root, "README.txt"), "w", encoding="utf-8") as file:
        file.write("These lines came out of a torrent, through a mount, verified on the way.\n")
    rng = random.Random(1)
    for name, size in (("film.bin", 64 * MIB + 4321), *((f"photos/{k:02}.jpg", rng.randrange(MIB)) for k in range(8))):
        with open(os.path.join(root, name), "wb") as file:
            while size > 0:
                file.write(rng.randbytes(min(size, MIB)))
                size -= MIB


def start_tracker():
    """A tracker that knows one peer; (server, list for the peer's port)."""
    ports = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            peers = b"".join(bytes(map(int, HOST.split("."))) + port.to_bytes(2, "big") for port in ports)
            body = libtorrent.bencode({b"interval": 1800, b"peers": peers})
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    return http.server.ThreadingHTTPServer((HOST, 0), Handler), ports


def make_torrent(content, tracker, path):
    storage = libtorrent.file_storage()
    libtorrent.add_files(storage, content)
    torrent = libtorrent.create_torrent(storage, MIB // 2, libtorrent.create_torrent.v1_only)
    torrent.add_tracker(tracker)
    libtorrent.set_piece_hashes(torrent, os.path.dirname(content))
    with open(path, "wb") as file:
        file.write(libtorrent.bencode(torrent.generate()))


def start_seed(torrent, save):
    off = {name: False for name in ("enable_dht", "enable_lsd", "enable_upnp", "enable_natpmp")}
    session = libtorrent.session({"listen_interfaces": f"{HOST}:0", "alert_mask": 0, **off})
    add = libtorrent.add_torrent_params()
    add.ti, add.save_path = libtorrent.torrent_info(torrent), save
    add.have_pieces = [True] * add.ti.num_pieces()
    handle = session.add_torrent(add)
    handle.replace_trackers([])
    while not (handle.status().is_seeding and session.listen_port()):
        time.sleep(0.01)
    return session


def main():
    folder = sys.argv[1]
    content, torrent = os.path.join(folder, "content/sample"), os.path.join(folder, "sample.torrent")
    make_content(content)
    tracker, ports = start_tracker()
    make_torrent(content, f"http://{HOST}:{tracker.server_address[1]}/announce", torrent)
    session = start_seed(torrent, os.path.dirname(content))
    ports.append(session.listen_port())
    print("ready", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    tracker.serve_forever()


if __name__ == "__main__":
    main()
