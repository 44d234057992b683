"""Trackers: opentracker from Debian, and a small one that says what a test tells it to."""
import gzip
import http.server
import os
import socket
import struct
import threading
import urllib.parse
import urllib.request

import libtorrent

from harness import until
from seeds import HOST, Seed, accepts


class Opentracker(Seed):
    """Debian's is built to serve listed info-hashes only."""

    def __init__(self, case, *torrents):
        folder = case.new_dir("opentracker")
        os.chmod(folder, 0o755)  # it changes to the user nobody
        with open(os.path.join(folder, "whitelist"), "w", encoding="ascii") as file:
            file.writelines(torrent_hash.hex() + "\n" for torrent_hash in torrents)
        process, port = self.try_ports(
            case,
            lambda port: case.start("opentracker", "-i", HOST, "-p", str(port), "-P", str(port), "-d", folder, "-w", "whitelist", cwd=folder),
        )
        super().__init__(case, process, port)
        self.url = f"http://{self.address}/announce"
        self.udp_url = f"udp://{self.address}/announce"

    def count(self, info_hash, which):
        """How many peers it knows that are "complete" or "incomplete", from its scrape page."""
        with urllib.request.urlopen(f"http://{self.address}/scrape?info_hash={urllib.parse.quote(info_hash)}", timeout=5) as reply:
            files = libtorrent.bdecode(reply.read())[b"files"]
        return files.get(info_hash, {}).get(which.encode(), 0)

    def seeds_of(self, info_hash):
        return self.count(info_hash, "complete")

    def wait_for_seed(self, info_hash):
        until(lambda: self.seeds_of(info_hash) > 0, "the seed to have announced itself", 30)


def serve_http(case, handler):
    """Serves until the test ends; the port, on loopback."""

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *_):
            pass  # a client that hangs up early is its own business

    server = Server((HOST, 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    case.addCleanup(server.server_close)
    case.addCleanup(server.shutdown)
    return server.server_address[1]


class ScriptedTracker:
    """An HTTP tracker. peers: "host:port"s it gives out. form: compact, dictionary, gzip, or a function from query to (status, body)."""

    def __init__(self, case, peers=(), form="compact"):
        self.peers, self.form = list(peers), form
        self.announces, self.paths = [], []  # queries as dictionaries, and the paths asked for
        tracker = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                path, _, query = self.path.partition("?")
                tracker.paths.append(path)
                tracker.announces.append({k: v[-1] for k, v in urllib.parse.parse_qs(query, encoding="latin-1").items()})
                status, body, headers = tracker.reply(tracker.announces[-1])
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.port = serve_http(case, Handler)
        self.url = f"http://{HOST}:{self.port}/announce"

    def reply(self, query):
        if callable(self.form):
            return (*self.form(query), {})
        split = [peer.rsplit(":", 1) for peer in self.peers]
        if self.form == "dictionary":
            peers = [{b"peer id": b"-XX0000-" + b"0" * 12, b"ip": host.encode(), b"port": int(port)} for host, port in split]
        else:
            peers = b"".join(socket.inet_aton(host) + int(port).to_bytes(2, "big") for host, port in split)
        body = libtorrent.bencode({b"interval": 1800, b"complete": len(split), b"incomplete": 0, b"peers": peers})
        if self.form == "gzip":
            return 200, gzip.compress(body), {"Content-Encoding": "gzip"}
        return 200, body, {}

    def events(self):
        return [query.get("event", "") for query in self.announces]


class ScriptedUdpTracker:
    """A UDP tracker (BEP 15, 41) that gives out `peers`, (host, port) pairs of the family of `host`. A silent one only listens."""

    CONNECT, ANNOUNCE, MAGIC, CONNECTION_ID = 0, 1, 0x41727101980, 0x1122334455667788

    def __init__(self, case, peers=(), host=HOST, silent=False):
        self.peers, self.silent = list(peers), silent
        self.announces, self.heard = [], 0  # announces as dictionaries; datagrams of any kind
        self.family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(self.family, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.port = self.socket.getsockname()[1]
        self.name = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        self.url = f"udp://{self.name}/announce"
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()
        case.addCleanup(self.close)

    def close(self):
        """Wakes its thread with an empty datagram, which nobody else sends."""
        if self.thread.is_alive():
            with socket.socket(self.family, socket.SOCK_DGRAM) as waker:
                waker.sendto(b"", self.socket.getsockname())
            self.thread.join(5)
        self.socket.close()

    def _serve(self):
        while True:
            request, sender = self.socket.recvfrom(4096)
            if not request:
                return
            self.heard += 1
            reply = None if self.silent else self.reply(request)
            if reply:
                self.socket.sendto(reply, sender)

    def reply(self, request):
        first, action, transaction = struct.unpack_from(">QII", request)
        if action == self.CONNECT and first == self.MAGIC and len(request) == 16:
            return struct.pack(">IIQ", self.CONNECT, transaction, self.CONNECTION_ID)
        if action != self.ANNOUNCE or first != self.CONNECTION_ID:
            return None
        info_hash, peer_id, _, left, _, event, _, key, wanted, port = struct.unpack_from(">20s20sQQQIIIiH", request, 16)
        self.announces.append(
            {"info_hash": info_hash, "peer_id": peer_id, "left": left, "event": event, "key": key, "wanted": wanted, "port": port, "options": request[98:]}
        )
        peers = b"".join(socket.inet_pton(self.family, host) + struct.pack(">H", peer_port) for host, peer_port in self.peers)
        return struct.pack(">IIIII", self.ANNOUNCE, transaction, 1800, 0, len(self.peers)) + peers

    def events(self):
        names = {0: "", 1: "completed", 2: "started", 3: "stopped"}
        return [names[announce["event"]] for announce in self.announces]
