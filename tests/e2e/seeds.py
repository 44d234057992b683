"""Foreign seeds: libtorrent, Transmission and aria2, each a process of its own on a loopback port.

Seed(case, torrent).address is "127.0.0.1:PORT". They end with the test; kill() ends one early and hard.
"""
import base64
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

from harness import until

HOST = "127.0.0.1"


def free_port():
    """A port nobody listens on. Somebody may take it before we do: starting a seed tries a few."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def accepts(port):
    try:
        socket.create_connection((HOST, port), timeout=1).close()
        return True
    except OSError:
        return False


class Seed:
    """A process that has all of a torrent, checked, and listens."""

    def __init__(self, case, process, port):
        self.case, self.process, self.port = case, process, port
        self.address = f"{HOST}:{port}"

    def kill(self):
        self.process.kill()
        self.process.wait(5)

    @classmethod
    def try_ports(cls, case, begin):
        """begin(port) starts the process; it has failed when it ends before it listens."""
        for _ in range(5):
            port = free_port()
            process = begin(port)
            until(lambda: process.poll() is not None or accepts(port), f"{process.args[0]} to listen")
            if process.poll() is None:
                return process, port
        raise AssertionError(f"{process.args[0]} does not start")


class LibtorrentSeed(Seed):
    """python3-libtorrent. `rate` bounds its upload in bytes/s; `announce` makes it use the torrent's trackers."""

    def __init__(self, case, torrent, rate=0, announce=False):
        spec = {"torrent": torrent.file, "save": torrent.save, "rate": rate, "announce": announce}
        process = case.start(
            sys.executable, os.path.abspath(__file__), json.dumps(spec), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        answer = process.stdout.readline().split()
        case.assertEqual(answer[:1], ["ready"], "the libtorrent seed did not start")
        super().__init__(case, process, int(answer[1]))

    def ask(self, question):
        self.process.stdin.write(question + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def uploaded(self):
        """Bytes of pieces it has sent so far."""
        return int(self.ask("uploaded"))

    def connect_to(self, port):
        """Tells it of a peer on loopback."""
        self.ask(f"connect {port}")


class TransmissionSeed(Seed):
    """transmission-daemon, told what to seed over its RPC. It unchokes every 10 s only."""

    def __init__(self, case, torrent):
        config = case.new_dir("transmission")
        rpc_port = free_port()
        with open(os.path.join(config, "settings.json"), "w", encoding="utf-8") as file:
            json.dump(
                {
                    "bind-address-ipv4": HOST,
                    "rpc-bind-address": HOST,
                    "rpc-port": rpc_port,
                    "rpc-whitelist-enabled": False,
                    "dht-enabled": False,
                    "lpd-enabled": False,
                    "pex-enabled": False,
                    "utp-enabled": False,
                    "port-forwarding-enabled": False,
                    "cache-size-mb": 4,
                },
                file,
            )
        process, port = self.try_ports(
            case, lambda port: case.start("transmission-daemon", "-f", "-g", config, "-P", str(port), "--download-dir", torrent.save)
        )
        super().__init__(case, process, port)
        self.url, self.session = f"http://{HOST}:{rpc_port}/transmission/rpc", ""
        until(lambda: accepts(rpc_port), "Transmission's RPC to listen")
        with open(torrent.file, "rb") as file:
            metainfo = base64.b64encode(file.read()).decode()
        self.rpc("torrent-add", {"metainfo": metainfo, "download-dir": torrent.save})
        seeding = 6
        until(lambda: [(t["status"], t["leftUntilDone"]) for t in self.torrents()] == [(seeding, 0)], "Transmission to have checked its files", 30)

    def torrents(self):
        return self.rpc("torrent-get", {"fields": ["status", "leftUntilDone", "uploadedEver"]})["torrents"]

    def uploaded(self):
        return self.torrents()[0]["uploadedEver"]

    def rpc(self, method, arguments):
        body = json.dumps({"method": method, "arguments": arguments}).encode()
        for _ in range(2):
            request = urllib.request.Request(self.url, body, {"X-Transmission-Session-Id": self.session})
            try:
                with urllib.request.urlopen(request, timeout=10) as reply:
                    answer = json.load(reply)
                assert answer["result"] == "success", answer
                return answer["arguments"]
            except urllib.error.HTTPError as error:
                if error.code != 409:
                    raise
                self.session = error.headers["X-Transmission-Session-Id"]
        raise AssertionError("Transmission's RPC refuses its own session id")


class Aria2Seed(Seed):
    """aria2c."""

    def __init__(self, case, torrent):
        log = os.path.join(case.new_dir("aria2"), "log")

        def begin(port):
            options = ["--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false", "--enable-peer-exchange=false"]
            options += ["--disable-ipv6=true", f"--interface={HOST}", f"--listen-port={port}", "--check-integrity=true"]
            options += ["--seed-ratio=0.0", f"--dir={torrent.save}", "--console-log-level=error", f"--log={log}", "--log-level=info"]
            return case.start("aria2c", *options, torrent.file)

        process, port = self.try_ports(case, begin)
        super().__init__(case, process, port)
        until(lambda: re.search(r"Verification finished successfully", self.log(log)), "aria2 to have checked its files", 30)

    @staticmethod
    def log(path):
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()


SEEDS = {"libtorrent": LibtorrentSeed, "Transmission": TransmissionSeed, "aria2": Aria2Seed}


def libtorrent_process(spec):
    """The other side of LibtorrentSeed: says "ready PORT", then answers questions until its stdin ends."""
    import libtorrent as lt

    session = lt.session(
        {
            "listen_interfaces": f"{HOST}:0",
            "enable_dht": False,
            "enable_lsd": False,
            "enable_upnp": False,
            "enable_natpmp": False,
            "enable_incoming_utp": False,
            "enable_outgoing_utp": False,
            "allow_multiple_connections_per_ip": True,
            "unchoke_slots_limit": 100,
            "max_out_request_queue": 2000,
            "alert_mask": 0,
        }
    )
    add = lt.add_torrent_params()
    add.ti = lt.torrent_info(spec["torrent"])
    add.save_path = spec["save"]
    add.flags = lt.torrent_flags.update_subscribe
    add.have_pieces = [True] * add.ti.num_pieces()
    while not session.listen_port():
        time.sleep(0.01)
    handle = session.add_torrent(add)
    if not spec["announce"]:
        handle.replace_trackers([])
    if spec["rate"]:
        handle.set_upload_limit(spec["rate"])
    while not handle.status().is_seeding:
        time.sleep(0.01)
    print("ready", session.listen_port(), flush=True)
    for question in sys.stdin:
        if question.strip() == "uploaded":
            print(handle.status().total_payload_upload, flush=True)
        elif question.startswith("connect "):
            handle.connect_peer((HOST, int(question.split()[1])))
            print("connecting", flush=True)


if __name__ == "__main__":
    libtorrent_process(json.loads(sys.argv[1]))
