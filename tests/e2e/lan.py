"""A network of its own for a test: two hosts on one cable, each a network namespace. Needs root and `ip`.

Nothing in it reaches anything else. Commands get there with the prefix of a host; files and mounts are the same everywhere.
"""
import itertools
import os
import subprocess

_numbers = itertools.count()


class Host:
    def __init__(self, namespace, device, address):
        self.namespace, self.device, self.address = namespace, device, address
        self.prefix = ["nsenter", f"--net=/run/netns/{namespace}"]  # `ip netns exec` would hide mounts, too


class Lan:
    """`ours` and `theirs`. They end with the test."""

    def __init__(self, case):
        tag = f"{os.getpid()}x{next(_numbers)}"
        self.ours = Host(f"swt{tag}a", "cable", "10.77.0.1")
        self.theirs = Host(f"swt{tag}b", "cable", "10.77.0.2")
        for host in (self.ours, self.theirs):
            run("ip", "netns", "add", host.namespace)
            case.addCleanup(subprocess.run, ["ip", "netns", "del", host.namespace], check=False)
        # Made inside, so that no name of the machine's own network is ever taken.
        run(
            "ip", "-n", self.ours.namespace, "link", "add", self.ours.device, "type", "veth",
            "peer", "name", self.theirs.device, "netns", self.theirs.namespace,
        )  # fmt: skip
        for host in (self.ours, self.theirs):
            ip = ("ip", "-n", host.namespace)
            run(*ip, "link", "set", "lo", "up")
            run(*ip, "addr", "add", f"{host.address}/24", "dev", host.device)
            run(*ip, "link", "set", host.device, "up")
            run(*ip, "route", "add", "default", "dev", host.device)  # multicast goes there as well


def run(*command):
    subprocess.run(command, check=True)
