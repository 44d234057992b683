"""Payloads, their torrents, and the swarm that has them: a tracker and seeds in one process at the seeds' end."""
import hashlib
import http.server
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time

from lab_dir import LAB_DIR

SEED_PORT, TRACKER_PORT = 6881, 6969
V1, V2, HYBRID = 64, 32, 0  # libtorrent's create_torrent flags
UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


# ---------------------------------------------------------------- payloads and torrents
def content(name):
    """Makes a payload once and returns its path. "one-1G": one file; "many-256M": 2,000 files in 40 folders."""
    path = os.path.join(LAB_DIR, "payload", name)
    if os.path.exists(path):
        return path
    kind, size = name.split("-")
    size = int(size[:-1]) * UNITS[size[-1]]
    rng = random.Random(name)
    partial = path + ".partial"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if kind == "one":
        with open(partial, "wb") as file:
            while size > 0:
                file.write(rng.randbytes(min(size, 1 << 20)))
                size -= 1 << 20
    elif kind == "many":
        each = size // 2000
        for k in range(2000):
            folder = f"{partial}/dir{k % 40:02d}"
            os.makedirs(folder, exist_ok=True)
            with open(f"{folder}/file{k:04d}.bin", "wb") as file:
                file.write(rng.randbytes(each // 2 + rng.randrange(each)))
    else:
        raise SystemExit(f"no such payload: {name}")
    os.rename(partial, path)
    return path


def torrent(payload, piece, version, tracker):
    import libtorrent as lt

    mark = hashlib.sha1(tracker.encode()).hexdigest()[:6]
    out = os.path.join(LAB_DIR, "torrents", f"{os.path.basename(payload)}.{piece}.{version}.{mark}.torrent")
    if os.path.exists(out):
        return out
    os.makedirs(os.path.dirname(out), exist_ok=True)
    storage = lt.file_storage()
    lt.add_files(storage, payload)
    create = lt.create_torrent(storage, piece, {"v1": V1, "v2": V2, "hybrid": HYBRID}[version])
    create.add_tracker(tracker)
    lt.set_piece_hashes(create, os.path.dirname(payload))
    with open(out + ".partial", "wb") as file:
        file.write(lt.bencode(create.generate()))
    os.rename(out + ".partial", out)
    return out


class Swarm:
    """`count` seeds of a torrent, the first `silent` + `poison` of them bad. utp, tcp: what the seeds speak."""

    def __init__(self, net, count, torrent_file, save, **kind):
        import libtorrent as lt

        spec = {
            "ips": [net.seed_ip(k) for k in range(1, count + 1)],
            "tracker_ip": net.tracker_ip,
            "pieces": lt.torrent_info(torrent_file).num_pieces(),
            "torrent": torrent_file,
            "save": save,
            **kind,
        }
        self.command = net.prefix("seeds") + ["/usr/bin/python3", "-B", os.path.abspath(__file__), json.dumps(spec)]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        if self.process.stdout.readline().strip() != "ready":
            raise RuntimeError("the swarm did not start")
        time.sleep(1.0)  # libtorrent's listen sockets settle: not a synchronisation, the same second for every subject
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


# ---------------------------------------------------------------- the swarm's process
def serve_tracker(ip, peers):
    compact = b"".join(socket.inet_aton(peer) + SEED_PORT.to_bytes(2, "big") for peer in peers)
    body = b"d8:completei%de10:incompletei0e8:intervali1800e5:peers%d:%se" % (len(peers), len(compact), compact)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer((ip, TRACKER_PORT), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()


def receive(connection, count):
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise ConnectionResetError
        data += more
    return data


def bad_peer(ip, pieces, poison):
    """Says it has everything and unchokes at once. Silent: answers no request. Poison: answers with noise of the right length."""
    bits = bytearray(b"\xff" * ((pieces + 7) // 8))
    if pieces % 8:
        bits[-1] = (0xFF << (8 - pieces % 8)) & 0xFF
    bitfield, unchoke = (len(bits) + 1).to_bytes(4, "big") + b"\x05" + bytes(bits), b"\0\0\0\1\1"

    def talk(connection):
        try:
            hello = receive(connection, 68)
            connection.sendall(hello[:20] + bytes(8) + hello[28:48] + b"-XX0001-" + os.urandom(12) + bitfield + unchoke)
            while True:
                length = int.from_bytes(receive(connection, 4), "big")
                message = receive(connection, length)
                if poison and message[:1] == b"\x06":
                    wanted = int.from_bytes(message[9:13], "big")
                    connection.sendall((9 + wanted).to_bytes(4, "big") + b"\x07" + message[1:9] + os.urandom(wanted))
        except OSError:
            pass

    def listen():
        server = socket.create_server((ip, SEED_PORT))
        while True:
            threading.Thread(target=talk, args=(server.accept()[0],), daemon=True).start()

    threading.Thread(target=listen, daemon=True).start()


def seed(ip, spec):
    import libtorrent as lt

    tcp, utp = spec.get("tcp", True), spec.get("utp", True)
    session = lt.session(
        {
            "listen_interfaces": f"{ip}:{SEED_PORT}",
            "outgoing_interfaces": ip,
            **{name: False for name in ("enable_dht", "enable_lsd", "enable_upnp", "enable_natpmp", "enable_outgoing_tcp")},
            "enable_incoming_tcp": tcp,
            "enable_incoming_utp": utp,
            "enable_outgoing_utp": utp,
            "allow_multiple_connections_per_ip": True,
            "unchoke_slots_limit": 100,
            "max_out_request_queue": 2000,
            "send_buffer_watermark": 4 << 20,
            "seed_choking_algorithm": 0,
            "peer_timeout": 600,
            "inactivity_timeout": 600,
            "alert_mask": 0,
        }
    )
    # A verified seed: libtorrent's seed_mode re-hashes a whole piece before serving its first block, which would charge
    # every subject for it. v1 seeds resume with all pieces had; v2 seeds check once so that they hold leaf hashes.
    add = lt.add_torrent_params()
    add.ti, add.save_path = lt.torrent_info(spec["torrent"]), spec["save"]
    add.flags = lt.torrent_flags.update_subscribe
    if not add.ti.info_hashes().has_v2():
        add.have_pieces = [True] * add.ti.num_pieces()
    session.add_torrent(add).replace_trackers([])
    return session


def main():
    spec = json.loads(sys.argv[1])
    serve_tracker(spec["tracker_ip"], spec["ips"])
    silent, poison = spec.get("silent", 0), spec.get("poison", 0)
    for k in range(silent + poison):
        bad_peer(spec["ips"][k], spec["pieces"], poison=k >= silent)
    sessions = [seed(ip, spec) for ip in spec["ips"][silent + poison :]]
    while not all(handle.status().is_seeding for session in sessions for handle in session.get_torrents()):
        time.sleep(0.02)
    print("ready", flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
