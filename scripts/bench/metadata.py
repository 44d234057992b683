#!/usr/bin/python3
"""A magnet's metadata from five libtorrent seeds on the home cable: how long it takes, and what the cable itself needs.
metadata.py [RUNS]

Times start at the first dial and end with the last byte (seen on the reader's device) and with the files in the mount.
"line" is what the bytes take at the line's rate. "floor" is plain TCP from the same addresses with a peer's three round trips
(connect, handshakes, request), all five sending as fast as TCP lets them until as many bytes have come: nobody can be sooner,
but by luck. On this cable it is 3.3 times the line: the fastest seed has 40 Mbit/s, the others' slow starts are longer than it all takes.
"""
import os
import selectors
import socket
import statistics
import subprocess
import sys
import threading
import time

from lab_dir import LAB_DIR
from networks import Cable
from scenarios import HOME, HOME_LINE
from subjects import Mount
from swarm import SEED_PORT, Swarm

SEEDS, PIECES, PIECE = 5, 104_800, 16 << 10  # 20 bytes a piece: 2 MiB
FLOOR_PORT, HELLO = 7000, 68
SERVE = f"""
import socket, sys, threading
def talk(connection):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        connection.recv({HELLO}); connection.sendall(bytes({HELLO})); connection.recv({HELLO})
        while True: connection.sendall(bytes(1 << 18))
    except OSError: pass
def listen(server):
    while True: threading.Thread(target=talk, args=(server.accept()[0],), daemon=True).start()
for ip in sys.argv[1:]: threading.Thread(target=listen, args=(socket.create_server((ip, {FLOOR_PORT})),), daemon=True).start()
print("ready", flush=True); sys.stdin.read()
"""


def make_torrent():
    """(payload, torrent file, metadata's size). Nobody asks for the data: the payload is a hole, its hashes are made up."""
    import libtorrent as lt

    payload = os.path.join(LAB_DIR, "payload", "hole")
    os.makedirs(os.path.dirname(payload), exist_ok=True)
    with open(payload, "wb") as file:
        file.truncate(PIECES * PIECE)
    storage = lt.file_storage()
    lt.add_files(storage, payload)
    create = lt.create_torrent(storage, PIECE, 64)
    for k in range(PIECES):
        create.set_hash(k, (k + 1).to_bytes(4, "big") * 5)
    entry = create.generate()
    path = os.path.join(LAB_DIR, "torrents", "hole.torrent")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(lt.bencode(entry))
    return payload, path, len(lt.bencode(entry[b"info"]))


class Watch:
    """Every packet of the reader's device: when the first one left, and what had come by when."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.first, self.came = None, []
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            packet, address = self.socket.recvfrom(96, socket.MSG_TRUNC)
            now = time.monotonic()
            if address[0] == "lo" or packet[9] != socket.IPPROTO_TCP:
                continue
            length = int.from_bytes(packet[2:4], "big") - 4 * (packet[0] & 15) - 4 * (packet[32] >> 4)
            if address[2] == socket.PACKET_OUTGOING:
                self.first = self.first or now
            elif length > 0:
                self.came.append((now, packet[15], length))

    def last(self):
        return self.came[-1][0] - self.first

    def by_peer(self):
        total = {}
        for _, peer, length in self.came:
            total[peer] = total.get(peer, 0) + length
        return " ".join(f"{total[peer] // 1024}" for peer in sorted(total))


def floor(net, size):
    ips = [net.seed_ip(k) for k in range(1, SEEDS + 1)]
    selector = selectors.DefaultSelector()
    began, got = time.monotonic(), 0
    for ip in ips:
        connection = socket.socket()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.connect_ex((ip, FLOOR_PORT))
        selector.register(connection, selectors.EVENT_WRITE, data=0)
    while got < size:
        for key, _ in selector.select():
            if key.data == 0:
                key.fileobj.send(bytes(HELLO))
                selector.modify(key.fileobj, selectors.EVENT_READ, data=1)
                continue
            key.fileobj.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            came = len(key.fileobj.recv(1 << 18))
            if key.data == 1:
                key.fileobj.send(bytes(HELLO))
                selector.modify(key.fileobj, selectors.EVENT_READ, data=2)
            got += came
    took = time.monotonic() - began
    for key in list(selector.get_map().values()):
        key.fileobj.close()
    return took


def measure(net, payload, torrent, magnet):
    flags = ["--no-dht", "--no-lsd"]
    for k in range(1, SEEDS + 1):
        flags += ["--peer", f"{net.seed_ip(k)}:{SEED_PORT}"]
    watch = Watch()
    with Swarm(net, SEEDS, torrent, os.path.dirname(payload), utp=False):
        with Mount("swarmfs", net, magnet, payload, flags) as mount:
            shown = mount.started + mount.live_s - watch.first
        return watch.last(), shown, sum(length for _, _, length in watch.came), watch.by_peer()


def main():
    import libtorrent as lt

    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    payload, torrent, size = make_torrent()
    magnet = "magnet:?xt=urn:btih:" + str(lt.torrent_info(torrent).info_hash())
    line = size * 8 / (HOME_LINE * 1e6)
    print(f"metadata of {size} bytes from {SEEDS} seeds: {line * 1e3:.0f} ms on the line", flush=True)
    with Cable(HOME, HOME_LINE) as net:
        command = net.prefix("seeds") + ["/usr/bin/python3", "-c", SERVE, *(net.seed_ip(k) for k in range(1, SEEDS + 1))]
        server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        server.stdout.readline()
        net.enter_reader()
        floors, taken = [], []
        try:
            for _ in range(runs):
                floors.append(floor(net, size))
                time.sleep(1)  # what is still on the cable leaves it
                last, shown, came, by_peer = measure(net, payload, torrent, magnet)
                taken.append(shown)
                print(
                    f"  floor {floors[-1] * 1e3:.0f} ms; last byte {last * 1e3:.0f} ms, files {shown * 1e3:.0f} ms = {shown / line:.2f} x line;"
                    f" {came / size:.2f} of its bytes came (KiB a peer: {by_peer})",
                    flush=True,
                )
        finally:
            server.kill()
            server.wait()
    print(f"median: floor {statistics.median(floors) / line:.2f} x line, swarmfs {statistics.median(taken) / line:.2f} x line")


if __name__ == "__main__":
    main()
