"""Where the reader and the seeds are: on loopback, or at the two ends of a cable between network namespaces."""
import ctypes
import os
import subprocess

from lab_dir import LAB_DIR, TAG

HERE = os.path.dirname(os.path.abspath(__file__))
CLONE_NEWNET = 0x40000000
MAX_SEEDS = 100


class Loopback:
    tracker_ip = "127.0.0.1"
    reader_ip = "127.0.0.1"

    @staticmethod
    def seed_ip(k):
        return f"127.0.1.{k}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def prefix(self, _side):
        return []

    def enter_reader(self):
        pass


class Cable:
    """Two namespaces joined by `wire`. profiles: (one-way delay ms, Mbit/s, loss %) a seed, cycled; down: the reader's line."""

    tracker_ip = "10.9.0.1"
    reader_ip = "10.9.2.1"

    def __init__(self, profiles, down=0):
        self.profiles, self.down = profiles, down
        self.names = {side: f"lab{TAG}{side[0]}" for side in ("reader", "seeds")}

    @staticmethod
    def seed_ip(k):
        return f"10.9.1.{k}"

    def profile(self, k):
        return self.profiles[(k - 1) % len(self.profiles)]

    def prefix(self, side):
        return ["nsenter", f"--net=/var/run/netns/{self.names[side]}"]

    def enter_reader(self):
        """Moves this process's network to the reader's end."""
        fd = os.open(f"/var/run/netns/{self.names['reader']}", os.O_RDONLY)
        if ctypes.CDLL(None, use_errno=True).setns(fd, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        os.close(fd)

    def __enter__(self):
        reader, seeds = self.names["reader"], self.names["seeds"]
        a, b = f"wa{TAG}", f"wb{TAG}"
        command = [built_wire(), a, b, "--default", "10,0,0", "--down", str(self.down)]
        for k in range(1, MAX_SEEDS + 1):
            delay, rate, loss = self.profile(k)
            command += ["--peer", f"{self.seed_ip(k)}={delay},{rate},{loss}"]
        self.wire = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            if self.wire.stdout.readline().strip() != "ready":
                raise RuntimeError("wire did not start: /dev/net/tun and root are needed")
            for name, device, ip in ((reader, a, self.reader_ip), (seeds, b, self.tracker_ip)):
                run("ip", "netns", "add", name)
                run("ip", "link", "set", device, "netns", name)
                run("ip", "-n", name, "link", "set", "lo", "up")
                run("ip", "-n", name, "addr", "add", f"{ip}/32", "dev", device)
                run("ip", "-n", name, "link", "set", device, "up")
            run("ip", "-n", reader, "route", "add", "10.9.0.0/16", "dev", a, "src", self.reader_ip)
            run("ip", "-n", seeds, "route", "add", "10.9.2.0/24", "dev", b)
            for k in range(1, MAX_SEEDS + 1):
                run("ip", "-n", seeds, "addr", "add", f"{self.seed_ip(k)}/32", "dev", b)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.wire.terminate()
        self.wire.wait()
        delete_namespaces()


def run(*command):
    subprocess.run(command, check=True)


def built_wire():
    source, binary = os.path.join(HERE, "wire.cpp"), os.path.join(LAB_DIR, "wire")
    if not os.path.exists(binary) or os.path.getmtime(binary) < os.path.getmtime(source):
        os.makedirs(LAB_DIR, exist_ok=True)
        run("g++", "-O2", "-std=c++20", "-o", binary, source)
    return binary


def delete_namespaces():
    """Those of this lab call, and no others."""
    for side in ("r", "s"):
        subprocess.run(["ip", "netns", "del", f"lab{TAG}{side}"], stderr=subprocess.DEVNULL, check=False)
